package tail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Dial makes a Kafka client that acts as one principal, with further options; the hub closes it.
type Dial func(ctx context.Context, opts ...kgo.Opt) (*kgo.Client, error)

// Errors of Hub.Open.
var (
	// ErrTooMany means that the hub has as many feeds or readers as it may.
	ErrTooMany = errors.New("too many readers")
	// ErrUnknownTopic means that there is no such topic, or none that the principal may know of.
	ErrUnknownTopic = errors.New("unknown topic")
	// ErrUnknownPartition means that the topic has no such partition.
	ErrUnknownPartition = errors.New("unknown partition")
	// ErrClosed means that the hub has ended.
	ErrClosed = errors.New("closed")
)

// Options of a Hub. Zero values take the defaults.
type Options struct {
	RingBytes  int           // of records that a feed keeps for its readers; default 4 MiB
	Feeds      int           // at a time; default 256
	Readers    int           // at a time; default 10,000
	CatchUps   int           // readers that read what is older than the ring, at a time; default 64
	Idle       time.Duration // after which a feed without readers is dropped; default 10 s
	Partitions time.Duration // between looks for new partitions; default 30 s
	Logger     *slog.Logger
}

func (o Options) withDefaults() Options {
	o.RingBytes = cmp.Or(o.RingBytes, 4<<20)
	o.Feeds = cmp.Or(o.Feeds, 256)
	o.Readers = cmp.Or(o.Readers, 10_000)
	o.CatchUps = cmp.Or(o.CatchUps, 64)
	o.Idle = cmp.Or(o.Idle, 10*time.Second)
	o.Partitions = cmp.Or(o.Partitions, 30*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// key says which feed: the same records, seen with the same rights.
type key struct {
	principal, topic string
	committed        bool
}

// Hub holds the feeds.
type Hub struct {
	o        Options
	catchUps chan struct{}
	readers  atomic.Int64

	mu     sync.Mutex
	feeds  map[key]*feed
	closed bool
	ctx    context.Context //nolint:containedctx // that of Run, the life of the feeds; nil before
	work   sync.WaitGroup
}

// New returns a hub without feeds. Readers are opened while Run runs.
func New(o Options) *Hub {
	o = o.withDefaults()
	return &Hub{o: o, catchUps: make(chan struct{}, o.CatchUps), feeds: map[key]*feed{}}
}

// Run serves readers until ctx ends; they then get ErrClosed. It returns once everything has ended.
func (h *Hub) Run(ctx context.Context, ready func()) {
	h.mu.Lock()
	h.ctx = ctx
	h.mu.Unlock()
	ready()
	<-ctx.Done()
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.work.Wait()
}

// Readers returns how many readers are open, and Feeds how many feeds there are.
func (h *Hub) Readers() int { return int(h.readers.Load()) }

// Feeds returns how many feeds there are.
func (h *Hub) Feeds() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.feeds)
}

// Request says what a reader wants.
type Request struct {
	Principal string // who reads, as the key of the feed; Dial must act as the same
	Dial      Dial
	Topic     string
	Committed bool // only records of transactions that are committed
	// Partitions to read, none for all that there are and will be.
	Partitions []int32
	// From is where to begin in partitions that Offsets does not name.
	From From
	// Offsets are those of the next record to read, by partition. One that lies outside the log is moved to its nearer end.
	Offsets map[int32]int64
}

// From is a place in every partition: the end (the zero value), the begin, a time in milliseconds since 1970, or an offset.
type From struct {
	kind fromKind
	at   int64
}

type fromKind uint8

const (
	fromEnd fromKind = iota
	fromStart
	fromTime
	fromOffset
)

// The places that need no number.
var (
	End   = From{}
	Start = From{kind: fromStart}
)

// At is the place of the first record with this time or a later one, in milliseconds since 1970.
func At(millis int64) From { return From{fromTime, millis} }

// Offset is the place of an offset, the same in every partition.
func Offset(at int64) From { return From{fromOffset, at} }

// Open returns a reader, which its caller closes. Errors of the broker are returned wrapped: a topic that the principal may not
// read is one of them.
func (h *Hub) Open(ctx context.Context, r Request) (*Reader, error) {
	if h.readers.Add(1) > int64(h.o.Readers) {
		h.readers.Add(-1)
		return nil, ErrTooMany
	}
	f, err := h.join(r) //nolint:contextcheck // a feed outlives the reader that it was made for
	if err != nil {
		h.readers.Add(-1)
		return nil, err
	}
	reader := &Reader{hub: h, feed: f, request: r, positions: map[int32]int64{}}
	if err := reader.begin(ctx); err != nil {
		reader.Close()
		return nil, err
	}
	return reader, nil
}

// join returns the feed of a request, with one reader more.
func (h *Hub) join(r Request) (*feed, error) {
	k := key{r.Principal, r.Topic, r.Committed}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.ctx == nil {
		return nil, ErrClosed
	}
	f := h.feeds[k]
	if f == nil {
		if len(h.feeds) >= h.o.Feeds {
			return nil, fmt.Errorf("%d topics are followed already: %w", len(h.feeds), ErrTooMany)
		}
		ctx, cancel := context.WithCancel(h.ctx)
		f = newFeed(h, k, r.Dial, cancel)
		h.feeds[k] = f
		h.work.Go(func() { f.run(ctx) })
	}
	f.readers++
	f.idleSince = time.Time{}
	return f, nil
}

// leave takes a reader from a feed.
func (h *Hub) leave(f *feed) {
	h.readers.Add(-1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.readers--; f.readers == 0 {
		f.idleSince = time.Now()
		time.AfterFunc(h.o.Idle, func() { h.dropIdle(f) })
	}
}

// dropIdle ends a feed that has had no reader for long enough.
func (h *Hub) dropIdle(f *feed) {
	h.mu.Lock()
	idle := f.readers == 0 && !f.idleSince.IsZero() && time.Since(f.idleSince) >= h.o.Idle
	if idle {
		h.forget(f)
	}
	h.mu.Unlock()
	if idle {
		f.cancel()
	}
}

// forget makes the next reader of the feed's records get a new one. mu is held.
func (h *Hub) forget(f *feed) {
	if h.feeds[f.key] == f {
		delete(h.feeds, f.key)
	}
}
