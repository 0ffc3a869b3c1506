// Package audit writes who did, or was refused, what into the topic _weir_audit: an event for each request of the
// categories that are switched on, as CloudEvents, chained by hashes (see kafka/auditevent).
//
// Request handling hands events over and goes on: they wait in a bounded queue for the one goroutine of Run, which chains
// and writes them. When the queue is full, events are dropped and counted; the count stands in a metric, and in the log
// itself as an event of its own as soon as there is room. A write that fails is tried again while the queue fills, so an
// audit log that cannot be written shows in metrics, in the program's log and, once it can be, in itself.
//
// The chain goes on over restarts and moves: Run reads the last event of the topic before it writes the first. In a cluster the broker
// that has the topic's partition chains the events of all (Forward, Accept).
//
// Request, Authentication, Wants and Accept may be called from any goroutine and, and all but Accept never block. The package knows neither topics nor
// the wire: app gives it a Topic.
package audit

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka/auditevent"
)

// Topic is the topic of audit events as Run needs it. Both methods may be slow.
type Topic interface {
	// Last returns the value of the newest record, or nil if there is none, or no topic.
	Last(ctx context.Context) ([]byte, error)
	// Append makes values durable in this order, all or none, and the topic first if need be. ErrMoved says that others may have
	// written since Last, which is to be asked again.
	Append(ctx context.Context, values [][]byte) error
}

// ErrMoved is what a Topic returns whose partition was another broker's meanwhile.
var ErrMoved = errors.New("the end of the audit log is another one now")

// Options of a Log. Topic is required.
type Options struct {
	Topic Topic
	// Forward sends events, JSON without number and hash, to the broker that has the topic's partition, whose Accept they get to, and
	// returns when they are durable. sent is false if this broker has it. nil: no other can have it.
	Forward func(ctx context.Context, values [][]byte) (sent bool, err error)
	// Source names the broker in events, such as weir://CLUSTER/broker/1, and Scope is a part of their ids that no
	// other chain has.
	Source, Scope string
	Categories    []Category
	QueueEvents   int // that may wait; 0 means 1
	Now           func() time.Time
	Logger        *slog.Logger          // nil discards
	Registerer    prometheus.Registerer // nil: metrics are counted and not shown
}

// OptionsOf fills in what settings say. on is false where there is to be no audit log.
func OptionsOf(v *config.Values) (o Options, on bool) {
	for _, c := range Categories.Get(v) {
		o.Categories = append(o.Categories, Category(c))
	}
	o.QueueEvents = QueueEvents.Get(v)
	return o, Enable.Get(v)
}

// Log takes events in and writes them.
type Log struct {
	o       Options
	wanted  map[Category]bool
	queue   chan *auditevent.Event
	handed  chan handed   // from other brokers
	ended   chan struct{} // closed when Run has returned
	lost    atomic.Int64  // dropped since the last event that tells of it
	metrics *metrics

	// Run's alone. moved: the end of the chain is to be read before the next write.
	chain auditevent.Chain
	moved bool
}

// New returns a log that takes events in; Run writes them.
func New(o Options) *Log {
	if o.Now == nil {
		o.Now = clock
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{o: o, wanted: map[Category]bool{}, queue: make(chan *auditevent.Event, max(o.QueueEvents, 1)), handed: make(chan handed, handedMost), ended: make(chan struct{}), moved: true}
	for _, c := range o.Categories {
		l.wanted[c] = true
	}
	l.metrics = newMetrics(o.Registerer, func() float64 { return float64(len(l.queue)) })
	return l
}

// Wants tells whether events of a category are written. A nil log wants none.
func (l *Log) Wants(c Category) bool { return l != nil && l.wanted[c] }

// Request takes in the decisions of a request: one event, of the category Denied if something was denied. Without
// decisions there is none.
func (l *Log) Request(r *Request) {
	if l == nil || len(r.Decisions) == 0 {
		return
	}
	category := r.Category
	for i := range r.Decisions {
		if !r.Decisions[i].Allowed {
			category = Denied
		}
	}
	if l.Wants(category) {
		l.put(l.requestEvent(r, category))
	}
}

// Authentication takes in an attempt to authenticate. A nil log drops it.
func (l *Log) Authentication(a *Authentication) {
	if l.Wants(Authentications) {
		l.put(l.authenticationEvent(a))
	}
}

func (l *Log) put(e *auditevent.Event) {
	select {
	case l.queue <- e:
	default:
		l.lost.Add(1)
		l.metrics.dropped.Inc()
	}
}

// Bounds of one write, and of the pause between tries.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 10 * time.Second
	lastTry    = time.Second
)

// Run writes events until ctx ends, and then what is still in the queue. It is a service.Service; a nil log has nothing to do.
func (l *Log) Run(ctx context.Context, ready func()) error {
	ready()
	if l == nil {
		<-ctx.Done()
		return nil
	}
	defer close(l.ended)
	for ok := true; ok; {
		select {
		case e := <-l.queue:
			ok = l.write(ctx, l.gather(e))
		case h := <-l.handed:
			h.done <- l.chained(ctx, h.events)
		case <-ctx.Done():
			ok = false
		}
	}
	l.finish(ctx)
	return nil
}

// finish makes one try for what is left when the server stops.
func (l *Log) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTry)
	defer cancel()
	for {
		select {
		case e := <-l.queue:
			if err := l.deliver(ctx, l.gather(e)); err != nil {
				l.o.Logger.Error("audit events are lost at the stop", "events", len(l.queue)+1, "err", err)
				return
			}
		default:
			return
		}
	}
}

// end reads the end of the chain.
func (l *Log) end(ctx context.Context) (chain auditevent.Chain, err error) {
	last, err := l.o.Topic.Last(ctx)
	if err != nil || last == nil {
		return chain, err
	}
	if chain, err = auditevent.Resume(last); err != nil {
		// Somebody else wrote into the topic. A new chain begins, which a look at the topic shows.
		l.o.Logger.Error("the audit log ends in something else; a new chain begins", "err", err)
	}
	return chain, nil
}

// gather takes what else is waiting, up to what one write holds.
func (l *Log) gather(first *auditevent.Event) []*auditevent.Event {
	var events []*auditevent.Event
	if n := l.lost.Swap(0); n > 0 {
		events = append(events, l.lostEvent(n))
	}
	events = append(events, first)
	for len(events) < EventsPerWrite {
		select {
		case e := <-l.queue:
			events = append(events, e)
		default:
			return events
		}
	}
	return events
}

// write writes events, however often that takes. It returns false when ctx ended first; the events are lost then.
func (l *Log) write(ctx context.Context, events []*auditevent.Event) bool {
	if l.insist(ctx, func() error { return l.deliver(ctx, events) }) {
		return true
	}
	if err := l.deliver(context.WithoutCancel(ctx), events); err != nil {
		l.o.Logger.Error("audit events are lost at the stop", "events", len(events), "err", err)
	}
	return false
}

// try chains and writes events once. The chain moves only if it succeeds.
func (l *Log) try(ctx context.Context, events []*auditevent.Event) error {
	if l.moved {
		end, err := l.end(ctx)
		if err != nil {
			return err
		}
		l.chain, l.moved = end, false
	}
	next := l.chain
	values := make([][]byte, 0, len(events))
	for _, e := range events {
		value, err := next.Add(e, l.o.Scope)
		if err != nil {
			return err
		}
		values = append(values, value)
	}
	if err := l.o.Topic.Append(ctx, values); err != nil {
		l.moved = errors.Is(err, ErrMoved)
		return err
	}
	l.chain = next
	return nil
}

// insist does f until it succeeds or ctx ends.
func (l *Log) insist(ctx context.Context, f func() error) bool {
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		err := f()
		if err == nil {
			return true
		}
		if ctx.Err() != nil || errors.Is(err, context.Canceled) {
			return false
		}
		l.o.Logger.Error("the audit log cannot be written; trying again", "waiting", len(l.queue), "err", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}
