package histogram

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestEveryValueLiesInItsBucket(t *testing.T) {
	t.Parallel()
	last := -1
	for _, us := range []int64{0, 1, 63, 64, 127, 128, 129, 255, 256, 1000, 1 << 20, 1<<40 + 12345, 1<<53 + 1} {
		i := bucket(us)
		if i < last {
			t.Errorf("bucket(%d) = %d lies below the bucket of a smaller value, %d", us, i, last)
		}
		last = i
		if upper(i) < us || i > 0 && upper(i-1) >= us {
			t.Errorf("%d is in bucket %d, which covers (%d, %d]", us, i, upper(max(i-1, 0)), upper(i))
		}
	}
}

func TestQuantilesStayWithinTheStatedError(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	values := make([]int64, 20000)
	for i := range values {
		values[i] = int64(r.ExpFloat64() * 5000)
		h.Record(time.Duration(values[i]) * time.Microsecond)
	}
	slices.Sort(values)
	for _, q := range []float64{0, .5, .9, .99, .999, 1} {
		exact := values[max(int(q*float64(len(values)))-1, 0)]
		got := h.Quantile(q).Microseconds()
		if got < exact || float64(got) > float64(exact)*1.016+1 {
			t.Errorf("Quantile(%g) = %d µs, exact %d", q, got, exact)
		}
	}
	if h.Count() != int64(len(values)) || h.Max().Microseconds() != values[len(values)-1] {
		t.Errorf("count %d, max %v", h.Count(), h.Max())
	}
}

func TestEmptyHistogramIsZero(t *testing.T) {
	t.Parallel()
	var h Histogram
	if h.Quantile(.99) != 0 || h.Mean() != 0 || h.Max() != 0 || h.Count() != 0 {
		t.Error("an empty histogram reports something")
	}
}

func TestRecordMayRunTogether(t *testing.T) {
	t.Parallel()
	var h Histogram
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				h.Record(time.Duration(g*1000+i) * time.Microsecond)
			}
		})
	}
	wg.Wait()
	if h.Count() != 4000 || h.Max() != 3999*time.Microsecond || h.Mean() != 1999*time.Microsecond {
		t.Errorf("count %d, max %v, mean %v", h.Count(), h.Max(), h.Mean())
	}
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	for b.Loop() {
		h.Record(1234 * time.Microsecond)
	}
}
