package shard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/pacer"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/kafka/record"
)

const (
	// mergeObjects is how many neighbouring L1 objects make a merge worth its writes.
	mergeObjects = 16
	// mergeBytesMax bounds the object that a merge makes.
	mergeBytesMax = 2 << 30
)

// mergeInput is what the planner knows of an object.
type mergeInput struct {
	level      uint8
	data, live int64 // bytes of runs when it was made, and now
	damaged    bool  // it cannot be copied
}

// planMerge picks the neighbouring objects [from, to) to be rewritten as one. Dead and half-dead objects come first, on
// their own; then the oldest stretch of mergeObjects L1 objects. Objects must be neighbours, so that the runs of a
// partition stay in the order of offsets. A damaged object is let go when all of it is dead, and is else left as it is.
// from == to means that nothing is due.
func planMerge(objects []mergeInput) (from, to int) {
	for i, o := range objects {
		if o.live == 0 || o.live*2 < o.data && !o.damaged {
			return i, i + 1
		}
	}
	first, total := 0, int64(0)
	for i, o := range objects {
		fixed := o.level != uint8(segment.L1) || o.damaged
		if fixed || total+o.live > mergeBytesMax {
			first, total = i, 0
			if fixed {
				first = i + 1
				continue
			}
		}
		total += o.live
		if i+1-first == mergeObjects {
			return first, i + 1
		}
	}
	return 0, 0
}

func (s *Store) mergeIfDue(ctx context.Context) error {
	until := time.Now().Add(s.within())
	for _, sh := range s.owned() {
		if err := s.onShard(ctx, sh, nil, func(ctx context.Context) error { return s.mergeShard(ctx, sh, until) }); err != nil {
			return err
		}
	}
	return nil
}

// mergeShard merges objects of a shard until none are worth it. From until on it yields to nobody.
func (s *Store) mergeShard(ctx context.Context, sh *shardState, until time.Time) error {
	for {
		inputs := s.mergeInputs(sh)
		from, to := planMerge(inputs)
		if from == to || ctx.Err() != nil {
			return nil //nolint:nilerr // the end was asked for
		}
		err := s.mergePaced(ctx, sh, inputs, from, to, until)
		if d, ok := errors.AsType[*unreadableError](err); ok && ctx.Err() == nil {
			// The object stays as it is, for whoever may rescue its bytes; the rest of the shard goes on. The mark is not
			// kept over a restart, so each process tells of the damage anew.
			sh.damaged[d.key] = true
			s.corrupt(fmt.Errorf("an object is left out of merges: %w", err))
			continue
		}
		if err != nil {
			return fmt.Errorf("merge objects of shard %d: %w", sh.id, err)
		}
	}
}

func (s *Store) mergeInputs(sh *shardState) []mergeInput {
	if len(sh.objects) == 0 {
		return nil
	}
	at := make(map[*partition.Object]int, len(sh.objects))
	in := make([]mergeInput, len(sh.objects))
	for i, o := range sh.objects {
		at[o], in[i] = i, mergeInput{level: o.Level, data: o.Data, damaged: sh.damaged[o.Key]}
	}
	for _, l := range s.logsOf(sh.id) {
		l.RunsIn(func(*partition.Object) bool { return true }, func(o *partition.Object, r segment.RunInfo) {
			if i, ok := at[o]; ok {
				in[i].live += r.Bytes
			}
		})
	}
	return in
}

func (s *Store) mergePaced(ctx context.Context, sh *shardState, inputs []mergeInput, from, to int, until time.Time) error {
	live := int64(0)
	for _, o := range inputs[from:to] {
		live += o.live
	}
	pace := s.mergeWork(live, until)
	defer pace.End()
	return s.merge(ctx, sh, pace, from, to)
}

// merge rewrites the live runs of objects [from, to) into one object in their place, publishes that, and deletes them.
func (s *Store) merge(ctx context.Context, sh *shardState, pace *pacer.Work, from, to int) error {
	victims := sh.objects[from:to]
	old := map[string]bool{}
	for _, o := range victims {
		old[o.Key] = true
	}
	logs := s.logsOf(sh.id)
	object, footer, err := s.writeObject(ctx, sh, segment.L2, func(w *segment.Writer) error {
		for _, l := range logs {
			if err := s.copyRuns(ctx, w, pace, l, old); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	runs := runsByLog(&footer)
	for _, l := range logs {
		id := l.Identity()
		r := runs[logKey{id.Topic, id.Partition}]
		l.Replace(old, object, r.RunInfo, r.abortedFrom)
	}
	next := append([]*partition.Object(nil), sh.objects[:from]...)
	if object != nil {
		next = append(next, object)
		s.metrics.objectBytes.Add(float64(object.Bytes))
	}
	sh.objects = append(next, sh.objects[to:]...)
	s.metrics.merges.Inc()
	sh.unused = slices.AppendSeq(sh.unused, maps.Keys(old))
	return s.checkpoint(ctx, sh, sh.lastMark())
}

func (s *Store) copyRuns(ctx context.Context, w *segment.Writer, pace *pacer.Work, l *partition.Log, old map[string]bool) error {
	id, begun := l.Identity(), false
	var inner error
	start := l.Offsets().LogStart
	l.RunsIn(func(o *partition.Object) bool { return old[o.Key] }, func(o *partition.Object, r segment.RunInfo) {
		if inner != nil {
			return
		}
		if !begun {
			inner, begun = w.BeginRun(id.Topic, id.Partition), true
		}
		if inner == nil {
			inner = s.copyRun(ctx, w, pace, o, r, start)
		}
	})
	if inner != nil {
		return fmt.Errorf("copy runs of %s: %w", id, inner)
	}
	return nil
}

// unreadableError says that an object does not give the bytes that were written to it.
type unreadableError struct {
	key string
	err error
}

func (e *unreadableError) Error() string { return e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

// copyRun copies the batches of a run that reach beyond the log start, after their checksums were checked. Failures to
// read are *unreadableError.
func (s *Store) copyRun(ctx context.Context, w *segment.Writer, pace *pacer.Work, o *partition.Object, r segment.RunInfo, logStart int64) error {
	unreadable := func(err error) error {
		err = fmt.Errorf("object %s: %w", o.Key, err)
		if _, corrupt := errors.AsType[*segment.CorruptError](err); errors.Is(err, blob.ErrAway) || s.o.Cluster != nil && !corrupt {
			return err // an object store that does not answer now may do so later
		}
		return &unreadableError{o.Key, err}
	}
	reader, release, err := s.scans.Get(ctx, o.Key)
	if err != nil {
		return unreadable(err)
	}
	defer release()
	pos := int64(0)
	if logStart > r.BaseOffset {
		if pos, err = reader.Locate(r, logStart); err != nil {
			return unreadable(err)
		}
	}
	var buf []byte
	for pos < r.Bytes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if buf, err = readBatch(reader, r, pos, buf); err != nil {
			return unreadable(err)
		}
		if err := w.AppendBatch(buf); errors.Is(err, segment.ErrBadBatch) || errors.Is(err, segment.ErrOrder) {
			return unreadable(err)
		} else if err != nil {
			return err
		}
		pos += int64(len(buf))
		if err := pace.Did(ctx, int64(len(buf))); err != nil {
			return err
		}
	}
	aborted, err := reader.Aborted(r, logStart, math.MaxInt64)
	if err != nil {
		return unreadable(err)
	}
	for _, a := range aborted {
		if err := w.Aborted(a); err != nil {
			return unreadable(err)
		}
	}
	return nil
}

// readBatch returns the batch at pos of a run, in buf if it fits. Reading checks the checksums.
func readBatch(reader *segment.Reader, r segment.RunInfo, pos int64, buf []byte) ([]byte, error) {
	var head [record.HeaderBytes]byte
	if r.Bytes-pos < record.HeaderBytes {
		return buf, record.ErrTruncated
	}
	if _, err := reader.ReadAt(head[:], r.Pos+pos); err != nil {
		return buf, err
	}
	h, err := record.ParseHeader(head[:])
	if err != nil {
		return buf, err
	}
	n := h.Size()
	if n < record.HeaderBytes || n > r.Bytes-pos {
		return buf, record.ErrTruncated
	}
	if int64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	_, err = reader.ReadAt(buf, r.Pos+pos)
	return buf, err
}
