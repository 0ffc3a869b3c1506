package wal

import "context"

// Ticket stands for the durability of what was appended. Tickets complete in the order of their appends. The zero Ticket is
// complete. Copies are equal.
type Ticket struct{ c *commit }

// commit is shared by the tickets of a group. err is written before done is closed and not after.
type commit struct {
	done chan struct{}
	err  error
}

func newCommit() *commit { return &commit{done: make(chan struct{})} }

func (c *commit) finish(err error) {
	c.err = err
	close(c.done)
}

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// IsZero reports whether t is the zero Ticket, behind which nothing has to become durable.
func (t Ticket) IsZero() bool { return t.c == nil }

// Done is closed when the ticket completes, well or not.
func (t Ticket) Done() <-chan struct{} {
	if t.c == nil {
		return closedChannel
	}
	return t.c.done
}

// Err is nil while the ticket is not complete and when it completed well: the append is durable. Otherwise it
// wraps ErrFailed, and whether the append is durable is unknown.
func (t Ticket) Err() error {
	if t.c == nil {
		return nil
	}
	select {
	case <-t.c.done:
		return t.c.err
	default:
		return nil
	}
}

// Wait waits for the ticket or for ctx, whose error says nothing about the append.
func (t Ticket) Wait(ctx context.Context) error {
	if t.c == nil {
		return nil
	}
	select {
	case <-t.c.done:
		return t.c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
