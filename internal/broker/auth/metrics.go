package auth

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

type authMetrics struct{ allowed, denied prometheus.Counter }

func newAuthMetrics(r prometheus.Registerer, a *Authorizer) *authMetrics {
	m := &authMetrics{
		allowed: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_auth_allowed_total", Help: "Questions of whether a client may do something that were answered with yes."}),
		denied:  prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_auth_denied_total", Help: "Questions of whether a client may do something that were answered with no."}),
	}
	if r != nil {
		r.MustRegister(m.allowed, m.denied, prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: "weir_auth_acls", Help: "Access control entries."},
			func() float64 { return float64(len(a.Set().All())) },
		))
	}
	return m
}

func (m *authMetrics) count(d acl.Decision) {
	if d.Allowed {
		m.allowed.Inc()
		return
	}
	m.denied.Inc()
}

func isNotFound(err error) bool { return errors.Is(err, meta.ErrNotFound) }
