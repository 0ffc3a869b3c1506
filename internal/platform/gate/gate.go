package gate

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-stream/weir/internal/kafka/acl"
)

// TLS is the identity of a listener and whom it trusts, which may change while it runs.
type TLS interface {
	// Config is what new connections are secured with. It must not be changed.
	Config() *tls.Config
	// Principal is who the client of a finished handshake is; acl.Anonymous without a certificate.
	Principal(s tls.ConnectionState) (acl.Principal, error)
	// Follow looks for changed files until ctx ends.
	Follow(ctx context.Context)
}

// Options of a Gate. Name, Address, Routes, Bridge, Types and Logger are required.
type Options struct {
	// Name is that of the service: registry, rest.
	Name string
	// Title, Description and Version stand in the OpenAPI document.
	Title, Description, Version string
	// Address is host:port. With Fallback, a port that is taken is replaced by a free one, with a warning.
	Address  string
	Fallback bool
	Routes   []Route
	Bridge   Bridge
	TLS      TLS // nil: no TLS
	// Refused is told of each client, by its address, whose TLS handshake failed, and why: a certificate that is not trusted, say. It must not wait. It may be nil.
	Refused func(host string, err error)
	// Types are the content types of the service's JSON, the preferred first.
	Types []string
	// Strict refuses, with 406, clients that accept none of the types that a route answers with. Otherwise they get the preferred one.
	Strict bool
	// Origins may use the service from browsers (CORS): scheme://host[:port], or * for all. Empty: none.
	Origins []string
	// Hosts are names, beside localhost, by which callers who show nothing may call a listener on loopback.
	Hosts []string
	// MaxBodyBytes bounds a body, unpacked. 0: 10 MiB.
	MaxBodyBytes int64
	// Translate turns errors of the service into answers; nil, and a nil answer, leave that to the gate.
	Translate func(error) *Error
	Metrics   *Metrics // nil counts nothing
	Logger    *slog.Logger
}

// Limits of every gate.
const (
	headerTimeout      = 10 * time.Second
	idleTimeout        = 2 * time.Minute
	requestTimeout     = 2 * time.Minute // to read a request, and again to write its answer
	headerBytes        = 80 << 10        // a token may have 64 KiB
	drainTimeout       = 2 * time.Second
	failureDelay       = 100 * time.Millisecond // of an answer to wrong credentials
	defaultBodyBytes   = 10 << 20
	maxConnections     = 10_000
	maxConcurrentWrong = 100 // answers that are held back for wrong credentials
)

// Gate is the listener of one service. It is a service.Service.
type Gate struct {
	o      Options
	tree   *node
	pages  *http.CrossOriginProtection // nil: every page may use the service
	wrong  chan struct{}
	bound  atomic.Pointer[string]
	ending chan struct{} // closed when the server is told to stop
	logger *slog.Logger
}

// New checks the table and returns a gate that listens once Run is called.
func New(o Options) (*Gate, error) {
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = defaultBodyBytes
	}
	g := &Gate{o: o, wrong: make(chan struct{}, maxConcurrentWrong), ending: make(chan struct{}), logger: o.Logger.With("service", o.Name)}
	// Made when first asked for: it takes longer than all else of a gate's start.
	document := sync.OnceValues(func() ([]byte, error) { return json.Marshal(Document(&g.o)) })
	routes := append(slices.Clone(o.Routes), Route{
		Method: http.MethodGet, Path: "/openapi.json", Name: "openapi", Open: true, Hidden: true,
		Handle: func(w http.ResponseWriter, _ *http.Request) error {
			text, err := document()
			if err != nil {
				return fmt.Errorf("%s: OpenAPI document: %w", o.Name, err)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(text) // the client has gone
			return nil
		},
	})
	var err error
	if g.tree, err = tree(routes); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	if g.pages, err = pages(o.Origins); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	return g, nil
}

// Address is where the gate listens, once Run has called ready.
func (g *Gate) Address() string {
	if at := g.bound.Load(); at != nil {
		return *at
	}
	return ""
}

// Run listens, calls ready, and serves until ctx ends.
func (g *Gate) Run(ctx context.Context, ready func()) error {
	ln, err := g.listen(ctx)
	if err != nil {
		return err
	}
	at := ln.Addr().String()
	g.bound.Store(&at)
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	srv := &http.Server{
		Handler: g, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(g.logger.Handler(), slog.LevelDebug), BaseContext: func(net.Listener) context.Context { return base },
	}
	var wg sync.WaitGroup
	if g.o.TLS != nil {
		wg.Go(func() { g.o.TLS.Follow(ctx) })
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := g.o.TLS.Config().Clone()
			c.NextProtos = srv.TLSConfig.NextProtos
			return c, nil
		}}
		ln = tls.NewListener(ln, srv.TLSConfig)
		if g.o.Refused != nil {
			srv.ConnState = func(conn net.Conn, now http.ConnState) { g.handshakes(base, conn, now) }
		}
	}
	served := make(chan error, 1)
	wg.Go(func() { served <- srv.Serve(ln) })
	ready()
	select {
	case err = <-served:
		served <- err
	case <-ctx.Done():
	}
	close(g.ending)
	drain, cancel := context.WithTimeout(base, drainTimeout)
	defer cancel()
	if srv.Shutdown(drain) != nil {
		stop()
		srv.Close() //nolint:errcheck // the listener is closed already
	}
	wg.Wait()
	if err = <-served; errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", g.o.Name, err)
}

// handshakes tells of connections that end before they were secured. A server of net/http carries handshakes out itself, and tells nobody.
func (g *Gate) handshakes(ctx context.Context, conn net.Conn, now http.ConnState) {
	secured, ok := conn.(*tls.Conn)
	if !ok || now != http.StateClosed || secured.ConnectionState().HandshakeComplete {
		return
	}
	select {
	case <-g.ending: // it is this side that ends them
		return
	default:
	}
	if err := secured.HandshakeContext(ctx); err != nil { // what it ended with: the connection is closed, nothing is sent or waited for
		g.o.Refused(hostOf(conn.RemoteAddr().String()), err)
	}
}

// listen binds the address. Where that is a default that somebody else has, it takes a free port.
func (g *Gate) listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", g.o.Address)
	if err != nil && g.o.Fallback && errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(g.o.Address) //nolint:errcheck // it could be listened on
		other, otherErr := lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
		if otherErr == nil {
			g.logger.Warn("the usual port is taken, a free one is used: set the address to choose", "setting", g.o.Name+".listen", "wanted", g.o.Address, "address", other.Addr().String())
			return limited(other), nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s for %s: %w", g.o.Address, g.o.Name, err)
	}
	return limited(ln), nil
}

// limited bounds the connections of a listener: beyond it a new one waits to be accepted.
func limited(ln net.Listener) net.Listener {
	return &limitedListener{Listener: ln, turns: make(chan struct{}, maxConnections), closed: make(chan struct{})}
}

type limitedListener struct {
	net.Listener
	turns  chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.turns <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.turns
		return nil, err
	}
	return &limitedConn{Conn: c, done: func() { <-l.turns }}, nil
}

// Close implements net.Listener.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	once sync.Once
	done func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.done)
	return err
}
