package s3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

// payload is the bytes of a request while net/http may read them, which it may do for a moment after it has given up the request. Once
// end has returned nobody does, so that the caller may use the memory again.
type payload struct {
	bytes []byte

	mu    sync.Mutex // held while the bytes are read
	ended bool
}

var errEnded = errors.New("the request has ended")

// attach makes p the body of req, unless there is none.
func (p *payload) attach(req *http.Request) {
	if len(p.bytes) == 0 {
		return
	}
	req.Body, req.ContentLength = &body{p, p.bytes}, int64(len(p.bytes))
	req.GetBody = func() (io.ReadCloser, error) { return &body{p, p.bytes}, nil }
}

// end waits for whoever reads. It is called once the request's connection is closed or has been given back, so that no write lasts.
func (p *payload) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

// body reads a payload, for one connection. net/http copies what a body reads through a buffer of 32 KiB, with a system call for each; a
// bodyConn takes it as it is.
type body struct {
	of   *payload
	rest []byte
}

// give hands at most most of the rest to to.
func (b *body) give(most int64, to func([]byte) (int, error)) (int, error) {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	if b.of.ended {
		return 0, errEnded
	}
	n, err := to(b.rest[:min(int64(len(b.rest)), most)])
	b.rest = b.rest[n:]
	return n, err
}

func (b *body) Read(p []byte) (int, error) {
	return b.give(int64(len(p)), func(rest []byte) (int, error) {
		if len(rest) == 0 && len(p) > 0 {
			return 0, io.EOF
		}
		return copy(p, rest), nil
	})
}

func (b *body) Close() error { return nil }

// bodyConn is a connection on which a body leaves in one write. It is of use without TLS, which copies in any case.
type bodyConn struct{ *net.TCPConn }

// ReadFrom implements io.ReaderFrom. net/http calls it with the body, limited to its length.
func (c bodyConn) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if b, ok := limited.R.(*body); ok {
			n, err := b.give(limited.N, c.Write)
			limited.N -= int64(n)
			return int64(n), err
		}
	}
	return c.TCPConn.ReadFrom(r)
}

// dialBodies dials connections that bodies are written to at once.
func dialBodies(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if t, ok := c.(*net.TCPConn); ok {
			return bodyConn{t}, nil
		}
		return c, err
	}
}
