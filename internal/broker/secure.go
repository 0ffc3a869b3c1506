package broker

import (
	"context"
	"crypto/tls"
	"net"
	"sync"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// tlsName is what metrics and events call a login by certificate; Kafka calls TLS so.
const tlsName = "SSL"

// secure makes the connection one of TLS and finds out whose it is. False means that the client did not manage that in time,
// or is not let in.
func (c *connection) secure(ctx context.Context) bool {
	under := &corked{Conn: c.conn}
	conn := tls.Server(under, c.listener.TLS.Config())
	ctx, cancel := context.WithDeadline(ctx, c.loginBy)
	defer cancel()
	err := conn.HandshakeContext(ctx)
	principal := auth.Anonymous
	if err == nil {
		principal, err = c.listener.TLS.Principal(conn.ConnectionState())
	}
	byCertificate := c.api.Login == nil && len(conn.ConnectionState().PeerCertificates) > 0
	if err != nil || byCertificate {
		e := auth.Event{Listener: c.listener.Name, Peer: c.api.Peer, Mechanism: tlsName, Principal: principal, Success: err == nil}
		if err != nil {
			e.Principal, e.Reason = auth.Principal{}, err.Error()
		}
		c.listener.TLS.Tell(e)
		if c.listener.Observe != nil {
			c.listener.Observe(e)
		}
	}
	if err != nil {
		return false
	}
	if c.api.Login == nil {
		c.api.Principal = principal
	}
	c.conn, c.under = conn, under
	return true
}

// send writes an answer.
func (c *connection) send(res wire.Response) error {
	if c.under == nil {
		_, err := res.WriteTo(c.conn)
		return err
	}
	// TLS cuts what it is given into records of 16 KiB, each of which would be a write of its own.
	c.under.cork()
	_, err := res.WriteTo(c.conn)
	if uncorked := c.under.uncork(); err == nil {
		err = uncorked
	}
	return err
}

// corkBytes is how much is gathered before it is written.
const corkBytes = 256 << 10

var corks = sync.Pool{New: func() any {
	b := make([]byte, 0, corkBytes)
	return &b
}}

// corked is a connection that gathers what is written between cork and uncork. The reading side of TLS may write too, so
// there is a lock; it is held while writing, which is what orders writes.
type corked struct {
	net.Conn

	mu     sync.Mutex
	buffer *[]byte // nil: not corked
}

func (c *corked) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buffer = corks.Get().(*[]byte) //nolint:errcheck // nothing else is in the pool
}

func (c *corked) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.flush()
	corks.Put(c.buffer)
	c.buffer = nil
	return err
}

func (c *corked) flush() error {
	if len(*c.buffer) == 0 {
		return nil
	}
	_, err := c.Conn.Write(*c.buffer)
	*c.buffer = (*c.buffer)[:0]
	return err
}

// Write implements net.Conn.
func (c *corked) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.buffer == nil {
		return c.Conn.Write(p)
	}
	if len(*c.buffer)+len(p) > corkBytes {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) > corkBytes {
		return c.Conn.Write(p)
	}
	*c.buffer = append(*c.buffer, p...)
	return len(p), nil
}
