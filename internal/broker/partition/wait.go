package partition

import (
	"math"
	"slices"
	"sync/atomic"
)

// Waiter is one long poll that waits for bytes on any number of logs. C receives once the bytes that became visible
// since NewWaiter, over all logs that it watches, reach what it needs, or when one of the logs is closed. Visible is what
// lies below the high watermark or, for those who read committed records only, below the last stable offset.
type Waiter struct {
	need atomic.Int64
	C    chan struct{}
}

// NewWaiter returns a waiter for needBytes more bytes.
func NewWaiter(needBytes int64) *Waiter {
	w := &Waiter{C: make(chan struct{}, 1)}
	w.need.Store(needBytes)
	return w
}

// Wake ends the wait, as if all that is needed had become visible.
func (w *Waiter) Wake() { w.add(w.need.Load()) }

func (w *Waiter) add(n int64) {
	if w.need.Add(-n) <= 0 {
		select {
		case w.C <- struct{}{}:
		default:
		}
	}
}

// watch is a waiter on one log.
type watch struct {
	*Waiter
	committed bool
}

// wakeLocked tells the waiters that the high watermark has passed bytes, and the last stable offset moved up from stable.
func (l *Log) wakeLocked(bytes, stable int64) {
	if len(l.waiters) == 0 {
		return
	}
	var decided int64
	if i := slices.IndexFunc(l.waiters, func(w watch) bool { return w.committed }); i >= 0 {
		decided = l.visibleLocked(stable, l.lastStableLocked())
	}
	for _, w := range l.waiters {
		if w.committed {
			w.add(decided)
		} else {
			w.add(bytes)
		}
	}
}

// visibleLocked is about how many bytes the batches in [offset, limit) have: stretches that are partly outside count as a
// whole, and what a cut has moved counts as enough for anybody.
func (l *Log) visibleLocked(offset, limit int64) int64 {
	if n := len(l.runs); n > 0 && offset < min(limit, l.runs[n-1].info.NextOffset) {
		return math.MaxInt32
	}
	var n int64
	for i := len(l.extents) - 1; i >= 0 && l.extents[i].next > offset; i-- {
		if l.extents[i].base < limit {
			n += int64(l.extents[i].bytes)
		}
	}
	return n
}

// Watch lets w know of bytes at and beyond offset, those that are visible already included; with committed of those that the last
// stable offset has passed. It must be paired with Unwatch.
func (l *Log) Watch(w *Waiter, offset int64, committed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || offset < l.logStart {
		w.add(w.need.Load())
		return
	}
	limit := l.highWatermark
	if committed {
		limit = l.lastStableLocked()
	}
	if n := l.visibleLocked(offset, limit); n > 0 {
		w.add(n)
	}
	l.waiters = append(l.waiters, watch{w, committed})
}

// Unwatch ends Watch.
func (l *Log) Unwatch(w *Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.IndexFunc(l.waiters, func(x watch) bool { return x.Waiter == w }); i >= 0 {
		last := len(l.waiters) - 1
		l.waiters[i], l.waiters[last] = l.waiters[last], watch{}
		l.waiters = l.waiters[:last]
	}
}
