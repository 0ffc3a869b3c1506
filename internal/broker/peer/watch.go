package peer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/broker/cluster"
)

// watchedMax is how many brokers a broker watches: the next ones by id. So each is watched by three, however many there are.
const watchedMax = 3

// Times of a Watch. A process that has ended refuses connections at once and for good, so looking thrice within a tenth of a second is to let pass
// a listener that is closed for a moment; a broker that cannot be connected to is tried again at leisure, since nothing follows from that.
const (
	refusalPause  = 50 * time.Millisecond
	refusals      = 3
	refusalWait   = 500 * time.Millisecond // for the answer to an attempt
	watchAgain    = time.Second
	severalWithin = 2 * time.Second
	expelWait     = 2 * time.Second
)

// Watch finds out that the process of another broker has ended, long before its lease does: a connection to it broke, and its host refuses others on
// that port. Silence says nothing, a stalled broker or one behind a broken network is left to its lease (docs/design/0038). Dial is asked with the
// options of Client.
type Watch struct {
	client *Client
	expel  func(ctx context.Context, broker int32, process string) (bool, error)
	hold   func(ctx context.Context, e cluster.Endpoint) error // connects, and returns nil when the connection has broken
	log    *slog.Logger
	found  *prometheus.CounterVec

	mu       sync.Mutex
	broken   map[life]time.Time // connections that broke lately
	expelled map[life]bool      // so that one that lives all the same is not expelled again and again
}

// life is a process of a broker, at its address.
type life struct {
	broker   int32
	process  string
	endpoint cluster.Endpoint
}

// NewWatch returns a watch that connects as client does. expel takes a broker out of the cluster, if it still is that process.
func NewWatch(client *Client, expel func(ctx context.Context, broker int32, process string) (bool, error)) *Watch {
	w := &Watch{client: client, expel: expel, hold: client.hold, log: client.o.Logger, broken: map[life]time.Time{}, expelled: map[life]bool{}}
	w.found = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_peer_watch_breaks_total", Help: "Connections by which brokers watch each other that broke, by what was found: expelled (its process had ended), alive, or unclear (its lease decides).",
	}, []string{"found"})
	if r := client.o.Registerer; r != nil {
		r.MustRegister(w.found)
	}
	return w
}

// watched returns whom a broker watches. One that drains is about to end by itself, and releases what it has better than anybody could take it.
func watched(v *cluster.View) map[life]bool {
	var others []life
	first := 0 // of those with a higher id
	for i := range v.Brokers {
		b := &v.Brokers[i]
		if e, ok := b.Endpoint(Listener); ok && b.ID != v.Self && b.Process != "" && !b.Draining {
			others = append(others, life{b.ID, b.Process, e})
			if b.ID < v.Self {
				first = len(others)
			}
		}
	}
	out := map[life]bool{}
	for i := range min(len(others), watchedMax) {
		out[others[(first+i)%len(others)]] = true
	}
	return out
}

// Run watches until ctx ends. It is a service.Service.
func (w *Watch) Run(ctx context.Context, ready func()) error {
	ready()
	var running sync.WaitGroup
	defer running.Wait()
	stops := map[life]context.CancelFunc{}
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	for {
		changed := w.client.o.Directory.Changed()
		want := watched(w.client.o.Directory.View())
		for l, stop := range stops {
			if !want[l] {
				stop()
				delete(stops, l)
			}
		}
		for l := range want {
			if stops[l] == nil {
				following, stop := context.WithCancel(ctx)
				stops[l] = stop
				running.Go(func() { w.follow(following, l) })
			}
		}
		w.forget(want)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// forget drops what is known of processes that nobody watches any more.
func (w *Watch) forget(want map[life]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.expelled {
		if !want[l] {
			delete(w.expelled, l)
		}
	}
}

// follow holds a connection to a broker and looks into it when that breaks, until ctx ends. If it was found alive it may still be ending: Linux closes what a
// killed process had open latest first, connections some ten milliseconds before the port that they came by, which accepts others until then. So it is looked
// into again if it closes or refuses the next one.
func (w *Watch) follow(ctx context.Context, l life) {
	connected, pause := false, watchAgain
	for ctx.Err() == nil {
		err := w.hold(ctx, l.endpoint)
		switch {
		case ctx.Err() != nil:
		case err == nil, connected && errors.Is(err, syscall.ECONNREFUSED):
			connected, pause = w.look(ctx, l), refusalPause
		default:
			connected = connected && closed(err)
			rest(ctx, pause)
			pause = min(2*pause, watchAgain)
		}
	}
}

// closed reports whether an error tells that the other side's host has closed a connection.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// look finds out whether a broker whose connection broke has ended, and has it expelled. It reports whether the broker was found alive.
func (w *Watch) look(ctx context.Context, l life) (alive bool) {
	w.noteBreak(l)
	ended := w.refuses(ctx, l.endpoint)
	if ctx.Err() != nil {
		return false
	}
	switch {
	case !ended:
		w.noteAlive(l)
		w.found.WithLabelValues("alive").Inc()
		return true
	case !w.alone(l):
		w.found.WithLabelValues("unclear").Inc()
		w.log.Warn("several brokers refuse connections at once; their leases decide, it may be this broker's network", "broker", l.broker)
		rest(ctx, watchAgain)
		return false
	}
	// Once it is expelled nobody wants to follow it any more, which ends ctx.
	expelling, cancel := context.WithTimeout(context.WithoutCancel(ctx), expelWait)
	defer cancel()
	done, err := w.expel(expelling, l.broker, l.process)
	switch {
	case err != nil:
		w.log.Warn("a broker whose process has ended could not be expelled, its lease decides", "broker", l.broker, "err", err)
	case done:
		w.log.Info("the process of a broker has ended, it is expelled", "broker", l.broker, "host", l.endpoint.Host, "port", l.endpoint.Port)
	}
	w.found.WithLabelValues("expelled").Inc()
	rest(ctx, watchAgain)
	return false
}

func (w *Watch) noteBreak(l life) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for other, at := range w.broken {
		if now.Sub(at) > severalWithin {
			delete(w.broken, other)
		}
	}
	w.broken[l] = now
}

func (w *Watch) noteAlive(l life) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.broken, l)
}

// alone claims the right to have a broker expelled: once for each process, and only if no other connection broke at about the same time. Many that break at
// once are rather this broker's own network, or its rack's.
func (w *Watch) alone(l life) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.expelled[l] {
		return false
	}
	for other := range w.broken {
		if other.broker != l.broker {
			return false
		}
	}
	w.expelled[l] = true
	return true
}

// refuses reports whether the host is there and nobody listens on the port, several times in a row.
func (w *Watch) refuses(ctx context.Context, e cluster.Endpoint) bool {
	for i := range refusals {
		if i > 0 {
			rest(ctx, refusalPause)
		}
		dialing, cancel := context.WithTimeout(ctx, refusalWait)
		n, err := w.client.o.Dial(dialing, "tcp", net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
		cancel()
		if err == nil {
			n.Close() //nolint:errcheck // it was not used
			return false
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return false
		}
	}
	return true
}

// hold connects to a broker and waits until that side closes the connection, or ctx ends. An error says that there was none.
func (c *Client) hold(ctx context.Context, e cluster.Endpoint) error {
	conn, err := c.dial(ctx, e)
	if err != nil {
		return err
	}
	defer conn.close()
	stop := context.AfterFunc(ctx, conn.close)
	defer stop()
	if conn.net.SetDeadline(time.Time{}) == nil {
		conn.net.Read(make([]byte, 1)) //nolint:errcheck // nothing is sent without a request: it ends with the connection
	}
	return nil
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
