package telemetry

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the receiver's own.
type metrics struct{ pushes, refused, evicted, dropped prometheus.Counter }

func newMetrics(r prometheus.Registerer) *metrics {
	count := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_telemetry_" + name + "_total", Help: help})
	}
	m := &metrics{
		pushes:  count("pushes", "Pushes of clients' metrics that were taken."),
		refused: count("pushes_refused", "Pushes of clients' metrics that were no metrics."),
		evicted: count("clients_evicted", "Clients forgotten because there were too many."),
		dropped: count("series_dropped", "Series of clients not kept because there were too many, or their names meant something else."),
	}
	if r != nil {
		r.MustRegister(m.pushes, m.refused, m.evicted, m.dropped)
	}
	return m
}

// series is one number of an instance, as it is shown.
type series struct {
	name  string
	desc  *prometheus.Desc
	kind  kind
	value float64
	label []string
}

// keep adds points to the series of an instance. For who holds mu.
func (r *Receiver) keep(i *instance, points []point) {
	for _, p := range points {
		name := shownName(p.name, p.kind)
		key := name + "\x00" + attributesKey(p.attributes)
		s := i.series[key]
		if s == nil {
			k, known := r.kinds[name]
			if known && k != p.kind || !known && len(r.kinds) >= maxSeriesPerInstance*10 || len(i.series) >= maxSeriesPerInstance || r.total >= maxSeries {
				r.metrics.dropped.Inc()
				continue
			}
			r.kinds[name] = p.kind
			s = newSeries(name, p, i)
			i.series[key] = s
			r.total++
		}
		if p.delta {
			s.value += p.value
		} else {
			s.value = p.value
		}
	}
}

func newSeries(name string, p point, i *instance) *series {
	labels := []string{"client_instance_id", "client_id"}
	values := []string{i.id.String(), validText(i.client.ClientID)}
	for _, a := range p.attributes {
		l := labelName(a.key)
		if l == "" || slices.Contains(labels, l) {
			continue
		}
		labels, values = append(labels, l), append(values, validText(a.value))
	}
	return &series{
		name: name, desc: prometheus.NewDesc(name, "Pushed by clients (KIP-714).", labels, nil), kind: p.kind, label: values,
	}
}

// shownName is kafka_client_ and the name in Prometheus' letters, without the prefix that all of Kafka's have; sums end in _total.
func shownName(name string, k kind) string {
	shown := "kafka_client_" + letters(strings.TrimPrefix(name, "org.apache.kafka."))
	if k == counter && !strings.HasSuffix(shown, "_total") {
		shown += "_total"
	}
	return shown
}

// labelName is a key in Prometheus' letters; "" if nothing is left, or Prometheus keeps it for itself.
func labelName(key string) string {
	l := letters(key)
	if l == "" || strings.HasPrefix(l, "__") {
		return ""
	}
	if l[0] >= '0' && l[0] <= '9' {
		l = "_" + l
	}
	return l
}

func letters(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
			return c
		}
		return '_'
	}, s)
}

func validText(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxTextBytes)], "?")
}

func attributesKey(list []attribute) string {
	all := map[string]string{}
	for _, a := range list {
		all[a.key] = a.value
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(all)) {
		b.WriteString(k + "\x01" + all[k] + "\x02")
	}
	return b.String()
}

// Collector shows the series of all instances that are not silent.
type Collector struct {
	receiver *Receiver
	now      func() time.Time
}

// NewCollector returns the collector of a receiver.
func NewCollector(r *Receiver, now func() time.Time) *Collector { return &Collector{r, now} }

// Describe implements prometheus.Collector: what clients push is not known beforehand.
func (*Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.receiver.snapshot(c.now()) {
		ch <- m
	}
}

func (r *Receiver) snapshot(now time.Time) []prometheus.Metric {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire(now)
	out := make([]prometheus.Metric, 0, r.total)
	shown := map[string]bool{}                    // two attributes may have the same letters
	r.kinds = make(map[string]kind, len(r.kinds)) // of the series that are left
	for _, i := range r.instances {
		for _, s := range i.series {
			r.kinds[s.name] = s.kind
			id := s.desc.String() + strings.Join(s.label, "\x00")
			t := prometheus.GaugeValue
			if s.kind == counter {
				t = prometheus.CounterValue
			}
			m, err := prometheus.NewConstMetric(s.desc, t, s.value, s.label...)
			if err != nil || shown[id] {
				continue // a name that Prometheus does not take
			}
			shown[id] = true
			out = append(out, m)
		}
	}
	return out
}
