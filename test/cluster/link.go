package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// State is what a Link does with what passes.
type State int

// States of a Link.
const (
	Open   State = iota
	Cut          // connections are closed, and new ones too
	Frozen       // nothing passes either way, connections stay; what was sent arrives once the link is Open again
	Mute         // what clients send arrives, no answer comes back; the connections are closed when the state ends
)

// Link is a TCP proxy that can be made to fail. Its methods may be called from any goroutine.
type Link struct {
	ln net.Listener
	wg sync.WaitGroup

	mu     sync.Mutex
	target string
	state  State
	change chan struct{} // closed at the next change of state
	conns  map[net.Conn]struct{}
}

// NewLink listens on a free loopback port and passes on to target, until Close.
func NewLink(ctx context.Context, target string) (*Link, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{ln: ln, target: target, change: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	l.wg.Go(l.accept)
	return l, nil
}

// Address is where the link listens.
func (l *Link) Address() string { return l.ln.Addr().String() }

// Set changes the state.
func (l *Link) Set(s State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s == Cut || l.state == Mute && s != Mute {
		for c := range l.conns {
			_ = c.Close() // both ends see it
		}
	}
	l.state = s
	close(l.change)
	l.change = make(chan struct{})
}

// To makes the link pass on to another target from now on. The connections that there are are closed.
func (l *Link) To(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
	for c := range l.conns {
		_ = c.Close() // both ends see it
	}
}

// Target is where the link passes on to.
func (l *Link) Target() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.target
}

// Close ends the link and all its connections.
func (l *Link) Close() error {
	err := l.ln.Close()
	l.Set(Cut)
	l.wg.Wait()
	return err
}

func (l *Link) accept() {
	for {
		client, err := l.ln.Accept()
		if err != nil {
			return
		}
		if !l.keep(client) {
			continue
		}
		l.wg.Go(func() { l.serve(client) })
	}
}

// keep notes a connection, or closes it if the link is cut.
func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == Cut {
		_ = c.Close()
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *Link) forget(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *Link) serve(client net.Conn) {
	defer l.forget(client)
	server, err := net.Dial("tcp", l.Target()) //nolint:noctx // a loopback port is there at once or not at all
	if err != nil || !l.keep(server) {
		return
	}
	defer l.forget(server)
	var back sync.WaitGroup
	back.Go(func() {
		defer client.Close() //nolint:errcheck // the other direction ends with it
		l.pass(client, server, true)
	})
	l.pass(server, client, false)
	_ = server.Close()
	back.Wait()
}

// pass copies until either side ends, as the state allows.
func (l *Link) pass(to io.Writer, from io.Reader, answers bool) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if !l.await(answers) {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// await waits until bytes may pass. It reports false if they never will.
func (l *Link) await(answers bool) bool {
	was := Open
	for {
		l.mu.Lock()
		state, change := l.state, l.change
		l.mu.Unlock()
		switch {
		case state == Cut, was == Mute && state != Mute && answers:
			return false
		case state == Open, state == Mute && !answers:
			return true
		}
		was = state
		<-change
	}
}

// errLost ends a request whose answer is not to arrive.
var errLost = errors.New("the answer is lost")
