package telemetry

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

var start = time.Unix(1_700_000_000, 0)

// message builds the bytes of fields with a length.
func message(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		number := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), v)
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(v))
		case float64:
			b = protowire.AppendFixed64(protowire.AppendTag(b, number, protowire.Fixed64Type), math.Float64bits(v))
		case int64:
			b = protowire.AppendFixed64(protowire.AppendTag(b, number, protowire.Fixed64Type), uint64(v))
		}
	}
	return b
}

func data(metrics ...[]byte) []byte {
	var scope []byte
	for _, m := range metrics {
		scope = append(scope, message(2, m)...)
	}
	return message(1, message(2, scope))
}

func attr(key, value string) []byte { return message(1, key, 2, message(1, value)) }

func gaugeOf(name string, v float64, attributes ...[]byte) []byte {
	p := message(4, v)
	for _, a := range attributes {
		p = append(p, message(7, a)...)
	}
	return message(1, name, 5, message(1, p))
}

func sumOf(name string, v int64, delta bool) []byte {
	temporality := 2
	if delta {
		temporality = 1
	}
	return message(1, name, 7, message(1, message(6, v), 2, temporality))
}

func newTestReceiver(rules ...Rule) *Receiver {
	n := uint64(0)
	r := New(func() int { return 1 << 20 }, func() (id ID) {
		n++
		binary.BigEndian.PutUint64(id[:], n)
		return id
	}, nil)
	r.Load(rules)
	return r
}

func all(interval time.Duration, match ...string) Rule {
	return Rule{Metrics: []string{"*"}, Interval: interval, Match: ParseMatch(match)}
}

func shown(t *testing.T, r *Receiver, now time.Time) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCollector(r, func() time.Time { return now }))
	b, err := testutil.GatherAndCount(registry)
	if err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%d\n", b)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			fmt.Fprintf(&out, "%s", f.GetName())
			for _, l := range m.GetLabel() {
				if l.GetName() != "client_instance_id" {
					fmt.Fprintf(&out, " %s=%s", l.GetName(), l.GetValue())
				}
			}
			fmt.Fprintf(&out, " %v\n", m.GetGauge().GetValue()+m.GetCounter().GetValue())
		}
	}
	return out.String()
}

func TestRulesChooseClientsAndMetrics(t *testing.T) {
	t.Parallel()
	r := newTestReceiver(
		Rule{Metrics: []string{"b.", "a."}, Interval: time.Minute, Match: ParseMatch([]string{"client_id=web.*", "client_software_name=java"})},
		Rule{Metrics: []string{"c.", "a."}, Interval: 20 * time.Minute, Match: ParseMatch([]string{"client_source_address=10\\..*", "client_source_port=5"})},
		Rule{Metrics: []string{"*"}, Interval: time.Second, Match: ParseMatch([]string{"client_software_version=unknown", "client_id=x"})},
	)
	for _, c := range []struct {
		client   Client
		metrics  string
		interval time.Duration
	}{
		{Client{"web1", "java", "4", "127.0.0.1", "9"}, "[a. b.]", time.Minute},
		{Client{"web1", "go", "4", "127.0.0.1", "9"}, "[]", DefaultInterval},
		{Client{"a-web1", "java", "4", "127.0.0.1", "9"}, "[]", DefaultInterval},
		{Client{"", "", "", "10.0.0.9", "5"}, "[a. c.]", 20 * time.Minute},
		{Client{"", "", "", "10.0.0.9", "55"}, "[]", DefaultInterval},
		{Client{"web", "java", "", "10.1.1.1", "5"}, "[a. b. c.]", time.Minute},
		{Client{"x", "", "", "", ""}, "[*]", time.Second},
	} {
		s, err := r.Subscribe(ID{}, c.client, start)
		if err != nil || fmt.Sprint(s.Metrics) != c.metrics || s.Interval != c.interval {
			t.Errorf("%+v shall push %v every %s, %v; want %s every %s", c.client, s.Metrics, s.Interval, err, c.metrics, c.interval)
		}
	}
}

func TestAClientFindsOutThatItsSubscriptionChanged(t *testing.T) {
	t.Parallel()
	r := newTestReceiver(all(time.Minute))
	before, err := r.Subscribe(ID{}, Client{}, start)
	if err != nil {
		t.Fatal(err)
	}
	push := Push{Instance: before.Instance, Subscription: before.ID, Metrics: data(gaugeOf("a", 1))}
	if err := r.Push(push, Client{}, start); err != nil {
		t.Fatal(err)
	}
	r.Load([]Rule{all(time.Second)})
	if err := r.Push(push, Client{}, start.Add(time.Minute)); !errors.Is(err, kafka.UnknownSubscriptionID) {
		t.Errorf("got %v", err)
	}
	after, err := r.Subscribe(before.Instance, Client{}, start.Add(time.Minute))
	if err != nil || after.ID == before.ID || after.Instance != before.Instance {
		t.Errorf("got %+v, %v", after, err)
	}
}

func TestPushesAreRefused(t *testing.T) {
	t.Parallel()
	r := newTestReceiver(all(time.Minute))
	s, err := r.Subscribe(ID{}, Client{}, start)
	if err != nil {
		t.Fatal(err)
	}
	now := start
	for _, c := range []struct {
		name string
		wait time.Duration
		edit func(*Push)
		want error
	}{
		{"without an instance", 0, func(p *Push) { p.Instance = ID{} }, kafka.InvalidRequest},
		{"the first", 0, func(*Push) {}, nil},
		{"too early", 59 * time.Second, func(*Push) {}, kafka.ThrottlingQuotaExceeded},
		{"in time", time.Second, func(*Push) {}, nil},
		{"of another subscription", time.Minute, func(p *Push) { p.Subscription++ }, kafka.UnknownSubscriptionID},
		{"of no codec", time.Minute, func(p *Push) { p.Codec = 9 }, kafka.UnsupportedCompressionType},
		{"too large", time.Minute, func(p *Push) { p.Metrics = make([]byte, 1<<20+1) }, kafka.TelemetryTooLarge},
		{"no metrics", time.Minute, func(p *Push) { p.Metrics = []byte{0xff} }, kafka.InvalidRecord},
		{"a bomb", time.Minute, func(p *Push) { p.Codec, p.Metrics = record.Gzip, zipped(make([]byte, 11<<20)) }, kafka.InvalidRecord},
		{"nothing", time.Minute, func(p *Push) { p.Metrics = nil }, nil},
		{"the last, early", 0, func(p *Push) { p.Terminating = true }, nil},
		{"after the last", time.Minute, func(*Push) {}, kafka.InvalidRequest},
	} {
		now = now.Add(c.wait)
		p := Push{Instance: s.Instance, Subscription: s.ID, Metrics: data(gaugeOf("a", 1))}
		c.edit(&p)
		if err := r.Push(p, Client{}, now); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b) // to memory
	_ = w.Close()
	return out.Bytes()
}

func TestPushedMetricsAreShown(t *testing.T) {
	t.Parallel()
	r := newTestReceiver(all(time.Minute))
	s, err := r.Subscribe(ID{}, Client{ClientID: "p\xff"}, start)
	if err != nil {
		t.Fatal(err)
	}
	histogram := message(1, "org.apache.kafka.h", 9, message(1, message(4, int64(3), 5, 7.5), 2, 1))
	push := data(gaugeOf("org.apache.kafka.producer.rate", 1.5, attr("node.id", "1"), attr("client_id", "lies"), attr("", "x")), sumOf("sent", 2, true), sumOf("x.total", 40, false), histogram)
	for i := range 2 {
		p := Push{Instance: s.Instance, Subscription: s.ID, Codec: record.Gzip, Metrics: zipped(push)}
		if err := r.Push(p, Client{ClientID: "p\xff"}, start.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	want := `5
kafka_client_h_count_total client_id=p? 6
kafka_client_h_sum_total client_id=p? 15
kafka_client_producer_rate client_id=p? node_id=1 1.5
kafka_client_sent_total client_id=p? 4
kafka_client_x_total client_id=p? 40
`
	if got := shown(t, r, start.Add(time.Minute)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := shown(t, r, start.Add(4*time.Minute+1)); got != "0\n" {
		t.Errorf("after three silent intervals there are %s", got)
	}
}

func TestANameMeansOneThing(t *testing.T) {
	t.Parallel()
	r := newTestReceiver(all(time.Minute))
	for i, metric := range [][]byte{sumOf("a", 1, true), gaugeOf("a_total", 5)} {
		s, err := r.Subscribe(ID{}, Client{}, start)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Push(Push{Instance: s.Instance, Subscription: s.ID, Metrics: data(metric)}, Client{}, start); err != nil {
			t.Fatal(i, err)
		}
	}
	if got := shown(t, r, start); got != "1\nkafka_client_a_total client_id= 1\n" {
		t.Errorf("got %s", got)
	}
}

func TestWhatClientsCanFillIsBounded(t *testing.T) {
	t.Parallel()
	r := newTestReceiver(all(time.Minute))
	var many [][]byte
	for i := range 2 * maxSeriesPerInstance {
		many = append(many, gaugeOf(fmt.Sprintf("m%d", i), 1))
	}
	push := data(many...)
	for i := range maxInstances + 50 {
		s, err := r.Subscribe(ID{}, Client{}, start.Add(time.Duration(i)))
		if err != nil {
			t.Fatal(err)
		}
		if i < 30 {
			if err := r.Push(Push{Instance: s.Instance, Subscription: s.ID, Metrics: push}, Client{}, start.Add(time.Duration(i))); err != nil {
				t.Fatal(err)
			}
			if r.total > maxSeries {
				t.Fatalf("%d series", r.total)
			}
		}
	}
	if len(r.instances) != maxInstances || r.total != 0 {
		t.Errorf("%d instances and %d series are left", len(r.instances), r.total)
	}
}

func FuzzDecodeMetrics(f *testing.F) {
	f.Add(data(gaugeOf("a", 1, attr("k", "v")), sumOf("b", -1, true)))
	f.Add(data(message(1, "h", 9, message(1, message(4, int64(1), 5, 1.0, 9, attr("k", "v"))))))
	f.Add([]byte{0x0a, 0xff})
	f.Add([]byte{0x0b, 0x0c})
	f.Fuzz(func(t *testing.T, b []byte) {
		points, err := decodeMetrics(b, 10)
		if len(points) > 20 {
			t.Errorf("%d points", len(points))
		}
		r := newTestReceiver(all(time.Minute))
		if err == nil {
			r.keep(r.instance(ID{1}, Client{}, start), points)
			shown(t, r, start)
		}
	})
}
