package shard

import (
	"fmt"
	"testing"

	"github.com/weir-stream/weir/internal/broker/ownership"

	"github.com/weir-stream/weir/internal/kafka"
)

// appendMany appends n batches of about 10 KB to partition 0 of a topic, and waits for each.
func (n *simNode) appendMany(t *testing.T, topic kafka.TopicID, batches int) {
	t.Helper()
	for i := range batches {
		if err := n.Admit(t.Context(), 10_000); err != nil {
			t.Fatal(err)
		}
		l, err := n.Log(topic, 0)
		if err != nil {
			t.Fatal(err)
		}
		a, err := l.Append(testBatch(fmt.Sprint(i), 10_000))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Ticket.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A partition that was written once, long ago, does not keep the WAL behind it from being recycled.
func TestColdPartitionDoesNotPinTheWAL(t *testing.T) {
	t.Parallel()
	const keep = 512 << 10
	w := newWorld(t)
	w.topics[topicA], w.topics[topicB] = 1, 1
	n, err := w.start(t.Context(), simSeams{}, func(o *Options) { o.WALKeepBytes = keep })
	if err != nil {
		t.Fatal(err)
	}
	n.appendMany(t, topicB, 1)
	for range 20 {
		n.appendMany(t, topicA, 20)
		if err := n.do(t.Context(), n.cutIfDue); err != nil {
			t.Fatal(err)
		}
		if held := n.present.Load().files.Bytes(); held > keep+300_000 {
			t.Fatalf("the WAL holds %d bytes, its bound is %d", held, keep)
		}
	}
	l, err := n.Log(topicB, 0)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := l.OldestWAL(); ok {
		t.Errorf("the cold partition still lies in the WAL at %d", p)
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}

// A damaged extent keeps its own file, not the WAL behind it, and the rest of its log moves on.
func TestDamagedExtentPinsOnlyItsFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics[topicA] = 1
	n, err := w.start(t.Context(), simSeams{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	n.appendMany(t, topicA, 30)
	l, err := n.Log(topicA, 0)
	if err != nil {
		t.Fatal(err)
	}
	cut := l.CutBelow(1 << 40)
	bad := cut.Extents[7]
	const fileBytes = 64 << 10
	w.flip(t, fmt.Sprintf("%s/%016x.wal", simWAL, int64(bad.Pos)/fileBytes*fileBytes), int64(bad.Pos)%fileBytes+5000)
	for range 3 {
		if err := n.do(t.Context(), n.cutAll); err != nil {
			t.Fatal(err)
		}
		if held := n.present.Load().files.Bytes(); held > 3*fileBytes {
			t.Errorf("the WAL holds %d bytes after a cut of all", held)
		}
		n.appendMany(t, topicA, 10)
	}
	if got := corruptCount(t, n); got != 1 {
		t.Errorf("%v damages counted, want 1", got)
	}
	for offset := range l.Offsets().HighWatermark {
		b, err := readBytesAt(t.Context(), l, offset, 1)
		if damaged := offset >= bad.BaseOffset && offset < bad.NextOffset; damaged != (kafka.CodeOf(err) == kafka.CorruptMessage) || !damaged && len(b) == 0 {
			t.Errorf("read at %d, damaged %v: %d bytes, %v", offset, damaged, len(b), err)
		}
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}

// Restarts without end leave no records without end.
func TestOldIncarnationsAreForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics[topicA] = 1
	for i := range 3 * livesKept {
		n, err := w.start(t.Context(), simSeams{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			n.appendMany(t, topicA, 1)
		}
		if err := n.stop(); err != nil {
			t.Fatal(err)
		}
	}
	lives, err := w.meta.Range(t.Context(), ownership.IncarnationPrefix, "", 0)
	if err != nil || len(lives) > livesKept+2 {
		t.Errorf("%d records of incarnations after %d starts, %v", len(lives), 3*livesKept, err)
	}
}
