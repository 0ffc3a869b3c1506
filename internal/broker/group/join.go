package group

import (
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
)

// join handles JoinGroup. The reply is sent at once only on an error, for a member id that is to be used in the next
// request, and for a member that changes nothing in a group that has its generation.
func (s *Shard) join(id RequestID, e *Join) {
	switch {
	case e.Group == "":
		s.replyJoinError(id, e.MemberID, kafka.InvalidGroupID)
		return
	case e.SessionTimeout < s.options.MinSessionTimeout || e.SessionTimeout > s.options.MaxSessionTimeout:
		s.replyJoinError(id, e.MemberID, kafka.InvalidSessionTimeout)
		return
	}
	s.see(e.Picture)
	if consumer := s.consumerOf(e.Group); consumer != nil {
		if len(consumer.members) > 0 {
			s.joinConsumer(id, e, consumer)
			return
		}
		s.deleteConsumerRecords(e.Group, consumer)
	}
	g := s.find(e.Group)
	if g == nil {
		if e.MemberID != "" {
			s.replyJoinError(id, e.MemberID, kafka.UnknownMemberID)
			return
		}
		g = s.open(e.Group)
	}
	switch {
	case !s.hasRoom(g, e.MemberID):
		if m := g.byID[e.MemberID]; m != nil {
			s.drop(g, m)
			s.maybeCompleteJoin(g)
		}
		s.replyJoinError(id, "", kafka.GroupMaxSizeReached)
	case !g.accepts(e.ProtocolType, e.Protocols):
		s.replyJoinError(id, e.MemberID, kafka.InconsistentGroupProtocol)
	case e.MemberID == "" && e.InstanceID != "":
		s.joinStatic(id, e, g)
	case e.MemberID == "":
		s.joinNew(id, e, g)
	case g.pending[e.MemberID] != nil && e.InstanceID == "":
		s.addMember(id, e, g, e.MemberID)
	default:
		s.rejoin(id, e, g)
	}
}

// hasRoom applies group.max.size. During a rebalance only those count who came back.
func (s *Shard) hasRoom(g *live, memberID string) bool {
	m := g.byID[memberID]
	switch g.state {
	case PreparingRebalance:
		return m != nil && m.joining != NoRequest || g.joining < s.options.MaxSize
	case CompletingRebalance, Stable:
		return m != nil || len(g.members) < s.options.MaxSize
	default:
		return true
	}
}

// joinNew handles the first request of a dynamic member.
func (s *Shard) joinNew(id RequestID, e *Join, g *live) {
	if !e.RequireKnownMember {
		s.addMember(id, e, g, e.NewMemberID)
		return
	}
	if len(g.pending) >= maxPendingMembers {
		s.replyJoinError(id, "", kafka.GroupMaxSizeReached)
		return
	}
	offer := &machine.Alarm{Fire: func() {
		delete(g.pending, e.NewMemberID)
		s.maybeCompleteJoin(g)
		s.settle(g.id)
	}}
	if g.pending == nil {
		g.pending = map[string]*machine.Alarm{}
	}
	g.pending[e.NewMemberID] = offer
	s.alarms.Set(offer, s.now.Add(e.SessionTimeout))
	s.replyJoinError(id, e.NewMemberID, kafka.MemberIDRequired)
}

// joinStatic handles a static member that does not know an id: it is new, or it started again.
func (s *Shard) joinStatic(id RequestID, e *Join, g *live) {
	m := g.static[e.InstanceID]
	if m == nil {
		s.addMember(id, e, g, e.NewMemberID)
		return
	}
	leader := g.leader
	s.releaseRequests(m, kafka.FencedInstanceID)
	s.setJoining(g, m, id)
	g.rename(m, e.NewMemberID)
	s.update(g, m, e)
	switch g.state {
	case Stable:
		if g.elect() != g.protocol {
			s.prepareRebalance(g, "a static member came back with other protocols")
			return
		}
		// The group goes on as it was; only the member's id is another one.
		g.updateSubscribed()
		s.emitMetadata(g)
		reply := g.joinReply(m)
		reply.SkipAssignment = m.id == g.leader
		if !e.CanSkipAssignment {
			// A leader that does not know to skip the assignment must not make one: the group is Stable, so the
			// others would never see it. It is told the id that the leader had before.
			reply.SkipAssignment, reply.Members, reply.Leader = false, nil, leader
		}
		s.setJoining(g, m, NoRequest)
		s.startSession(g, m)
		s.reply(id, reply)
	case CompletingRebalance:
		s.prepareRebalance(g, "a static member came back during the rebalance")
	default:
		s.maybeCompleteJoin(g)
	}
}

// rejoin handles a member that has an id.
func (s *Shard) rejoin(id RequestID, e *Join, g *live) {
	m, err := g.check(e.MemberID, e.InstanceID)
	if err != kafka.None {
		s.replyJoinError(id, e.MemberID, err)
		return
	}
	changed := !m.matches(e.Protocols)
	switch {
	case g.state == CompletingRebalance && !changed:
		// Its answer got lost: it gets the same again.
		s.heard(g, m)
		s.reply(id, g.joinReply(m))
		return
	case g.state == Stable && !changed && m.id != g.leader:
		// A follower that changes nothing needs no rebalance. The leader asks for one by joining: it may have seen a
		// change of its topics.
		s.startSession(g, m)
		s.reply(id, g.joinReply(m))
		return
	}
	// An earlier request of the same member, from a connection that it gave up, will not be the one that joins.
	s.releaseRequests(m, kafka.RebalanceInProgress)
	s.setJoining(g, m, id)
	s.update(g, m, e)
	s.rebalanceOrComplete(g, rejoinReason(m.id == g.leader, e.Reason))
}

func rejoinReason(isLeader bool, reason string) string {
	text := "a member came back with other metadata"
	if isLeader {
		text = "the leader came back"
	}
	return withReason(text, reason)
}

// withReason adds what the client said.
func withReason(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + reason
}

// addMember takes a member in that is waiting with its request.
func (s *Shard) addMember(id RequestID, e *Join, g *live, memberID string) {
	if offer := g.pending[memberID]; offer != nil {
		s.stop(offer)
		delete(g.pending, memberID)
	}
	m := &member{
		id:         memberID,
		instanceID: e.InstanceID,
		clientID:   e.ClientID,
		clientHost: e.ClientHost,
		session:    e.SessionTimeout,
		rebalance:  e.RebalanceTimeout,
		protocols:  e.Protocols,
		isNew:      true,
	}
	if len(g.members) == 0 {
		g.protocolType = e.ProtocolType
	}
	g.add(m)
	s.setJoining(g, m, id)
	s.setExpiry(g, m, newMemberJoinTimeout)
	if g.state == PreparingRebalance && g.initial {
		g.newcomers = true
	}
	s.rebalanceOrComplete(g, "a member came in")
}

// update takes over what a member's new request says of it. The client id and host stay those of its first one, even
// for a static member that started again elsewhere: tools show them so for Kafka.
func (s *Shard) update(g *live, m *member, e *Join) {
	g.setProtocols(m, e.Protocols)
	m.session, m.rebalance = e.SessionTimeout, e.RebalanceTimeout
}

// setJoining notes the request with which m waits for the join phase to end. While one does m's session rests, but for
// a new member, whose wait is limited.
func (s *Shard) setJoining(g *live, m *member, id RequestID) {
	switch {
	case m.joining == NoRequest && id != NoRequest:
		g.joining++
	case m.joining != NoRequest && id == NoRequest:
		g.joining--
	}
	m.joining = id
	if id != NoRequest && !m.isNew {
		s.stop(&m.expiry)
	}
}

// releaseRequests answers what m waits for with an error. It leaves the count of joining members to setJoining.
func (s *Shard) releaseRequests(m *member, err kafka.Error) {
	if m.joining != NoRequest {
		s.replyJoinError(m.joining, m.id, err)
	}
	if m.syncing != NoRequest {
		s.reply(m.syncing, SyncReply{Err: err})
		m.syncing = NoRequest
	}
}
