package txn

import (
	"time"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

func (m *Machine) init(e *Init) InitReply {
	refuse := func(err kafka.Error) InitReply { return InitReply{Err: err, Producer: NoProducer} }
	timeout := time.Duration(e.TimeoutMillis) * time.Millisecond
	switch {
	case e.TransactionalID == "":
		return refuse(kafka.InvalidRequest)
	case timeout <= 0 || timeout > m.options.MaxTimeout:
		return refuse(kafka.InvalidTransactionTimeout)
	}
	t := m.ids[e.TransactionalID]
	if t == nil {
		return m.initNew(e)
	}
	switch {
	case t.State.Prepared():
		return refuse(kafka.ConcurrentTransactions)
	case e.Known != nil && e.Known.ID != t.ProducerID && (e.Known.ID != t.PreviousProducerID || !exhausted(e.Known.Epoch)):
		return refuse(kafka.ProducerFenced)
	case isOpen(t.State):
		if e.Known != nil && *e.Known != producerOf(t) {
			return refuse(kafka.ProducerFenced)
		}
		// The epoch that this takes is never given to anybody. The client asks again, and gets the one after it.
		m.fence(e.TransactionalID, t, "a producer begins anew")
		return refuse(kafka.ConcurrentTransactions)
	}
	return m.initExisting(e, t)
}

// initNew takes in an id of which nothing is known. A producer that brings an id and epoch comes from before the state
// was forgotten; it gets new ones.
func (m *Machine) initNew(e *Init) InitReply {
	if noID(e.NewProducerID) {
		return InitReply{Producer: NoProducer, NeedsProducerID: true}
	}
	t := &txnrecord.Transaction{
		ProducerID: e.NewProducerID, TimeoutMillis: e.TimeoutMillis, State: txnrecord.Empty, LastUpdate: m.now.UnixMilli(), Start: txnrecord.None,
		PreviousProducerID: e.NewProducerID, NextProducerID: txnrecord.None, LastProducerEpoch: txnrecord.None,
	}
	m.emit(e.TransactionalID, t, "a producer came in")
	return InitReply{Producer: producerOf(t)}
}

// initExisting gives the producer of an id without an open transaction the epoch that is next.
func (m *Machine) initExisting(e *Init, t *txnrecord.Transaction) InitReply {
	n := m.next(t)
	n.State, n.Partitions, n.Start, n.TimeoutMillis = txnrecord.Empty, nil, txnrecord.None, e.TimeoutMillis
	n.LastProducerEpoch = txnrecord.None
	reason := "a producer fenced those before it"
	switch {
	case e.Known == nil:
		n.ProducerEpoch++
	case *e.Known == producerOf(t):
		n.ProducerEpoch++
		n.LastProducerEpoch = e.Known.Epoch
		reason = "a producer goes on"
	case e.Known.Epoch == t.LastProducerEpoch:
		// It did not hear of the epoch that it was given, and gets the same again.
		n.PreviousProducerID, n.LastProducerEpoch = t.PreviousProducerID, t.LastProducerEpoch
		reason = "a producer asked again"
	default:
		return InitReply{Err: kafka.ProducerFenced, Producer: NoProducer}
	}
	if n.ProducerEpoch > kafka.MaxProducerEpoch || n.ProducerEpoch < 0 {
		if noID(e.NewProducerID) {
			return InitReply{Producer: NoProducer, NeedsProducerID: true}
		}
		n.ProducerID, n.ProducerEpoch, n.PreviousProducerID = e.NewProducerID, 0, t.ProducerID
		if e.Known != nil {
			n.LastProducerEpoch = e.Known.Epoch
		}
	}
	m.emit(e.TransactionalID, n, reason)
	return InitReply{Producer: producerOf(n)}
}
