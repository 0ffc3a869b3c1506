package cluster

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Slowness is what a Gate does to the answers of etcd. The zero value is none.
type Slowness struct {
	// From and To: each answer comes so much later.
	From, To time.Duration
	// Events: what a watch tells comes so much later, at times twice as much.
	Events time.Duration
	// Lose is the share of transactions that are done, and in the place of whose answers the connection is reset, with all else on it.
	Lose float64
}

// Gate is a proxy in front of etcd that knows its requests, which a Link does not: it tells answers from what watches tell, and transactions
// from the rest. It answers pings of connections itself, so that nobody can see by them that etcd stands still. Its methods may be called from
// any goroutine.
type Gate struct {
	// Counts of answers that came late, watches that told something late, and transactions whose outcome was lost.
	Slow, Held, Lost atomic.Int64

	ln     net.Listener
	server *http.Server
	proxy  *httputil.ReverseProxy
	served sync.WaitGroup

	mu       sync.Mutex
	rng      *rand.Rand
	slowness Slowness
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// NewGate listens on a free loopback port and passes on to etcd at target, a host and port, until Close.
func NewGate(ctx context.Context, target string, rng *rand.Rand) (*Gate, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	g := &Gate{ln: ln, rng: rng}
	to := &url.URL{Scheme: "http", Host: target}
	g.proxy = &httputil.ReverseProxy{
		Transport:      &http.Transport{Protocols: &protocols, DisableCompression: true},
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		FlushInterval:  -1,
		ModifyResponse: g.answered,
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo), // that connections break is meant
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	g.server = &http.Server{
		Handler: g.proxy, Protocols: &protocols, ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	g.served.Go(func() { _ = g.server.Serve(ln) }) // it ends by Close
	return g, nil
}

// Address is where the gate listens.
func (g *Gate) Address() string { return g.ln.Addr().String() }

// Set changes what becomes of answers.
func (g *Gate) Set(s Slowness) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slowness = s
}

// Close ends the gate and all its connections.
func (g *Gate) Close() error {
	err := g.server.Close()
	g.served.Wait()
	return err
}

// draw says what becomes of one answer.
func (g *Gate) draw() (late, events time.Duration, lose bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slowness
	if s.To > s.From {
		late = s.From + time.Duration(g.rng.Int64N(int64(s.To-s.From)))
	}
	return late, s.Events, g.rng.Float64() < s.Lose
}

// answered is called when an answer of etcd's begins.
func (g *Gate) answered(r *http.Response) error {
	late, events, lose := g.draw()
	switch method := r.Request.URL.Path; {
	case strings.HasSuffix(method, "/Watch"):
		r.Body = &heldBody{ReadCloser: r.Body, ctx: r.Request.Context(), gate: g}
		if events > 0 {
			late = 0
		}
	case lose && strings.HasSuffix(method, "/Txn"):
		_, _ = io.Copy(io.Discard, r.Body) // so that it is done; what it says is lost
		g.Lost.Add(1)
		if c, ok := r.Request.Context().Value(connKey{}).(net.Conn); ok {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset, not an end
			}
			_ = c.Close()
		}
		return errLost
	}
	if late > 0 {
		g.Slow.Add(1)
		if err := pause(r.Request.Context(), late); err != nil {
			return err
		}
	}
	return nil
}

// heldBody is what a watch tells.
type heldBody struct {
	io.ReadCloser
	ctx  context.Context //nolint:containedctx // of the request
	gate *Gate
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if _, events, _ := b.gate.draw(); n > 0 && events > 0 {
		b.gate.Held.Add(1)
		if err := pause(b.ctx, events); err != nil {
			return 0, err
		}
	}
	return n, err
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
