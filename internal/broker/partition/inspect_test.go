package partition

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// without returns an inspector that takes out the records whose place gone names, as a contract with dead letters does.
func without(gone ...bool) Inspector {
	return func(b []byte, limitBytes, level int) ([]byte, error) {
		i := -1
		out, err := record.Retain(b, record.RetainOptions{LimitBytes: limitBytes, Level: level, Horizon: record.NoHorizon}, func(*record.Record) bool {
			i++
			return !gone[i]
		})
		if err != nil || out.Batch != nil {
			return out.Batch, err
		}
		h, err := record.ParseHeader(b)
		return record.Empty(h), err
	}
}

func (h *harness) appendInspected(b []byte, inspect Inspector) Appended {
	h.t.Helper()
	a, err := h.log.AppendInspected(b, nil, inspect)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := a.Ticket.Wait(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	return a
}

func TestWhatAnInspectorTakesOutLeavesOffsetsAndSequences(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	now := h.now.UnixMilli()
	steps := []struct {
		sequence int32
		n        int
		gone     []bool
		base     int64
		records  int32
	}{
		{0, 3, []bool{false, true, false}, 0, 2},
		{3, 2, []bool{true, true}, 3, 0},
		{5, 2, []bool{false, false}, 5, 2},
		{7, 1, []bool{true}, 7, 0},
		{8, 1, []bool{false}, 8, 1},
	}
	for _, s := range steps {
		b := batch(t, "a", now, s.n, sequenced(9, 0, s.sequence))
		a := h.appendInspected(bytes.Clone(b), without(s.gone...))
		if a.BaseOffset != s.base || a.Records != s.records || a.Duplicate {
			t.Errorf("sequence %d: %+v, want offset %d and %d records", s.sequence, a, s.base, s.records)
		}
		// The same once more is a repetition, which nobody inspects.
		again := h.appendInspected(bytes.Clone(b), func([]byte, int, int) ([]byte, error) { return nil, errors.New("inspected again") })
		if !again.Duplicate || again.BaseOffset != s.base {
			t.Errorf("sequence %d again: %+v", s.sequence, again)
		}
	}
	if end := h.log.Offsets().HighWatermark; end != 9 {
		t.Errorf("high watermark %d, want 9", end)
	}
	_, got := h.read(ReadRequest{Offset: 0, MaxBytes: 1 << 20})
	var offsets []int64
	for len(got) > 0 {
		head, err := record.ParseHeader(got)
		if err != nil || !record.CheckCRC(got) {
			t.Fatalf("batch %+v: %v", head, err)
		}
		it, err := record.NewIterator(got, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for r, ok := it.Next(); ok; r, ok = it.Next() {
			offsets = append(offsets, head.BaseOffset+int64(r.OffsetDelta))
		}
		it.Close()
		got = got[head.Size():]
	}
	if want := []int64{0, 2, 5, 6, 8}; !slices.Equal(offsets, want) {
		t.Errorf("records at %v, want %v", offsets, want)
	}
	found, err := h.log.OffsetForTime(t.Context(), now+1, false)
	if err != nil || found.Offset != 2 {
		t.Errorf("time %d is at %+v, want offset 2 (%v)", now+1, found, err)
	}
}

func TestInspectorSeesWhatMayBeWrittenOnly(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	now := h.now.UnixMilli()
	seen := 0
	count := func(b []byte, _, _ int) ([]byte, error) {
		seen++
		return b, nil
	}
	h.appendInspected(batch(t, "a", now, 1, sequenced(9, 1, 0)), count)
	for name, c := range map[string]struct {
		batch []byte
		want  kafka.Error
	}{
		"a gap in the sequence": {batch(t, "a", now, 1, sequenced(9, 1, 5)), kafka.OutOfOrderSequenceNumber},
		"an old epoch":          {batch(t, "a", now, 1, sequenced(9, 0, 1)), kafka.InvalidProducerEpoch},
	} {
		if _, err := h.log.AppendInspected(c.batch, nil, count); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want.Name())
		}
	}
	if seen != 1 {
		t.Errorf("inspected %d batches, want 1", seen)
	}
	refusal := errors.New("refused")
	if _, err := h.log.AppendInspected(batch(t, "a", now, 1, sequenced(9, 1, 1)), nil, func([]byte, int, int) ([]byte, error) { return nil, refusal }); !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
	// A refused batch leaves its sequence to the next.
	if a := h.appendInspected(batch(t, "b", now, 1, sequenced(9, 1, 1)), count); a.BaseOffset != 1 {
		t.Errorf("got %+v", a)
	}
}
