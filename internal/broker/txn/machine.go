package txn

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

// Machine is the state of all transactional ids of one partition of __transaction_state. It is a machine.Machine.
type Machine struct {
	options Options
	// ids are never changed in place: what was handed out stays as it was.
	ids       map[string]*txnrecord.Transaction
	deadlines deadlines
	cleanup   time.Time

	// now and decision belong to the event that is being handled.
	now      time.Time
	decision machine.Decision
}

// NewMachine returns a machine that knows no id. Replay its log, then Activate it.
func NewMachine(options Options) *Machine {
	return &Machine{options: options.withDefaults(), ids: map[string]*txnrecord.Transaction{}, deadlines: deadlines{queued: map[string]time.Time{}}}
}

// Replay applies one record of the partition.
func (m *Machine) Replay(r machine.Record, _ *machine.Producer) error {
	decoded, err := txnrecord.Decode(r.Key, r.Value)
	if errors.Is(err, txnrecord.ErrUnknownKind) {
		return fmt.Errorf("%w: %w", machine.ErrUnknownKind, err)
	}
	if err != nil {
		return err
	}
	m.apply(decoded)
	return nil
}

// apply is the one place where state changes.
func (m *Machine) apply(r txnrecord.Record) {
	if r.Transaction == nil || r.Transaction.State == txnrecord.Dead {
		delete(m.ids, r.TransactionalID)
		return
	}
	m.ids[r.TransactionalID] = r.Transaction
}

// ReplayMarker does nothing: no transaction has records in this topic.
func (m *Machine) ReplayMarker(machine.Marker) {}

// Activate ends the replay. Markers of what was prepared are asked for, and open transactions get their time-outs.
func (m *Machine) Activate(now time.Time) machine.Decision {
	m.now, m.decision = now, machine.Decision{}
	for _, id := range slices.Sorted(maps.Keys(m.ids)) {
		m.watch(id, m.ids[id])
	}
	m.cleanup = now.Add(m.options.CleanupInterval)
	return m.take()
}

// NextAlarm returns when Tick is to be handled, at the latest.
func (m *Machine) NextAlarm() time.Time {
	if at, ok := m.deadlines.next(); ok && at.Before(m.cleanup) {
		return at
	}
	return m.cleanup
}

// Handle decides what event means at time now. An event of a type that is not this package's own is a fault of the caller
// and panics.
func (m *Machine) Handle(id machine.RequestID, event any, now time.Time) machine.Decision {
	m.now, m.decision = now, machine.Decision{}
	var reply any
	switch e := event.(type) {
	case Init:
		reply = m.init(&e)
	case AddPartitions:
		reply = m.add(&e)
	case Verify:
		reply = m.verify(&e)
	case End:
		reply = m.end(&e)
	case MarkersWritten:
		reply = m.markersWritten(&e)
	case Pending:
		reply = m.pending(e.TransactionalID)
	case Describe:
		reply = m.ids[e.TransactionalID]
	case List:
		reply = m.list()
	case machine.Tick:
		m.tick()
	default:
		panic(fmt.Sprintf("txn: event of unknown type %T", e))
	}
	if id != machine.NoRequest {
		m.decision.Replies = append(m.decision.Replies, machine.Reply{Request: id, Body: reply})
	}
	return m.take()
}

func (m *Machine) take() machine.Decision {
	d := m.decision
	m.decision = machine.Decision{}
	return d
}

// emit makes t the state of id: by a record, and at once by what a replay of that will do.
func (m *Machine) emit(id string, t *txnrecord.Transaction, reason string) {
	r := txnrecord.Record{TransactionalID: id, Transaction: t}
	m.decision.Records = append(m.decision.Records, machine.Record{Key: r.AppendKey(nil), Value: r.Value()})
	m.apply(r)
	if t == nil {
		m.decision.Changes = append(m.decision.Changes, machine.Change{Name: id, State: txnrecord.Dead.String(), Reason: reason})
		return
	}
	m.decision.Changes = append(m.decision.Changes, machine.Change{
		Name: id, State: t.State.String(), Epoch: int32(t.ProducerEpoch), Members: len(t.Partitions), Reason: reason,
	})
	m.watch(id, t)
}

// watch sees to what has to happen to t without anybody asking for it.
func (m *Machine) watch(id string, t *txnrecord.Transaction) {
	switch {
	case isOpen(t.State):
		m.deadlines.add(id, timesOut(t))
	case t.State.Prepared():
		m.decision.Effects = append(m.decision.Effects, *completion(id, t))
	}
}

// isOpen says whether partitions may still join. Kafka has no record of a PrepareEpochFence; one would be an open transaction.
func isOpen(s txnrecord.State) bool {
	return s == txnrecord.Ongoing || s == txnrecord.PrepareEpochFence
}

func timesOut(t *txnrecord.Transaction) time.Time {
	return time.UnixMilli(t.Start).Add(time.Duration(t.TimeoutMillis) * time.Millisecond)
}

// next returns a copy of t to be changed into the state that follows it.
func (m *Machine) next(t *txnrecord.Transaction) *txnrecord.Transaction {
	n := *t
	n.PreviousProducerID = t.ProducerID
	n.LastUpdate = m.now.UnixMilli()
	return &n
}

func producerOf(t *txnrecord.Transaction) Producer {
	return Producer{ID: t.ProducerID, Epoch: t.ProducerEpoch}
}

func (m *Machine) list() []Listing {
	all := make([]Listing, 0, len(m.ids))
	for _, id := range slices.Sorted(maps.Keys(m.ids)) {
		all = append(all, Listing{id, m.ids[id]})
	}
	return all
}

// tick aborts transactions whose time is over, and at intervals forgets ids that nobody has used for long.
func (m *Machine) tick() {
	for {
		id, ok := m.deadlines.pop(m.now)
		if !ok {
			break
		}
		t := m.ids[id]
		switch {
		case t == nil || !isOpen(t.State):
		case timesOut(t).After(m.now):
			m.deadlines.add(id, timesOut(t))
		default:
			m.fence(id, t, "transaction.timeout.ms is over")
		}
	}
	if m.now.Before(m.cleanup) {
		return
	}
	m.cleanup = m.now.Add(m.options.CleanupInterval)
	oldest := m.now.Add(-m.options.Expiration).UnixMilli()
	for _, id := range slices.Sorted(maps.Keys(m.ids)) {
		if t := m.ids[id]; !isOpen(t.State) && !t.State.Prepared() && t.LastUpdate <= oldest {
			m.emit(id, nil, "not used for transactional.id.expiration.ms")
		}
	}
}

var _ machine.Machine = (*Machine)(nil)

// noID says that no producer id was brought along.
func noID(id int64) bool { return id == txnrecord.None }

// exhausted says whether the producer's next epoch is to be the first of another id.
func exhausted(epoch int16) bool { return epoch >= kafka.MaxProducerEpoch }
