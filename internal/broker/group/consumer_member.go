package group

import (
	"maps"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// consumerLive is the live layer of a consumer group: the clocks of its members, and up to which picture of the topics it
// was worked out.
type consumerLive struct {
	timers    map[consumerTimer]*machine.Alarm
	refreshed int64
	matched   int64 // of the regular expressions
	matchedAt time.Time
}

// consumerTimer names a clock of a member.
type consumerTimer struct {
	member string
	kind   timerKind
}

type timerKind int8

const (
	// sessionTimer ends the membership of a member that was not heard of.
	sessionTimer timerKind = iota
	// rebalanceTimer ends that of one that does not give up partitions.
	rebalanceTimer
	// joinTimer and syncTimer end that of a member of the classic protocol that does not come to a rebalance, or does not
	// fetch its assignment.
	joinTimer
	syncTimer
)

// noPicture is before the version of every picture of the topics.
const noPicture int64 = -2

func (s *Shard) consumerOf(group string) *consumerGroup {
	if stored := s.durable.groups[group]; stored != nil {
		return stored.consumer
	}
	return nil
}

func (s *Shard) consumerLive(group string) *consumerLive {
	l := s.consumers[group]
	if l == nil {
		l = &consumerLive{timers: map[consumerTimer]*machine.Alarm{}, refreshed: noPicture, matched: noPicture}
		s.consumers[group] = l
	}
	return l
}

// openConsumer returns the consumer group, which is made if need be: of nothing, or of a classic group. That this is
// allowed was checked.
func (s *Shard) openConsumer(group string) *consumerGroup {
	if g := s.consumerOf(group); g != nil {
		return g
	}
	s.upgrade(group)
	if g := s.consumerOf(group); g != nil {
		return g
	}
	return s.durable.openConsumer(group)
}

// setConsumerTimer starts a clock anew.
func (s *Shard) setConsumerTimer(group, member string, kind timerKind, after time.Duration) {
	live, key := s.consumerLive(group), consumerTimer{member, kind}
	a := live.timers[key]
	if a == nil {
		a = &machine.Alarm{}
		a.Fire = func() {
			delete(live.timers, key)
			s.consumerTimeout(group, member, kind)
		}
		live.timers[key] = a
	}
	s.alarms.Set(a, s.now.Add(after))
}

func (s *Shard) stopConsumerTimer(group, member string, kind timerKind) {
	live, key := s.consumerLive(group), consumerTimer{member, kind}
	if a := live.timers[key]; a != nil {
		s.stop(a)
		delete(live.timers, key)
	}
}

func (s *Shard) hasConsumerTimer(group, member string, kind timerKind) bool {
	return s.consumerLive(group).timers[consumerTimer{member, kind}] != nil
}

func (s *Shard) stopConsumerTimers(group, member string) {
	for _, kind := range []timerKind{sessionTimer, rebalanceTimer, joinTimer, syncTimer} {
		s.stopConsumerTimer(group, member, kind)
	}
}

func (s *Shard) startConsumerSession(group, member string, timeout time.Duration) {
	s.setConsumerTimer(group, member, sessionTimer, timeout)
}

func (s *Shard) consumerTimeout(group, member string, kind timerKind) {
	g := s.consumerOf(group)
	if g == nil || g.members[member] == nil {
		return
	}
	reasons := map[timerKind]string{
		sessionTimer: "its session ended", rebalanceTimer: "it did not give partitions up in time",
		joinTimer: "it did not join in time", syncTimer: "it did not sync in time",
	}
	s.fenceConsumer(group, g, g.members[member], reasons[kind])
}

// activateConsumers gives the members of all groups a whole session, after a replay.
func (s *Shard) activateConsumers() {
	for _, id := range slices.Sorted(maps.Keys(s.durable.groups)) {
		g := s.durable.groups[id].consumer
		if g == nil {
			continue
		}
		for _, m := range g.sorted() {
			session := s.options.ConsumerSessionTimeout
			if m.Classic != nil {
				session = m.classicSession()
			}
			s.startConsumerSession(id, m.id, session)
			if m.Classic == nil && m.state == memberUnrevoked {
				s.setConsumerTimer(id, m.id, rebalanceTimer, time.Duration(m.RebalanceTimeoutMillis)*time.Millisecond)
			}
		}
	}
}

// fenceConsumer takes a member out, for good or ill. It has to join again, with nothing.
func (s *Shard) fenceConsumer(group string, g *consumerGroup, m *consumerMember, reason string) {
	s.fenceConsumers(group, g, []*consumerMember{m}, reason)
}

func (s *Shard) fenceConsumers(group string, g *consumerGroup, members []*consumerMember, reason string) {
	if s.mayDowngrade(g, members, 0) {
		s.downgrade(group, g, members, reason)
		return
	}
	for _, m := range members {
		s.removeConsumer(group, m.id)
		s.stopConsumerTimers(group, m.id)
	}
	s.dropRegexes(group, g)
	s.bumpConsumer(group, g, s.topicsHash(g))
}

// removeConsumer deletes the records of a member.
func (s *Shard) removeConsumer(group, member string) {
	s.emit(Record{Kind: offsetrecord.KindConsumerCurrent, Group: group, Member: member})
	s.emit(Record{Kind: offsetrecord.KindConsumerTargetMember, Group: group, Member: member})
	s.emit(Record{Kind: offsetrecord.KindConsumerMember, Group: group, Member: member})
}

// replaceMember gives the place of a static member, with all that it has, to its new id. The new one is to be told of its
// partitions again, from epoch 0.
func (s *Shard) replaceMember(group string, g *consumerGroup, old *consumerMember, id string) {
	target := assignmentRecords(g.target[old.id])
	s.removeConsumer(group, old.id)
	s.stopConsumerTimers(group, old.id)
	s.emit(Record{Kind: offsetrecord.KindConsumerMember, Group: group, Member: id, Body: old.ConsumerMember})
	s.emit(Record{Kind: offsetrecord.KindConsumerTargetMember, Group: group, Member: id, Body: &offsetrecord.ConsumerAssignment{Topics: target}})
	s.emitCurrent(group, id, &consumerCurrent{epoch: 0, previous: 0, state: old.state, assigned: old.assigned, revoking: old.revoking})
}

// deleteConsumerRecords deletes what the log has of a consumer group but its offsets.
func (s *Shard) deleteConsumerRecords(group string, g *consumerGroup) {
	for _, m := range g.sorted() {
		s.removeConsumer(group, m.id)
		s.stopConsumerTimers(group, m.id)
	}
	for _, expression := range slices.Sorted(maps.Keys(g.regexes)) {
		s.emit(Record{Kind: offsetrecord.KindConsumerRegex, Group: group, Regex: expression})
	}
	s.emit(Record{Kind: offsetrecord.KindConsumerTarget, Group: group})
	if g.outdated {
		s.emit(Record{Kind: offsetrecord.KindConsumerPartitions, Group: group})
	}
	s.emit(Record{Kind: offsetrecord.KindConsumerGroup, Group: group})
	delete(s.consumers, group)
}
