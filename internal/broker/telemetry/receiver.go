package telemetry

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// MaxBytes is the setting that bounds a push.
var MaxBytes = config.Int("telemetry.max.bytes", 1<<20, config.AtLeast(1),
	"Largest push of a client's metrics, in bytes as it is sent. It may expand to ten times that.")

// Bounds of what is kept for clients.
const (
	maxInstances         = 1_000
	maxSeries            = 20_000
	maxSeriesPerInstance = 1_000
	expansion            = 10 // of a compressed push
	silentIntervals      = 3  // after which an instance is forgotten
)

// DefaultInterval is that of clients to whom no rule applies: they push nothing, and ask again after it.
const DefaultInterval = 5 * time.Minute

// ID identifies an instance of a client. The zero ID is of a client that has none yet.
type ID [16]byte

// Client is what is known of the sender of a request.
type Client struct{ ClientID, SoftwareName, SoftwareVersion, Address, Port string }

// Rule is what an operator subscribed to.
type Rule struct {
	Metrics  []string // prefixes of names; * is all
	Interval time.Duration
	Match    map[string]*regexp.Regexp // by property: all must fit the whole of it
}

// Subscription is what a client shall push.
type Subscription struct {
	Instance ID
	ID       int32
	Interval time.Duration
	Metrics  []string // sorted; [*] is all, none is nothing
}

// instance is a running client.
type instance struct {
	id          ID
	client      Client
	version     int // of the rules that sub was made by
	sub         Subscription
	got, pushed time.Time // when it last asked, and pushed
	seen        time.Time
	mayAsk      bool // its last push was refused so that it has to ask again
	terminating bool
	series      map[string]*series
}

// Receiver keeps the rules and the instances.
type Receiver struct {
	maxBytes func() int
	newID    func() ID
	metrics  *metrics

	mu        sync.Mutex
	rules     []Rule
	version   int
	instances map[ID]*instance
	total     int             // series of all instances
	kinds     map[string]kind // of the names that are shown
}

// New returns a receiver without rules. maxBytes is asked for the bound of each push; newID makes random ids.
func New(maxBytes func() int, newID func() ID, r prometheus.Registerer) *Receiver {
	return &Receiver{maxBytes: maxBytes, newID: newID, metrics: newMetrics(r), instances: map[ID]*instance{}, kinds: map[string]kind{}}
}

// Load puts rules in force; what is not in them is no more.
func (r *Receiver) Load(rules []Rule) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules = rules
	r.version++
}

// MaxBytes is the bound of a push.
func (r *Receiver) MaxBytes() int { return r.maxBytes() }

// Subscribe answers what a client shall push. A client that asks again before its interval is over gets
// THROTTLING_QUOTA_EXCEEDED, unless its last push was refused so that it has to.
func (r *Receiver) Subscribe(id ID, c Client, now time.Time) (Subscription, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id == (ID{}) {
		id = r.newID()
	}
	i := r.instance(id, c, now)
	last := i.got
	if i.pushed.After(last) {
		last = i.pushed
	}
	if !last.IsZero() && now.Sub(last) < i.sub.Interval && !i.mayAsk {
		return Subscription{}, kafka.ThrottlingQuotaExceeded
	}
	i.got, i.mayAsk = now, false
	return i.sub, nil
}

// Push is what a client sent.
type Push struct {
	Instance     ID
	Subscription int32
	Terminating  bool
	Codec        record.Codec
	Metrics      []byte // OTLP MetricsData, compressed; not kept
}

// Push takes metrics. The errors are Kafka's: INVALID_REQUEST without an instance and after a terminating push,
// THROTTLING_QUOTA_EXCEEDED before the interval is over, UNKNOWN_SUBSCRIPTION_ID, UNSUPPORTED_COMPRESSION_TYPE,
// TELEMETRY_TOO_LARGE, and INVALID_RECORD for what is no metrics.
func (r *Receiver) Push(p Push, c Client, now time.Time) error {
	if p.Instance == (ID{}) {
		return kafka.InvalidRequest
	}
	if err := r.admit(p, c, now); err != nil {
		return err
	}
	if len(p.Metrics) == 0 {
		return nil
	}
	points, err := r.decode(p)
	if err != nil {
		r.metrics.refused.Inc()
		return kafka.Errorf(kafka.InvalidRecord, "metrics of a client: %s", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep(r.instance(p.Instance, c, now), points)
	r.metrics.pushes.Inc()
	return nil
}

func (r *Receiver) decode(p Push) ([]point, error) {
	raw, err := record.Expand(p.Codec, p.Metrics, expansion*r.maxBytes())
	if err != nil {
		return nil, err
	}
	return decodeMetrics(raw, maxSeriesPerInstance)
}

// admit checks a push, and notes it.
func (r *Receiver) admit(p Push, c Client, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.instance(p.Instance, c, now)
	if i.terminating {
		return kafka.InvalidRequest
	}
	due := i.got.After(i.pushed) || now.Sub(i.pushed) >= i.sub.Interval
	if !due && !p.Terminating {
		return kafka.ThrottlingQuotaExceeded
	}
	i.pushed, i.mayAsk = now, true
	switch {
	case p.Subscription != i.sub.ID:
		return kafka.UnknownSubscriptionID
	case !p.Codec.Valid():
		return kafka.UnsupportedCompressionType
	}
	i.mayAsk = false
	if len(p.Metrics) > r.maxBytes() {
		return kafka.TelemetryTooLarge
	}
	i.terminating = p.Terminating
	return nil
}

// instance finds or makes an instance and brings its subscription up to date. For who holds mu.
func (r *Receiver) instance(id ID, c Client, now time.Time) *instance {
	i := r.instances[id]
	if i == nil {
		r.expire(now)
		if len(r.instances) >= maxInstances {
			r.drop(slices.MinFunc(slices.Collect(maps.Values(r.instances)), func(a, b *instance) int { return a.seen.Compare(b.seen) }))
			r.metrics.evicted.Inc()
		}
		i = &instance{id: id, client: c, version: -1, series: map[string]*series{}}
		r.instances[id] = i
	}
	i.seen = now
	if i.version != r.version {
		i.version, i.sub = r.version, subscribe(r.rules, id, i.client)
		i.mayAsk = true
	}
	return i
}

// expire forgets who has been silent for too long. For who holds mu.
func (r *Receiver) expire(now time.Time) {
	for _, i := range r.instances {
		if now.Sub(i.seen) > silentIntervals*i.sub.Interval {
			r.drop(i)
		}
	}
}

func (r *Receiver) drop(i *instance) {
	r.total -= len(i.series)
	delete(r.instances, i.id)
}

// subscribe is what the rules ask of a client: the metrics of all rules that apply, at the shortest interval.
func subscribe(rules []Rule, id ID, c Client) Subscription {
	s := Subscription{Instance: id, Interval: DefaultInterval}
	wanted := map[string]bool{}
	for i := range rules {
		if rules[i].applies(id, c) {
			s.Interval = min(s.Interval, rules[i].Interval)
			if len(wanted) == 0 {
				s.Interval = rules[i].Interval
			}
			for _, m := range rules[i].Metrics {
				wanted[m] = true
			}
		}
	}
	s.Metrics = slices.Sorted(maps.Keys(wanted))
	if wanted["*"] {
		s.Metrics = []string{"*"}
	}
	text := fmt.Sprintf("%q %d %x", s.Metrics, s.Interval, id)
	s.ID = int32(crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli))) //nolint:gosec // all bits count
	return s
}

func (r *Rule) applies(id ID, c Client) bool {
	for property, expression := range r.Match {
		var value string
		switch property {
		case "client_id":
			value = c.ClientID
		case "client_instance_id":
			value = id.String()
		case "client_software_name":
			value = cmp.Or(c.SoftwareName, "unknown")
		case "client_software_version":
			value = cmp.Or(c.SoftwareVersion, "unknown")
		case "client_source_address":
			value = c.Address
		case "client_source_port":
			value = c.Port
		}
		if !expression.MatchString(value) {
			return false
		}
	}
	return true
}

// String is Kafka's text form of an id.
func (id ID) String() string { return kafka.TopicID(id).String() }

// ParseMatch reads the patterns of a rule, property=expression. What is no pattern is left out: it was checked when it was set.
func ParseMatch(patterns []string) map[string]*regexp.Regexp {
	out := make(map[string]*regexp.Regexp, len(patterns))
	for _, p := range patterns {
		property, expression, _ := strings.Cut(p, "=")
		if re, err := regexp.Compile("^(?:" + strings.TrimSpace(expression) + ")$"); err == nil {
			out[strings.TrimSpace(property)] = re
		}
	}
	return out
}
