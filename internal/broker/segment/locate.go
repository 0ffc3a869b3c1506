package segment

import (
	"fmt"

	"github.com/weir-stream/weir/internal/kafka/record"
)

// walkBytes is read at a time while batch headers are walked. Between two index entries there are at most a
// batch and 64 KiB, so small batches cost a few reads and a large one costs one.
const walkBytes = 16 << 10

// Locate returns the position, in the run, of the batch that holds offset or, where there is none, of the first one
// after it; run.Bytes if all its batches are before offset.
func (r *Reader) Locate(run RunInfo, offset int64) (int64, error) {
	e, err := r.entry(run)
	if err != nil {
		return 0, err
	}
	if offset <= e.BaseOffset {
		return 0, nil
	}
	if offset >= e.NextOffset {
		return e.Bytes, nil
	}
	s, err := r.section(&e)
	if err != nil {
		return 0, err
	}
	start, end := s.stretchOf(offset, e.Bytes)
	pos, _, err := r.walk(&e, start, end, func(h record.Header) bool { return h.LastOffset() >= offset })
	return pos, err
}

// LocateTime returns the position, in the run, of the first batch whose maximum timestamp is ts or later; false if
// there is none.
func (r *Reader) LocateTime(run RunInfo, ts int64) (int64, bool, error) {
	e, err := r.entry(run)
	if err != nil || ts > e.MaxTimestamp {
		return 0, false, err
	}
	s, err := r.section(&e)
	if err != nil {
		return 0, false, err
	}
	start, end := s.stretchOfTime(ts, e.Bytes)
	pos, ok, err := r.walk(&e, start, end, func(h record.Header) bool { return h.MaxTimestamp >= ts })
	if err != nil || !ok {
		return 0, false, err
	}
	return pos, true, nil
}

// walk goes from batch to batch through [start, end) of the run, whose ends are batches' ends, and returns the
// position of the first one for which match holds; else end and false. It looks at verified bytes only: a header that
// makes no sense there is damage done before the object was written.
func (r *Reader) walk(e *entry, start, end int64, match func(record.Header) bool) (int64, bool, error) {
	buf := r.buffer()
	defer r.scratch.Put(buf)
	window, windowStart := (*buf)[:0], start
	for at := start; at < end; {
		if at+record.HeaderBytes > windowStart+int64(len(window)) {
			windowStart, window = at, (*buf)[:min(walkBytes, end-at)]
			if err := r.verify(e, at, int64(len(window))); err != nil {
				return 0, false, err
			}
			if err := r.readAt(window, e.Pos+at); err != nil {
				return 0, false, err
			}
		}
		h, err := record.ParseHeader(window[at-windowStart:])
		if err != nil {
			return 0, false, r.corrupt(e.Pos+at, fmt.Sprintf("batch of %x-%d: %v", e.Topic, e.Partition, err))
		}
		if match(h) {
			return at, true, nil
		}
		if h.Size() < record.HeaderBytes || h.Size() > end-at {
			return 0, false, r.corrupt(e.Pos+at, fmt.Sprintf("batch of %x-%d has %d bytes, %d are left", e.Topic, e.Partition, h.Size(), end-at))
		}
		at += h.Size()
	}
	return end, false, nil
}
