package shard

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/wal"
)

const (
	// markEvery is the resolution with which the age of what lies in the log in files is known.
	markEvery = 500 * time.Millisecond
	// marksMax bounds the marks; past it every second one goes.
	marksMax = 4096
	// freshMax is the age below which records stay in the log in files when older ones are cut for their age: their readers
	// are right behind the writers.
	freshMax = 10 * time.Second
	// extentsRefused is how many times ExtentsMax extents may wait for an object store that does not answer before
	// appends are refused: each takes memory.
	extentsRefused = 8
)

// tier knows when what lies in the log in files was written.
type tier struct {
	last atomic.Pointer[time.Time] // when the last mark was made

	mu    sync.Mutex
	marks []mark // ascending
}

// mark says that the log ended at pos at the time at.
type mark struct {
	pos wal.Position
	at  time.Time
}

// note marks the end of the log, unless that was done a moment ago.
func (t *tier) note(pos wal.Position, now time.Time) {
	// Not by the time of the day: a clock that is set back must not keep what comes from being uploaded in time.
	if last := t.last.Load(); last != nil && now.Sub(*last) >= 0 && now.Sub(*last) < markEvery {
		return
	}
	at := now // not now itself, which would then be allocated for each frame
	t.last.Store(&at)
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.marks); n > 0 && t.marks[n-1].pos >= pos {
		return
	}
	if len(t.marks) >= marksMax {
		kept := t.marks[:0]
		for i := 1; i < len(t.marks); i += 2 {
			kept = append(kept, t.marks[i])
		}
		t.marks = kept
	}
	t.marks = append(t.marks, mark{pos, now})
}

// at returns when what lies at pos was written, or now if that is not known.
func (t *tier) at(pos wal.Position, now time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.marks)
	if n == 0 {
		return now
	}
	return t.marks[min(sort.Search(n, func(i int) bool { return t.marks[i].pos > pos }), n-1)].at
}

// before returns where the log ended at the time at, or somewhat earlier, and forgets what is below the position done.
func (t *tier) before(at time.Time, done wal.Position) wal.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.marks) > 1 && t.marks[1].pos <= done {
		t.marks = t.marks[1:]
	}
	i := sort.Search(len(t.marks), func(i int) bool { return t.marks[i].at.After(at) })
	if i == 0 {
		return 0
	}
	return t.marks[i-1].pos
}

// tooOld returns the position below which the log in files is to be cut because some of it is older than UploadMaxAge, or 0.
func (s *Store) tooOld(now time.Time) wal.Position {
	limit := s.o.UploadMaxAge
	if limit > 0 {
		limit -= s.within() // which the cut may take
	}
	if limit <= 0 || s.tier.before(now.Add(-limit), s.cutEnd) <= s.cutEnd {
		return 0
	}
	_, oldest, any := s.pendingExtents()
	if !any || now.Sub(s.tier.at(oldest, now)) < limit {
		return 0
	}
	return s.tier.before(now.Add(-min(freshMax, limit/2)), s.cutEnd)
}

func (s *Store) pendingExtents() (bytes int64, oldest wal.Position, any bool) {
	s.Logs(func(l *partition.Log) {
		b, pos, ok := l.PendingWAL()
		if bytes += b; ok && (!any || pos < oldest) {
			oldest, any = pos, true
		}
	})
	return bytes, oldest, any
}

// Pending returns how many bytes of batches only the local disk holds, and since when the oldest of them. What a cut has written counts until
// a manifest that names it is published: a lost disk loses that much.
func (s *Store) Pending() (bytes int64, age time.Duration) {
	now := s.o.Now()
	bytes, oldest, any := s.pendingExtents()
	for _, sh := range s.owned() {
		bytes += sh.unpublished.Load()
	}
	if !any {
		return bytes, 0
	}
	return bytes, max(0, now.Sub(s.tier.at(oldest, now)))
}

// Waits says in words what maintenance waits for, a full disk or an object store that does not answer; empty if it goes on. What was written stays on the
// local disk meanwhile.
func (s *Store) Waits() string {
	if text := s.waits.Load(); text != nil {
		return *text
	}
	return ""
}

// NoSpace says that the log in files cannot grow: appends are refused until something was cut, or the disk has room again.
func (s *Store) NoSpace() bool {
	l := s.present.Load()
	return l != nil && l.files != nil && l.files.NoSpace()
}

type tierMetrics struct{ away prometheus.Gauge }

func newTierMetrics(r prometheus.Registerer) *tierMetrics {
	m := &tierMetrics{prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_tier_away", Help: "1 while the object store does not answer and what is written waits on the local disk."})}
	if r != nil {
		r.MustRegister(m.away)
	}
	return m
}

// registerPending shows what Pending returns, as it is when metrics are asked for.
func (s *Store) registerPending(r prometheus.Registerer) {
	if r == nil || !s.o.Remote || s.o.Cluster != nil {
		return
	}
	gauge := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weir_tier_" + name, Help: help}, value))
	}
	gauge("pending_bytes", "Bytes of batches that only the local disk holds: what a lost disk loses.", func() float64 { bytes, _ := s.Pending(); return float64(bytes) })
	gauge("pending_seconds", "Age of the oldest batch that only the local disk holds.", func() float64 { _, age := s.Pending(); return age.Seconds() })
}
