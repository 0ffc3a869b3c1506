package partition

import (
	"slices"
	"sync/atomic"
)

// Waiter is one long poll that waits for bytes on any number of logs. C receives once the bytes that became visible
// since NewWaiter, over all logs that it watches, reach what it needs, or when one of the logs is closed.
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

func (w *Waiter) add(n int64) {
	if w.need.Add(-n) <= 0 {
		select {
		case w.C <- struct{}{}:
		default:
		}
	}
}

// Watch lets w know of bytes at and beyond offset, those that are visible already included. It must be paired with
// Unwatch.
func (l *Log) Watch(w *Waiter, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || offset < l.logStart {
		w.add(w.need.Load())
		return
	}
	if n := len(l.runs); n > 0 && l.runs[n-1].info.NextOffset > offset {
		w.add(w.need.Load()) // a cut has moved it since it was not there to be read
	}
	for i := len(l.extents) - 1; i >= 0 && l.extents[i].next > offset && w.need.Load() > 0; i-- {
		w.add(int64(l.extents[i].bytes))
	}
	l.waiters = append(l.waiters, w)
}

// Unwatch ends Watch.
func (l *Log) Unwatch(w *Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiters, w); i >= 0 {
		last := len(l.waiters) - 1
		l.waiters[i], l.waiters[last] = l.waiters[last], nil
		l.waiters = l.waiters[:last]
	}
}
