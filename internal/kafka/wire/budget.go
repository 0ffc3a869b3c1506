package wire

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// Budget bounds bytes that are held at the same time, across connections. Who waits is served in the order of asking, so
// that a large request is not starved by small ones.
type Budget struct {
	limit int64
	sem   *semaphore.Weighted
	used  atomic.Int64
}

// NewBudget returns a budget of limitBytes, at least 1.
func NewBudget(limitBytes int64) *Budget {
	limitBytes = max(limitBytes, 1)
	return &Budget{limit: limitBytes, sem: semaphore.NewWeighted(limitBytes)}
}

// Acquire waits until n bytes are free and takes them. An n over the whole budget takes all of it, so that such a
// request runs alone. Every success needs one Release of the same n. The only error is that of ctx, which counts only if
// there is something to wait for.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	if b.TryAcquire(n) {
		return nil
	}
	n = min(n, b.limit)
	if err := b.sem.Acquire(ctx, n); err != nil {
		return err
	}
	b.used.Add(n)
	return nil
}

// TryAcquire takes n bytes if they are free and nobody waits before.
func (b *Budget) TryAcquire(n int64) bool {
	n = min(n, b.limit)
	if !b.sem.TryAcquire(n) {
		return false
	}
	b.used.Add(n)
	return true
}

// Release gives back what Acquire(n) took.
func (b *Budget) Release(n int64) {
	n = min(n, b.limit)
	b.used.Add(-n)
	b.sem.Release(n)
}

// Used returns the bytes that are taken now, for metrics.
func (b *Budget) Used() int64 { return b.used.Load() }

// Limit returns the size of the budget in bytes.
func (b *Budget) Limit() int64 { return b.limit }
