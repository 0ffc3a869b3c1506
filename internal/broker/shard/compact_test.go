package shard

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// compact makes all topics compacted ones, with small segments and tombstones that the second cleaning takes.
func (f *fakeTopics) compact() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.config.Compact, f.config.Delete = true, false
	f.config.SegmentBytes, f.config.MaxCompactionLagMs = 1500, math.MaxInt64
}

// cleanAll cleans every log that has something to be cleaned.
func (s *Store) cleanAll(ctx context.Context, o CleanerOptions) error {
	c := s.newCleaner()
	for range 100 {
		if cleaned, err := c.cleanOne(ctx, o.withDefaults()); err != nil || !cleaned {
			return err
		}
	}
	return errors.New("cleaning does not end")
}

// clean runs the cleaner as long as there is something to be cleaned. It returns the error of a node that has ended instead.
func (n *simNode) clean(ctx context.Context) error {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		err := n.cleanAll(ctx, CleanerOptions{})
		if err != nil && !noSpace(err) && ctx.Err() == nil { // what runCleaner would end the store with
			err = n.inMaintenance(ctx, func(context.Context) error { return err })
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case err := <-n.done:
		n.done <- err
		return errors.Join(errors.New("node has ended"), err)
	}
}

// dirtyAndClean appends until segments have ended in some log, and cleans.
func (s *simulation) dirtyAndClean() error {
	for range 7 {
		if err := s.append(); err != nil {
			return err
		}
	}
	return errors.Join(s.wait(), s.node.clean(s.ctx))
}

// keptRecord is a record as it was written, or as it is read.
type keptRecord struct {
	offset, time int64
	key, value   string
	tombstone    bool
}

func recordsOf(b []byte) (out []keptRecord, ends []int64, err error) {
	for len(b) > 0 {
		h, err := record.ParseHeader(b)
		if err != nil {
			return nil, nil, err
		}
		if !record.CheckCRC(b) {
			return nil, nil, fmt.Errorf("batch at %d has a bad checksum", h.BaseOffset)
		}
		it, err := record.NewIterator(b, 1<<24)
		if err != nil {
			return nil, nil, err
		}
		for r, ok := it.Next(); ok; r, ok = it.Next() {
			out = append(out, keptRecord{h.BaseOffset + int64(r.OffsetDelta), h.BaseTimestamp + r.TimestampDelta, string(r.Key), string(r.Value), r.Value == nil})
		}
		if it.Err() != nil {
			return nil, nil, it.Err()
		}
		it.Close()
		ends = append(ends, h.NextOffset())
		b = b[h.Size():]
	}
	return out, ends, nil
}

// verifyCompacted checks what a compacted log gives against what was written: each record is as it was, the last one of each
// key is there, and every way to look for one finds it, at every offset, in a gap or not.
func verifyCompacted(ctx context.Context, l *partition.Log, v logView) error {
	o := l.Offsets()
	b, err := readAll(ctx, l, o.LogStart, 1<<20)
	if err != nil {
		return err
	}
	got, ends, err := recordsOf(b)
	if err != nil {
		return err
	}
	written := map[int64]keptRecord{}
	last := map[string]int64{}
	all := transactionsOf(v.batches)
	for _, w := range v.batches {
		records, _, err := recordsOf(w.bytes)
		if err != nil {
			return err
		}
		// What was aborted may go and takes nobody's place; markers go with what they ended.
		stays := w.marker == nil && !w.aborted(all)
		for _, r := range records {
			written[r.offset] = r
			if stays && r.offset >= o.LogStart && r.offset < o.HighWatermark {
				last[r.key] = r.offset
			}
		}
	}
	there, at := map[int64]bool{}, int64(-1)
	for _, r := range got {
		if written[r.offset] != r || r.offset <= at {
			return fmt.Errorf("offset %d after %d holds %.60q, written was %.60q", r.offset, at, fmt.Sprint(r), fmt.Sprint(written[r.offset]))
		}
		there[r.offset], at = true, r.offset
	}
	for key, offset := range last {
		if !there[offset] && !written[offset].tombstone {
			return fmt.Errorf("the last record of %q, at %d, has gone", key, offset)
		}
	}
	if n := len(ends); n > 0 && ends[n-1] != o.HighWatermark || n == 0 && o.LogStart < o.HighWatermark {
		return fmt.Errorf("%d batches that do not end at the high watermark %d", n, o.HighWatermark)
	}
	return errors.Join(verifyOffsets(ctx, l, o, ends), verifyTimes(ctx, l, o, got))
}

// verifyOffsets reads at each offset: the first batch that ends behind it must come.
func verifyOffsets(ctx context.Context, l *partition.Log, o partition.Offsets, ends []int64) error {
	next := 0
	for offset := o.LogStart; offset < o.HighWatermark; offset++ {
		for ends[next] <= offset {
			next++
		}
		b, _, err := l.ReadBytes(ctx, offset, 1)
		if err != nil {
			return fmt.Errorf("read at %d: %w", offset, err)
		}
		h, err := record.ParseHeader(b)
		if err != nil || h.NextOffset() != ends[next] {
			return fmt.Errorf("read at %d gives the batch up to %d, want that up to %d: %w", offset, h.NextOffset(), ends[next], err)
		}
	}
	return nil
}

// verifyTimes looks for each record by its time, and for the newest.
func verifyTimes(ctx context.Context, l *partition.Log, o partition.Offsets, records []keptRecord) error {
	newest := keptRecord{offset: -1, time: -1}
	for _, r := range records {
		if r.offset >= o.LogStart && r.time > newest.time {
			newest = r
		}
		f, err := l.OffsetForTime(ctx, r.time, false)
		if err != nil {
			return err
		}
		for _, first := range records {
			if first.offset >= o.LogStart && first.time >= r.time {
				if f.Offset != first.offset || f.Timestamp != first.time {
					return fmt.Errorf("first record at or after %d: %+v, want %d", r.time, f, first.offset)
				}
				break
			}
		}
	}
	f, err := l.MaxTimestamp(ctx, false)
	if err != nil || f.Offset != newest.offset || f.Timestamp != newest.time {
		return fmt.Errorf("newest record: %+v, want offset %d, time %d: %w", f, newest.offset, newest.time, err)
	}
	if f, err = l.OffsetForTime(ctx, newest.time+1, false); err != nil || f.Offset >= 0 {
		return fmt.Errorf("record after the newest: %+v, %w", f, err)
	}
	return nil
}
