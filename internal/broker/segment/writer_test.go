package segment

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"
)

func TestWriterRefusesDisorder(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := NewWriter(&out, Options{CreatedAt: testTime})
	one := batch(10, 4, 5, 1, 1, []byte("records"))
	wantErr := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	wantErr("batch before a run", w.AppendBatch(one), ErrOrder)
	wantErr("aborted before a run", w.Aborted(AbortedTxn{}), ErrOrder)
	wantErr("negative partition", w.BeginRun([16]byte{5}, -1), ErrOrder)
	must(t, w.BeginRun([16]byte{5}, 3))
	must(t, w.AppendBatch(one))
	wantErr("same run again", w.BeginRun([16]byte{5}, 3), ErrOrder)
	wantErr("lower partition", w.BeginRun([16]byte{5}, 2), ErrOrder)
	wantErr("lower topic", w.BeginRun([16]byte{4}, 9), ErrOrder)
	wantErr("same offset", w.AppendBatch(one), ErrOrder)
	wantErr("overlapping offset", w.AppendBatch(batch(14, 0, 1, 1, 1, nil)), ErrOrder)
	wantErr("cut batch", w.AppendBatch(batch(15, 0, 1, 1, 1, []byte("x"))[:61]), ErrBadBatch)
	wantErr("two batches at once", w.AppendBatch(append(batch(15, 0, 1, 1, 1, nil), batch(16, 0, 1, 1, 1, nil)...)), ErrBadBatch)
	wantErr("no header", w.AppendBatch(one[:60]), ErrBadBatch)
	wantErr("negative offset", w.AppendBatch(batch(-1, 0, 1, 1, 1, nil)), ErrBadBatch)
	wantErr("negative delta", w.AppendBatch(batch(15, -1, 1, 1, 1, nil)), ErrBadBatch)
	wantErr("negative count", w.AppendBatch(batch(15, 0, -1, 1, 1, nil)), ErrBadBatch)
	wantErr("offset at the end of all", w.AppendBatch(batch(math.MaxInt64, 0, 1, 1, 1, nil)), ErrBadBatch)
	old := batch(15, 0, 1, 1, 1, nil)
	old[16] = 1
	wantErr("magic 1", w.AppendBatch(old), ErrBadBatch)
	must(t, w.Aborted(AbortedTxn{ProducerID: 1, FirstOffset: 2, LastOffset: 14}))
	wantErr("aborted out of order", w.Aborted(AbortedTxn{FirstOffset: 2, LastOffset: 13}), ErrOrder)
	wantErr("aborted backwards", w.Aborted(AbortedTxn{FirstOffset: 16, LastOffset: 15}), ErrOrder)

	// None of it may have left a trace.
	footer, err := w.Finish()
	must(t, err)
	r := mustOpen(t, out.Bytes())
	if len(footer.Runs) != 1 || r.Runs()[0].Bytes != int64(len(one)) || footer.RecordCount != 5 {
		t.Fatalf("got %+v, want one run of one batch", footer)
	}
	must(t, r.Scrub(t.Context()))
}

func TestWriterLeavesOutEmptyRuns(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := NewWriter(&out, Options{CreatedAt: testTime})
	must(t, w.BeginRun([16]byte{1}, 0))
	must(t, w.Aborted(AbortedTxn{FirstOffset: 1, LastOffset: 2}))
	must(t, w.BeginRun([16]byte{1}, 1))
	must(t, w.AppendBatch(batch(0, 0, 1, 1, 1, nil)))
	must(t, w.BeginRun([16]byte{1}, 2))
	_, err := w.Finish()
	must(t, err)
	runs := mustOpen(t, out.Bytes()).Runs()
	if len(runs) != 1 || runs[0].Partition != 1 {
		t.Fatalf("got %+v, want partition 1 alone", runs)
	}
}

func TestObjectWithoutRunsOpens(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	footer, err := NewWriter(&out, Options{Shard: 7, Level: L2, Epoch: 1 << 40, CreatedAt: testTime}).Finish()
	must(t, err)
	r := mustOpen(t, out.Bytes())
	if len(r.Runs()) != 0 || footer.MaxTimestamp != -1 || r.Shard() != 7 || r.Level() != L2 || r.Epoch() != 1<<40 || !r.CreatedAt().Equal(testTime) {
		t.Fatalf("got %+v, shard %d, level %d, epoch %d, created %v", footer, r.Shard(), r.Level(), r.Epoch(), r.CreatedAt())
	}
	if _, ok := r.FindRun([16]byte{}, 0); ok {
		t.Fatal("found a run in an empty object")
	}
	must(t, r.Scrub(t.Context()))
}

func TestWriterFailsForGoodAfterWriteError(t *testing.T) {
	t.Parallel()
	w := NewWriter(&failingWriter{n: 100}, Options{CreatedAt: testTime})
	must(t, w.BeginRun([16]byte{1}, 0))
	big := batch(0, 0, 1, 1, 1, make([]byte, 2*writeBufferBytes))
	if err := w.AppendBatch(big); !errors.Is(err, io.ErrShortWrite) {
		t.Fatalf("got %v, want the writer's error", err)
	}
	if err := w.BeginRun([16]byte{1}, 1); !errors.Is(err, io.ErrShortWrite) {
		t.Fatalf("BeginRun afterwards: got %v", err)
	}
	if _, err := w.Finish(); !errors.Is(err, io.ErrShortWrite) {
		t.Fatalf("Finish afterwards: got %v", err)
	}
	w = NewWriter(&failingWriter{n: 100}, Options{CreatedAt: testTime})
	if _, err := w.Finish(); !errors.Is(err, io.ErrShortWrite) {
		t.Fatalf("Finish over a failing writer: got %v", err)
	}
}

func TestWriterRefusesImpossibleIndexDistance(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, 1, minIndexBytes - 1, maxIndexBytes + 1} {
		if err := NewWriter(io.Discard, Options{IndexBytes: n}).BeginRun([16]byte{}, 0); err == nil {
			t.Errorf("index distance %d was accepted", n)
		}
	}
}

func TestWriterTakesExtremeTimestamps(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := NewWriter(&out, Options{CreatedAt: testTime, IndexBytes: 512})
	must(t, w.BeginRun([16]byte{1}, 0))
	pay := make([]byte, 500)
	for i, ts := range []int64{-1, math.MinInt64, math.MaxInt64, 0} {
		must(t, w.AppendBatch(batch(int64(i), 0, 1, ts, ts, pay)))
	}
	_, err := w.Finish()
	must(t, err)
	r := mustOpen(t, out.Bytes())
	run := r.Runs()[0]
	if run.MinTimestamp != math.MinInt64 || run.MaxTimestamp != math.MaxInt64 {
		t.Fatalf("got %+v", run)
	}
	for ts, want := range map[int64]int64{math.MinInt64: 0, -1: 0, 0: 2, math.MaxInt64: 2} {
		pos, ok, err := r.LocateTime(run, ts)
		must(t, err)
		if !ok || pos != want*561 {
			t.Errorf("LocateTime(%d): got %d %v, want batch %d", ts, pos, ok, want)
		}
	}
}

// TestObjectOfLeastRunsOpens has runs that take the fewest bytes possible in directory and section.
func TestObjectOfLeastRunsOpens(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := NewWriter(&out, Options{CreatedAt: testTime})
	now := testTime.UnixMilli()
	for p := range int32(3000) {
		must(t, w.BeginRun([16]byte{1}, p))
		must(t, w.AppendBatch(batch(0, 0, 1, now, now, nil)))
	}
	_, err := w.Finish()
	must(t, err)
	r := mustOpen(t, out.Bytes())
	if got := len(r.Runs()); got != 3000 {
		t.Fatalf("got %d runs, want 3000", got)
	}
	if got := (len(r.dir.raw) - headerBytes) / 3000; got != minEntryBytes {
		t.Errorf("a least entry takes %d bytes, the bound says %d", got, minEntryBytes)
	}
	must(t, r.Scrub(t.Context()))
}
