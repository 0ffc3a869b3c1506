package broker

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// readAhead is how many requests of a connection are read before the first of them is started, and repliesAhead how many
// are started before the first answer is sent. Their bytes are bounded by the budget.
const (
	readAhead    = 4
	repliesAhead = 64
)

// connection is one client's TCP connection.
type connection struct {
	broker   *Broker
	listener Listener
	conn     net.Conn
	under    *corked // what lies under TLS; nil without
	api      *api.Conn
	done     chan struct{}
	loginBy  time.Time     // when the client must have logged in, and begun its first request, wherever it connects
	greeted  bool          // its first request has come; the reader's
	turn     chan struct{} // a reply was sent: the next frame of a client that has not logged in may be read

	inFlight atomic.Int64
	stopping atomic.Bool
	stop     sync.Once
	stopped  chan struct{} // closed when nothing more is to be read
	// gone is set when the client has closed its side. What it sent before still takes effect, in order, but nothing is
	// waited for on the way: a record that needs no answer, or a member's word that it leaves, is often the last.
	gone atomic.Bool
}

func newConnection(b *Broker, conn net.Conn, l Listener, a *api.Conn) *connection {
	return &connection{broker: b, listener: l, conn: conn, api: a, done: make(chan struct{}), turn: make(chan struct{}, 1), stopped: make(chan struct{}), loginBy: time.Now().Add(auth.LoginTimeout)}
}

// loggingIn tells whether the client has yet to log in for the first time.
func (c *connection) loggingIn() bool { return c.api.Login != nil && !c.api.Login.LoggedIn() }

type pendingReply struct {
	reply api.Reply
	frame *wire.Frame
}

// Reasons for the end of a connection, as the metric names them.
const (
	reasonClient   = "client"
	reasonIdle     = "idle"
	reasonProtocol = "protocol"
	reasonIO       = "io"
	reasonLogin    = "login"
	reasonShutdown = "shutdown"
)

// serve runs the connection until it ends. When running ends the server is about to stop: nothing is waited for any more, but
// what has been read is still answered, until ctx ends too.
func (c *connection) serve(ctx, running context.Context) {
	defer close(c.done)
	defer c.broker.forget(c)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	waits, endWaits := context.WithCancel(ctx)
	defer endWaits()
	defer context.AfterFunc(running, endWaits)()
	raw := c.conn
	defer context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })() //nolint:errcheck // fails only on a closed connection
	if c.listener.TLS != nil && !c.secure(waits) {
		raw.Close() //nolint:errcheck // nothing was agreed on
		c.broker.metrics.closed.WithLabelValues(reasonLogin).Inc()
		return
	}
	var wg sync.WaitGroup
	frames := make(chan *wire.Frame, readAhead)
	replies := make(chan pendingReply, repliesAhead)
	var reason atomic.Pointer[string]
	end := func(why string) { reason.CompareAndSwap(nil, &why) }
	wg.Go(func() {
		defer close(frames)
		why := c.read(ctx, frames)
		end(why)
		if why != reasonShutdown {
			c.gone.Store(true)
			cancel() // a client that is gone wants no answers
		}
	})
	wg.Go(func() {
		defer close(replies)
		if !c.handle(waits, frames, replies) {
			if c.api.Ends() {
				end(reasonLogin)
			}
			end(reasonProtocol)
			c.stopReading()
		}
		for f := range frames {
			f.Release()
			c.answered()
		}
	})
	// Here, and not in a goroutine of its own, whose stack every idle connection would pay for.
	if !c.write(ctx, replies, end) {
		cancel()
	}
	c.stopReading()
	wg.Wait()
	if why := *reason.Load(); why != reasonClient && why != reasonIdle {
		c.lastAnswers(ctx, raw)
	}
	c.conn.Close() //nolint:errcheck // nothing is left to be sent
	c.broker.metrics.closed.WithLabelValues(*reason.Load()).Inc()
}

// stopReading makes the reader end; what was read is still answered.
func (c *connection) stopReading() {
	c.stopping.Store(true)
	c.stop.Do(func() { close(c.stopped) })
	c.conn.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // fails only on a closed connection
}

// read reads frames until the client ends, is idle for too long, or breaks the protocol.
func (c *connection) read(ctx context.Context, frames chan<- *wire.Frame) (reason string) {
	idle := ConnectionsMaxIdle.Get(c.broker.o.Values)
	timed := &timedReader{c: c, idle: idle}
	r := wire.NewFrameReader(timed, wire.FrameReaderOptions{Limit: c.frameLimit, Wait: c.mute, Budget: c.broker.budget, BodyTimeout: frameTimeout})
	for {
		f, err := r.Next(ctx)
		timed.body = time.Time{}
		switch {
		case err == nil:
		case c.stopping.Load() || ctx.Err() != nil:
			return reasonShutdown
		case errors.Is(err, os.ErrDeadlineExceeded) && c.loggingIn():
			return reasonLogin
		case errors.Is(err, os.ErrDeadlineExceeded):
			return reasonIdle
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
			return reasonClient
		case errors.Is(err, wire.ErrFrameSize):
			c.broker.o.Logger.Debug("connection closed", "peer", c.api.Peer, "err", err)
			return reasonProtocol
		default:
			return reasonIO
		}
		c.greeted = true
		c.inFlight.Add(1)
		select {
		case frames <- f:
		case <-ctx.Done():
			f.Release()
			return reasonShutdown
		}
		for c.loggingIn() && c.inFlight.Load() > 0 && !c.stopping.Load() {
			select {
			case <-c.turn:
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				return reasonShutdown
			}
		}
	}
}

// heldMemory is how long after a hold a connection is still read one request at a time.
const heldMemory = time.Minute

// mute leaves the next frame of a client that passes quotas in the client's hands, as Kafka does (KIP-219): it is read when
// all before it are answered and the hold that they brought is over. The hold is known before the answer that tells of it
// is sent, so a client cannot get a request in between. Only the frames that were read ahead when the first hold of a
// connection began, readAhead of them and one, wait here, under the budget; they are not started before it ends. Nothing is
// read ahead from then on, so that clients that are held for long do not fill the budget that all others need. A client that
// sends nothing and leaves is noticed at once; what one sent hides it, so that one is taken for idle after a while.
func (c *connection) mute(ctx context.Context) error {
	idle := time.Now().Add(ConnectionsMaxIdle.Get(c.broker.o.Values))
	for {
		until := c.api.HeldUntil()
		if until.IsZero() || time.Since(until) > heldMemory {
			return nil
		}
		wait := time.Until(until)
		if c.inFlight.Load() == 0 && wait <= 0 {
			return nil
		}
		if !time.Now().Before(idle) && wait > 0 {
			return os.ErrDeadlineExceeded
		}
		over := time.NewTimer(max(min(wait, time.Until(idle)), 0))
		ended := over.C
		if wait <= 0 {
			ended = nil // what is in flight may bring a hold of its own
		}
		select {
		case <-c.turn:
		case <-ended:
		case <-c.stopped:
			over.Stop()
			return os.ErrDeadlineExceeded
		case <-ctx.Done():
			over.Stop()
			return ctx.Err()
		}
		over.Stop()
	}
}

// frameLimit is how large a frame may be now.
func (c *connection) frameLimit() int64 {
	limit := int64(RequestBytesMax.Get(c.broker.o.Values))
	switch {
	case !c.loggingIn():
		return limit
	case c.under != nil:
		return min(limit, auth.LoginBytesMaxTLS)
	}
	return min(limit, auth.LoginBytesMax)
}

// answered counts a request as done.
func (c *connection) answered() {
	c.inFlight.Add(-1)
	select {
	case c.turn <- struct{}{}:
	default:
	}
}

// timedReader gives each read its deadline: the idle time before a frame, and inside one the deadline that the frame
// reader asks for. A connection whose requests are still being answered is not idle.
type timedReader struct {
	c    *connection
	idle time.Duration
	body time.Time // deadline of the frame that has begun
}

// SetReadDeadline is called by the frame reader for the rest of a frame.
func (t *timedReader) SetReadDeadline(at time.Time) error {
	t.body = at
	return nil
}

func (t *timedReader) Read(p []byte) (int, error) {
	for {
		at := t.body
		if at.IsZero() {
			at = time.Now().Add(t.idle)
		}
		if early := t.c.loggingIn() || !t.c.greeted && t.body.IsZero(); early && t.c.loginBy.Before(at) {
			at = t.c.loginBy
		}
		if err := t.c.conn.SetReadDeadline(at); err != nil {
			return 0, err
		}
		// After the deadline is set: stopReading may have set its own just before.
		if t.c.stopping.Load() {
			return 0, os.ErrDeadlineExceeded
		}
		n, err := t.c.conn.Read(p)
		if n == 0 && t.body.IsZero() && errors.Is(err, os.ErrDeadlineExceeded) && t.c.inFlight.Load() > 0 && !t.c.stopping.Load() && !t.c.loggingIn() {
			continue
		}
		return n, err
	}
}

// handle starts the requests in order. It returns false if the connection must end for one of them.
func (c *connection) handle(ctx context.Context, frames <-chan *wire.Frame, replies chan<- pendingReply) bool {
	for f := range frames {
		pause(ctx, time.Until(c.api.HeldUntil())) // a quota was passed
		reply, err := c.start(ctx, f)
		if err != nil {
			c.broker.o.Logger.Debug("connection closed", "peer", c.api.Peer, "client", c.api.ClientID, "err", err)
			f.Release()
			c.answered()
			if c.gone.Load() && !c.loggingIn() {
				continue // its answer is not missed
			}
			return false
		}
		replies <- pendingReply{reply, f}
		if c.api.Ends() {
			return false
		}
	}
	return true
}

// start begins to serve the request of a frame, or the token that the frame is.
func (c *connection) start(ctx context.Context, f *wire.Frame) (api.Reply, error) {
	if c.api.Login != nil && c.api.Login.TakesRaw() {
		return c.broker.o.API.HandleToken(ctx, c.api, f.Bytes)
	}
	h, body, err := wire.ParseRequestHeader(f.Bytes)
	if err != nil {
		return nil, err
	}
	return c.broker.o.API.Handle(ctx, c.api, h, body)
}

// limitWrite bounds how long a client may take to read one answer: it must not keep memory for ever by reading nothing.
func (c *connection) limitWrite(ctx context.Context) {
	limit := max(ConnectionsMaxIdle.Get(c.broker.o.Values), frameTimeout)
	c.conn.SetWriteDeadline(time.Now().Add(limit)) //nolint:errcheck // fails only on a closed connection
	if ctx.Err() != nil {                          // it may have set its own deadline just before
		c.conn.SetWriteDeadline(time.Unix(1, 0)) //nolint:errcheck // fails only on a closed connection
	}
}

// write runs the replies in order and sends their answers. After a failure the replies are still run, since they own
// frames whose bytes may be on their way to the disk. It returns false after a failure, whose reason it gave to end.
func (c *connection) write(ctx context.Context, replies <-chan pendingReply, end func(reason string)) bool {
	ok := true
	fail := func(reason string) {
		ok = false
		end(reason)
		c.stopReading()
	}
	for p := range replies {
		res, silent, err := p.reply(ctx)
		switch {
		case err != nil:
			c.broker.o.Logger.Debug("connection closed", "peer", c.api.Peer, "client", c.api.ClientID, "err", err)
			fail(reasonProtocol)
		case silent:
		case !ok:
			res.Drop()
		default:
			c.limitWrite(ctx)
			if err := c.send(res); err != nil {
				fail(reasonIO)
			}
		}
		p.frame.Release()
		c.answered()
	}
	return ok
}
