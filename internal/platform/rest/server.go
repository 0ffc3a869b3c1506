package rest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest/consumers"
	"github.com/weir-stream/weir/internal/platform/rest/embedded"
	"github.com/weir-stream/weir/internal/platform/rest/tail"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/rules"
)

// Options of a Server. Clients and Formats are required.
type Options struct {
	// Clients makes Kafka clients that act as callers; it must have been made with ClientOptions.
	Clients *gate.Clients
	Formats func(schema.Type) (schema.Format, bool)
	// Registry is nil if there is none.
	Registry embedded.Registry
	Webhooks []Webhook
	Limits   Limits
	Now      func() time.Time
	Logger   *slog.Logger
	// Registerer takes the metrics; nil: they are counted and not shown.
	Registerer prometheus.Registerer
}

// Limits of a Server. Zero values take the defaults.
type Limits struct {
	RequestBytes  int64 // of a body with records, unpacked; default 32 MiB
	BufferBytes   int64 // of all such bodies that are worked on at a time; default 256 MiB
	Records       int   // in one body; default 100,000
	BatchEntries  int   // of records:batch; default 1,000
	StreamPending int   // records of one produce stream that wait for their acknowledgement; default 1,000
	Consumers     int   // instances; default 1,000
	ConsumerIdle  time.Duration
	ConsumerBytes int // of records in one answer; default 64 MiB
	Readers       int // of streams; default 10,000
	Heartbeat     time.Duration
	WriteTimeout  time.Duration // after which a reader that takes nothing is cut off; default 30 s
}

func (l Limits) withDefaults() Limits {
	l.RequestBytes = cmp.Or(l.RequestBytes, 32<<20)
	l.BufferBytes = max(cmp.Or(l.BufferBytes, 256<<20), l.RequestBytes)
	l.Records = cmp.Or(l.Records, 100_000)
	l.BatchEntries = cmp.Or(l.BatchEntries, 1000)
	l.StreamPending = cmp.Or(l.StreamPending, 1000)
	l.Readers = cmp.Or(l.Readers, 10_000)
	l.Heartbeat = cmp.Or(l.Heartbeat, 15*time.Second)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, 30*time.Second)
	return l
}

// Server answers requests. See the package comment.
type Server struct {
	o         Options
	codec     *embedded.Codec
	engine    func() (*rules.Engine, error)
	consumers *consumers.Manager
	hub       *tail.Hub
	buffer    *semaphore.Weighted
	clusterID atomic.Pointer[string]
	webhooks  map[string]Webhook
	writers   writers
	metrics   *metrics
}

// New returns a server; Run has to run while it serves.
func New(o Options) *Server {
	o.Limits = o.Limits.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		// The engine is made when somebody has a filter: it costs milliseconds of every start.
		o: o, engine: sync.OnceValues(func() (*rules.Engine, error) { return rules.New(rules.Options{}) }), codec: embedded.New(embedded.Options{Registry: o.Registry, Formats: o.Formats}),
		consumers: consumers.New(consumers.Options{Max: o.Limits.Consumers, Idle: o.Limits.ConsumerIdle, MaxBytes: o.Limits.ConsumerBytes, Logger: o.Logger}),
		hub:       tail.New(tail.Options{Readers: o.Limits.Readers, Logger: o.Logger}),
		buffer:    semaphore.NewWeighted(o.Limits.BufferBytes), webhooks: map[string]Webhook{}, writers: writers{by: map[writing]int{}},
	}
	s.metrics = newMetrics(o.Registerer, s.consumers.Len)
	for _, w := range o.Webhooks {
		s.webhooks[w.Name] = w
	}
	return s
}

// Run keeps consumer instances and streams until ctx ends, and then ends them. It is a service.Service.
func (s *Server) Run(ctx context.Context, ready func()) error {
	var all sync.WaitGroup
	all.Go(func() { s.consumers.Run(ctx) })
	s.hub.Run(ctx, ready)
	all.Wait()
	return nil
}

// Types of the answers, the preferred first.
var Types = []string{typeJSON, typeV2}

const (
	typeJSON = "application/json"
	typeV2   = "application/vnd.kafka.v2+json"
)

// ClientOptions are those of the clients that Options.Clients has to make.
func ClientOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.ClientID("weir-rest"), kgo.RecordPartitioner(partitioner{}), kgo.ProducerLinger(0), kgo.AllowAutoTopicCreation(),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.UnknownTopicRetries(2), kgo.RecordRetries(recordRetries),
		kgo.MaxBufferedRecords(maxBufferedRecords), kgo.MaxBufferedBytes(maxBufferedBytes), kgo.RequestRetries(retries), kgo.DisableClientMetrics(),
	}
}

// Bounds of a caller's client.
const (
	recordRetries      = 15 // a delivery time-out of the client would count from the timestamp that a record came with
	maxBufferedRecords = 100_000
	maxBufferedBytes   = 128 << 20
	retries            = 5
)

// client returns the Kafka client of who sent the request.
func (s *Server) client(r *http.Request) (*kgo.Client, error) {
	return s.o.Clients.Client(r.Context(), gate.CallerOf(r.Context()))
}

// dialer makes clients of a caller's own.
func (s *Server) dialer(r *http.Request) func(...kgo.Opt) (*kgo.Client, error) {
	caller := gate.CallerOf(r.Context())
	return func(opts ...kgo.Opt) (*kgo.Client, error) { return s.o.Clients.New(caller, opts...) }
}

// principal names who calls, as the owner of what is kept for him. A token that does not say whose it is stands for itself: the cluster
// knows whose it is, and two of them must not be taken for one.
func principal(r *http.Request) string {
	name := gate.CallerOf(r.Context()).Principal.String()
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") && strings.Count(token, ".") != 2 {
		sum := sha256.Sum256([]byte(token))
		name += "\x00" + hex.EncodeToString(sum[:])
	}
	return name
}

// answerV2 and answer write a good answer.
func answerV2(w http.ResponseWriter, r *http.Request, v any) error {
	return gate.WriteJSON(w, r, []string{typeV2, typeJSON, "application/vnd.kafka+json"}, http.StatusOK, v)
}

func answer(w http.ResponseWriter, r *http.Request, status int, v any) error {
	return gate.WriteJSON(w, r, []string{typeJSON}, status, v)
}

func noContent(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Gate returns what the gate of a server has to know of it; address, bridge, logger and the like are for the assembly to fill in.
func Gate(s *Server) gate.Options {
	return gate.Options{
		Name: "rest", Title: "Weir REST proxy", Description: "Confluent's REST API v2 and v3 for Kafka, streams of records, CloudEvents and webhooks.",
		Routes: s.Routes(), Types: Types, Translate: Translate,
	}
}
