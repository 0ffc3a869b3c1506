package share

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/sharerecord"
)

// Epochs of a heartbeat with a meaning of their own.
const (
	epochJoin  = 0
	epochLeave = -1
)

// checkHeartbeat tells whether the request makes sense by itself.
func checkHeartbeat(e *Heartbeat) error {
	switch {
	case strings.TrimSpace(e.Member) == "":
		return kafka.Errorf(kafka.InvalidRequest, "MemberId can't be empty.")
	case strings.TrimSpace(e.Group) == "":
		return kafka.Errorf(kafka.InvalidRequest, "GroupId can't be empty.")
	case e.RackID != nil && strings.TrimSpace(*e.RackID) == "":
		return kafka.Errorf(kafka.InvalidRequest, "RackId can't be empty.")
	case e.Epoch < epochLeave:
		return kafka.Errorf(kafka.InvalidRequest, "MemberEpoch is invalid.")
	case e.Epoch == epochJoin && len(e.Subscribed) == 0:
		return kafka.Errorf(kafka.InvalidRequest, "SubscribedTopicNames must be set in first request.")
	}
	return nil
}

func (g *Groups) heartbeat(e *Heartbeat) HeartbeatReply {
	if err := checkHeartbeat(e); err != nil {
		return HeartbeatReply{Err: err}
	}
	if e.Epoch == epochLeave {
		return g.leave(e)
	}
	s := g.groups[e.Group]
	if s == nil {
		if e.Epoch != epochJoin {
			return HeartbeatReply{Err: kafka.Errorf(kafka.GroupIDNotFound, "Share group %s not found.", e.Group)}
		}
		s = newGroup(e.Group)
	}
	m := s.members[e.Member]
	switch {
	case m == nil && len(s.members) >= g.options.MaxSize:
		return HeartbeatReply{Err: kafka.Errorf(kafka.GroupMaxSizeReached, "The share group has as many members as it may have: %d.", g.options.MaxSize)}
	case m == nil && e.Epoch != epochJoin:
		return HeartbeatReply{Err: unknownMember(e)}
	case e.Epoch != epochJoin:
		if err := checkEpoch(m, e.Epoch); err != nil {
			return HeartbeatReply{Err: err}
		}
	}
	return g.stay(s, m, e)
}

func unknownMember(e *Heartbeat) error {
	return kafka.Errorf(kafka.UnknownMemberID, "Member %s is not a member of group %s.", e.Member, e.Group)
}

// checkEpoch accepts the member's epoch and the one before, whose answer may have been lost.
func checkEpoch(m *member, epoch int32) error {
	switch {
	case epoch > m.epoch:
		return kafka.Errorf(kafka.FencedMemberEpoch, "The member epoch %d is beyond the member's, which is %d; the member has to join again.", epoch, m.epoch)
	case epoch < m.epoch && epoch != m.previous:
		return kafka.Errorf(kafka.FencedMemberEpoch, "The member epoch %d is neither the member's, which is %d, nor the one before, %d; the member has to join again.", epoch, m.epoch, m.previous)
	}
	return nil
}

func (g *Groups) leave(e *Heartbeat) HeartbeatReply {
	s := g.groups[e.Group]
	if s == nil {
		return HeartbeatReply{Err: notFound(e.Group)}
	}
	m := s.members[e.Member]
	if m == nil {
		return HeartbeatReply{Err: unknownMember(e)}
	}
	g.remove(s, m, "a member left")
	return HeartbeatReply{Epoch: epochLeave}
}

// remove takes a member out of its group.
func (g *Groups) remove(s *group, m *member, reason string) {
	g.emit(sharerecord.KindCurrent, s.id, m.id, nil)
	g.emit(sharerecord.KindTarget, s.id, m.id, nil)
	g.emit(sharerecord.KindMember, s.id, m.id, nil)
	hash := s.hash
	if len(s.members) == 0 {
		hash = 0
	}
	g.emit(sharerecord.KindEpoch, s.id, "", &sharerecord.Epoch{Epoch: s.epoch + 1, MetadataHash: hash})
	g.decision.Effects = append(g.decision.Effects, MemberLeft{Group: s.id, Member: m.id, Emptied: len(s.members) == 0})
	g.changed(s, reason)
}

// stay handles the heartbeat of a member, which is new where m is nil. Nothing of s may have been recorded yet.
func (g *Groups) stay(s *group, m *member, e *Heartbeat) HeartbeatReply {
	subscribed, changed := g.subscribe(s, m, e)
	s = g.groups[e.Group] // it is there now
	m = s.members[e.Member]
	bump := changed || s.epoch <= s.assignmentEpoch && s.unassigned()
	names := s.topics(m.id, m.info.SubscribedTopics)
	hash := metadataHash(names, e.Topics)
	if bump || hash != s.hash {
		g.emit(sharerecord.KindEpoch, s.id, "", &sharerecord.Epoch{Epoch: s.epoch + 1, MetadataHash: hash})
		g.changed(s, "members, subscriptions or topics have changed")
	}
	if s.epoch > s.assignmentEpoch && g.mayAssign(s, e.AssignmentInterval) {
		g.assign(s, e.Topics)
	}
	moved := g.reconcile(s, m, changed, e.Topics)
	g.sessions.set(s, m, g.now.Add(e.Session))
	g.initialize(s, names, e.Topics)
	reply := HeartbeatReply{Epoch: m.epoch}
	if e.Epoch == epochJoin || subscribed || moved {
		reply.HasAssignment, reply.Assignment = true, m.assigned
	}
	return reply
}

// subscribe records what the member says of itself. asked tells that the request was a full one, changed that other
// topics are read than before.
func (g *Groups) subscribe(s *group, m *member, e *Heartbeat) (asked, changed bool) {
	info := sharerecord.Member{ClientID: e.ClientID, ClientHost: e.ClientHost, RackID: e.RackID}
	var before []string
	if m != nil {
		before = m.info.SubscribedTopics
		if info.RackID == nil {
			info.RackID = m.info.RackID
		}
	}
	info.SubscribedTopics = before
	asked = e.Subscribed != nil
	if asked {
		info.SubscribedTopics = slices.Clone(e.Subscribed)
		slices.Sort(info.SubscribedTopics)
		info.SubscribedTopics = slices.Compact(info.SubscribedTopics)
	}
	changed = m == nil || !slices.Equal(before, info.SubscribedTopics)
	if m == nil || changed || m.info.ClientID != info.ClientID || m.info.ClientHost != info.ClientHost || !equalText(m.info.RackID, info.RackID) {
		g.emit(sharerecord.KindMember, s.id, e.Member, &info)
	}
	return asked, changed
}

func equalText(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// unassigned tells that there are partitions with a state that nobody has.
func (s *group) unassigned() bool {
	if len(s.members) == 0 {
		return false
	}
	read := map[string]bool{}
	for _, m := range s.members {
		for _, t := range m.info.SubscribedTopics {
			read[t] = true
		}
	}
	has := map[kafka.TopicID]map[int32]bool{}
	for _, target := range s.targets {
		for _, t := range target {
			if has[t.ID] == nil {
				has[t.ID] = map[int32]bool{}
			}
			for _, p := range t.Partitions {
				has[t.ID][p] = true
			}
		}
	}
	for id, p := range s.ready {
		if read[p.name] && slices.ContainsFunc(p.list, func(i int32) bool { return !has[id][i] }) {
			return true
		}
	}
	return false
}

// mayAssign tells whether the last assignment is old enough for another (KIP-1263).
func (g *Groups) mayAssign(s *group, interval time.Duration) bool {
	return s.assignedAt == 0 || !g.now.Before(time.UnixMilli(s.assignedAt).Add(interval))
}

// assign makes the assignment of the group's epoch.
func (g *Groups) assign(s *group, topics Topics) {
	target := assignSimple(s, topics)
	for _, id := range slices.Sorted(maps.Keys(s.members)) {
		if old, ok := s.targets[id]; !ok || !equalAssignments(old, target[id]) {
			g.emit(sharerecord.KindTarget, s.id, id, &sharerecord.Assignment{Topics: target[id]})
		}
	}
	g.emit(sharerecord.KindAssignmentEpoch, s.id, "", &sharerecord.AssignmentEpoch{Epoch: s.epoch, Timestamp: g.now.UnixMilli()})
}

func equalAssignments(a, b []TopicPartitions) bool {
	return slices.EqualFunc(a, b, func(a, b TopicPartitions) bool { return a.ID == b.ID && slices.Equal(a.Partitions, b.Partitions) })
}

// reconcile brings the member to the assignment, and tells whether that changed its partitions. A member that reads other
// topics than before gives up those that it reads no more even where the assignment is still to come.
func (g *Groups) reconcile(s *group, m *member, changed bool, topics Topics) (moved bool) {
	next := s.targets[m.id]
	if s.epoch > s.assignmentEpoch && changed {
		next = readOnly(next, m, topics)
	}
	if m.epoch == s.assignmentEpoch && !changed {
		return false
	}
	if m.epoch == s.assignmentEpoch && equalAssignments(m.assigned, next) {
		return false
	}
	moved = !equalAssignments(m.assigned, next)
	previous := max(m.epoch, 0)
	if m.epoch == s.assignmentEpoch {
		previous = max(m.previous, 0)
	}
	g.emit(sharerecord.KindCurrent, s.id, m.id, &sharerecord.Current{Epoch: s.assignmentEpoch, Previous: previous, Topics: next})
	return moved
}

// readOnly leaves the topics that the member reads.
func readOnly(target []TopicPartitions, m *member, topics Topics) []TopicPartitions {
	var out []TopicPartitions
	for _, name := range m.info.SubscribedTopics {
		id, _, ok := topics.Topic(name)
		if !ok {
			continue
		}
		if i := slices.IndexFunc(target, func(t TopicPartitions) bool { return t.ID == id }); i >= 0 {
			out = append(out, target[i])
		}
	}
	slices.SortFunc(out, func(a, b TopicPartitions) int { return sharerecord.CompareIDs(a.ID, b.ID) })
	return out
}

// initialize asks for the states of partitions that have none.
func (g *Groups) initialize(s *group, names []string, topics Topics) {
	var wanted []NamedPartitions
	for _, name := range names {
		id, n, ok := topics.Topic(name)
		if !ok {
			continue
		}
		var missing []int32
		for p := range n {
			if !s.ready[id].has(p) && !s.recent(id, p, g.now) {
				missing = append(missing, p)
			}
		}
		if len(missing) > 0 {
			wanted = append(wanted, NamedPartitions{ID: id, Name: name, Partitions: missing})
		}
	}
	if len(wanted) == 0 {
		return
	}
	g.emitPartitions(s, with(s.initializing, wanted), s.ready, s.deleting)
	for _, t := range wanted {
		s.initializing[t.ID].since = g.now
	}
	g.decision.Effects = append(g.decision.Effects, Initialize{Group: s.id, StateEpoch: s.epoch, Topics: wanted})
}

// recent tells that the state of a partition was asked for not long ago.
func (s *group) recent(id kafka.TopicID, p int32, now time.Time) bool {
	i := s.initializing[id]
	return i.has(p) && !i.since.IsZero() && now.Before(i.since.Add(initializeRetry))
}

func (p *partitions) has(partition int32) bool {
	if p == nil {
		return false
	}
	_, found := slices.BinarySearch(p.list, partition)
	return found
}
