package segment

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
)

// manyRuns writes an object of n runs of 4 batches of 3 KiB, as a cut of a broker with many partitions gives.
func manyRuns(tb testing.TB, n int) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, Options{Level: L1, CreatedAt: testTime})
	payload := make([]byte, 3<<10)
	for i := range n {
		must(tb, w.BeginRun([16]byte{1, byte(i / 50 >> 8), byte(i / 50)}, int32(i%50)))
		for k := range int64(4) {
			ts := testTime.UnixMilli() - 60_000 + k*1000
			must(tb, w.AppendBatch(batch(1_000_000+int64(i)*7919+k*30, 29, 30, ts, ts+900, payload)))
		}
	}
	_, err := w.Finish()
	must(tb, err)
	return out.Bytes()
}

// TestReaderOfManyRunsIsSmall bounds what an open object costs: the encoded directory and a few bytes a run.
func TestReaderOfManyRunsIsSmall(t *testing.T) {
	const runs, most = 5000, 60
	object := manyRuns(t, runs)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC() // what sync.Pool holds goes with the second
	runtime.ReadMemStats(&before)
	readers := make([]*Reader, 10)
	for i := range readers {
		readers[i] = mustOpen(t, object)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	perRun := float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / float64(len(readers)*runs)
	t.Logf("%.1f bytes a run, of them %.1f of directory", perRun, float64(len(readers[0].dir.raw))/runs)
	if perRun > most {
		t.Errorf("an open reader takes %.1f bytes a run, want at most %d", perRun, most)
	}
	runtime.KeepAlive(readers)
}

func BenchmarkWriter(b *testing.B) {
	for _, size := range []int{200, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			p := batch(0, 0, 1, 1, 1, make([]byte, size-61))
			w := NewWriter(io.Discard, Options{CreatedAt: testTime})
			must(b, w.BeginRun([16]byte{1}, 0))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				p[0], p[1], p[2], p[3] = byte(w.run.NextOffset>>56), byte(w.run.NextOffset>>48), byte(w.run.NextOffset>>40), byte(w.run.NextOffset>>32)
				p[4], p[5], p[6], p[7] = byte(w.run.NextOffset>>24), byte(w.run.NextOffset>>16), byte(w.run.NextOffset>>8), byte(w.run.NextOffset)
				if err := w.AppendBatch(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	object := manyRuns(b, 5000)
	b.ReportAllocs()
	for b.Loop() {
		mustOpen(b, object)
	}
}

func BenchmarkFindRun(b *testing.B) {
	r := mustOpen(b, manyRuns(b, 5000))
	runs := r.Runs()
	rng := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		run := &runs[rng.IntN(len(runs))]
		if _, ok := r.FindRun(run.Topic, run.Partition); !ok {
			b.Fatal("run not found")
		}
	}
}

func BenchmarkLocate(b *testing.B) {
	for _, size := range []int{100, 1000, 100_000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			var out bytes.Buffer
			w := NewWriter(&out, Options{CreatedAt: testTime})
			must(b, w.BeginRun([16]byte{1}, 0))
			n := int64(32<<20) / int64(size)
			payload := make([]byte, size-61)
			for i := range n {
				must(b, w.AppendBatch(batch(i*10, 9, 10, i, i, payload)))
			}
			_, err := w.Finish()
			must(b, err)
			r := mustOpen(b, out.Bytes())
			run := r.Runs()[0]
			must(b, r.Verify(run, 0, run.Bytes))
			rng := rand.New(rand.NewPCG(1, 1))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Locate(run, rng.Int64N(n*10)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	var out bytes.Buffer
	w := NewWriter(&out, Options{CreatedAt: testTime})
	must(b, w.BeginRun([16]byte{1}, 0))
	for i := range int64(64) {
		must(b, w.AppendBatch(batch(i, 0, 1, 1, 1, make([]byte, 1<<20))))
	}
	_, err := w.Finish()
	must(b, err)
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("checked=%v", again), func(b *testing.B) {
			r := mustOpen(b, out.Bytes())
			run := r.Runs()[0]
			must(b, r.Verify(run, 0, run.Bytes))
			b.SetBytes(run.Bytes)
			for b.Loop() {
				if !again {
					for i := range r.verified {
						r.verified[i].Store(0)
					}
				}
				if err := r.Verify(run, 0, run.Bytes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
