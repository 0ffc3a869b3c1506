package shard

import (
	"errors"
	"path"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
)

// fill appends to a log until there is no space, and returns how many batches went in.
func fill(t *testing.T, n *simNode, topic kafka.TopicID) int {
	t.Helper()
	for i := 0; ; i++ {
		l, err := n.Log(topic, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err = n.Admit(t.Context(), 20_000); err == nil {
			var a partition.Appended
			if a, err = l.Append(testBatch("x", 20_000)); err == nil {
				err = a.Ticket.Wait(t.Context())
			}
		}
		if errors.Is(err, wal.ErrNoSpace) {
			return i
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A node comes up on a disk so full that the metadata store refuses its transactions, since that is how it is emptied.
func TestStartOnAFullDiskGivesUpTheReserve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics[topicA] = 1
	n, err := w.start(t.Context(), simSeams{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	refusing := meta.NewFault(w.meta, func(op meta.FaultOp) error {
		if usage, err := w.disk.Usage(simWAL); op.Kind == meta.FaultTxn && (err != nil || usage.FreeBytes < 32<<10) {
			return meta.ErrNoSpace
		}
		return nil
	})
	w.disk.SetFreeBytes(0)
	if n, err = w.start(t.Context(), simSeams{meta: refusing}, nil); err != nil {
		t.Fatalf("start on a full disk: %v", err)
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}

// A full disk refuses what is new and nothing else: reads and deletes go on, deletes make room, and when there is space again
// everything goes on by itself.
func TestFullDiskRefusesAppendsAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t)
		w.topics[topicA], w.topics[topicB] = 1, 1
		n, err := w.start(ctx, simSeams{}, func(o *Options) { o.WALFileBytes, o.WALKeepBytes = 256<<10, 1<<20 })
		if err != nil {
			t.Fatal(err)
		}
		w.disk.SetFreeBytes(2 << 20)
		if filled := fill(t, n, topicA); filled < 20 {
			t.Fatalf("%d batches went to a disk of 2 MiB", filled)
		}
		w.disk.SetFreeBytes(0)
		<-time.After(time.Minute)
		l, err := n.Log(topicA, 0)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, n, topicA) // what the reserve gave back
		end := l.Offsets().HighWatermark
		if _, err := readAll(ctx, l, 0, 1<<20); err != nil {
			t.Errorf("read on a full disk: %v", err)
		}
		if err := n.do(ctx, n.cutAll); err != nil && !noSpace(err) {
			t.Errorf("cut on a full disk: %v", err)
		}
		_, ticket, err := l.DeleteRecords(end)
		if err != nil {
			t.Fatalf("delete on a full disk: %v", err)
		}
		if err := ticket.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		n.poke()
		<-time.After(time.Minute)
		if filled := fill(t, n, topicB); filled < 20 {
			t.Errorf("%d batches found room after all records were deleted", filled)
		}
		w.disk.SetFreeBytes(1 << 30)
		<-time.After(time.Minute)
		before := l.Offsets().LogEnd
		a, err := l.Append(testBatch("again", 100))
		if err != nil || a.BaseOffset != before {
			t.Fatalf("append when there is space: offset %d, %v", a.BaseOffset, err)
		}
		if err := n.do(ctx, n.cutAll); err != nil {
			t.Errorf("cut when there is space: %v", err)
		}
		<-time.After(time.Minute)
		if info, err := w.disk.Stat(path.Join(simWAL, reserveName)); err != nil || info.Size() != n.o.ReserveBytes {
			t.Errorf("the reserve was not taken again: %v", err)
		}
		for _, kind := range []string{manifestPrefix, checkpointPrefix} {
			for _, sh := range n.shards {
				names, err := w.disk.List(path.Join(simObjects, path.Dir(objectKey(kind, sh.id, 0, 0))))
				if err != nil || len(names) != 1 {
					t.Errorf("shard %d has left %v, %v; want one", sh.id, names, err)
				}
			}
		}
		if left, err := w.disk.List(path.Join(simObjects, ".tmp")); err != nil || len(left) > 0 {
			t.Errorf("unfinished objects: %v, %v", left, err)
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}
