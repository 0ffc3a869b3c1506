package contract

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/kafka/terms"
)

// metrics counts records by what was found of them.
type metrics struct {
	obeyed, broken *prometheus.CounterVec
	refused        *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		obeyed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_contract_records_obeyed_total", Help: "Records that obeyed the contract of their topic.",
		}, []string{"topic", "mode"}),
		broken: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_contract_records_violating_total", Help: "Records that broke the contract of their topic, by the mode that decided over them and by what was wrong. Of a batch that is refused not all need be counted.",
		}, []string{"topic", "mode", "reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_contract_batches_refused_total", Help: "Batches refused because of records that broke the contract of their topic.",
		}, []string{"topic"}),
	}
	if r != nil {
		r.MustRegister(m.obeyed, m.broken, m.refused)
	}
	return m
}

func (m *metrics) forget(topic string) {
	for _, v := range []*prometheus.CounterVec{m.obeyed, m.broken, m.refused} {
		v.DeletePartialMatch(prometheus.Labels{"topic": topic})
	}
}

// counters are those of one topic and mode, found once.
type counters struct {
	obeyed, refused prometheus.Counter
	broken          map[terms.Reason]prometheus.Counter
}

func (m *metrics) topic(name string, mode terms.Mode) counters {
	c := counters{obeyed: m.obeyed.WithLabelValues(name, mode.String()), refused: m.refused.WithLabelValues(name), broken: map[terms.Reason]prometheus.Counter{}}
	for _, r := range terms.Reasons {
		c.broken[r] = m.broken.WithLabelValues(name, mode.String(), string(r))
	}
	return c
}

func (c *counters) note(n *terms.Judged) {
	if n.Obeyed > 0 {
		c.obeyed.Add(float64(n.Obeyed))
	}
	for i := range n.Violations {
		c.broken[n.Violations[i].Reason].Inc()
	}
	if n.More > 0 && len(n.Violations) > 0 { // what was not listed is most likely like the last
		c.broken[n.Violations[len(n.Violations)-1].Reason].Add(float64(n.More))
	}
	if n.BaseOffset < 0 {
		c.refused.Inc()
	}
}
