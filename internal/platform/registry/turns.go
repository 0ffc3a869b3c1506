package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/platform/registry/state"
)

// polite is a Log that takes turns with those of other instances.
type polite struct {
	Log

	noop []byte // key of the record by which a tenure begins

	mu    sync.Mutex
	turns turns
	owns  bool
	heard chan struct{} // closed when turns have heard of another record
}

// TakeTurns returns a log whose Own leaves the topic to other instances that write, for a while. noop is the record that each new writer
// writes first.
func TakeTurns(l Log, noop state.Record) Log {
	return &polite{Log: l, noop: noop.Key, turns: newTurns(), heard: make(chan struct{})}
}

// Run implements Log.
func (p *polite) Run(ctx context.Context, apply func(r state.Record, offset, timeMs int64), restart, loaded func()) error {
	return p.Log.Run(ctx, func(r state.Record, offset, timeMs int64) {
		if r.Key != nil {
			p.hear(offset, r.Value == nil && bytes.Equal(r.Key, p.noop))
		}
		apply(r, offset, timeMs)
	}, func() {
		p.mu.Lock()
		p.turns.begun, p.turns.mine, p.turns.seen = -1, -1, -1 // offsets say nothing of the old topic's
		p.mu.Unlock()
		restart()
	}, loaded)
}

func (p *polite) hear(offset int64, begins bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turns.read(offset, begins, time.Now())
	close(p.heard)
	p.heard = make(chan struct{})
}

// Own implements Log.
func (p *polite) Own(ctx context.Context) (int64, error) {
	p.mu.Lock()
	owns := p.owns
	p.mu.Unlock()
	if owns {
		return p.Log.Own(ctx)
	}
	if err := p.leave(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	offset, err := p.Log.Own(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case errors.Is(err, ErrLost):
		p.turns.cost = max(p.turns.cost, time.Since(began)) // at least
		p.turns.fenced(time.Now())
	case err == nil:
		p.owns = true
		p.turns.taken(offset, time.Since(began))
	}
	return offset, err
}

// Append implements Log.
func (p *polite) Append(ctx context.Context, records []state.Record) (int64, error) {
	offset, err := p.Log.Append(ctx, records)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owns = err == nil
	switch {
	case errors.Is(err, ErrLost):
		p.turns.fenced(time.Now())
	case err == nil:
		p.turns.losses = 0
	}
	return offset, err
}

// leave waits while it is another instance's turn to write.
func (p *polite) leave(ctx context.Context) error {
	for {
		p.mu.Lock()
		wait, heard := p.turns.wait(time.Now()), p.heard
		if wait <= 0 {
			p.turns.tries()
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		over := time.NewTimer(wait)
		select {
		case <-over.C:
		case <-heard:
			over.Stop()
		case <-ctx.Done():
			over.Stop()
			return fmt.Errorf("wait for another instance that writes: %w", context.Cause(ctx))
		}
	}
}

// turns says how long an instance that wants to write leaves the topic to another one. Nothing is safe because of it: the fence is
// (docs/design/0031). It keeps instances that all write from taking the fence from each other before anybody has written.
//
// A tenure begins with the record that each new writer writes. The others leave it the topic until it has been quiet for a moment, or
// the tenure has lasted long enough; and who has just been fenced waits for that record of the one who did it. All of these times grow
// with what it costs to become the writer here: a few milliseconds on a local disk, half a second on an object store.
//
// It is pure, and belongs to whoever has its lock.
type turns struct {
	cost     time.Duration // of the last time that this instance became the writer
	mine     int64         // the record by which it did, -1 if it never has
	begun    int64         // the record of the latest tenure, -1 if none was read
	seen     int64         // what begun was when this instance last tried to become the writer
	at       time.Time     // when that was read
	heard    time.Time     // when any record was read last
	lost     time.Time     // when this instance was fenced, if that is later than at
	patience time.Duration // after lost
	losses   int           // without a write in between
	passed   int           // tenures of others since the last own one: who has waited for more of them goes first
	usual    int           // how many there were before the last own one
}

func newTurns() turns { return turns{mine: -1, begun: -1, seen: -1} }

// Bounds of turns.
const (
	leastTenure = 100 * time.Millisecond
	leastQuiet  = 15 * time.Millisecond
	mostTenure  = 4 * time.Second
)

// tenure is how long a writer is left alone at most, and quiet after which silence it is not any more.
func (t *turns) tenure() time.Duration { return min(max(leastTenure, 4*t.cost), mostTenure) }

func (t *turns) quiet() time.Duration { return min(max(leastQuiet, t.cost), mostTenure/4) }

// read notes a record; begins says that a tenure begins with it.
func (t *turns) read(offset int64, begins bool, now time.Time) {
	t.heard = now
	if begins {
		t.begun, t.at, t.lost = offset, now, time.Time{}
		if offset != t.mine {
			t.passed++
		}
	}
}

// tries notes that this instance is about to become the writer.
func (t *turns) tries() { t.seen = t.begun }

// taken notes that this instance has become the writer with a record, and how long that took.
func (t *turns) taken(offset int64, cost time.Duration) {
	t.mine, t.cost, t.lost = max(t.mine, offset), cost, time.Time{}
	t.seen = max(t.seen, t.mine)
	t.usual, t.passed = min(max(t.passed, t.usual-1), 4), 0
}

// fenced notes that another instance has, or may have, become the writer.
func (t *turns) fenced(now time.Time) {
	t.losses = min(t.losses+1, 6)
	if t.begun > t.seen {
		return // its record has been read
	}
	longest := min(t.tenure()<<(t.losses-1), mostTenure)
	t.lost, t.patience = now, longest/2+time.Duration(rand.Int64N(int64(longest/2))) //nolint:gosec // to get out of step
}

// wait is how long to leave the topic to another instance from now on, unless a record is read before.
func (t *turns) wait(now time.Time) time.Duration {
	if !t.lost.IsZero() {
		return t.patience - now.Sub(t.lost)
	}
	if t.begun <= t.mine {
		return 0
	}
	behind := 2 * t.cost * time.Duration(max(t.usual-t.passed, 0))
	return min(t.tenure()-now.Sub(t.at), t.quiet()-now.Sub(t.heard)) + behind
}
