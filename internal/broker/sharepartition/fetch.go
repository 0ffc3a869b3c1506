package sharepartition

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// Request asks for records.
type Request struct {
	Group, Member string
	Partitions    []ID // in the order in which they are served
	MaxWait       time.Duration
	MinBytes      int64
	MaxBytes      int64
	MaxRecords    int64
	BatchSize     int64
	// Exact makes MaxRecords a bound that no record batch stretches.
	Exact bool
}

// Result is what one partition gave. Chunks must be sent or dropped.
type Result struct {
	ID       ID
	Err      error
	Acquired []share.Acquired
	Chunks   []partition.Chunk
	Bytes    int64
}

// readBytesMax bounds what is read of a partition for one fetch: consumers take a few hundred records at a time, and
// what they do not get has been read for nothing.
const readBytesMax = 4 << 20

// Fetch hands out records. Without any it waits until there are, at most MaxWait. The results are in the order of the
// partitions; those without a window yet have the error that it could not be loaded for.
func (m *Manager) Fetch(ctx context.Context, r Request) []Result {
	deadline := time.NewTimer(r.MaxWait)
	defer deadline.Stop()
	results := make([]Result, len(r.Partitions))
	windows := make([]*window, len(r.Partitions))
	for i, id := range r.Partitions {
		results[i].ID = id
		w, err := m.window(ctx, share.Key{Group: r.Group, Topic: id.Topic, Partition: id.Partition})
		if err != nil && !transient(err) { // one that is about to be loaded gives nothing yet
			results[i].Err = err
		}
		windows[i] = w
	}
	last := r.MaxWait <= 0 || r.MaxRecords <= 0
	for {
		f := fetch{manager: m, Request: r, settings: m.o.Settings(r.Group), results: results, windows: windows}
		w := partition.NewWaiter(1)
		f.watch(w)
		if f.attempt(ctx, last) || last || ctx.Err() != nil {
			f.unwatch(w)
			return results
		}
		select {
		case <-w.C:
		case <-deadline.C:
			last = true
		case <-ctx.Done():
			f.unwatch(w)
			return results
		}
		f.unwatch(w)
		if need := r.MinBytes - f.bytes; need > 1 && !last {
			last = !f.await(ctx, need, deadline)
		}
	}
}

// fetch is one attempt of a Fetch.
type fetch struct {
	Request

	manager  *Manager
	settings Settings
	results  []Result
	windows  []*window
	reads    []read
	bytes    int64
}

// read is what was read for a window, which is locked against other fetches until it is used.
type read struct {
	index  int
	offset int64
	partition.ReadResult
	batches []share.Range
	ends    []int64 // where each batch ends in the bytes that were read
	skipped int64   // bytes before the first of them
	aborted []share.Range
}

// watch lets w know of records that come, or come back, from now on.
func (f *fetch) watch(w *partition.Waiter) {
	for i, p := range f.windows {
		if p == nil || f.results[i].Err != nil {
			continue
		}
		p.mu.Lock()
		p.waiters[w] = struct{}{}
		full := !p.records.CanAcquire(f.settings.Limits)
		at := max(p.records.NextFetch(), p.log.Offsets().HighWatermark)
		p.mu.Unlock()
		if !full {
			p.log.Watch(w, at, f.settings.Committed)
		}
	}
}

func (f *fetch) unwatch(w *partition.Waiter) {
	for _, p := range f.windows {
		if p == nil {
			continue
		}
		p.mu.Lock()
		delete(p.waiters, w)
		p.mu.Unlock()
		p.log.Unwatch(w)
	}
}

// await waits for more bytes at the ends of the logs, or until deadline, when it returns false.
func (f *fetch) await(ctx context.Context, bytes int64, deadline *time.Timer) bool {
	w := partition.NewWaiter(bytes)
	f.watch(w)
	defer f.unwatch(w)
	select {
	case <-w.C:
		return true
	case <-deadline.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// attempt reads, and hands out what it has read if that is enough or last is set. done tells that there is something to
// answer: records or an error.
func (f *fetch) attempt(ctx context.Context, last bool) (done bool) {
	left := f.MaxBytes
	for i, w := range f.windows {
		if w == nil || f.results[i].Err != nil {
			done = done || f.results[i].Err != nil
			continue
		}
		if left <= 0 && f.bytes > 0 || f.MaxRecords <= 0 {
			break
		}
		r, ok, err := w.read(ctx, &f.settings, min(left, readBytesMax), f.bytes == 0, f.MaxRecords)
		if err != nil {
			f.results[i].Err = err
			done = true
			continue
		}
		if !ok {
			continue
		}
		r.index = i
		f.reads = append(f.reads, r)
		f.bytes += r.Bytes
		left -= r.Bytes
	}
	enough := f.bytes >= f.MinBytes || last || done
	wanted := f.MaxRecords
	for i := range f.reads {
		r := &f.reads[i]
		if !enough || wanted <= 0 || ctx.Err() != nil {
			r.Drop()
			f.windows[r.index].readDone()
			continue
		}
		n := f.windows[r.index].acquire(f, r, wanted) //nolint:contextcheck // a write outlives the request that caused it
		wanted -= n
		done = done || n > 0
	}
	return done
}

// read reads what can be handed out next. ok is false if there is nothing, or somebody else is at it; else readDone or
// acquire must follow.
func (w *window) read(ctx context.Context, s *Settings, maxBytes int64, atLeastOne bool, records int64) (r read, ok bool, err error) {
	w.mu.Lock()
	if w.ended != nil {
		err := w.ended
		w.mu.Unlock()
		return r, false, err
	}
	o := w.log.Offsets()
	w.retired = false
	w.records.RaiseStart(o.LogStart)
	w.expireLocked(s.Limits) //nolint:contextcheck // a write outlives the request that caused it
	r.offset = w.records.NextFetch()
	limit := o.HighWatermark
	if s.Committed {
		limit = o.LastStable
	}
	if w.fetching || r.offset >= limit || !w.records.CanAcquire(s.Limits) {
		w.mu.Unlock()
		return r, false, nil
	}
	w.fetching = true
	w.mu.Unlock()

	if r.ReadResult, err = w.log.Read(ctx, partition.ReadRequest{Offset: r.offset, MaxBytes: maxBytes, AtLeastOne: atLeastOne, Committed: s.Committed}); err == nil {
		err = r.parse(s.InFlight + records)
	}
	if err == nil && len(r.batches) > 0 {
		return r, true, nil
	}
	r.Drop()
	w.readDone()
	if errors.Is(err, kafka.OffsetOutOfRange) {
		err = nil // the log's start has just moved
	}
	if err != nil {
		err = fmt.Errorf("read %s at offset %d for share group %s: %w", w.log.Identity(), r.offset, w.key.Group, err)
	}
	return r, false, err
}

// readDone lets others read.
func (w *window) readDone() {
	w.mu.Lock()
	w.fetching = false
	w.wakeLocked()
	w.mu.Unlock()
}

// acquire hands out what was read, and returns how many records that are.
func (w *window) acquire(f *fetch, r *read, wanted int64) (records int64) {
	now := w.manager.o.Now()
	w.mu.Lock()
	w.fetching = false
	var got []share.Acquired
	if w.ended == nil {
		w.records.RaiseStart(w.log.Offsets().LogStart)
		got = w.records.Acquire(share.Acquire{
			Member: f.Member, MaxRecords: wanted, Exact: f.Exact, BatchSize: f.BatchSize, Offset: r.offset, Batches: r.batches, Aborted: r.aborted,
			Now: now, Limits: f.settings.Limits,
		})
		if len(got) > 0 && !w.begun {
			// From now on the group has read here, and must not begin elsewhere after a restart.
			w.records.Touch()
			w.persistLocked()
		}
		w.alarmLocked()
	}
	w.wakeLocked()
	w.mu.Unlock()
	if len(got) == 0 {
		r.Drop()
		return 0
	}
	for _, a := range got {
		records += a.Last - a.First + 1
	}
	w.manager.metrics.acquired.Add(float64(records))
	out := &f.results[r.index]
	out.Acquired = got
	out.Chunks, out.Bytes = r.slice(got[0].First, got[len(got)-1].Last)
	return records
}

// parse finds the batches in what was read, until they hold enough records from the read's begin on.
func (r *read) parse(records int64) error {
	at := int64(0)
	open := newAborts(r.Aborted)
	for i := range r.Chunks {
		c := &r.Chunks[i]
		for pos := int64(0); pos < c.Len; {
			h, err := headerAt(c, pos)
			if err != nil {
				return err
			}
			b := share.Range{First: h.BaseOffset, Last: h.LastOffset()}
			pos += h.Size()
			if b.Last < r.offset {
				r.skipped = at + pos
			} else {
				r.batches = append(r.batches, b)
				r.ends = append(r.ends, at+pos)
				if open.drops(&h) {
					r.aborted = append(r.aborted, b)
				}
			}
			if b.Last-r.offset >= records && b.Last > r.offset {
				return nil
			}
		}
		at += c.Len
	}
	return nil
}

func headerAt(c *partition.Chunk, pos int64) (record.Header, error) {
	if c.From == nil {
		h, err := record.ParseHeader(c.Bytes[pos:])
		return checked(h, err, c.Len-pos)
	}
	var b [record.HeaderBytes]byte
	for n := 0; n < len(b); {
		p, release, err := c.From.View(c.Off+pos+int64(n), len(b)-n)
		if err != nil {
			return record.Header{}, fmt.Errorf("view a batch header: %w", err)
		}
		n += copy(b[n:], p)
		release()
	}
	h, err := record.ParseHeader(b[:])
	return checked(h, err, c.Len-pos)
}

func checked(h record.Header, err error, left int64) (record.Header, error) {
	if err == nil && (h.Size() < record.HeaderBytes || h.Size() > left) {
		err = record.ErrTruncated
	}
	return h, err
}

// slice leaves of what was read the batches that hold the offsets from first to last, and gives the rest back.
func (r *read) slice(first, last int64) (out []partition.Chunk, bytes int64) {
	from, to := int64(math.MaxInt64), int64(0)
	before := r.skipped
	for i, b := range r.batches {
		if b.Last >= first && b.First <= last {
			from, to = min(from, before), max(to, r.ends[i])
		}
		before = r.ends[i]
	}
	at := int64(0)
	for _, c := range r.Chunks {
		start, end := max(from-at, 0), min(to-at, c.Len)
		at += c.Len
		if start >= end {
			if c.Done != nil {
				c.Done()
			}
			continue
		}
		if c.From == nil {
			c.Bytes = c.Bytes[start:end]
		}
		c.Off, c.Len = c.Off+start, end-start
		out = append(out, c)
		bytes += c.Len
	}
	r.Chunks = nil
	return out, bytes
}
