package group

import (
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// Guests are groups of another kind whose members another machine of the partition keeps, and whose offsets are kept here.
type Guests interface {
	// Has says whether there is such a group.
	Has(group string) bool
	// Empty says whether the group has no members.
	Empty(group string) bool
	// Reads says whether members of the group read a topic.
	Reads(group, topic string) bool
	// CheckCommit says what is wrong with a commit or fetch of offsets by a member in an epoch, as a whole or, if of is not
	// nil, for one partition.
	CheckCommit(group, memberID string, epoch int32) (whole kafka.Error, of func(topic string, partition int32) kafka.Error)
}

// noGuests is the default of Options.Guests.
type noGuests struct{}

func (noGuests) Has(string) bool           { return false }
func (noGuests) Empty(string) bool         { return true }
func (noGuests) Reads(string, string) bool { return false }
func (noGuests) CheckCommit(string, string, int32) (kafka.Error, func(string, int32) kafka.Error) {
	return kafka.GroupIDNotFound, nil
}

// checkGuest tells whether a member of a guest may commit these offsets: all of them, or none.
func (s *Shard) checkGuest(group, memberID string, epoch int32, offsets []CommitOffset) kafka.Error {
	whole, of := s.options.Guests.CheckCommit(group, memberID, epoch)
	if whole != kafka.None || of == nil {
		return whole
	}
	for i := range offsets {
		if err := of(offsets[i].Topic, offsets[i].Partition); err != kafka.None {
			return err
		}
	}
	return kafka.None
}

// expireGuest deletes the offsets of a guest that were kept for long enough: those of topics that its members do not read,
// and all when it has no members.
func (s *Shard) expireGuest(id string, stored *stored) {
	guests := s.options.Guests
	s.emitTombstones(id, func(topic string, o *offsetrecord.Offset) bool {
		if !guests.Empty(id) && guests.Reads(id, topic) {
			return false
		}
		if o.ExpireTimestamp != offsetrecord.NoTimestamp {
			return s.now.UnixMilli() >= o.ExpireTimestamp
		}
		return !s.now.Before(time.UnixMilli(o.CommitTimestamp).Add(s.options.Retention))
	})
	if stored.metadata != nil { // of the classic group that was here before
		s.emitGroupTombstone(id)
	}
}

// HasOffsets says whether offsets are committed for a group, or wait for the end of a transaction.
func (m *Machine) HasOffsets(id string) bool {
	g := m.shard.durable.groups[id]
	return g != nil && len(g.offsets)+len(g.open) > 0
}

// Yield gives the name of a classic group without members up to a group of another kind, which inherits its offsets. It
// returns false, and does nothing, if the group is in use.
func (m *Machine) Yield(id string, now time.Time) (machine.Decision, bool) {
	s := m.shard
	if s.consumerOf(id) != nil {
		return machine.Decision{}, false
	}
	if g := s.find(id); g != nil && g.state != Empty {
		return machine.Decision{}, false
	}
	s.now, s.decision = now, Decision{}
	if g := s.live[id]; g != nil {
		for memberID, offer := range g.pending {
			s.stop(offer)
			delete(g.pending, memberID)
		}
		delete(s.live, id)
	}
	if stored := s.durable.groups[id]; stored != nil && stored.metadata != nil {
		s.emitGroupTombstone(id)
	}
	return encoded(s.take()), true
}
