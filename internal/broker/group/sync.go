package group

import "github.com/weir-stream/weir/internal/kafka"

// sync handles SyncGroup. The leader's assignment makes the group Stable and answers all who wait; the record that is
// written with it is why a client never sees an assignment that a restart would forget.
func (s *Shard) sync(id RequestID, e *Sync) {
	if g := s.consumerOf(e.Group); g != nil {
		s.reply(id, s.syncConsumer(e, g))
		return
	}
	g, m, err := s.checkSync(e)
	if err != kafka.None {
		s.reply(id, SyncReply{Err: err})
		return
	}
	s.synced(g, m)
	if g.state == Stable {
		s.startSession(g, m)
		s.reply(id, g.syncReply(m))
		return
	}
	if m.syncing != NoRequest {
		// The same member asks again, from another connection.
		s.reply(m.syncing, SyncReply{Err: kafka.RebalanceInProgress})
	}
	m.syncing = id
	s.stop(&m.expiry)
	if m.id != g.leader {
		return
	}
	for _, member := range g.members {
		member.assignment = e.Assignments[member.id]
	}
	s.enter(g, Stable, "the leader brought the assignment")
	s.emitMetadata(g)
	for _, member := range g.members {
		if member.syncing != NoRequest {
			s.reply(member.syncing, g.syncReply(member))
			member.syncing = NoRequest
			s.startSession(g, member)
		}
	}
}

func (s *Shard) checkSync(e *Sync) (*live, *member, kafka.Error) {
	if e.Group == "" {
		return nil, nil, kafka.InvalidGroupID
	}
	g := s.find(e.Group)
	if g == nil {
		return nil, nil, kafka.UnknownMemberID
	}
	m, err := g.check(e.MemberID, e.InstanceID)
	switch {
	case err != kafka.None:
		return nil, nil, err
	case e.Generation != g.generation:
		return nil, nil, kafka.IllegalGeneration
	case e.ProtocolType != "" && e.ProtocolType != g.protocolType, e.Protocol != "" && e.Protocol != g.protocol:
		return nil, nil, kafka.InconsistentGroupProtocol
	case g.state == PreparingRebalance:
		return nil, nil, kafka.RebalanceInProgress
	}
	return g, m, kafka.None
}

// synced notes that m asked for its assignment.
func (s *Shard) synced(g *live, m *member) {
	delete(g.unsynced, m)
	if len(g.unsynced) == 0 {
		s.stop(&g.syncExpiry)
	}
}

func (g *live) syncReply(m *member) SyncReply {
	return SyncReply{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

// heartbeat prolongs a session and tells the member whether to join again.
func (s *Shard) heartbeat(e *Heartbeat) kafka.Error {
	if e.Group == "" {
		return kafka.InvalidGroupID
	}
	if g := s.consumerOf(e.Group); g != nil {
		return s.heartbeatConsumer(e, g)
	}
	g := s.find(e.Group)
	if g == nil {
		return kafka.UnknownMemberID
	}
	m, err := g.check(e.MemberID, e.InstanceID)
	switch {
	case err != kafka.None:
		return err
	case e.Generation != g.generation:
		return kafka.IllegalGeneration
	}
	s.heard(g, m)
	if g.state == PreparingRebalance {
		return kafka.RebalanceInProgress
	}
	return kafka.None
}

// heard prolongs the session of a member that is not waiting: the session of one that waits rests.
func (s *Shard) heard(g *live, m *member) {
	if m.joining == NoRequest && m.syncing == NoRequest {
		s.startSession(g, m)
	}
}

// leave takes members out at their own wish or by an administrator, who names them by instance id.
func (s *Shard) leave(e *Leave) LeaveReply {
	if e.Group == "" {
		return LeaveReply{Err: kafka.InvalidGroupID}
	}
	if g := s.consumerOf(e.Group); g != nil {
		return s.leaveConsumer(e, g)
	}
	reply := LeaveReply{Members: make([]kafka.Error, len(e.Members))}
	g := s.find(e.Group)
	offers, members, reason := 0, 0, ""
	for i := range e.Members {
		leaver := &e.Members[i]
		if g == nil {
			reply.Members[i] = kafka.UnknownMemberID
			continue
		}
		if offer := g.pending[leaver.MemberID]; offer != nil && leaver.MemberID != "" {
			s.stop(offer)
			delete(g.pending, leaver.MemberID)
			offers++
			continue
		}
		m, err := g.leaver(leaver)
		if err != kafka.None {
			reply.Members[i] = err
			continue
		}
		s.drop(g, m)
		members++
		reason = leaver.Reason
	}
	switch {
	case members > 0:
		s.rebalanceOrComplete(g, withReason("a member left", reason))
	case offers > 0:
		s.maybeCompleteJoin(g)
	}
	return reply
}

// leaver returns the member that l names.
func (g *live) leaver(l *Leaver) (*member, kafka.Error) {
	if l.MemberID != "" {
		return g.check(l.MemberID, l.InstanceID)
	}
	if m := g.static[l.InstanceID]; m != nil && l.InstanceID != "" {
		return m, kafka.None
	}
	return nil, kafka.UnknownMemberID
}
