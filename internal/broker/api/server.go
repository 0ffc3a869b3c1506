// Package api holds the handlers of the Kafka protocol: one file per API key, named NN_name.go, and one table that lists
// them all. A handler checks and authorizes a request, calls the one owner of what it is about, and fills the answer; it
// holds no state and knows no file. Message types of the wire (kmsg) end here.
//
// Server.Handle turns one decoded frame into a Reply. Everything that fixes the order of effects happens before it
// returns: a produce is in the log's queue by then, so requests of a connection take effect in the order in which they
// were sent. What has to be waited for, such as the disk, is waited for inside the Reply, which the connection's writer
// runs in order; so several produces of a connection may be in flight.
//
// errors.go is the only place that turns an error into a code of the protocol. The package may import the owners
// (topics, shard, partition, coordinator), kafka and base; nothing imports it but the broker that owns the listeners.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/audit"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/feature"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/quota"
	"github.com/weir-stream/weir/internal/broker/sharepartition"
	"github.com/weir-stream/weir/internal/broker/telemetry"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// Options of a Server; all are required but Access, Audit, Contracts and Transactions.
type Options struct {
	Topics       *topics.Store
	Cluster      *cluster.Directory // who owns what, this broker among them
	Groups       *coordinator.Groups
	Shares       Shares                  // share groups
	Windows      *sharepartition.Manager // what share groups have in flight
	Transactions Transactions            // nil where no transactions are served
	// Transactional coordinates transactional ids, and Markers ends transactions in partitions.
	Transactional *coordinator.Transactions
	Markers       coordinator.Markers
	Storage       Storage
	Features      *feature.Set
	Quotas        *quota.Manager
	Telemetry     *telemetry.Receiver
	Users         *auth.Users
	Tokens        *auth.Tokens
	Access        *auth.Authorizer // decides who may do what; nil lets everybody do everything
	Audit         *audit.Log       // is told of decisions; nil: nobody is
	Contracts     Contracts        // judges records of topics that ask for it; nil: nobody does, and all pass
	Away          Away             // reads what other brokers own; nil: nobody does
	// Ownership returns a channel that is closed at the next change of what Storage owns. Nil: nothing changes.
	Ownership func() <-chan struct{}
	LogDir    string
	// Confident is as in coordinator.Options: without it no newest offset is told. Nil: always.
	Confident  func() bool
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Storage has the logs of the partitions that this broker owns.
type Storage interface {
	// Log returns the log of a partition; kafka.NotLeaderOrFollower if another broker owns its shard, or nobody does,
	// kafka.UnknownTopicOrPartition if there is no such partition.
	Log(topic kafka.TopicID, index int32) (*partition.Log, error)
	// Existing is Log for those of which anything is kept.
	Existing(topic kafka.TopicID, index int32) (*partition.Log, bool)
	// Admit waits until so many bytes may be taken.
	Admit(ctx context.Context, bytes int64) error
	Free() (vfs.Usage, error)
}

// Server answers requests. Its methods may be called from many connections at once.
type Server struct {
	topics        *topics.Store
	cluster       *cluster.Directory
	groups        *coordinator.Groups
	shares        Shares
	windows       *sharepartition.Manager
	protocols     map[group.Type]bool // the kinds of groups that are served
	transactions  Transactions        // nil: none can be opened
	transactional *coordinator.Transactions
	markers       coordinator.Markers
	storage       Storage
	features      *feature.Set
	quotas        *quota.Manager
	telemetry     *telemetry.Receiver
	users         *auth.Users
	tokens        *auth.Tokens
	access        *auth.Authorizer // nil: everybody may do everything
	audit         *audit.Log       // nil: nobody is told of decisions
	records       bool             // note decisions, whoever decides
	contracts     Contracts        // nil: no record is judged
	judging       chan struct{}    // a token for each batch that is decompressed to be judged
	away          Away             // nil: no client is served by another broker than the owner
	ownership     func() <-chan struct{}
	logDir        string
	confident     func() bool
	now           func() time.Time
	logger        *slog.Logger

	decoder  *wire.Decoder
	sessions *fetchSessions
	metrics  *metrics
	table    []entry
	handlers map[int16]*entry
}

// New returns a server that answers at once.
func New(o Options) *Server {
	s := &Server{
		topics: o.Topics, groups: o.Groups, shares: o.Shares, windows: o.Windows, transactions: o.Transactions, transactional: o.Transactional, markers: o.Markers, storage: o.Storage, features: o.Features, users: o.Users, tokens: o.Tokens, access: o.Access, audit: o.Audit, records: o.Audit != nil, cluster: o.Cluster, logDir: o.LogDir,
		now: o.Now, logger: o.Logger, decoder: wire.NewDecoder(wire.NewBudget(decodeBudgetBytes)), sessions: newFetchSessions(FetchSessionSlots.Get(o.Topics.Values()), o.Now),
		quotas: o.Quotas, telemetry: o.Telemetry, metrics: newMetrics(o.Registerer), table: table(), handlers: map[int16]*entry{}, protocols: map[group.Type]bool{},
	}
	s.ownership, s.away = o.Ownership, o.Away
	s.contracts, s.judging = o.Contracts, newJudging()
	if s.confident = o.Confident; s.confident == nil {
		s.confident = func() bool { return true }
	}
	for _, name := range RebalanceProtocols.Get(o.Topics.Values()) {
		s.protocols[group.Type(name)] = true
	}
	for i := range s.table {
		if len(s.table[i].needs) == 0 {
			panic(fmt.Sprintf("api: %s says nothing of what its callers must be allowed", s.table[i].name))
		}
		s.handlers[int16(s.table[i].key)] = &s.table[i]
	}
	return s
}

// Values are the broker's settings now.
func (s *Server) Values() *config.Values { return s.topics.Values() }

// decodeBudgetBytes bounds the memory that requests being decoded may take, all connections together.
const decodeBudgetBytes = 128 << 20

// Conn is what a handler may know of a connection. The fields below Listener are written by the connection's own
// requests only.
type Conn struct {
	ID       uint64
	Peer     string // address of the client, without port
	PeerPort string // the port
	Listener string
	// Host and Port are where clients of this listener find the broker.
	Host string
	Port int32

	// Principal is who the client is; Anonymous where the listener asks nobody.
	Principal auth.Principal
	// TLS: the listener encrypts. Login, if not nil, is where the client stands with SASL.
	TLS   bool
	Login *auth.Session

	heldUntil atomic.Pointer[time.Time] // nil: the client never passed a quota

	// Of the request that is being handled: how long the client is to be held, when it began, what it used beside the time
	// since then, and whether that time counts.
	held      time.Duration
	started   time.Time
	used      time.Duration
	countsAll bool

	ClientID        string
	SoftwareName    string
	SoftwareVersion string

	// Of the request that is being handled: what its API declares, what was decided, and the answer, where it is known at once.
	needs     []Need
	decisions []decision
	answer    kmsg.Response
}

// HeldUntil is until when no request of the connection may be started, because a quota was passed; zero for never. It may
// be called from any goroutine.
func (c *Conn) HeldUntil() time.Time {
	if t := c.heldUntil.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Hold lets no request of the connection be started until then.
func (c *Conn) Hold(until time.Time) { c.heldUntil.Store(&until) }

// Reply waits for what the answer needs and returns it. Silent replies have no answer (acks=0). An error closes the
// connection.
type Reply func(ctx context.Context) (response wire.Response, silent bool, err error)

// errUnsupported closes a connection that asked for an unknown key or version, as Kafka does.
var errUnsupported = errors.New("unsupported request")

// Handle starts to serve one request. body may be kept until the reply has been run.
func (s *Server) Handle(ctx context.Context, c *Conn, h wire.RequestHeader, body []byte) (Reply, error) {
	if h.HasClientID {
		c.ClientID = h.ClientID
	}
	if err := mayAsk(c, kmsg.Key(h.Key)); err != nil {
		return nil, fmt.Errorf("%s: %w", kmsg.Key(h.Key).Name(), err)
	}
	e := s.handlers[h.Key]
	if e == nil || h.Version < e.serves() || h.Version > e.max {
		if kmsg.Key(h.Key) == kmsg.ApiVersions {
			return s.apiVersionsFallback(h), nil
		}
		return nil, fmt.Errorf("%w: key %d version %d", errUnsupported, h.Key, h.Version)
	}
	started := s.now()
	s.meter(c, started, h.Key)
	req, charge, err := s.decoder.Decode(ctx, h, body)
	if err != nil {
		return nil, fmt.Errorf("decode %s version %d: %w", kmsg.Key(h.Key).Name(), h.Version, err)
	}
	c.begin(e)
	if !c.countsAll {
		c.used = s.now().Sub(started)
	}
	reply, err := e.handle(s, ctx, c, h, req)
	s.auditRequest(c, h, e)
	c.answer = nil
	if err != nil {
		charge.Release()
		return nil, fmt.Errorf("%s: %w", kmsg.Key(h.Key).Name(), err)
	}
	return func(ctx context.Context) (wire.Response, bool, error) {
		defer charge.Release()
		r, silent, err := reply(ctx)
		s.metrics.requests.WithLabelValues(e.name).Observe(s.now().Sub(started).Seconds())
		return r, silent, err
	}, nil
}

// handler serves one key.
type handler func(s *Server, ctx context.Context, c *Conn, h wire.RequestHeader, req kmsg.Request) (Reply, error)

// serve adapts a handler whose answer is known when it returns.
func serve[Req any, Res kmsg.Response](f func(*Server, context.Context, *Conn, *Req) (Res, error)) handler {
	return func(s *Server, ctx context.Context, c *Conn, h wire.RequestHeader, req kmsg.Request) (Reply, error) {
		res, err := f(s, ctx, c, any(req).(*Req))
		if err == nil {
			// What the handler waited for did not come. No code says that well: a client whose connection ends asks again.
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		res.SetVersion(h.Version)
		c.answer = res
		if millis := s.throttle(c); millis > 0 {
			if t, ok := any(res).(kmsg.SetThrottleResponse); ok {
				t.SetThrottle(millis)
			}
		}
		return func(context.Context) (wire.Response, bool, error) { return wire.EncodeResponse(h, res), false, nil }, nil
	}
}

// log returns the log of a partition that the metadata knows.
func (s *Server) log(t *topics.Topic, index int32) (*partition.Log, error) {
	if t == nil || index < 0 || index >= t.Partitions {
		return nil, kafka.UnknownTopicOrPartition
	}
	return s.storage.Log(t.ID, index)
}
