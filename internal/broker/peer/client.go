package peer

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/cluster"
)

// ErrUnreachable is returned for a broker that is not there, or to which no connection can be made now: the request was not
// sent.
var ErrUnreachable = errors.New("broker cannot be reached")

// Options of a Client. Directory, User, Secret and Logger are required.
type Options struct {
	Directory *cluster.Directory
	User      string // the name that brokers log in by
	Secret    Secret
	// TLS returns what connections to a host are secured with; nil: nothing.
	TLS        func(host string) *tls.Config
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	// Dial defaults to that of net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialTimeout is for a connection with its login; default 3 s.
	DialTimeout time.Duration
	// Timeout is how long a request may take in all, with the wait for a connection; default 15 s.
	Timeout time.Duration
	// Connections is how many are open to one broker at most; default 16.
	Connections int
}

func (o Options) withDefaults() Options {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = 3 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Connections == 0 {
		o.Connections = 16
	}
	return o
}

// Pauses after a failed dial, within which no other is tried.
const (
	firstDialPause = 50 * time.Millisecond
	lastDialPause  = 2 * time.Second
)

// idleMax is how long a connection may lie unused before another one is made in its place: less than after what the other
// side closes it.
const idleMax = time.Minute

// Client sends requests to the other brokers of the cluster.
type Client struct {
	o       Options
	metrics *metrics

	mu    sync.Mutex
	pools map[int32]*pool
}

// New returns a client without connections.
func New(o Options) *Client {
	return &Client{o: o.withDefaults(), metrics: newMetrics(o.Registerer), pools: map[int32]*pool{}}
}

// pool is the connections to one life of a broker.
type pool struct {
	endpoint    cluster.Endpoint
	incarnation uint64
	slots       chan struct{} // one for each connection that is in use

	mu    sync.Mutex
	idle  []*conn // the newest last
	gone  bool    // the broker lives another life, or elsewhere
	pause time.Duration
	next  time.Time // no dial before
}

// Do sends a request, whose version is set, to a broker and waits for its answer. The error wraps ErrUnreachable where
// nothing was sent; else whether the request took effect is not known.
func (c *Client) Do(ctx context.Context, broker int32, req kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	began := time.Now()
	res, err := c.do(ctx, broker, req)
	outcome := "success"
	if err != nil {
		outcome = "failure"
		err = fmt.Errorf("ask broker %d for %s: %w", broker, kmsg.Key(req.Key()).Name(), err)
	}
	c.metrics.requests.WithLabelValues(kmsg.Key(req.Key()).Name(), outcome).Observe(time.Since(began).Seconds())
	return res, err
}

func (c *Client) do(ctx context.Context, broker int32, req kmsg.Request) (kmsg.Response, error) {
	p, err := c.pool(broker)
	if err != nil {
		return nil, err
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: no connection was free: %w", ErrUnreachable, ctx.Err())
	}
	conn, err := c.connect(ctx, p)
	if err != nil {
		return nil, err
	}
	res, err := conn.exchange(ctx, req)
	if err != nil {
		conn.close()
		return nil, err
	}
	p.keep(conn)
	return res, nil
}

// pool finds the connections to a broker's present life.
func (c *Client) pool(broker int32) (*pool, error) {
	b, ok := c.o.Directory.View().Broker(broker)
	if !ok {
		return nil, fmt.Errorf("%w: it is not alive", ErrUnreachable)
	}
	e, ok := b.Endpoint(Listener)
	if !ok {
		return nil, fmt.Errorf("%w: it has no listener %s", ErrUnreachable, Listener)
	}
	c.mu.Lock()
	p := c.pools[broker]
	if p != nil && p.incarnation == b.Incarnation && p.endpoint == e {
		c.mu.Unlock()
		return p, nil
	}
	old := p
	p = &pool{endpoint: e, incarnation: b.Incarnation, slots: make(chan struct{}, c.o.Connections)}
	c.pools[broker] = p
	c.mu.Unlock()
	if old != nil {
		old.close()
	}
	return p, nil
}

// connect takes a connection that is not in use, or makes one.
func (c *Client) connect(ctx context.Context, p *pool) (*conn, error) {
	p.mu.Lock()
	for n := len(p.idle); n > 0; n = len(p.idle) {
		conn := p.idle[n-1]
		p.idle = p.idle[:n-1]
		if time.Since(conn.used) < idleMax {
			p.mu.Unlock()
			return conn, nil
		}
		conn.close()
	}
	wait := time.Until(p.next)
	p.mu.Unlock()
	if wait > 0 {
		return nil, fmt.Errorf("%w: connecting failed a moment ago", ErrUnreachable)
	}
	conn, err := c.dial(ctx, p.endpoint)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.pause, p.next = 0, time.Time{}
		return conn, nil
	}
	p.pause = min(max(2*p.pause, firstDialPause), lastDialPause)
	p.next = time.Now().Add(p.pause)
	c.o.Logger.Debug("broker cannot be reached", "host", p.endpoint.Host, "port", p.endpoint.Port, "pause", p.pause, "err", err)
	return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// keep takes a connection back.
func (p *pool) keep(conn *conn) {
	conn.used = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone || conn.spoiled {
		conn.close()
		return
	}
	p.idle = append(p.idle, conn)
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	for _, conn := range p.idle {
		conn.close()
	}
	p.idle = nil
}

// Run keeps the client until ctx ends, and closes its connections then. It is a service.Service.
func (c *Client) Run(ctx context.Context, ready func()) error {
	ready()
	for {
		changed := c.o.Directory.Changed()
		select {
		case <-ctx.Done():
			c.forget(func(int32) bool { return true })
			return nil
		case <-changed:
			view := c.o.Directory.View()
			c.forget(func(broker int32) bool { _, alive := view.Broker(broker); return !alive })
		}
	}
}

// forget closes the connections to brokers that are gone.
func (c *Client) forget(gone func(int32) bool) {
	c.mu.Lock()
	var closing []*pool
	for id, p := range c.pools {
		if gone(id) {
			closing = append(closing, p)
			delete(c.pools, id)
		}
	}
	c.mu.Unlock()
	for _, p := range closing {
		p.close()
	}
}

// password is how the secret is written for SCRAM.
func (s Secret) password() string { return hex.EncodeToString(s[:]) }

type metrics struct {
	requests *prometheus.HistogramVec
	dials    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "weir_peer_request_seconds", Help: "Time that requests to other brokers took, by API and outcome.", Buckets: []float64{0.001, 0.01, 0.1, 1, 10},
		}, []string{"api", "outcome"}),
		dials: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_peer_dials_total", Help: "Attempts to connect to other brokers, by outcome."}, []string{"outcome"}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.dials)
	}
	return m
}
