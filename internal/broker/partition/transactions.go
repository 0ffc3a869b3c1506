package partition

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// openTransaction is a transaction without a marker yet.
type openTransaction struct{ producerID, first int64 }

// closingTransaction is one whose marker, at last, is not durable yet: until it is, the last stable offset stays before it.
type closingTransaction struct{ first, last int64 }

// lastStableLocked is the offset below which every transaction is decided: the first offset of the oldest open one, or the high
// watermark. Like the high watermark it never goes back: transactions begin at the log end, and end before they are forgotten.
func (l *Log) lastStableLocked() int64 {
	lso := l.highWatermark
	if len(l.ongoing) > 0 {
		lso = min(lso, l.ongoing[0].first)
	}
	if len(l.closing) > 0 {
		lso = min(lso, l.closing[0].first)
	}
	return max(lso, l.logStart)
}

// HasOpenTransaction says whether the producer has a transaction open in this log, in this very epoch: its batches need no
// verification then.
func (l *Log) HasOpenTransaction(producerID int64, epoch int16) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hasOpenLocked(producerID, epoch)
}

func (l *Log) hasOpenLocked(producerID int64, epoch int16) bool {
	s := l.producers[producerID]
	return s != nil && s.txnFirst >= 0 && s.epoch == epoch
}

// Late says whether the oldest open transaction has had no batch for longer than afterMs at nowMs. By the time of its records,
// as Kafka has it.
func (l *Log) Late(nowMs, afterMs int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ongoing) == 0 {
		return false
	}
	t := l.producers[l.ongoing[0].producerID].lastTimestamp
	return t > 0 && nowMs-t > afterMs
}

// Verification is what stands for a transaction in a log between the question to its coordinator and its first batch (KIP-890).
// A marker that comes between ends it, so that the batch, of which nobody knows any more, is refused instead of opening a
// transaction that nobody will end. It is not kept over a restart.
type Verification struct {
	epoch          int16
	lowestSequence int32
	fromZero       bool
	begun          int64 // ms
}

// verificationsMax bounds the verifications of a log. Past it any one is given up; who holds it is refused and aborts.
const verificationsMax = 1000

// BeginVerification is called before a coordinator is asked whether the producer's transaction holds this partition. It returns
// nil if the log knows that already: a transaction is open. sequence is that of the batch to come: what was seen first must be
// written first, or a retry of it would be out of order for ever. With fromZero a producer of which nothing is known must start
// at sequence 0, which producers of transaction version 2 do.
func (l *Log) BeginVerification(producerID int64, epoch int16, sequence int32, fromZero bool) *Verification {
	now := l.env.Now().UnixMilli()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hasOpenLocked(producerID, epoch) {
		return nil
	}
	v := l.verifications[producerID]
	if v == nil {
		v = &Verification{epoch: epoch, lowestSequence: sequence, fromZero: fromZero, begun: now}
		if l.verifications == nil {
			l.verifications = map[int64]*Verification{}
		}
		for id := range l.verifications {
			if len(l.verifications) < verificationsMax {
				break
			}
			delete(l.verifications, id)
		}
		l.verifications[producerID] = v
	}
	switch {
	case epoch == v.epoch:
		v.lowestSequence = min(v.lowestSequence, sequence)
	case epoch > v.epoch:
		v.epoch, v.lowestSequence = epoch, sequence
	}
	return v
}

// Verifying says whether v, which may not be nil, still stands: no marker has ended it, and it was not given up.
func (l *Log) Verifying(producerID int64, v *Verification) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.verifications[producerID] == v
}

// Marker ends a transaction of a producer in one partition.
type Marker struct {
	ProducerID    int64
	ProducerEpoch int16
	// CoordinatorEpoch is the leader epoch of the partition of __transaction_state that the marker comes from.
	CoordinatorEpoch int32
	Commit           bool
	// Version is the transaction's (KIP-890). From 2 on a marker carries an epoch higher than its transaction's batches, so that
	// one that comes late cannot end the next transaction.
	Version int8
}

// epochBumpVersion is the transaction version from which markers carry a new epoch.
const epochBumpVersion = 2

// AppendMarker writes a transaction marker and ends the producer's transaction, if it has one here. A marker of version 2 that was
// written before, by the same coordinator, is answered with Duplicate and is not written again; its BaseOffset is -1.
//
// Errors: InvalidProducerEpoch for the marker of an earlier transaction, TransactionCoordinatorFenced for that of a coordinator
// which another one has followed, InvalidRequest for a negative producer or epoch, ErrClosed, and wal.ErrNoSpace, which is worth a retry.
func (l *Log) AppendMarker(m Marker) (Appended, error) {
	if m.ProducerID < 0 || m.ProducerEpoch < 0 {
		return Appended{}, kafka.Errorf(kafka.InvalidRequest, "marker of epoch %d for producer %d, neither may be negative", m.ProducerEpoch, m.ProducerID)
	}
	r := record.Marker{Commit: m.Commit, CoordinatorEpoch: m.CoordinatorEpoch}
	now := l.env.Now().UnixMilli()
	b := record.BuildMarker(now, record.Producer{ID: m.ProducerID, Epoch: m.ProducerEpoch}, r)
	c := l.config.Load()
	a := Appended{LogAppendTime: -1}
	if c.LogAppendTime {
		a.LogAppendTime = now
		record.PatchLogAppendTime(b, now)
	}
	h, err := record.ParseHeader(b)
	if err != nil {
		return Appended{}, err
	}
	info := infoOf(&h)
	markInfo(&info, r)
	written, err := l.append(b, info, c, origin{trusted: true, version: m.Version})
	if err == nil && !written.Duplicate {
		written.LogAppendTime = a.LogAppendTime
	}
	return written, err
}

// checkProducerLocked says whether a batch of a producer may be appended. done means that it need not be: a is the answer.
// The order of the checks is Kafka's: what a producer of an old epoch hears is that, whatever else is wrong.
func (l *Log) checkProducerLocked(info *wal.BatchInfo, o *origin) (a Appended, done bool, err error) {
	if info.Attributes&record.AttributeControl != 0 {
		return l.checkMarkerLocked(info, o)
	}
	if o.client {
		if d, ok := l.producers.duplicate(info); ok {
			a, err = l.duplicateLocked(d)
			return a, true, err
		}
	}
	if err := l.producers.checkEpoch(info); err != nil {
		return a, false, err
	}
	transactional := info.Attributes&record.AttributeTransactional != 0
	v := l.verifications[info.ProducerID]
	if transactional && !o.trusted && !l.hasOpenLocked(info.ProducerID, info.ProducerEpoch) && (v == nil || v != o.verification) {
		return a, false, kafka.Errorf(kafka.InvalidTxnState, "the batch is not part of an open transaction of producer %d", info.ProducerID)
	}
	if o.client {
		if err := l.checkVerifiedSequenceLocked(info, v); err != nil {
			return a, false, err
		}
		if err := l.producers.checkSequence(info); err != nil {
			return a, false, err
		}
	}
	if s := l.producers[info.ProducerID]; s != nil && s.txnFirst >= 0 && !transactional {
		return a, false, kafka.Errorf(kafka.InvalidTxnState, "producer %d has a transaction open since offset %d, the batch is not part of it",
			info.ProducerID, s.txnFirst)
	}
	return a, false, nil
}

func (l *Log) checkVerifiedSequenceLocked(info *wal.BatchInfo, v *Verification) error {
	if v == nil {
		return nil
	}
	s := l.producers[info.ProducerID]
	if v.fromZero && info.BaseSequence != 0 && (s == nil || len(s.batches) == 0) {
		return kafka.Errorf(kafka.OutOfOrderSequenceNumber, "producer %d, of which nothing is known, starts at sequence %d, not 0",
			info.ProducerID, info.BaseSequence)
	}
	if info.BaseSequence > v.lowestSequence {
		return kafka.Errorf(kafka.OutOfOrderSequenceNumber, "producer %d sends sequence %d before %d, which was seen before it",
			info.ProducerID, info.BaseSequence, v.lowestSequence)
	}
	return nil
}

func (l *Log) checkMarkerLocked(info *wal.BatchInfo, o *origin) (a Appended, done bool, err error) {
	s := l.producers[info.ProducerID]
	if s == nil {
		// No coordinator has been here, which counts as one of the epoch -1.
		s = &producer{epoch: info.ProducerEpoch, txnFirst: -1, coordinatorEpoch: -1}
		o = &origin{}
	}
	again := false
	stale := info.ProducerEpoch < s.epoch
	if o.version >= epochBumpVersion && info.ProducerEpoch == s.epoch {
		// Either this very marker was here before, or it ends the transaction before the open one. The last of all epochs
		// cannot be raised any more: there a marker has its transaction's.
		again = s.txnFirst < 0
		stale = !again && s.epoch != math.MaxInt16
	}
	switch {
	case stale:
		return a, false, kafka.Errorf(kafka.InvalidProducerEpoch, "marker of epoch %d for producer %d, which has reached epoch %d",
			info.ProducerEpoch, info.ProducerID, s.epoch)
	case info.CoordinatorEpoch < s.coordinatorEpoch:
		return a, false, kafka.Errorf(kafka.TransactionCoordinatorFenced, "marker of coordinator epoch %d for producer %d, which has had one of %d",
			info.CoordinatorEpoch, info.ProducerID, s.coordinatorEpoch)
	case again && info.CoordinatorEpoch == s.coordinatorEpoch:
		// The first one may still be in flight.
		return Appended{BaseOffset: -1, LogAppendTime: -1, LogStartOffset: l.logStart, Duplicate: true, Ticket: l.env.WAL.Barrier()}, true, nil
	}
	return a, false, nil
}

// applyProducerLocked is what a batch changes in the state of its producer and in its transaction.
func (l *Log) applyProducerLocked(info *wal.BatchInfo) {
	if l.producers == nil {
		l.producers = producers{}
	}
	s := l.producers.at(info.ProducerID, info.ProducerEpoch)
	if info.Attributes&record.AttributeControl != 0 {
		s.lastTimestamp, s.coordinatorEpoch = info.MaxTimestamp, info.CoordinatorEpoch
		delete(l.verifications, info.ProducerID)
		l.endTransactionLocked(s, info)
		return
	}
	s.apply(info)
	if info.Attributes&record.AttributeTransactional == 0 {
		return
	}
	delete(l.verifications, info.ProducerID)
	if s.txnFirst < 0 {
		s.txnFirst = info.BaseOffset
		l.ongoing = append(l.ongoing, openTransaction{info.ProducerID, info.BaseOffset})
	}
}

func (l *Log) endTransactionLocked(s *producer, info *wal.BatchInfo) {
	if s.txnFirst < 0 {
		return
	}
	t := closingTransaction{s.txnFirst, info.BaseOffset}
	s.txnFirst = -1
	i := sort.Search(len(l.ongoing), func(i int) bool { return l.ongoing[i].first >= t.first })
	l.ongoing = slices.Delete(l.ongoing, i, i+1)
	i = sort.Search(len(l.closing), func(i int) bool { return l.closing[i].first > t.first })
	l.closing = slices.Insert(l.closing, i, t)
	if info.ControlType != wal.ControlTypeAbort {
		return
	}
	a := segment.AbortedTxn{ProducerID: info.ProducerID, FirstOffset: t.first, LastOffset: t.last, LastStableOffset: t.last + 1}
	if len(l.ongoing) > 0 {
		a.LastStableOffset = l.ongoing[0].first
	}
	l.aborted = append(l.aborted, a)
	l.env.extents.Add(1)
}

// raiseHighWatermarkLocked moves the high watermark up, and with it what waits for markers to be durable.
func (l *Log) raiseHighWatermarkLocked(offset int64) {
	l.highWatermark = offset
	if len(l.closing) > 0 {
		l.closing = slices.DeleteFunc(l.closing, func(t closingTransaction) bool { return t.last < offset })
	}
}

// restoreOpenLocked finds the open transactions in the state of the producers.
func (l *Log) restoreOpenLocked() {
	for id, s := range l.producers {
		if s.txnFirst >= 0 {
			l.ongoing = append(l.ongoing, openTransaction{id, s.txnFirst})
		}
	}
	slices.SortFunc(l.ongoing, func(a, b openTransaction) int { return cmp.Compare(a.first, b.first) })
}
