package partition

import (
	"cmp"
	"math"
	"slices"

	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
)

// rememberedBatches is how many of its last batches a producer may send again and be answered as before (KIP-98: the
// idempotent client keeps at most five requests in flight).
const rememberedBatches = 5

// sentBatch is one remembered batch of a producer.
type sentBatch struct {
	firstSequence, lastSequence int32
	base, last                  int64
	timestamp                   int64
}

// producer is what the log knows of one producer id. batches are in order of sequence, the newest last.
type producer struct {
	epoch         int16
	lastTimestamp int64
	batches       []sentBatch
	// txnFirst is the first offset of the producer's open transaction, -1 if it has none.
	txnFirst int64
	// coordinatorEpoch is that of the last transaction marker, -1 if there was none.
	coordinatorEpoch int32
}

// producers maps producer ids to their state.
type producers map[int64]*producer

// duplicate returns the remembered batch that info repeats.
func (p producers) duplicate(info *wal.BatchInfo) (sentBatch, bool) {
	s := p[info.ProducerID]
	if s == nil || s.epoch != info.ProducerEpoch {
		return sentBatch{}, false
	}
	last := addSequence(info.BaseSequence, info.LastOffsetDelta)
	for _, b := range s.batches {
		if b.firstSequence == info.BaseSequence && b.lastSequence == last {
			return b, true
		}
	}
	return sentBatch{}, false
}

// checkEpoch refuses what comes from an older epoch than the producer has reached. One that is not known has reached none.
func (p producers) checkEpoch(info *wal.BatchInfo) error {
	s := p[info.ProducerID]
	if s == nil {
		s = &producer{epoch: kafka.NoProducerEpoch}
	}
	if info.ProducerID >= 0 && info.ProducerEpoch < s.epoch {
		return kafka.Errorf(kafka.InvalidProducerEpoch, "epoch %d of producer %d is smaller than the last seen epoch %d",
			info.ProducerEpoch, info.ProducerID, s.epoch)
	}
	return nil
}

// checkSequence says whether info, whose epoch is not too old, may follow what its producer sent before. An unknown producer
// may start at any sequence: its state may have expired, or its records may be gone. A new epoch starts at 0, and so does one
// of which only a marker is known.
func (p producers) checkSequence(info *wal.BatchInfo) error {
	s := p[info.ProducerID]
	if s == nil {
		return nil
	}
	if info.ProducerEpoch > s.epoch {
		if info.BaseSequence != 0 {
			return kafka.Errorf(kafka.OutOfOrderSequenceNumber, "producer %d starts epoch %d at sequence %d, not 0",
				info.ProducerID, info.ProducerEpoch, info.BaseSequence)
		}
		return nil
	}
	last := int32(-1)
	if n := len(s.batches); n > 0 {
		last = s.batches[n-1].lastSequence
	}
	if want := addSequence(last, 1); info.BaseSequence != want {
		return kafka.Errorf(kafka.OutOfOrderSequenceNumber, "producer %d at epoch %d: sequence %d follows %d",
			info.ProducerID, info.ProducerEpoch, info.BaseSequence, last)
	}
	return nil
}

// at returns the state of a producer, made or moved to epoch if it was not there.
func (p producers) at(id int64, epoch int16) *producer {
	s := p[id]
	if s == nil {
		s = &producer{epoch: epoch, txnFirst: -1, coordinatorEpoch: -1}
		p[id] = s
	}
	if epoch != s.epoch {
		s.epoch, s.batches = epoch, s.batches[:0]
	}
	return s
}

// apply remembers a batch of data that was appended. Coordinators write theirs without a sequence: nobody sends them again.
func (s *producer) apply(info *wal.BatchInfo) {
	s.lastTimestamp = info.MaxTimestamp
	if info.BaseSequence < 0 {
		return
	}
	if len(s.batches) == rememberedBatches {
		s.batches = slices.Delete(s.batches, 0, 1)
	}
	s.batches = append(s.batches, sentBatch{
		info.BaseSequence, addSequence(info.BaseSequence, info.LastOffsetDelta),
		info.BaseOffset, info.BaseOffset + int64(info.LastOffsetDelta), info.MaxTimestamp,
	})
}

// addSequence adds n to a sequence number, which wraps from MaxInt32 to 0.
func addSequence(s, n int32) int32 {
	if s > math.MaxInt32-n {
		return n - (math.MaxInt32 - s) - 1
	}
	return s + n
}

// ActiveProducer describes one producer for DescribeProducers.
type ActiveProducer struct {
	ID            int64
	Epoch         int16
	LastSequence  int32
	LastTimestamp int64
	// TxnFirstOffset is the first offset of the producer's open transaction, -1 if it has none.
	TxnFirstOffset int64
	// CoordinatorEpoch is that of the last transaction marker, -1 if there was none.
	CoordinatorEpoch int32
}

// Producers returns the producers that the log remembers, by id.
func (l *Log) Producers() []ActiveProducer {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]ActiveProducer, 0, len(l.producers))
	for id, p := range l.producers {
		a := ActiveProducer{
			ID: id, Epoch: p.epoch, LastSequence: -1, LastTimestamp: p.lastTimestamp, TxnFirstOffset: p.txnFirst, CoordinatorEpoch: p.coordinatorEpoch,
		}
		if n := len(p.batches); n > 0 {
			a.LastSequence = p.batches[n-1].lastSequence
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b ActiveProducer) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// ExpireProducers forgets the producers whose last batch is older than expiryMs at nowMs (producer.id.expiration.ms), but not
// those with an open transaction, and the verifications that nothing came of.
func (l *Log) ExpireProducers(nowMs, expiryMs int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, p := range l.producers {
		if p.txnFirst < 0 && nowMs-p.lastTimestamp >= expiryMs {
			delete(l.producers, id)
		}
	}
	for id, v := range l.verifications {
		if nowMs-v.begun >= expiryMs {
			delete(l.verifications, id)
		}
	}
}
