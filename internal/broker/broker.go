// Package broker owns the listeners and connections of a broker node. It reads frames under the byte budget, hands each
// to api in the order of arrival, and sends the answers in that order.
//
// A connection has three goroutines, joined by bounded channels:
//
//	reader ── frames ──> handler ── replies ──> writer
//
// The handler starts a request and moves on when its effects are in order; the writer runs the replies one after
// another, so several produces of a connection can wait for the disk together. The reader sees at once when the client
// is gone, which ends what the handler is waiting for. A frame's bytes go back to the budget when its reply is sent.
//
// Limits: connections in all and by address, the size of a frame, the bytes of frames in flight over all connections,
// and the time that a connection may be idle or take to send a frame it has begun. Beyond a limit a client waits or is
// cut off; the others are served. A client that has yet to log in may send small frames one after another, and for a short
// time only.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/quota"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// Settings of the listeners.
var (
	RequestBytesMax = config.Int("socket.request.max.bytes", 100<<20, config.AtLeast(1024),
		"Largest request that is read; a larger one closes the connection.")
	QueuedBytesMax = config.Long("queued.max.request.bytes", 256<<20, config.AtLeast(1<<20),
		"Bytes of requests that are read or waiting for an answer, over all connections. Beyond it connections wait to be read.")
	ConnectionsMax = config.Int("max.connections", 10_000, config.AtLeast(1), config.Dynamic,
		"Connections in all; a new one beyond it is closed.")
	ConnectionRateMax = config.Int("max.connection.creation.rate", 1<<31-1, config.AtLeast(1), config.Dynamic,
		"New connections a second, over the windows of quotas; beyond it they wait to be accepted.")
	ConnectionsMaxPerIP = config.Int("max.connections.per.ip", 1<<31-1, config.AtLeast(0), config.Dynamic,
		"Connections from one address; a new one beyond it is closed.")
	ConnectionsPerIPOverrides = config.String("max.connections.per.ip.overrides", "", config.Check("HOST:COUNT, separated by commas", checkOverrides), config.Dynamic,
		"Connections from addresses to which max.connections.per.ip shall not apply: 10.0.0.7:200,::1:50.")
	ConnectionsMaxIdle = config.Millis("connections.max.idle.ms", 10*time.Minute, config.AtLeast(1),
		"Time after which a connection without requests is closed.")
)

// frameTimeout is how long a client may take to send a frame that it has begun. It is generous for a slow link and
// short for one that has died half open.
const frameTimeout = 60 * time.Second

// Listener is an address to serve, and how clients are told to reach it.
type Listener struct {
	Name    string
	Address string
	// AdvertisedHost and AdvertisedPort default to the host and port that Address turns out to be.
	AdvertisedHost string
	AdvertisedPort int32
	// TLS, if not nil, encrypts; Login, if not nil, gives the authenticator that new connections log in with.
	TLS   *auth.TLS
	Login func() *auth.Authenticator
	// Observe, if not nil, is told who came in by certificate alone, and who did not. Logins with SASL are told by Login.
	Observe auth.Observer
	// Within, if not nil, is listened on in the place of Address: connections of the same process. Who comes that way is Principal.
	Within    *Within
	Principal auth.Principal
	// Internal listeners are for other brokers: the limits on connections, which are there to keep clients from taking all, do
	// not apply.
	Internal bool
	// Unannounced listeners are not among those that Bound is told of; AdvertisedHost and AdvertisedPort are needed.
	Unannounced bool
}

// Options of a Broker; all but Bound and Registerer are required.
type Options struct {
	Listeners []Listener
	// Bound, if not nil, is told of the listeners as clients are, once all of them are bound and before the first connection is
	// accepted. Its error ends Run.
	Bound      func(context.Context, []Listener) error
	API        *api.Server
	Values     *config.Values
	Quotas     *quota.Manager
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Broker serves the Kafka protocol.
type Broker struct {
	o       Options
	budget  *wire.Budget
	metrics *metrics
	nextID  atomic.Uint64
	held    atomic.Int64 // connections that wait to be closed

	mu        sync.Mutex
	addresses map[string]string
	open      map[*connection]struct{}
	byIP      map[string]int
}

// New returns a broker that listens once Run is called.
func New(o Options) *Broker {
	return &Broker{
		o: o, budget: wire.NewBudget(QueuedBytesMax.Get(o.Values)), metrics: newMetrics(o.Registerer),
		addresses: map[string]string{}, open: map[*connection]struct{}{}, byIP: map[string]int{},
	}
}

// Address returns the address that a listener serves, once Run has called ready.
func (b *Broker) Address(listener string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addresses[listener]
}

// Run listens, calls ready, and serves until ctx ends. Then it accepts nothing more, lets requests that were read finish
// for a moment, and closes the connections.
func (b *Broker) Run(ctx context.Context, ready func()) error {
	var listeners []net.Listener
	closeAll := func() {
		for _, l := range listeners {
			l.Close() //nolint:errcheck // the listener is not used again
		}
	}
	var lc net.ListenConfig
	var inside []Listener
	served := make([]Listener, 0, len(b.o.Listeners))
	for _, l := range b.o.Listeners {
		if l.Within != nil && l.Unannounced {
			inside = append(inside, l)
			continue
		}
		if l.Within != nil {
			listeners = append(listeners, l.Within)
			served = append(served, advertise(l, l.Within.address()))
			continue
		}
		ln, err := lc.Listen(ctx, "tcp", l.Address)
		if err != nil {
			closeAll()
			return fmt.Errorf("listen on %s for %s: %w", l.Address, l.Name, err)
		}
		listeners = append(listeners, ln)
		served = append(served, advertise(l, ln.Addr().(*net.TCPAddr)))
		b.mu.Lock()
		b.addresses[l.Name] = ln.Addr().String()
		b.mu.Unlock()
	}
	if b.o.Bound != nil {
		if err := b.o.Bound(ctx, served); err != nil {
			closeAll()
			return fmt.Errorf("tell of the listeners: %w", err)
		}
	}
	for _, l := range inside {
		listeners, served = append(listeners, l.Within), append(served, l)
	}
	var wg sync.WaitGroup
	connCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	for _, l := range served {
		if l.TLS != nil {
			wg.Go(func() { l.TLS.Follow(ctx) })
		}
	}
	for i, ln := range listeners {
		wg.Go(func() { b.accept(ctx, connCtx, ln, served[i], &wg) })
	}
	ready()
	<-ctx.Done()
	closeAll()
	b.drain()
	stop()
	wg.Wait()
	return nil
}

// advertise fills in what clients are told of a listener.
func advertise(l Listener, a *net.TCPAddr) Listener {
	if l.AdvertisedHost == "" {
		l.AdvertisedHost = a.IP.String()
		if a.IP.IsUnspecified() {
			l.AdvertisedHost = "localhost"
		}
	}
	if l.AdvertisedPort == 0 {
		l.AdvertisedPort = int32(a.Port)
	}
	return l
}

// drainTimeout is how long requests that are being served at shutdown have to finish.
const drainTimeout = 2 * time.Second

// drain tells the connections to read no more and waits until they have answered what they have read.
func (b *Broker) drain() {
	deadline := time.NewTimer(drainTimeout)
	defer deadline.Stop()
	b.mu.Lock()
	var all []*connection
	for c := range b.open {
		all = append(all, c)
	}
	b.mu.Unlock()
	for _, c := range all {
		c.stopReading()
	}
	for _, c := range all {
		select {
		case <-c.done:
		case <-deadline.C:
			return
		}
	}
}

func (b *Broker) accept(ctx, connCtx context.Context, ln net.Listener, l Listener, wg *sync.WaitGroup) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: serve those who are here and try again soon.
			b.o.Logger.Warn("connection not accepted", "listener", l.Name, "err", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return
			}
			continue
		}
		if !l.Internal && !pause(ctx, b.o.Quotas.Accept(ConnectionRateMax.Get(b.o.API.Values()), time.Now())) {
			conn.Close() //nolint:errcheck // the server stops
			return
		}
		if !l.Internal {
			if wait := b.o.Quotas.Connect(peerOf(conn), time.Now()); wait > 0 {
				b.turnAway(ctx, conn, wait, wg)
				continue
			}
		}
		c := b.admit(conn, l)
		if c == nil {
			conn.Close() //nolint:errcheck // the client is turned away
			continue
		}
		wg.Go(func() { c.serve(connCtx, ctx) })
	}
}

// peerOf is the address of a client, without its port.
func peerOf(conn net.Conn) string {
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		return conn.RemoteAddr().String()
	}
	return host
}

// portOf is the port of a client.
func portOf(conn net.Conn) string {
	_, port, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		return ""
	}
	return port
}

// pause waits for d and says whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// heldMax bounds the connections that are open only to be closed later.
const heldMax = 1000

// turnAway closes a connection of an address that makes too many, after a while: one that is closed at once is tried again
// at once.
func (b *Broker) turnAway(ctx context.Context, conn net.Conn, wait time.Duration, wg *sync.WaitGroup) {
	b.metrics.refused.Inc()
	if b.held.Add(1) > heldMax {
		wait = 0
	}
	wg.Go(func() {
		pause(ctx, wait)
		conn.Close() //nolint:errcheck // the client is turned away
		b.held.Add(-1)
	})
}

// admit registers a connection, or returns nil where that would pass a limit.
func (b *Broker) admit(conn net.Conn, l Listener) *connection {
	host := peerOf(conn)
	b.mu.Lock()
	defer b.mu.Unlock()
	full := len(b.open) >= ConnectionsMax.Get(b.o.API.Values()) || b.byIP[host] >= connectionsFrom(host, b.o.API.Values())
	if full && (!l.Internal || len(b.open) >= 2*ConnectionsMax.Get(b.o.API.Values())) {
		b.metrics.refused.Inc()
		return nil
	}
	a := &api.Conn{ID: b.nextID.Add(1), Peer: host, PeerPort: portOf(conn), Listener: l.Name, Principal: auth.Anonymous, Host: l.AdvertisedHost, Port: l.AdvertisedPort, TLS: l.TLS != nil}
	if l.Within != nil && l.Login == nil {
		a.Principal = l.Principal
	}
	if l.Login != nil {
		a.Login = l.Login().NewSession(host, time.Now)
	}
	c := newConnection(b, conn, l, a)
	b.open[c] = struct{}{}
	b.byIP[host]++
	b.metrics.connections.Inc()
	return c
}

func (b *Broker) forget(c *connection) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, c)
	if b.byIP[c.api.Peer]--; b.byIP[c.api.Peer] <= 0 {
		delete(b.byIP, c.api.Peer)
	}
	b.metrics.connections.Dec()
}

type metrics struct {
	connections prometheus.Gauge
	refused     prometheus.Counter
	closed      *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kafka_server_socket_server_metrics_connection_count", Help: "Open client connections."}), //nolint:promlinter // the name that dashboards for Kafka know
		refused:     prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_broker_connections_refused_total", Help: "Connections turned away for a limit."}),
		closed:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_broker_connections_closed_total", Help: "Connections that ended, by reason."}, []string{"reason"}),
	}
	if r != nil {
		r.MustRegister(m.connections, m.refused, m.closed)
	}
	return m
}
