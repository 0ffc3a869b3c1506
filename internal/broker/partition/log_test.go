package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blockcache"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// harness runs one log over a write-ahead log of its own.
type harness struct {
	t   *testing.T
	log *Log
	wal *wal.Log
	now time.Time
}

func testConfig() *Config {
	return &Config{
		MaxMessageBytes: 1 << 20, TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: 3_600_000, SegmentBytes: 1 << 30, SegmentMs: 7 * 86_400_000,
		RetentionMs: -1, RetentionBytes: -1, Delete: true, DecompressedBytesMax: 1 << 20,
	}
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, now: time.UnixMilli(1_700_000_000_000)}
	blocks := blockcache.New(4 << 20)
	env := &Env{Segments: segment.NewCache(blob.NewMem(), 8).Through(blocks), Blocks: blocks, Now: func() time.Time { return h.now }}
	h.wal = wal.New(wal.Options{FS: vfs.OS(), Dir: t.TempDir(), Incarnation: 1, FileBytes: 1 << 20, OnDurable: func(f *wal.Frame) {
		for i := range f.Runs {
			f.Runs[i].Stream.Owner.(*Log).Committed(&f.Runs[i])
		}
		for _, c := range f.Controls {
			h.log.Controlled(c)
		}
	}})
	env.WAL = h.wal
	h.log = New(Identity{Topic: kafka.TopicID{1}}, env, 0, testConfig())
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- h.wal.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("write-ahead log: %v", err)
		}
	})
	return h
}

// batch builds n records with values PREFIX-0.. at timestamp ts, ts+1, ...
func batch(t *testing.T, prefix string, ts int64, n int, change func(*record.BuildOptions)) []byte {
	t.Helper()
	b := record.NewBuilder(record.None, 0)
	for i := range n {
		b.Append(ts+int64(i), []byte("k"), fmt.Appendf(nil, "%s-%d", prefix, i), nil)
	}
	o := record.BuildOptions{}
	if change != nil {
		change(&o)
	}
	return b.Build(o)
}

func sequenced(pid int64, epoch int16, seq int32) func(*record.BuildOptions) {
	return func(o *record.BuildOptions) { o.Producer = &record.Producer{ID: pid, Epoch: epoch, Sequence: seq} }
}

func (h *harness) append(b []byte) Appended {
	h.t.Helper()
	a, err := h.log.Append(b)
	if err != nil {
		h.t.Fatalf("append: %v", err)
	}
	if err := a.Ticket.Wait(h.t.Context()); err != nil {
		h.t.Fatalf("wait: %v", err)
	}
	return a
}

func (h *harness) read(req ReadRequest) (ReadResult, []byte) {
	h.t.Helper()
	r, err := h.log.Read(h.t.Context(), req)
	if err != nil {
		h.t.Fatalf("read at %d: %v", req.Offset, err)
	}
	var out []byte
	for _, c := range r.Chunks {
		if c.From != nil {
			b, err := c.AppendTo(nil)
			if err != nil {
				h.t.Fatal(err)
			}
			out = append(out, b...)
		}
		out = append(out, c.Bytes...)
	}
	if int64(len(out)) != r.Bytes {
		h.t.Fatalf("read at %d: chunks hold %d bytes, the result says %d", req.Offset, len(out), r.Bytes)
	}
	r.Drop()
	return r, out
}

// values decodes the record values of concatenated batches from offset on.
func values(t *testing.T, b []byte, offset int64) []string {
	t.Helper()
	var out []string
	for len(b) > 0 {
		h, err := record.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		it, err := record.NewIterator(b[:h.Size()], 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for {
			r, ok := it.Next()
			if !ok {
				break
			}
			if h.BaseOffset+int64(r.OffsetDelta) >= offset {
				out = append(out, string(r.Value))
			}
		}
		it.Close()
		b = b[h.Size():]
	}
	return out
}

func TestReadReturnsWhatWasAppendedAtItsOffsets(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for i, name := range []string{"a", "b", "c"} {
		if a := h.append(batch(t, name, 1000, 3, nil)); a.BaseOffset != int64(3*i) {
			t.Errorf("base offset of batch %s = %d, want %d", name, a.BaseOffset, 3*i)
		}
	}
	r, b := h.read(ReadRequest{Offset: 4, MaxBytes: 1 << 20})
	if got, want := strings.Join(values(t, b, 4), " "), "b-1 b-2 c-0 c-1 c-2"; got != want {
		t.Errorf("values = %s, want %s", got, want)
	}
	if r.HighWatermark != 9 || r.NextOffset != 9 {
		t.Errorf("high watermark %d and next offset %d, want 9 and 9", r.HighWatermark, r.NextOffset)
	}
}

func TestReadGivesAtLeastOneBatchOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append(batch(t, "a", 1000, 3, nil))
	h.append(batch(t, "b", 1000, 3, nil))
	r, b := h.read(ReadRequest{Offset: 0, MaxBytes: 1, AtLeastOne: true})
	if got := values(t, b, 0); len(got) != 3 || r.NextOffset != 3 {
		t.Errorf("values = %v up to %d, want the first batch", got, r.NextOffset)
	}
	if r, b = h.read(ReadRequest{Offset: 0, MaxBytes: 1}); len(b) != 0 {
		t.Errorf("read %d bytes with a limit of 1, want none", r.Bytes)
	}
}

func TestReadRefusesOffsetsOutsideTheLog(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append(batch(t, "a", 1000, 3, nil))
	for _, offset := range []int64{-1, 4} {
		if _, err := h.log.Read(t.Context(), ReadRequest{Offset: offset, MaxBytes: 100}); !errors.Is(err, kafka.OffsetOutOfRange) {
			t.Errorf("read at %d: %v, want OFFSET_OUT_OF_RANGE", offset, err)
		}
	}
	if r, _ := h.read(ReadRequest{Offset: 3, MaxBytes: 100, AtLeastOne: true}); r.Bytes != 0 {
		t.Errorf("read at the high watermark gave %d bytes", r.Bytes)
	}
}

func TestRetriedBatchIsAnsweredWithItsFirstOffset(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for seq := int32(0); seq < 14; seq += 2 {
		h.append(batch(t, "a", 1000, 2, sequenced(7, 0, seq)))
	}
	for seq := int32(4); seq < 14; seq += 2 {
		a := h.append(batch(t, "a", 1000, 2, sequenced(7, 0, seq)))
		if !a.Duplicate || a.BaseOffset != int64(seq) {
			t.Errorf("retry of sequence %d: duplicate %v at %d, want the offset %d", seq, a.Duplicate, a.BaseOffset, seq)
		}
	}
	if _, err := h.log.Append(batch(t, "a", 1000, 2, sequenced(7, 0, 2))); !errors.Is(err, kafka.OutOfOrderSequenceNumber) {
		t.Errorf("retry of a batch that is forgotten: %v, want OUT_OF_ORDER_SEQUENCE_NUMBER", err)
	}
	if o := h.log.Offsets(); o.LogEnd != 14 {
		t.Errorf("log end = %d, want 14", o.LogEnd)
	}
}

func TestProducerSequencesAndEpochs(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	steps := []struct {
		name  string
		epoch int16
		seq   int32
		want  error
	}{
		{"unknown producer may start anywhere", 3, 9, nil},
		{"gap", 3, 12, kafka.OutOfOrderSequenceNumber},
		{"next", 3, 11, nil},
		{"old epoch", 2, 13, kafka.InvalidProducerEpoch},
		{"new epoch not at 0", 4, 1, kafka.OutOfOrderSequenceNumber},
		{"new epoch", 4, 0, nil},
		{"next of it", 4, 2, nil},
	}
	for _, s := range steps {
		a, err := h.log.Append(batch(t, "a", 1000, 2, sequenced(7, s.epoch, s.seq)))
		if !errors.Is(err, s.want) {
			t.Errorf("%s: %v, want %v", s.name, err, s.want)
		}
		if err == nil {
			if err := a.Ticket.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSequenceWrapsAfterTheLargestNumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ s, n, want int32 }{{0, 0, 0}, {5, 3, 8}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 3, 1}, {math.MaxInt32, 0, math.MaxInt32}} {
		if got := addSequence(c.s, c.n); got != c.want {
			t.Errorf("addSequence(%d, %d) = %d, want %d", c.s, c.n, got, c.want)
		}
	}
}

func TestRefusedBatchesLeaveNoTrace(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	good := batch(t, "a", 1000, 2, nil)
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(good)
		f(b)
		return b
	}
	control := batch(t, "a", 1000, 1, func(o *record.BuildOptions) { o.Control = true })
	cases := []struct {
		name string
		b    []byte
		want error
	}{
		{"truncated", good[:len(good)-1], kafka.InvalidRecord},
		{"header only in part", good[:30], kafka.InvalidRecord},
		{"two batches", append(bytes.Clone(good), good...), kafka.InvalidRecord},
		{"magic 1", change(func(b []byte) { b[16] = 1 }), kafka.InvalidRecord},
		{"bad checksum", change(func(b []byte) { b[len(b)-1] ^= 1 }), kafka.CorruptMessage},
		{"control batch", control, kafka.InvalidRecord},
		{"too large", batch(t, strings.Repeat("x", 1<<20), 1000, 1, nil), kafka.MessageTooLarge},
		{"too far ahead", batch(t, "a", h.now.UnixMilli()+4_000_000, 1, nil), kafka.InvalidTimestamp},
	}
	for _, c := range cases {
		if _, err := h.log.Append(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if o := h.log.Offsets(); o.LogEnd != 0 || len(h.log.Producers()) != 0 {
		t.Errorf("log end %d with %d producers, want an empty log", o.LogEnd, len(h.log.Producers()))
	}
}

func TestCompactedTopicNamesRecordsWithoutKey(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	c := *h.log.Config()
	c.Compact = true
	h.log.SetConfig(&c)
	b := record.NewBuilder(record.Gzip, 1)
	b.Append(1000, []byte("k"), []byte("v"), nil)
	b.Append(1000, nil, []byte("v"), nil)
	raw := b.Build(record.BuildOptions{})
	var bad *RecordsError
	if _, err := h.log.Append(raw); !errors.As(err, &bad) || bad.Err != kafka.InvalidRecord || len(bad.Records) != 1 || bad.Records[0].Index != 1 {
		t.Errorf("append: %v, want INVALID_RECORD for record 1", err)
	}
}

func TestLogAppendTimeReplacesTimestamps(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	c := *h.log.Config()
	c.LogAppendTime = true
	h.log.SetConfig(&c)
	if a := h.append(batch(t, "a", 5, 2, nil)); a.LogAppendTime != h.now.UnixMilli() {
		t.Errorf("log append time = %d, want %d", a.LogAppendTime, h.now.UnixMilli())
	}
	_, b := h.read(ReadRequest{Offset: 0, MaxBytes: 1 << 20})
	head, err := record.ParseHeader(b)
	if err != nil || !record.CheckCRC(b) || !head.LogAppendTime() || head.MaxTimestamp != h.now.UnixMilli() {
		t.Errorf("stored batch %+v (%v), want log append time %d and a sound checksum", head, err, h.now.UnixMilli())
	}
}

func TestRecompressionOnlyWhereTheTopicAsks(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	c := *h.log.Config()
	c.Recompress, c.Codec = true, record.Zstd
	h.log.SetConfig(&c)
	h.append(batch(t, "a", 1000, 3, nil))
	_, b := h.read(ReadRequest{Offset: 0, MaxBytes: 1 << 20})
	head, err := record.ParseHeader(b)
	if err != nil || head.Codec() != record.Zstd {
		t.Errorf("stored codec %v (%v), want zstd", head.Codec(), err)
	}
	if got := strings.Join(values(t, b, 0), " "); got != "a-0 a-1 a-2" {
		t.Errorf("values = %s", got)
	}
}

func TestOffsetForTimeFindsTheFirstRecord(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append(batch(t, "a", 1000, 3, nil)) // 0..2 at 1000..1002
	h.append(batch(t, "b", 5000, 2, nil)) // 3, 4 at 5000, 5001
	h.append(batch(t, "c", 3000, 2, nil)) // 5, 6 at 3000, 3001
	for _, c := range []struct{ ts, offset, timestamp int64 }{{0, 0, 1000}, {1001, 1, 1001}, {1003, 3, 5000}, {2999, 3, 5000}, {5001, 4, 5001}, {5002, -1, -1}} {
		f, err := h.log.OffsetForTime(t.Context(), c.ts, false)
		if err != nil || f.Offset != c.offset || f.Timestamp != c.timestamp {
			t.Errorf("offset for %d = %+v (%v), want %d at %d", c.ts, f, err, c.offset, c.timestamp)
		}
	}
	if f, err := h.log.MaxTimestamp(t.Context(), false); err != nil || f.Offset != 4 || f.Timestamp != 5001 {
		t.Errorf("max timestamp = %+v (%v), want offset 4 at 5001", f, err)
	}
	h.deleteRecords(5)
	if f, err := h.log.MaxTimestamp(t.Context(), false); err != nil || f.Offset != 6 || f.Timestamp != 3001 {
		t.Errorf("max timestamp after deletion = %+v (%v), want offset 6 at 3001", f, err)
	}
}

func (h *harness) deleteRecords(offset int64) {
	h.t.Helper()
	_, ticket, err := h.log.DeleteRecords(offset)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := ticket.Wait(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

func TestDeleteRecordsNeverLowersTheLogStart(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append(batch(t, "a", 1000, 5, nil))
	h.deleteRecords(3)
	h.deleteRecords(1)
	if o := h.log.Offsets(); o.LogStart != 3 {
		t.Errorf("log start = %d, want 3", o.LogStart)
	}
	if _, _, err := h.log.DeleteRecords(6); !errors.Is(err, kafka.OffsetOutOfRange) {
		t.Errorf("delete beyond the high watermark: %v, want OFFSET_OUT_OF_RANGE", err)
	}
	if _, err := h.log.Read(t.Context(), ReadRequest{Offset: 2, MaxBytes: 100}); !errors.Is(err, kafka.OffsetOutOfRange) {
		t.Errorf("read below the log start: %v, want OFFSET_OUT_OF_RANGE", err)
	}
	h.deleteRecords(-1)
	if o := h.log.Offsets(); o.LogStart != 5 || o.HighWatermark != 5 {
		t.Errorf("offsets after deleting all: %+v", o)
	}
}

func TestRetentionDropsWholeSegments(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	one := int64(len(batch(t, "a", 1000, 1, nil)))
	c := *h.log.Config()
	c.SegmentBytes = 2 * one
	h.log.SetConfig(&c)
	now := h.now.UnixMilli()
	for i := range int64(6) { // segments [0,2) [2,4) [4,6), a second apart
		h.append(batch(t, "a", now+1000*i, 1, nil))
	}
	set := func(ms, size int64) {
		c := c
		c.RetentionMs, c.RetentionBytes = ms, size
		h.log.SetConfig(&c)
	}
	for _, x := range []struct {
		name     string
		ms, size int64
		after    int64
		want     int64
	}{
		{"unlimited", -1, -1, 1 << 40, 0},
		{"one segment is old", 1000, -1, 2001 + 1, 2},
		{"all are old, the active one too", 1000, -1, 1 << 40, 6},
		{"size keeps the active segment", -1, 0, 0, 4},
		{"size of two segments", -1, 4 * one, 0, 2},
		{"size just above two segments", -1, 4*one + 1, 0, 0},
	} {
		set(x.ms, x.size)
		if got := h.log.RetentionStart(now + x.after); got != x.want {
			t.Errorf("%s: log start %d, want %d", x.name, got, x.want)
		}
	}
	c.Delete, c.RetentionMs = false, 1
	h.log.SetConfig(&c)
	if got := h.log.RetentionStart(now + 1<<40); got != 0 {
		t.Errorf("a topic that is not to be deleted lost records below %d", got)
	}
}

func TestWaiterWakesForBytesOfAnyLog(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	first := batch(t, "a", 1000, 1, nil)
	w := NewWaiter(int64(len(first)) + 1)
	h.log.Watch(w, 0, false)
	h.append(first)
	select {
	case <-w.C:
		t.Fatal("woken before enough bytes had come")
	default:
	}
	h.append(batch(t, "b", 1000, 1, nil))
	select {
	case <-w.C:
	case <-t.Context().Done():
		t.Fatal("not woken")
	}
	h.log.Unwatch(w)
	late := NewWaiter(1)
	h.log.Watch(late, 1, false)
	<-late.C // what was visible before Watch counts
	h.log.Unwatch(late)
	closed := NewWaiter(1 << 20)
	h.log.Watch(closed, 2, false)
	h.log.Close()
	<-closed.C
}

func TestEpochEndFollowsTheLeaderEpochs(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append(batch(t, "a", 1000, 2, nil))
	h.log.SetLeaderEpoch(3)
	h.append(batch(t, "a", 1000, 2, nil))
	h.log.SetLeaderEpoch(5)
	for _, c := range []struct {
		ask, epoch int32
		end        int64
	}{{0, 0, 2}, {1, 0, 2}, {2, 0, 2}, {3, 3, 4}, {4, 3, 4}, {5, 5, 4}, {6, -1, -1}, {-1, -1, -1}} {
		if e, end := h.log.EpochEnd(c.ask); e != c.epoch || end != c.end {
			t.Errorf("end of epoch %d = %d, %d, want %d, %d", c.ask, e, end, c.epoch, c.end)
		}
	}
	if h.log.EpochAt(1) != 0 || h.log.EpochAt(2) != 3 {
		t.Errorf("epochs of offsets 1 and 2 = %d, %d, want 0, 3", h.log.EpochAt(1), h.log.EpochAt(2))
	}
}

// A consumer that waits in an empty partition knows it by the epoch of its owner. When that changes, it asks whether it has lost something.
func TestEpochEndOfAnEmptyLogIsNoLoss(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.log.SetLeaderEpoch(3)
	for _, c := range []struct {
		ask, epoch int32
		end        int64
	}{{0, 0, 0}, {2, 2, 0}, {3, 3, 0}, {4, -1, -1}, {-1, -1, -1}} {
		if e, end := h.log.EpochEnd(c.ask); e != c.epoch || end != c.end {
			t.Errorf("end of epoch %d = %d, %d, want %d, %d", c.ask, e, end, c.epoch, c.end)
		}
	}
	h.append(batch(t, "a", 1000, 2, nil))
	if e, end := h.log.EpochEnd(2); e != 2 || end != 0 {
		t.Errorf("end of epoch 2, in which nothing was written = %d, %d, want 2, 0", e, end)
	}
}
