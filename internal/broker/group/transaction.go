package group

import (
	"maps"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// Offsets in transactions (KIP-98, KIP-447). They are written at once, as records of the producer's transaction, and wait
// aside, by producer, until its marker stands in the partition: a commit makes them the group's offsets, an abort drops
// them. What waits is part of the durable layer, so it is there after a restart too.
//
// Of several offsets for a partition the one whose record stands last in the log wins, plain or from a committed
// transaction, whichever marker came first: a compaction of the log keeps just that record, and must not change what a
// replay makes of it. So a tombstone ends what waits as well, and an offset is not expired while another one waits.

// TxnBegin asks what is known of a producer's transaction. Its reply is a TxnBeginReply.
type TxnBegin struct{ Producer machine.Producer }

// TxnBeginReply answers TxnBegin. If Open, offsets wait in the partition already, and nobody has to be asked whether the
// transaction is open; otherwise Guard is for the TxnCommit that follows the question.
type TxnBeginReply struct {
	Open  bool
	Guard uint64
}

// TxnCommit stores offsets in the open transaction of a producer. Its reply is a CommitReply. That the transaction is open
// and the group part of it is the caller's to know; Guard, from before it asked, makes sure that no marker has ended
// the transaction meanwhile, for then the offsets would wait for ever. Versions before 3 of TxnOffsetCommit name no
// member: MemberID is empty and Generation negative then, and anybody may commit.
type TxnCommit struct {
	Group      string
	Guard      uint64
	Producer   machine.Producer
	MemberID   string
	InstanceID string
	Generation int32
	Offsets    []CommitOffset
}

// EndTransaction ends a producer's transaction in the shard's partition. Its reply is a kafka.Error: InvalidProducerEpoch
// or TransactionCoordinatorFenced for a marker that is older than what is known. The same marker again does nothing.
type EndTransaction struct{ Marker machine.Marker }

// producer is what the partition knows of a transactional producer.
type producer struct {
	epoch            int16
	coordinatorEpoch int32 // of the last marker, noCoordinatorEpoch if there was none
	// pending are the offsets of the open transaction by group; nil while none is open.
	pending map[string]offsets
	// markers counts the transactions that ended.
	markers uint64
	// heard is when the producer last wrote, as far as is known. It only decides when an idle one is forgotten, and is no
	// part of the durable layer.
	heard time.Time
}

const noCoordinatorEpoch int32 = -1

func (d *durable) producerOf(in machine.Producer) *producer {
	p := d.producers[in.ID]
	if p == nil {
		p = &producer{coordinatorEpoch: noCoordinatorEpoch}
		d.producers[in.ID] = p
	}
	p.epoch = in.Epoch
	return p
}

// stage puts the offset of a record aside until its transaction ends.
func (d *durable) stage(g *stored, r Record, in machine.Producer) {
	p := d.producerOf(in)
	if p.pending == nil {
		p.pending = map[string]offsets{}
	}
	if p.pending[r.Group] == nil {
		p.pending[r.Group] = offsets{}
	}
	p.pending[r.Group].put(r.Topic, r.Partition, d.place(r.Offset))
	if g.open == nil {
		g.open = map[int64]struct{}{}
	}
	g.open[in.ID] = struct{}{}
}

// unstage drops what waits for the partition of a tombstone.
func (d *durable) unstage(g *stored, r Record) {
	for id := range g.open {
		pending := d.producers[id].pending
		if pending[r.Group].remove(r.Topic, r.Partition); len(pending[r.Group]) == 0 {
			delete(pending, r.Group)
			delete(g.open, id)
		}
	}
}

// endTransaction applies a marker.
func (d *durable) endTransaction(m machine.Marker) {
	p := d.producerOf(m.Producer)
	p.coordinatorEpoch = m.CoordinatorEpoch
	p.markers++
	pending := p.pending
	p.pending = nil
	for id, staged := range pending {
		g := d.groups[id]
		delete(g.open, m.ID)
		if m.Commit {
			g.materialize(staged)
		}
		d.settle(id, g)
	}
}

// materialize makes offsets of a committed transaction the group's, but where a later record stands in the log.
func (g *stored) materialize(staged offsets) {
	for topic, partitions := range staged {
		for partition, o := range partitions {
			if o.at > g.offsets[topic][partition].at {
				g.put(topic, partition, o)
			}
		}
	}
}

// isPending tells whether an open transaction is about to change the offset.
func (d *durable) isPending(group, topic string, partition int32) bool {
	g := d.groups[group]
	if g == nil {
		return false
	}
	for id := range g.open {
		if _, ok := d.producers[id].pending[group][topic][partition]; ok {
			return true
		}
	}
	return false
}

// heardOfProducers lets the producers of a replay be forgotten like those that wrote just now.
func (d *durable) heardOfProducers(now time.Time) {
	for _, p := range d.producers {
		p.heard = now
	}
}

// forgetProducers drops what is known of producers that last wrote before the given time and have no open transaction.
func (d *durable) forgetProducers(before time.Time) {
	maps.DeleteFunc(d.producers, func(_ int64, p *producer) bool { return p.pending == nil && p.heard.Before(before) })
}

func (s *Shard) txnBegin(in machine.Producer) TxnBeginReply {
	p := s.durable.producers[in.ID]
	if p == nil {
		return TxnBeginReply{}
	}
	return TxnBeginReply{Open: p.pending != nil && p.epoch == in.Epoch, Guard: p.markers}
}

// txnCommit handles TxnOffsetCommit.
func (s *Shard) txnCommit(e *TxnCommit) CommitReply {
	if err := s.checkTxnCommit(e); err != kafka.None {
		return CommitReply{Err: err}
	}
	reply := CommitReply{Offsets: make([]kafka.Error, len(e.Offsets))}
	s.decision.Transaction = &e.Producer
	for i := range e.Offsets {
		if len(e.Offsets[i].Metadata) > s.options.MaxMetadataBytes {
			reply.Offsets[i] = kafka.OffsetMetadataTooLarge
			continue
		}
		s.emitOffset(e.Group, &e.Offsets[i], offsetrecord.NoTimestamp)
	}
	if p := s.durable.producers[e.Producer.ID]; p != nil {
		p.heard = s.now
	}
	return reply
}

// checkTxnCommit tells whether the committer may: a member of the current generation, or somebody who names no member. Unlike
// a plain commit it does not prolong a session, and is taken between JoinGroup and SyncGroup.
func (s *Shard) checkTxnCommit(e *TxnCommit) kafka.Error {
	if e.Group == "" {
		return kafka.InvalidGroupID
	}
	if p := s.durable.producers[e.Producer.ID]; p != nil {
		switch {
		case e.Producer.Epoch < p.epoch:
			return kafka.InvalidProducerEpoch
		case p.pending == nil && e.Guard != p.markers:
			return kafka.InvalidTxnState
		}
	}
	if s.options.Guests.Has(e.Group) {
		if e.MemberID == "" {
			return kafka.None
		}
		return s.checkGuest(e.Group, e.MemberID, e.Generation, e.Offsets)
	}
	if g := s.consumerOf(e.Group); g != nil {
		return g.checkCommit(&Commit{MemberID: e.MemberID, InstanceID: e.InstanceID, Generation: e.Generation, Offsets: e.Offsets}, true)
	}
	g := s.find(e.Group)
	switch {
	case g == nil && e.Generation < 0:
		return kafka.None
	case g == nil:
		return kafka.IllegalGeneration
	case e.Generation < 0 && (g.state == Empty || e.MemberID == "" && e.InstanceID == ""):
		return kafka.None
	}
	if _, err := g.check(e.MemberID, e.InstanceID); err != kafka.None {
		return err
	}
	if e.Generation != g.generation {
		return kafka.IllegalGeneration
	}
	return kafka.None
}

// endTransaction handles the end of a transaction.
func (s *Shard) endTransaction(m machine.Marker) kafka.Error {
	p := s.durable.producers[m.ID]
	switch {
	case p == nil:
	case m.Epoch < p.epoch:
		return kafka.InvalidProducerEpoch
	case m.CoordinatorEpoch < p.coordinatorEpoch:
		return kafka.TransactionCoordinatorFenced
	case p.pending == nil && m.Epoch == p.epoch && m.CoordinatorEpoch == p.coordinatorEpoch:
		// It was written before, and its answer got lost.
		return kafka.None
	}
	s.decision.Marker = &m
	groups := s.pendingGroups(m.ID)
	s.durable.endTransaction(m)
	s.durable.producers[m.ID].heard = s.now
	for _, id := range groups {
		s.settle(id)
	}
	return kafka.None
}

// pendingGroups returns the groups for which offsets of a producer wait.
func (s *Shard) pendingGroups(producer int64) []string {
	if p := s.durable.producers[producer]; p != nil {
		return slices.Sorted(maps.Keys(p.pending))
	}
	return nil
}
