package peer

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Batcher puts together what many callers ask of one broker at the same time: while as many requests as may be are on their way,
// what comes waits, and goes with the next one. It has no goroutines of its own: a caller whose turn it is sends for the
// others. The zero value is not ready for use: Send is required.
type Batcher[In, Out any] struct {
	// Send asks a broker about a batch and returns an answer for each, in their order, or an error for all. Its context
	// has no end of the caller's, who sends for others too: it must set one itself, as Client.Do does.
	Send func(ctx context.Context, broker int32, batch []In) ([]Out, error)
	// Most is how many are sent in one request, Requests how many requests are on their way to a broker at a time, and Queue
	// how many callers may wait for one; beyond it they are refused with ErrBusy.
	Most, Requests, Queue int

	mu    sync.Mutex
	lanes map[int32]*lane[In, Out]
}

// ErrBusy is for a caller who came when too many were waiting already.
var ErrBusy = errors.New("too many requests wait for the broker")

// lane is what waits for one broker.
type lane[In, Out any] struct {
	queue   []*item[In, Out]
	sending int // requests on their way, and turns that were given and not taken yet
}

type item[In, Out any] struct {
	in   In
	turn chan struct{} // holds one when the caller is to send
	done chan answer[Out]
}

type answer[Out any] struct {
	out Out
	err error
}

// Do asks a broker and waits for its answer, or for ctx; then whether it was asked is not known.
func (b *Batcher[In, Out]) Do(ctx context.Context, broker int32, in In) (Out, error) {
	it := &item[In, Out]{in: in, turn: make(chan struct{}, 1), done: make(chan answer[Out], 1)}
	var none Out
	b.mu.Lock()
	if b.lanes == nil {
		b.lanes = map[int32]*lane[In, Out]{}
	}
	l := b.lanes[broker]
	if l == nil {
		l = &lane[In, Out]{}
		b.lanes[broker] = l
	}
	if len(l.queue) >= b.Queue {
		b.mu.Unlock()
		return none, ErrBusy
	}
	l.queue = append(l.queue, it)
	if l.sending < b.Requests {
		l.sending++
		it.turn <- struct{}{}
	}
	b.mu.Unlock()
	for {
		select {
		case a := <-it.done:
			b.pass(broker, l, it) // a turn that it may have been given meanwhile
			return a.out, a.err
		case <-it.turn:
			b.send(context.WithoutCancel(ctx), broker, l)
		case <-ctx.Done():
			b.mu.Lock()
			if i := slices.Index(l.queue, it); i >= 0 {
				l.queue = slices.Delete(l.queue, i, i+1)
			}
			b.mu.Unlock()
			b.pass(broker, l, it)
			return none, ctx.Err()
		}
	}
}

// pass hands on a turn that a caller does not take.
func (b *Batcher[In, Out]) pass(broker int32, l *lane[In, Out], it *item[In, Out]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-it.turn:
		b.nextLocked(broker, l)
	default:
	}
}

// nextLocked gives a turn that has become free to the one who has waited longest.
func (b *Batcher[In, Out]) nextLocked(broker int32, l *lane[In, Out]) {
	for _, it := range l.queue {
		select {
		case it.turn <- struct{}{}:
			return
		default: // it has one
		}
	}
	if l.sending--; l.sending == 0 && len(l.queue) == 0 && b.lanes[broker] == l {
		delete(b.lanes, broker)
	}
}

// send sends what waits, for a caller whose turn it is, and hands the turn on.
func (b *Batcher[In, Out]) send(ctx context.Context, broker int32, l *lane[In, Out]) {
	b.mu.Lock()
	n := min(len(l.queue), b.Most)
	items := slices.Clone(l.queue[:n])
	l.queue = slices.Delete(l.queue, 0, n)
	for _, it := range items {
		// Those who wait for a turn of their own need it no more; nextLocked finds none of them.
		select {
		case <-it.turn:
			b.nextLocked(broker, l)
		default:
		}
	}
	b.mu.Unlock()
	if n > 0 {
		batch := make([]In, n)
		for i, it := range items {
			batch[i] = it.in
		}
		outs, err := b.Send(ctx, broker, batch)
		if err == nil && len(outs) != n {
			err = errors.New("the broker has not answered for each")
		}
		for i, it := range items {
			a := answer[Out]{err: err}
			if err == nil {
				a.out = outs[i]
			}
			it.done <- a
		}
	}
	b.mu.Lock()
	b.nextLocked(broker, l)
	b.mu.Unlock()
}
