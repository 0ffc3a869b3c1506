// Package metric holds what the components' metrics have in common, so that their figures can be compared:
// the buckets of histograms, and how a set of metrics is registered.
//
// A component declares its metrics in a struct of its own and builds it from a prometheus.Registerer that
// it is given; see the names and labels in the house rules: weir_<part>_<what>_<unit>, base units. There is
// no registry here, and nothing is registered twice: a second component with the same names is an error of
// assembly, which [Register] reports.
package metric

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// SecondsBuckets returns the bounds for durations, in seconds: 0.1 ms to 13 s, each twice the one before.
// Below lie the syncs of a fast disk, above only what is broken.
func SecondsBuckets() []float64 { return prometheus.ExponentialBuckets(0.0001, 2, 18) }

// BytesBuckets returns the bounds for sizes, in bytes: 64 B to 64 MiB, each four times the one before.
func BytesBuckets() []float64 { return prometheus.ExponentialBuckets(64, 4, 11) }

// Register registers all collectors, or none and returns the first error. A nil r is a component that nobody
// measures.
func Register(r prometheus.Registerer, collectors ...prometheus.Collector) error {
	if r == nil {
		return nil
	}
	for i, c := range collectors {
		if err := r.Register(c); err != nil {
			for _, done := range collectors[:i] {
				r.Unregister(done)
			}
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}
