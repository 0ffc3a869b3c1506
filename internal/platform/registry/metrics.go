package registry

import "github.com/prometheus/client_golang/prometheus"

// register shows how much the registry holds.
func (r *Registry) register(to prometheus.Registerer) {
	if to == nil {
		return
	}
	gauge := func(name, help string, value func() int) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			r.mu.RLock()
			defer r.mu.RUnlock()
			return float64(value())
		})
	}
	to.MustRegister(
		gauge("weir_registry_subjects", "Subjects of the Schema Registry, deleted ones too.", func() int { n, _ := r.state.Counts(); return n }),
		gauge("weir_registry_versions", "Versions of schemas in the Schema Registry, deleted ones too.", func() int { _, n := r.state.Counts(); return n }),
	)
}
