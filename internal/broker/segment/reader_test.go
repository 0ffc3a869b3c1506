package segment

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// checkAgainst compares everything a Reader tells with the model.
func checkAgainst(t *testing.T, r *Reader, object []byte, model []*modelRun) {
	t.Helper()
	runs := r.Runs()
	if len(runs) != len(model) {
		t.Fatalf("got %d runs, want %d", len(runs), len(model))
	}
	for i, m := range model {
		if runs[i] != m.info {
			t.Fatalf("run %d: got %+v, want %+v", i, runs[i], m.info)
		}
		if got, ok := r.FindRun(m.info.Topic, m.info.Partition); !ok || got != m.info {
			t.Fatalf("FindRun: got %+v %v, want %+v", got, ok, m.info)
		}
		if got, ok := r.FindRun(m.info.Topic, m.info.Partition+1000); ok {
			t.Fatalf("FindRun of an absent partition: got %+v", got)
		}
		for offset := m.info.BaseOffset - 2; offset <= m.info.NextOffset+2; offset++ {
			got, err := r.Locate(m.info, offset)
			must(t, err)
			if want := m.locate(offset); got != want {
				t.Fatalf("Locate(%d) in %+v: got %d, want %d", offset, m.info, got, want)
			}
		}
		for _, b := range m.batches {
			for ts := b.maxTs - 1; ts <= b.maxTs+1; ts++ {
				got, ok, err := r.LocateTime(m.info, ts)
				must(t, err)
				if want, wantOK := m.locateTime(ts); got != want || ok != wantOK {
					t.Fatalf("LocateTime(%d) in %+v: got %d %v, want %d %v", ts, m.info, got, ok, want, wantOK)
				}
			}
			p := make([]byte, len(b.bytes))
			mustRead(t, r, p, b.pos)
			if !bytes.Equal(p, b.bytes) || !bytes.Equal(p, object[b.pos:b.pos+int64(len(p))]) {
				t.Fatalf("batch at %d differs", b.pos)
			}
		}
		checkAborted(t, r, m)
	}
}

func checkAborted(t *testing.T, r *Reader, m *modelRun) {
	t.Helper()
	for _, at := range []int64{0, m.info.BaseOffset, (m.info.BaseOffset + m.info.NextOffset) / 2, m.info.NextOffset} {
		got, err := r.Aborted(m.info, at, m.info.NextOffset)
		must(t, err)
		want := slices.DeleteFunc(slices.Clone(m.aborted), func(a AbortedTxn) bool {
			return a.LastOffset < at || a.FirstOffset >= m.info.NextOffset
		})
		if !slices.Equal(got, want) {
			t.Fatalf("Aborted from %d: got %v, want %v", at, got, want)
		}
	}
}

func TestReaderEqualsLinearScan(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		rng := rand.New(rand.NewPCG(seed, 1))
		object, model, footer := randomObject(t, rng, shape{runs: 1 + rng.IntN(60), batches: 1 + rng.IntN(40), payload: rng.IntN(600), indexBytes: 512 << rng.IntN(4)})
		r := mustOpen(t, object)
		if footer.Bytes != int64(len(object)) || !slices.Equal(footer.Runs, r.Runs()) {
			t.Fatalf("seed %d: footer %+v does not tell of %d bytes, runs %+v", seed, footer, len(object), r.Runs())
		}
		checkAgainst(t, r, object, model)
		if err := r.Scrub(t.Context()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestReaderFindsSmallBatchInLargeRun(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 7))
	var out bytes.Buffer
	w := NewWriter(&out, Options{Level: L2, CreatedAt: testTime})
	must(t, w.BeginRun([16]byte{1}, 0))
	m := &modelRun{info: RunInfo{Pos: headerBytes}}
	for next := int64(0); next < 60_000; {
		payload := make([]byte, rng.IntN(40))
		if rng.IntN(200) == 0 {
			payload = make([]byte, rng.IntN(400_000))
		}
		ts := testTime.UnixMilli() + next/10 + int64(rng.IntN(3000))
		b := batch(next, 9, 10, ts, ts, payload)
		must(t, w.AppendBatch(b))
		m.batches = append(m.batches, modelBatch{base: next, last: next + 9, maxTs: ts, pos: m.info.Pos + m.info.Bytes})
		m.info.Bytes += int64(len(b))
		next += 10
	}
	_, err := w.Finish()
	must(t, err)
	r := mustOpen(t, out.Bytes())
	m.info = r.Runs()[0]
	for range 1000 {
		offset := rng.Int64N(60_100)
		got, err := r.Locate(m.info, offset)
		must(t, err)
		if want := m.locate(offset); got != want {
			t.Fatalf("Locate(%d): got %d, want %d", offset, got, want)
		}
		ts := testTime.UnixMilli() + rng.Int64N(10_000) - 100
		at, ok, err := r.LocateTime(m.info, ts)
		must(t, err)
		if want, wantOK := m.locateTime(ts); at != want || ok != wantOK {
			t.Fatalf("LocateTime(%d): got %d %v, want %d %v", ts, at, ok, want, wantOK)
		}
	}
}

func TestReaderRefusesRunOfAnotherObject(t *testing.T) {
	t.Parallel()
	object, model, _ := randomObject(t, rand.New(rand.NewPCG(3, 3)), shape{runs: 40, batches: 5, payload: 50, indexBytes: 512})
	r := mustOpen(t, object)
	other := model[0].info
	other.Pos++
	_, errLocate := r.Locate(other, 0)
	_, _, errTime := r.LocateTime(other, 0)
	_, errAborted := r.Aborted(other, 0, 1)
	for _, err := range []error{errLocate, errTime, errAborted, r.Verify(other, 0, 1)} {
		if !errors.Is(err, ErrNoRun) {
			t.Errorf("got %v, want ErrNoRun", err)
		}
	}
}

func TestReaderServesNothingButRuns(t *testing.T) {
	t.Parallel()
	object, model, _ := randomObject(t, rand.New(rand.NewPCG(4, 3)), shape{runs: 40, batches: 5, payload: 50, indexBytes: 512})
	r := mustOpen(t, object)
	first := model[0].info
	end := r.dir.sectionsPos
	for _, c := range []struct{ pos, n int64 }{
		{0, 10}, {-1, 1}, {first.Pos - 1, 2}, {first.Pos, first.Bytes + 1}, {end, 1}, {end - 1, 2}, {int64(len(object)), 1}, {1 << 62, 1},
	} {
		if _, err := r.ReadAt(make([]byte, c.n), c.pos); !errors.Is(err, ErrOutsideBody) {
			t.Errorf("ReadAt(%d bytes at %d): got %v, want ErrOutsideBody", c.n, c.pos, err)
		}
	}
	for _, c := range []struct{ pos, n int64 }{{1, -1}, {-1, 1}, {0, 1<<63 - 1}, {1 << 62, 1 << 62}, {0, first.Bytes + 1}, {first.Bytes, 1}} {
		if err := r.Verify(first, c.pos, c.n); !errors.Is(err, ErrOutsideBody) {
			t.Errorf("Verify(%d bytes at %d): got %v, want ErrOutsideBody", c.n, c.pos, err)
		}
	}
	must(t, r.Verify(first, first.Bytes, 0))
}

func TestReaderBoundsItsSections(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := NewWriter(&out, Options{Level: L1, CreatedAt: testTime, IndexBytes: 512})
	for p := range int32(64) {
		must(t, w.BeginRun([16]byte{1}, p))
		must(t, w.AppendBatch(batch(0, 999, 1000, 5, 5, nil)))
		for i := range int64(1000) {
			must(t, w.Aborted(AbortedTxn{ProducerID: 1, FirstOffset: i, LastOffset: i, LastStableOffset: i}))
		}
	}
	_, err := w.Finish()
	must(t, err)
	r := mustOpen(t, out.Bytes())
	for range 2 {
		for _, run := range r.Runs() {
			if _, err := r.Locate(run, 300); err != nil {
				t.Fatal(err)
			}
			var sum int64
			for _, s := range r.sections {
				sum += s.bytes()
			}
			if sum != r.sectionBytes || sum > sectionCacheBytes {
				t.Fatalf("sections hold %d bytes, counted %d, bound %d", sum, r.sectionBytes, sectionCacheBytes)
			}
		}
	}
	if len(r.sections) < 2 {
		t.Fatalf("got %d sections in the cache, want several", len(r.sections))
	}
}
