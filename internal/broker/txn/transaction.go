package txn

import (
	"math"
	"slices"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

// versionBumps is the transaction version of clients that take an epoch with each transaction (KIP-890).
const versionBumps int16 = 2

func versionOf(bumps bool) int16 {
	if bumps {
		return versionBumps
	}
	return 0
}

func (m *Machine) add(e *AddPartitions) kafka.Error {
	t := m.ids[e.TransactionalID]
	switch {
	case e.TransactionalID == "":
		return kafka.InvalidRequest
	case t == nil:
		return kafka.InvalidProducerIDMapping
	case t.State.Prepared():
		// Before the rest: the producer may already know the id that it will have afterwards.
		return kafka.ConcurrentTransactions
	case t.ProducerID != e.Producer.ID:
		return kafka.InvalidProducerIDMapping
	case t.ProducerEpoch != e.Producer.Epoch:
		return kafka.ProducerFenced
	}
	n := m.next(t)
	if !isOpen(t.State) {
		n.Start, n.Partitions = n.LastUpdate, nil
	}
	n.State, n.ClientVersion, n.LastProducerEpoch = txnrecord.Ongoing, versionOf(e.Bumps), txnrecord.None
	n.Partitions = union(n.Partitions, e.Partitions)
	if isOpen(t.State) && len(n.Partitions) == len(t.Partitions) {
		return kafka.None
	}
	reason := "partitions joined"
	if !isOpen(t.State) {
		reason = "a transaction began"
	}
	m.emit(e.TransactionalID, n, reason)
	return kafka.None
}

// union returns a new sorted list of what is in a, which is sorted, or b.
func union(a, b []kafka.TopicPartition) []kafka.TopicPartition {
	all := slices.Concat(a, b)
	slices.SortFunc(all, kafka.TopicPartition.Compare)
	return slices.Compact(all)
}

func (m *Machine) verify(e *Verify) VerifyReply {
	t := m.ids[e.TransactionalID]
	switch {
	case e.TransactionalID == "":
		return VerifyReply{Err: kafka.InvalidRequest}
	case t == nil, t.ProducerID != e.Producer.ID:
		return VerifyReply{Err: kafka.InvalidProducerIDMapping}
	case t.ProducerEpoch != e.Producer.Epoch:
		return VerifyReply{Err: kafka.ProducerFenced}
	case t.State.Prepared():
		return VerifyReply{Err: kafka.ConcurrentTransactions}
	}
	reply := VerifyReply{Partitions: make([]kafka.Error, len(e.Partitions))}
	for i, tp := range e.Partitions {
		if _, found := slices.BinarySearchFunc(t.Partitions, tp, kafka.TopicPartition.Compare); !found {
			reply.Partitions[i] = kafka.TransactionAbortable
		}
	}
	return reply
}

func refuseEnd(err kafka.Error) EndReply { return EndReply{Err: err, Producer: NoProducer} }

func (m *Machine) end(e *End) EndReply {
	t := m.ids[e.TransactionalID]
	switch {
	case e.TransactionalID == "":
		return refuseEnd(kafka.InvalidRequest)
	case t == nil:
		return refuseEnd(kafka.InvalidProducerIDMapping)
	}
	// The alarm may be late: whether a commit counts depends on the time alone, not on which of the two is seen first.
	if e.Commit && isOpen(t.State) && !timesOut(t).After(m.now) {
		m.fence(e.TransactionalID, t, "transaction.timeout.ms is over")
		t = m.ids[e.TransactionalID]
	}
	if e.Bumps {
		return m.endBumping(e, t)
	}
	return m.endPlain(e, t)
}

// endPlain serves clients that keep their epoch. Nothing in the protocol tells their late EndTxn from one of the next
// transaction, once that has begun (KAFKA-17754); without one, it finds the outcome of the last. What is late because its
// client has given up on it does not come here (End.NeedsCaller).
func (m *Machine) endPlain(e *End, t *txnrecord.Transaction) EndReply {
	switch {
	case t.ProducerID != e.Producer.ID:
		return refuseEnd(kafka.InvalidProducerIDMapping)
	case t.ProducerEpoch != e.Producer.Epoch:
		return refuseEnd(kafka.ProducerFenced)
	case t.State.Prepared():
		return refuseEnd(kafka.ConcurrentTransactions)
	case isOpen(t.State):
		n := m.next(t)
		n.State, n.ClientVersion = preparedState(e.Commit), 0
		m.emit(e.TransactionalID, n, "the producer ended it")
		return EndReply{Producer: producerOf(n)}
	case t.State == completeState(e.Commit):
		return EndReply{Producer: producerOf(t)}
	}
	return refuseEnd(kafka.InvalidTxnState)
}

// endBumping serves clients that take an epoch with each transaction (KIP-890): the epoch tells a request that comes
// again, which finds the outcome, from one of the next transaction.
func (m *Machine) endBumping(e *End, t *txnrecord.Transaction) EndReply {
	if t.State.Prepared() {
		return refuseEnd(kafka.ConcurrentTransactions)
	}
	again := t.ClientVersion >= versionBumps && !isOpen(t.State) && t.State != txnrecord.Empty &&
		(t.ProducerID == e.Producer.ID && t.ProducerEpoch == e.Producer.Epoch+1 && t.ProducerEpoch <= kafka.MaxProducerEpoch ||
			t.PreviousProducerID == e.Producer.ID && e.Producer.Epoch == kafka.MaxProducerEpoch && t.ProducerEpoch == 0)
	switch {
	case again && t.State == completeState(e.Commit):
		return EndReply{Producer: producerOf(t)}
	case again && e.Commit:
		// The producer's own abort, or the coordinator's, which the producer has not heard of: fenced is what it can act on.
		return refuseEnd(kafka.ProducerFenced)
	case again:
		return refuseEnd(kafka.InvalidTxnState)
	case t.ProducerID != e.Producer.ID:
		return refuseEnd(kafka.InvalidProducerIDMapping)
	case t.ProducerEpoch != e.Producer.Epoch:
		return refuseEnd(kafka.ProducerFenced)
	case !isOpen(t.State) && e.Commit:
		return refuseEnd(kafka.InvalidTxnState)
	}
	n := m.next(t)
	n.State, n.ClientVersion, n.LastProducerEpoch = preparedState(e.Commit), versionBumps, t.ProducerEpoch
	goesOn := Producer{ID: t.ProducerID, Epoch: t.ProducerEpoch + 1}
	if exhausted(t.ProducerEpoch) {
		if noID(e.NewProducerID) {
			return EndReply{Producer: NoProducer, NeedsProducerID: true}
		}
		n.NextProducerID = e.NewProducerID
		goesOn = Producer{ID: e.NewProducerID}
	}
	n.ProducerEpoch++
	if isOpen(t.State) {
		m.emit(e.TransactionalID, n, "the producer ended it")
		return EndReply{Producer: goesOn}
	}
	// There is nothing to abort, and no marker to wait for.
	n.Start, n.Partitions = n.LastUpdate, nil
	m.emit(e.TransactionalID, n, "the producer aborted nothing")
	m.decision.Effects = nil
	m.complete(e.TransactionalID, n)
	return EndReply{Producer: goesOn}
}

// fence aborts an open transaction for the coordinator's own reasons, and takes an epoch, so that its producer is fenced
// here and by the markers.
func (m *Machine) fence(id string, t *txnrecord.Transaction, reason string) {
	n := m.next(t)
	n.State, n.ClientVersion, n.LastProducerEpoch = txnrecord.PrepareAbort, versionBumps, t.ProducerEpoch
	if n.ProducerEpoch < math.MaxInt16 {
		n.ProducerEpoch++
	}
	m.emit(id, n, reason)
}

// complete ends a prepared transaction.
func (m *Machine) complete(id string, t *txnrecord.Transaction) {
	n := m.next(t)
	n.State, n.Partitions = completeState(t.State == txnrecord.PrepareCommit), nil
	if t.NextProducerID != txnrecord.None {
		n.ProducerID, n.ProducerEpoch, n.NextProducerID = t.NextProducerID, 0, txnrecord.None
	}
	m.emit(id, n, "every partition has its marker")
}

func (m *Machine) markersWritten(e *MarkersWritten) kafka.Error {
	if t := m.ids[e.TransactionalID]; t != nil && t.State.Prepared() && producerOf(t) == e.Producer {
		m.complete(e.TransactionalID, t)
	}
	return kafka.None
}

func (m *Machine) pending(id string) *Complete {
	if t := m.ids[id]; t != nil && t.State.Prepared() {
		return completion(id, t)
	}
	return nil
}

func completion(id string, t *txnrecord.Transaction) *Complete {
	return &Complete{
		TransactionalID: id, Producer: producerOf(t), Commit: t.State == txnrecord.PrepareCommit, Partitions: t.Partitions,
		Bumps: t.ClientVersion >= versionBumps,
	}
}

func preparedState(commit bool) txnrecord.State {
	if commit {
		return txnrecord.PrepareCommit
	}
	return txnrecord.PrepareAbort
}

func completeState(commit bool) txnrecord.State {
	if commit {
		return txnrecord.CompleteCommit
	}
	return txnrecord.CompleteAbort
}
