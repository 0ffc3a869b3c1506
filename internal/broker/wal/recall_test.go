package wal

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/weir-stream/weir/internal/base/blob"
)

// recallRun is a log of so many frames of one batch each, of which the ring holds some of the last.
type recallRun struct {
	*objectRun
	batches [][]byte
	at      []Position
	marks   []Mark // the begin of each frame, and the end of the last
	gets    atomic.Int64
	refuse  atomic.Bool
}

func startRecall(t *testing.T, frames int, ring, recall int64) *recallRun {
	t.Helper()
	store := blob.NewFault(blob.NewMem(), nil)
	r := &recallRun{objectRun: startObjects(t, ObjectOptions{Blob: store, Incarnation: 1, RingBytes: ring, RecallBytes: recall})}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	s := NewStream(1, [16]byte{1}, 0)
	for i := range frames {
		r.marks = append(r.marks, r.Durable())
		b := bytes.Repeat([]byte{byte(i + 1)}, 60<<10)
		ticket, err := r.Append(s, b, BatchInfo{BaseOffset: int64(i), RecordCount: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := ticket.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.batches = append(r.batches, b)
		r.at = append(r.at, r.marks[i].Pos+headerBytes)
	}
	r.marks = append(r.marks, r.Durable())
	store.Inject(func(op blob.Op) error {
		if op.Kind == blob.OpRead {
			r.gets.Add(1)
			if r.refuse.Load() {
				return errors.New("refused")
			}
		}
		return nil
	})
	return r
}

// recent says which of the batches are in memory, and that they are what was written.
func (r *recallRun) recent(t *testing.T) (in []bool) {
	t.Helper()
	for i, want := range r.batches {
		b, release, ok := r.Recent(r.at[i], int64(len(want)))
		if in = append(in, ok); !ok {
			continue
		}
		if !bytes.Equal(b, want) {
			t.Errorf("batch %d in memory begins with %d", i, b[0])
		}
		release()
	}
	return in
}

func count(in []bool) (n int) {
	for _, x := range in {
		if x {
			n++
		}
	}
	return n
}

// A frame takes 64 KiB: the ring holds the last 4 of 12, and a stretch is 5 at the most, of 11 that are asked for.
func TestRecallHoldsAStretchAfterAnother(t *testing.T) {
	t.Parallel()
	r := startRecall(t, 12, 256<<10, 320<<10)
	if in := r.recent(t); count(in) != 4 || !in[8] {
		t.Fatalf("in memory are %v", in)
	}
	var ends []Mark
	for from := OwnStart; from < r.marks[11].Pos; { // the last frame is not asked for
		s := r.Recall(t.Context(), from, r.marks[11], nil)
		for i, in := range r.recent(t) {
			if within := r.at[i] >= from && r.at[i] < s.End.Pos; within && !in {
				t.Errorf("batch %d is not in memory during its stretch", i)
			}
		}
		if first, release, ok := r.Recent(r.at[0], 100); ok { // who reads on after the stretch may
			s.Release()
			if first[0] != 1 || first[99] != 1 {
				t.Error("memory that is being read was used again")
			}
			release()
		} else {
			s.Release()
		}
		ends, from = append(ends, s.End), s.End.Pos
	}
	if len(ends) != 3 || ends[0] != r.marks[4] || ends[1] != r.marks[8] || ends[2] != r.marks[11] {
		t.Errorf("stretches end at %v, frames at %v", ends, r.marks)
	}
	if n := r.gets.Load(); n != 8 {
		t.Errorf("%d reads for 8 frames that were not in memory", n)
	}
	if in := r.recent(t); count(in) != 4 {
		t.Errorf("afterwards in memory are %v", in)
	}
	r.ObjectLog.mu.Lock()
	defer r.ObjectLog.mu.Unlock()
	if r.ring.lent != 0 || r.recalled != nil {
		t.Errorf("%d bytes are lent, %v is recalled", r.ring.lent, r.recalled)
	}
}

// Frames of the stretch stay in memory when new ones take their place in the ring.
func TestRecallHoldsWhatLeavesTheRing(t *testing.T) {
	t.Parallel()
	r := startRecall(t, 4, 256<<10, 256<<10)
	s := r.Recall(t.Context(), OwnStart, r.marks[4], nil)
	stream := NewStream(1, [16]byte{1}, 1)
	for i := range int64(8) {
		ticket, err := r.Append(stream, bytes.Repeat([]byte{99}, 60<<10), BatchInfo{BaseOffset: i, RecordCount: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := ticket.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if in := r.recent(t); count(in) != 4 || r.gets.Load() != 0 {
		t.Errorf("in memory are %v, after %d reads", in, r.gets.Load())
	}
	s.Release()
	if in := r.recent(t); count(in) != 0 {
		t.Errorf("after the release in memory are %v", in)
	}
}

// What cannot be read back is left out: whoever wants it reads it and learns why.
func TestRecallLeavesOutWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := startRecall(t, 8, 256<<10, 1<<20)
	r.refuse.Store(true)
	s := r.Recall(t.Context(), OwnStart, r.marks[8], nil)
	if s.End != r.marks[8] {
		t.Errorf("the stretch ends at %v, want %v", s.End, r.marks[8])
	}
	if in := r.recent(t); count(in) != 4 {
		t.Errorf("in memory are %v", in)
	}
	if n := r.gets.Load(); n == 0 || n > recallReads {
		t.Errorf("%d reads of a store that refuses, at most %d are begun at a time", n, recallReads)
	}
	s.Release()
	r.refuse.Store(false)
	if _, err := r.Read(t.Context(), make([]byte, 100), r.at[0], 100); err != nil {
		t.Error(err)
	}
}
