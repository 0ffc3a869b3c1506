package partition

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

func transactional(pid int64, epoch int16, seq int32) func(*record.BuildOptions) {
	return func(o *record.BuildOptions) {
		o.Transactional, o.Producer = true, &record.Producer{ID: pid, Epoch: epoch, Sequence: seq}
	}
}

// txn appends a batch of n records of a transaction, which it opens if need be.
func (h *harness) txn(pid int64, epoch int16, seq int32, n int) Appended {
	h.t.Helper()
	v := h.log.BeginVerification(pid, epoch, seq, false)
	a, err := h.log.AppendVerified(batch(h.t, fmt.Sprint("p", pid), h.now.UnixMilli(), n, transactional(pid, epoch, seq)), v)
	if err != nil {
		h.t.Fatalf("append to the transaction of producer %d: %v", pid, err)
	}
	if err := a.Ticket.Wait(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *harness) mark(m Marker) Appended {
	h.t.Helper()
	a, err := h.log.AppendMarker(m)
	if err != nil {
		h.t.Fatalf("%+v: %v", m, err)
	}
	if err := a.Ticket.Wait(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *harness) wantStable(want int64) {
	h.t.Helper()
	if got := h.log.Offsets().LastStable; got != want {
		h.t.Errorf("last stable offset %d, want %d", got, want)
	}
}

func wantCode(t *testing.T, what string, err error, want kafka.Error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %s", what, err, want.Name())
	}
}

func TestLastStableOffsetIsTheFirstOfTheOldestOpenTransaction(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append(batch(t, "plain", 1, 2, nil))
	h.wantStable(2)
	h.txn(1, 0, 0, 3) // [2, 5)
	h.txn(2, 0, 0, 1) // [5, 6)
	h.wantStable(2)
	h.append(batch(t, "plain", 1, 2, nil)) // [6, 8)
	h.txn(1, 0, 3, 1)                      // [8, 9)
	h.mark(Marker{ProducerID: 2, Commit: true})
	h.wantStable(2)
	if a := h.mark(Marker{ProducerID: 1}); a.BaseOffset != 10 || a.Records != 1 {
		t.Errorf("marker: %+v, want it at offset 10", a)
	}
	h.wantStable(11)
	if o := h.log.Offsets(); o.HighWatermark != 11 || o.LogEnd != 11 {
		t.Errorf("offsets %+v, want 11", o)
	}
}

// Weir answers like Kafka where Redpanda did not (redpanda#13364): a marker takes an offset of its own, and after an abort the high
// watermark and the last stable offset lie behind it.
func TestHighWatermarkAfterAnAbortCountsTheMarker(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.txn(1, 0, 0, 5)
	h.mark(Marker{ProducerID: 1})
	if o := h.log.Offsets(); o.HighWatermark != 6 || o.LastStable != 6 {
		t.Errorf("offsets %+v, want high watermark and last stable offset 6", o)
	}
}

func TestMarkersHaveTheBytesOfKafka(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.log.SetLeaderEpoch(3)
	h.txn(4001, 9, 0, 1)
	h.mark(Marker{ProducerID: 4001, ProducerEpoch: 9, CoordinatorEpoch: 7, Commit: true})
	_, b := h.read(ReadRequest{Offset: 1, MaxBytes: 1 << 20})
	want := record.BuildMarker(h.now.UnixMilli(), record.Producer{ID: 4001, Epoch: 9}, record.Marker{Commit: true, CoordinatorEpoch: 7})
	record.PatchOffset(want, 1, 3)
	if string(b) != string(want) {
		t.Errorf("got %x, want %x", b, want)
	}
}

func TestMarkerTakesTheLogsTimeWhereTheTopicDoes(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	c := testConfig()
	c.LogAppendTime = true
	h.log.SetConfig(c)
	h.txn(1, 0, 0, 1)
	a := h.mark(Marker{ProducerID: 1, Commit: true})
	_, b := h.read(ReadRequest{Offset: 1, MaxBytes: 1 << 20})
	if head, err := record.ParseHeader(b); err != nil || !head.LogAppendTime() || !record.CheckCRC(b) || a.LogAppendTime != h.now.UnixMilli() {
		t.Errorf("header %+v, %v, answer %+v", head, err, a)
	}
}

func TestBatchWithoutVerificationOpensNoTransaction(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b := func(seq int32) []byte { return batch(t, "x", 1, 1, transactional(1, 0, seq)) }
	_, err := h.log.Append(b(0))
	wantCode(t, "no verification", err, kafka.InvalidTxnState)
	v := h.log.BeginVerification(1, 0, 0, false)
	if _, err = h.log.Append(b(0)); err == nil {
		t.Error("a batch without verification passed by that of another")
	}
	if _, err = h.log.AppendVerified(b(0), v); err != nil {
		t.Fatal(err)
	}
	if h.log.BeginVerification(1, 0, 1, false) != nil || !h.log.HasOpenTransaction(1, 0) || h.log.HasOpenTransaction(1, 1) || h.log.HasOpenTransaction(2, 0) {
		t.Error("the open transaction is not known")
	}
	if _, err = h.log.Append(b(1)); err != nil {
		t.Errorf("second batch of an open transaction: %v", err)
	}
	if o := h.log.Offsets(); o.LogEnd != 2 {
		t.Errorf("log end %d, want 2: refused batches leave no trace", o.LogEnd)
	}
}

// A marker that comes between verification and append ends the verification: the transaction that the batch would open is over, and
// nobody would ever end it.
func TestMarkerBetweenVerificationAndAppendRefusesTheBatch(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	v := h.log.BeginVerification(1, 0, 0, false)
	h.mark(Marker{ProducerID: 1})
	_, err := h.log.AppendVerified(batch(t, "x", 1, 1, transactional(1, 0, 0)), v)
	wantCode(t, "after the marker", err, kafka.InvalidTxnState)
	again := h.log.BeginVerification(1, 0, 0, false)
	if again == v {
		t.Error("the next transaction got the verification of the one before")
	}
	if _, err = h.log.AppendVerified(batch(t, "x", 1, 1, transactional(1, 0, 0)), v); !errors.Is(err, kafka.InvalidTxnState) {
		t.Errorf("an old verification passed for a new one: %v", err)
	}
	h.wantStable(1)
}

func TestBatchesAreWrittenInTheOrderInWhichTheyWereVerified(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.log.BeginVerification(1, 0, 7, false) // its batch fails at the coordinator, and will be sent again
	v := h.log.BeginVerification(1, 0, 8, false)
	_, err := h.log.AppendVerified(batch(t, "x", 1, 1, transactional(1, 0, 8)), v)
	wantCode(t, "sequence 8 before 7", err, kafka.OutOfOrderSequenceNumber)
	v = h.log.BeginVerification(1, 0, 7, false)
	for seq := int32(7); seq < 9; seq++ {
		if _, err = h.log.AppendVerified(batch(t, "x", 1, 1, transactional(1, 0, seq)), v); err != nil {
			t.Errorf("sequence %d: %v", seq, err)
		}
	}
	v = h.log.BeginVerification(2, 0, 3, true)
	_, err = h.log.AppendVerified(batch(t, "x", 1, 1, transactional(2, 0, 3)), v)
	wantCode(t, "unknown producer of version 2 at sequence 3", err, kafka.OutOfOrderSequenceNumber)
}

func TestVerificationsAreBoundedAndExpire(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for pid := range int64(3 * verificationsMax) {
		h.log.BeginVerification(pid, 0, 0, true)
	}
	if n := len(h.log.verifications); n > verificationsMax {
		t.Errorf("%d verifications, most are %d", n, verificationsMax)
	}
	h.log.ExpireProducers(h.now.UnixMilli()+1000, 1000)
	if n := len(h.log.verifications); n != 0 {
		t.Errorf("%d verifications after they expired", n)
	}
}

func TestProducerWithAnOpenTransactionWritesNothingElse(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.txn(1, 3, 0, 1)
	_, err := h.log.Append(batch(t, "x", 1, 1, sequenced(1, 3, 1)))
	wantCode(t, "plain batch", err, kafka.InvalidTxnState)
	// What an old producer hears is that it is old (apache/kafka#20618).
	_, err = h.log.Append(batch(t, "x", 1, 1, sequenced(1, 2, 1)))
	wantCode(t, "plain batch of an old epoch", err, kafka.InvalidProducerEpoch)
	_, err = h.log.Append(batch(t, "x", 1, 1, transactional(1, 2, 1)))
	wantCode(t, "transactional batch of an old epoch", err, kafka.InvalidProducerEpoch)
	_, err = h.log.AppendInternal(batch(t, "x", 1, 1, transactional(1, 2, -1)))
	wantCode(t, "coordinator's batch of an old epoch", err, kafka.InvalidProducerEpoch)
	h.wantStable(0)
}

func TestMarkersOfOldEpochsAreRefused(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.txn(1, 3, 0, 1)
	_, err := h.log.AppendMarker(Marker{ProducerID: 1, ProducerEpoch: 2, Commit: true})
	wantCode(t, "old epoch", err, kafka.InvalidProducerEpoch)
	h.mark(Marker{ProducerID: 1, ProducerEpoch: 3, CoordinatorEpoch: 5, Commit: true})
	h.txn(1, 3, 1, 1)
	_, err = h.log.AppendMarker(Marker{ProducerID: 1, ProducerEpoch: 3, CoordinatorEpoch: 4, Commit: true})
	wantCode(t, "old coordinator", err, kafka.TransactionCoordinatorFenced)
	_, err = h.log.AppendInternal(record.BuildMarker(1, record.Producer{ID: 1, Epoch: 3}, record.Marker{CoordinatorEpoch: 4}))
	wantCode(t, "old coordinator, by the log's other door", err, kafka.TransactionCoordinatorFenced)
	h.wantStable(2)
	h.mark(Marker{ProducerID: 1, ProducerEpoch: 4, CoordinatorEpoch: 5})
	h.wantStable(4)
	_, err = h.log.AppendVerified(batch(t, "x", 1, 1, transactional(1, 3, 2)), h.log.BeginVerification(1, 3, 2, false))
	wantCode(t, "batch of the epoch that the marker ended", err, kafka.InvalidProducerEpoch)
	if a := h.txn(1, 4, 0, 1); a.BaseOffset != 4 {
		t.Errorf("next transaction at %d, want 4", a.BaseOffset)
	}
}

// What a checkpoint cannot hold must not come into the log.
func TestNegativeEpochsAndProducersAreRefused(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	_, err := h.log.Append(batch(t, "x", 1, 1, func(o *record.BuildOptions) { o.Producer = &record.Producer{ID: 1, Epoch: -2} }))
	wantCode(t, "batch of an unknown producer", err, kafka.InvalidProducerEpoch)
	for _, version := range []int8{1, 2} {
		_, err = h.log.AppendMarker(Marker{ProducerID: 1, CoordinatorEpoch: -2, Version: version})
		wantCode(t, "marker of a negative coordinator epoch", err, kafka.TransactionCoordinatorFenced)
		_, err = h.log.AppendMarker(Marker{ProducerID: 1, ProducerEpoch: -1, Version: version})
		wantCode(t, "marker of a negative epoch", err, kafka.InvalidRequest)
		_, err = h.log.AppendMarker(Marker{ProducerID: -2, Version: version})
		wantCode(t, "marker for a negative producer", err, kafka.InvalidRequest)
	}
	h.mark(Marker{ProducerID: 1, CoordinatorEpoch: -1, Version: 2})
}

// A marker of version 2 that comes late finds the next transaction open, in the epoch that the marker carries: it must not end it.
func TestStaleMarkerDoesNotEndTheNextTransaction(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.txn(1, 3, 0, 1)
	late := Marker{ProducerID: 1, ProducerEpoch: 4, Commit: true, Version: 2}
	h.mark(late)
	h.txn(1, 4, 0, 1)
	_, err := h.log.AppendMarker(late)
	wantCode(t, "late marker", err, kafka.InvalidProducerEpoch)
	h.wantStable(2)
	h.mark(Marker{ProducerID: 1, ProducerEpoch: 5, Version: 2})
	h.wantStable(4)
	// The last epoch of all cannot be raised.
	h.txn(2, math.MaxInt16, 0, 1)
	h.mark(Marker{ProducerID: 2, ProducerEpoch: math.MaxInt16, Version: 2})
	h.wantStable(6)
}

// apache/kafka#21176: a coordinator that does not know whether its marker was written sends it again, and must get through.
func TestRetriedMarkerIsAnsweredAsDone(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.txn(1, 3, 0, 1)
	m := Marker{ProducerID: 1, ProducerEpoch: 4, CoordinatorEpoch: 2, Commit: true, Version: 2}
	h.mark(m)
	v := h.log.BeginVerification(1, 4, 0, true)
	if a := h.mark(m); !a.Duplicate || a.BaseOffset != -1 || h.log.Offsets().LogEnd != 2 {
		t.Errorf("retried marker: %+v, log end %d", a, h.log.Offsets().LogEnd)
	}
	if _, err := h.log.AppendVerified(batch(t, "x", 1, 1, transactional(1, 4, 0)), v); err != nil {
		t.Errorf("the retry of an old marker took the next transaction's verification: %v", err)
	}
	h.mark(Marker{ProducerID: 1, ProducerEpoch: 5, CoordinatorEpoch: 2, Version: 2})
	m = Marker{ProducerID: 1, ProducerEpoch: 5, CoordinatorEpoch: 3, Version: 2}
	if a := h.mark(m); a.Duplicate || a.BaseOffset != 4 {
		t.Errorf("marker of the next coordinator: %+v, want it written, so that the one before stays fenced", a)
	}
	// Before version 2 a retry looks like the marker of a transaction that wrote nothing here: it is written, as Kafka does.
	if a := h.mark(Marker{ProducerID: 1, ProducerEpoch: 5, CoordinatorEpoch: 3}); a.Duplicate || a.BaseOffset != 5 {
		t.Errorf("marker of version 0: %+v, want it written", a)
	}
	h.wantStable(6)
}

func TestMarkerOfAnUnknownProducerIsWritten(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	a := h.mark(Marker{ProducerID: 9, ProducerEpoch: 1, CoordinatorEpoch: 4})
	p := h.log.Producers()
	if want := (ActiveProducer{ID: 9, Epoch: 1, LastSequence: -1, LastTimestamp: h.now.UnixMilli(), TxnFirstOffset: -1, CoordinatorEpoch: 4}); a.BaseOffset != 0 || len(p) != 1 || p[0] != want {
		t.Errorf("marker at %d, producers %+v, want %+v", a.BaseOffset, p, want)
	}
	r, _ := h.read(ReadRequest{MaxBytes: 1 << 20, Committed: true})
	if r.NextOffset != 1 || len(r.Aborted) != 0 || r.Aborted == nil {
		t.Errorf("read up to %d, aborted %v: nothing was", r.NextOffset, r.Aborted)
	}
	_, err := h.log.AppendVerified(batch(t, "x", 1, 1, transactional(9, 1, 5)), h.log.BeginVerification(9, 1, 5, false))
	wantCode(t, "first batch at sequence 5 of an epoch that only a marker knows", err, kafka.OutOfOrderSequenceNumber)
}

func TestCommittedReadsEndAtTheLastStableOffsetAndNameWhatWasAborted(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.txn(1, 0, 0, 2)                           // [0, 2)
	h.txn(2, 0, 0, 2)                           // [2, 4)
	h.mark(Marker{ProducerID: 1})               // 4
	h.txn(1, 0, 2, 1)                           // 5
	h.mark(Marker{ProducerID: 2, Commit: true}) // 6
	if r, b := h.read(ReadRequest{MaxBytes: 1 << 20}); r.NextOffset != 7 || r.Aborted != nil || len(b) == 0 || r.LastStable != 5 {
		t.Errorf("uncommitted read: up to %d, aborted %v, last stable offset %d", r.NextOffset, r.Aborted, r.LastStable)
	}
	r, b := h.read(ReadRequest{MaxBytes: 1 << 20, Committed: true})
	if r.NextOffset != 5 || !slices.Equal(r.Aborted, []AbortedTxn{{1, 0}}) || len(values(t, b, 0)) != 5 {
		t.Errorf("read up to %d of %d records, aborted %v; want 5, markers among them, and producer 1's from offset 0", r.NextOffset, len(values(t, b, 0)), r.Aborted)
	}
	if r, b = h.read(ReadRequest{Offset: 5, MaxBytes: 1 << 20, Committed: true}); len(b) != 0 || r.Aborted == nil {
		t.Errorf("read at the last stable offset: %d bytes, aborted %v", len(b), r.Aborted)
	}
	h.mark(Marker{ProducerID: 1}) // 7
	for _, c := range []struct {
		from, bytes int64
		want        []AbortedTxn
	}{
		{0, 1 << 20, []AbortedTxn{{1, 0}, {1, 5}}},
		{0, 1, []AbortedTxn{{1, 0}}}, // one batch
		{2, 1, []AbortedTxn{{1, 0}}}, // its marker comes later
		{4, 1, []AbortedTxn{{1, 0}}}, // the marker itself
		{5, 1, []AbortedTxn{{1, 5}}},
		{6, 1, []AbortedTxn{{1, 5}}},
	} {
		if r, _ := h.read(ReadRequest{Offset: c.from, MaxBytes: c.bytes, AtLeastOne: true, Committed: true}); !slices.Equal(r.Aborted, c.want) {
			t.Errorf("%d bytes from %d: aborted %v, want %v", c.bytes, c.from, r.Aborted, c.want)
		}
	}
}

func TestCommittedWaiterWakesWhenATransactionEnds(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.txn(1, 0, 0, 1)
	all, committed := NewWaiter(1), NewWaiter(1)
	h.log.Watch(all, 1, false)
	h.log.Watch(committed, 0, true)
	h.append(batch(t, "plain", 1, 1, nil))
	select {
	case <-all.C:
	default:
		t.Error("the high watermark moved and its waiter sleeps")
	}
	select {
	case <-committed.C:
		t.Error("woken though nothing was decided")
	default:
	}
	h.mark(Marker{ProducerID: 1, Commit: true})
	select {
	case <-committed.C:
	default:
		t.Error("the last stable offset moved and its waiter sleeps")
	}
	late := NewWaiter(1)
	h.log.Watch(late, 0, true)
	select {
	case <-late.C:
	default:
		t.Error("what was decided before does not wake")
	}
	for _, w := range []*Waiter{all, committed, late} {
		h.log.Unwatch(w)
	}
	if len(h.log.waiters) != 0 {
		t.Errorf("%d waiters are left", len(h.log.waiters))
	}
}

func TestDeleteRecordsPassesOpenTransactions(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.txn(1, 0, 0, 4)
	h.append(batch(t, "plain", 1, 2, nil))
	for _, start := range []int64{2, 5} {
		_, ticket, err := h.log.DeleteRecords(start)
		if err = errors.Join(err, ticket.Wait(t.Context())); err != nil {
			t.Fatal(err)
		}
		if o := h.log.Offsets(); o.LogStart != start || o.LastStable != start {
			t.Errorf("deleted below %d: %+v", start, o)
		}
	}
	if p := h.log.Producers(); p[0].TxnFirstOffset != 0 {
		t.Errorf("transaction since %d, want 0", p[0].TxnFirstOffset)
	}
	h.mark(Marker{ProducerID: 1})
	h.wantStable(7)
	if r, _ := h.read(ReadRequest{Offset: 5, MaxBytes: 1 << 20, Committed: true}); !slices.Equal(r.Aborted, []AbortedTxn{{1, 0}}) {
		t.Errorf("aborted %v", r.Aborted)
	}
	if _, ticket, err := h.log.DeleteRecords(-1); errors.Join(err, ticket.Wait(t.Context())) != nil || len(h.log.aborted) != 0 {
		t.Errorf("%v, %d aborted transactions are kept of an empty log", err, len(h.log.aborted))
	}
}

func TestProducerWithAnOpenTransactionDoesNotExpire(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.txn(1, 0, 0, 1)
	h.append(batch(t, "x", h.now.UnixMilli(), 1, sequenced(2, 0, 0)))
	late := h.now.UnixMilli() + 1_000_000
	h.log.ExpireProducers(late, 1000)
	if p := h.log.Producers(); len(p) != 1 || p[0].ID != 1 {
		t.Errorf("producers %+v, want 1 alone", p)
	}
	if !h.log.Late(late, 999_999) || h.log.Late(late, 1_000_000) {
		t.Error("a transaction is late once it has been idle for longer than asked")
	}
	h.mark(Marker{ProducerID: 1})
	if h.log.Late(late, 0) {
		t.Error("an ended transaction is late")
	}
}

// redpanda#5355: a retry is answered from the producer's state, wherever the first batch is by now.
func TestRetryInATransactionIsAnsweredAfterItsRecordsAreGone(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b := batch(t, "x", 1, 2, transactional(1, 0, 0))
	again := slices.Clone(b)
	a, err := h.log.AppendVerified(b, h.log.BeginVerification(1, 0, 0, false))
	if err = errors.Join(err, a.Ticket.Wait(t.Context())); err != nil {
		t.Fatal(err)
	}
	h.mark(Marker{ProducerID: 1, Commit: true})
	if _, ticket, err := h.log.DeleteRecords(-1); errors.Join(err, ticket.Wait(t.Context())) != nil {
		t.Fatal(err)
	}
	// The transaction is over, and no verification is at hand: the batch is a repetition all the same.
	if a, err = h.log.Append(again); err != nil || !a.Duplicate || a.BaseOffset != 0 {
		t.Errorf("retry: %+v, %v", a, err)
	}
}

func TestCoordinatorsWriteTransactionalBatchesWithoutSequence(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for range 2 {
		a, err := h.log.AppendInternal(batch(t, "offset", 1, 1, transactional(1, 0, -1)))
		if err = errors.Join(err, a.Ticket.Wait(t.Context())); err != nil || a.Duplicate {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	h.wantStable(0)
	_, err := h.log.AppendInternalVerified(batch(t, "offset", 1, 1, transactional(2, 0, -1)), nil)
	wantCode(t, "without verification", err, kafka.InvalidTxnState)
	a, err := h.log.AppendInternal(record.BuildMarker(1, record.Producer{ID: 1}, record.Marker{CoordinatorEpoch: 1}))
	if err = errors.Join(err, a.Ticket.Wait(t.Context())); err != nil {
		t.Fatal(err)
	}
	h.wantStable(3)
	if r, _ := h.read(ReadRequest{MaxBytes: 1 << 20, Committed: true}); !slices.Equal(r.Aborted, []AbortedTxn{{1, 0}}) {
		t.Errorf("aborted %v", r.Aborted)
	}
}

func TestTimesAreLookedUpBelowTheLastStableOffset(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append(batch(t, "plain", 100, 1, nil))
	h.txn(1, 0, 0, 1) // at the clock's time, far above
	ctx := t.Context()
	if f, err := h.log.OffsetForTime(ctx, 200, true); err != nil || f.Offset != -1 {
		t.Errorf("time 200: %+v, %v, want none", f, err)
	}
	if f, err := h.log.OffsetForTime(ctx, 50, true); err != nil || f.Offset != 0 {
		t.Errorf("time 50: %+v, %v, want offset 0", f, err)
	}
	if f, err := h.log.MaxTimestamp(ctx, true); err != nil || f.Offset != -1 {
		t.Errorf("largest time: %+v, %v, want none: it is not decided yet", f, err)
	}
	h.now = h.now.Add(-1)
	h.mark(Marker{ProducerID: 1, Commit: true})
	if f, err := h.log.MaxTimestamp(ctx, true); err != nil || f.Offset != 1 {
		t.Errorf("largest time: %+v, %v, want offset 1", f, err)
	}
}
