package partition

import (
	"context"
	"fmt"
	"math"
	"sort"

	"github.com/weir-stream/weir/internal/kafka/record"
)

// EpochStart is an entry of the leader-epoch cache: the first offset that was written in an epoch (KIP-320).
type EpochStart struct {
	Epoch int32
	Start int64
}

// EpochEnd returns the largest epoch at most epoch in which something was written, and the end offset of it: for the current epoch the
// high watermark. Where nothing was written up to epoch it is epoch itself, and where the first record begins: a consumer of an empty
// partition whose owner has changed must not take that for a loss, and look for a new place to read from. It returns -1, -1 for an epoch
// that the log has not had.
func (l *Log) EpochEnd(epoch int32) (int32, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch == l.leaderEpoch {
		return epoch, l.highWatermark
	}
	i := sort.Search(len(l.epochs), func(i int) bool { return l.epochs[i].Epoch > epoch })
	switch {
	case epoch < 0 || epoch > l.leaderEpoch:
		return -1, -1
	case len(l.epochs) == 0:
		return epoch, l.highWatermark
	case i == 0:
		return epoch, l.epochs[0].Start
	case i == len(l.epochs):
		return l.epochs[i-1].Epoch, l.highWatermark
	}
	return l.epochs[i-1].Epoch, l.epochs[i].Start
}

// EpochAt returns the leader epoch that offset was written in, or -1.
func (l *Log) EpochAt(offset int64) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.epochs), func(i int) bool { return l.epochs[i].Start > offset })
	if i == 0 {
		return -1
	}
	return l.epochs[i-1].Epoch
}

// Found is a record that a lookup found. Offset is -1 where there is none.
type Found struct {
	Offset      int64
	Timestamp   int64
	LeaderEpoch int32
}

var nothing = Found{-1, -1, -1}

// OffsetForTime returns the first record whose timestamp is at least ts, among those below the high watermark or, with
// committed, below the last stable offset. These and the log start are taken as of one moment: there is none only if there
// was none, however closely retention follows the log's end.
func (l *Log) OffsetForTime(ctx context.Context, ts int64, committed bool) (Found, error) {
	return retryMoved(l, func() (Found, error) { return l.offsetForTime(ctx, ts, committed) })
}

// readableLocked is the end of what a reader may see.
func (l *Log) readableLocked(committed bool) int64 {
	if committed {
		return l.lastStableLocked()
	}
	return l.highWatermark
}

func (l *Log) offsetForTime(ctx context.Context, ts int64, committed bool) (Found, error) {
	l.mu.Lock()
	start, limit := l.logStart, l.readableLocked(committed)
	spans := make([]span, 0, 8)
	for i := range l.runs {
		if r := &l.runs[i]; r.info.MaxTimestamp >= ts {
			spans = append(spans, span{object: r.object, info: r.info, extent: extent{base: r.info.BaseOffset, next: r.info.NextOffset}})
		}
	}
	for i := range l.extents {
		if e := &l.extents[i]; e.maxTimestamp >= ts {
			spans = append(spans, span{extent: *e})
		}
	}
	l.mu.Unlock()
	for i := range spans {
		f, err := l.searchTime(ctx, &spans[i], ts, start, limit, func(h *batchHead) bool { return h.maxTimestamp >= ts },
			func(t int64) bool { return t >= ts })
		if err != nil || f.Offset >= 0 {
			return f, err
		}
	}
	return nothing, nil
}

// MaxTimestamp returns the first record that has the largest timestamp of the log. Where, with committed, it does not lie below
// the last stable offset, there is nothing to return: no other record has the largest.
func (l *Log) MaxTimestamp(ctx context.Context, committed bool) (Found, error) {
	return retryMoved(l, func() (Found, error) {
		f, readable, err := l.findMaxTimestamp(ctx, committed)
		if err != nil || f.Offset >= readable {
			return nothing, err
		}
		return f, nil
	})
}

// findMaxTimestamp also returns the end of what the reader may see, as of the same moment.
func (l *Log) findMaxTimestamp(ctx context.Context, committed bool) (f Found, readable int64, err error) {
	l.mu.Lock()
	start, limit := l.logStart, l.highWatermark
	readable = l.readableLocked(committed)
	best := span{}
	most := int64(-1)
	for i := range l.runs {
		if r := &l.runs[i]; r.info.MaxTimestamp > most {
			most = r.info.MaxTimestamp
			best = span{object: r.object, info: r.info, extent: extent{base: r.info.BaseOffset, next: r.info.NextOffset}}
		}
	}
	for i := range l.extents {
		if e := &l.extents[i]; e.maxTimestamp > most {
			most, best = e.maxTimestamp, span{extent: *e}
		}
	}
	l.mu.Unlock()
	if most < 0 {
		return nothing, readable, nil
	}
	f, err = l.searchTime(ctx, &best, most, start, limit, func(h *batchHead) bool { return h.maxTimestamp >= most },
		func(t int64) bool { return t >= most })
	if err != nil || f.Offset >= 0 {
		return f, readable, err
	}
	// The record lies below the log start that DeleteRecords set inside the span, or compaction has left only its batch: the rest
	// is searched one by one.
	f, err = l.scanMaxTimestamp(ctx, start, limit)
	return f, readable, err
}

func (l *Log) scanMaxTimestamp(ctx context.Context, start, limit int64) (Found, error) {
	l.mu.Lock()
	spans := l.spansLocked(nil, start, limit, 1<<62)
	l.mu.Unlock()
	best := nothing
	for i := range spans {
		_, err := l.searchTime(ctx, &spans[i], math.MinInt64, start, limit, func(h *batchHead) bool { return h.maxTimestamp > best.Timestamp },
			func(int64) bool { return false }, func(f Found) {
				if f.Timestamp > best.Timestamp {
					best = f
				}
			})
		if err != nil {
			return nothing, err
		}
	}
	return best, nil
}

// searchTime looks in the batches of s that wantBatch picks, none of which ends before time from, for the first record in
// [start, limit) whose timestamp want accepts; see is told of every record that was looked at.
func (l *Log) searchTime(ctx context.Context, s *span, from, start, limit int64, wantBatch func(*batchHead) bool, want func(int64) bool, see ...func(Found)) (Found, error) {
	src, err := l.open(ctx, s)
	if err != nil {
		return nothing, err
	}
	defer src.done()
	found := nothing
	var inner error
	pos := int64(0)
	if src.reader != nil {
		var ok bool
		if pos, ok, err = src.reader.LocateTime(s.info, from); err != nil || !ok {
			return nothing, l.damage(err)
		}
	}
	err = src.walk(pos, func(pos int64, h *batchHead) bool {
		if h.base >= limit {
			return false
		}
		if h.next() <= start || !wantBatch(h) {
			return true
		}
		found, inner = l.searchBatch(src, pos, h.size, start, limit, want, see)
		return inner == nil && found.Offset < 0
	})
	if inner != nil {
		return nothing, inner
	}
	return found, err
}

func (l *Log) searchBatch(src *source, pos, size, start, limit int64, want func(int64) bool, see []func(Found)) (Found, error) {
	if err := src.verify(pos, size); err != nil {
		return nothing, err
	}
	b := make([]byte, size)
	if err := src.readAt(b, pos); err != nil {
		return nothing, fmt.Errorf("read batch of %s: %w", l.id, err)
	}
	h, err := record.ParseHeader(b)
	if err != nil {
		return nothing, l.corrupt(err)
	}
	if h.LogAppendTime() && h.RecordCount == h.LastOffsetDelta+1 { // else compaction has removed some, the first perhaps
		f := Found{max(h.BaseOffset, start), h.MaxTimestamp, h.LeaderEpoch}
		for _, fn := range see {
			fn(f)
		}
		if want(f.Timestamp) && f.Offset < limit {
			return f, nil
		}
		return nothing, nil
	}
	it, err := record.NewIterator(b, l.config.Load().DecompressedBytesMax)
	if err != nil {
		return nothing, fmt.Errorf("open batch at offset %d of %s: %w", h.BaseOffset, l.id, err)
	}
	defer it.Close()
	for {
		r, ok := it.Next()
		if !ok {
			return nothing, it.Err()
		}
		f := Found{h.BaseOffset + int64(r.OffsetDelta), h.BaseTimestamp + r.TimestampDelta, h.LeaderEpoch}
		if h.LogAppendTime() {
			f.Timestamp = h.MaxTimestamp
		}
		if f.Offset < start || f.Offset >= limit {
			continue
		}
		for _, fn := range see {
			fn(f)
		}
		if want(f.Timestamp) {
			return f, nil
		}
	}
}
