package broker

import (
	"context"
	"net"
	"sync"
)

// Within is a listener for clients in the same process: their connections are pipes, and nobody else can open one. Such clients are
// served as all others are, frame by frame; what they save is the network, and showing who they are.
type Within struct {
	conns chan net.Conn
	close sync.Once
	done  chan struct{}
}

// NewWithin returns a listener that a Broker is to be given.
func NewWithin() *Within { return &Within{conns: make(chan net.Conn), done: make(chan struct{})} }

// Dial connects to the broker, once it accepts connections. It fails with net.ErrClosed when the broker has stopped.
func (w *Within) Dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case w.conns <- theirs:
		return ours, nil
	case <-w.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Accept implements net.Listener.
func (w *Within) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (w *Within) Close() error {
	w.close.Do(func() { close(w.done) })
	return nil
}

// Addr implements net.Listener.
func (w *Within) Addr() net.Addr { return w.address() }

// address is what clients are told: whoever dials within does not look at it.
func (w *Within) address() *net.TCPAddr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
