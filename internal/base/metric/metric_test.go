package metric_test

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/metric"
)

func counter(name string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: "A test."})
}

func TestRegisterIsAllOrNothing(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	if err := metric.Register(r, counter("weir_a_total"), counter("weir_b_total")); err != nil {
		t.Fatal(err)
	}
	if err := metric.Register(r, counter("weir_c_total"), counter("weir_b_total")); err == nil {
		t.Error("one name was registered twice")
	}
	families, err := r.Gather()
	if err != nil || len(families) != 2 {
		t.Errorf("%d families, %v, want 2", len(families), err)
	}
	if err := metric.Register(nil, counter("weir_a_total")); err != nil {
		t.Errorf("without a registerer: %v", err)
	}
}

func TestBucketsCoverTheirRange(t *testing.T) {
	t.Parallel()
	seconds, bytes := metric.SecondsBuckets(), metric.BytesBuckets()
	if !slices.IsSorted(seconds) || seconds[0] != 0.0001 || seconds[len(seconds)-1] < 10 {
		t.Errorf("seconds: %v", seconds)
	}
	if !slices.IsSorted(bytes) || bytes[0] != 64 || bytes[len(bytes)-1] != 64<<20 {
		t.Errorf("bytes: %v", bytes)
	}
}
