package group

import (
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/kafka"
)

// rebalanceOrComplete starts a rebalance, or, if one gathers its members, looks whether they are complete.
func (s *Shard) rebalanceOrComplete(g *live, reason string) {
	if g.state == PreparingRebalance {
		s.maybeCompleteJoin(g)
		return
	}
	s.prepareRebalance(g, reason)
}

// prepareRebalance begins to gather the members of the next generation. A group that was Empty waits for the initial
// delay, so that members that start together need one rebalance; another one until all members are back, at most
// for the rebalance timeout.
func (s *Shard) prepareRebalance(g *live, reason string) {
	if g.state == CompletingRebalance {
		s.refuseSyncs(g, kafka.RebalanceInProgress)
	}
	s.stop(&g.syncExpiry)
	g.initial = g.state == Empty
	s.enter(g, PreparingRebalance, reason)
	if !g.initial {
		if g.allJoined() {
			s.completeJoin(g)
			return
		}
		s.alarms.Set(&g.joinExpiry, s.now.Add(g.rebalanceTimeout()))
		return
	}
	g.newcomers = false
	g.delay = s.options.InitialRebalanceDelay
	g.extension = max(g.rebalanceTimeout()-g.delay, 0)
	if g.delay == 0 {
		s.completeJoin(g)
		return
	}
	s.alarms.Set(&g.joinExpiry, s.now.Add(g.delay))
}

// allJoined tells whether everybody waits in JoinGroup, those included whose id was given out just now.
func (g *live) allJoined() bool { return g.joining == len(g.members) && len(g.pending) == 0 }

// maybeCompleteJoin ends the join phase if it waits for nobody. The initial delay is waited out in any case.
func (s *Shard) maybeCompleteJoin(g *live) {
	if g.state == PreparingRebalance && !g.initial && g.allJoined() {
		s.completeJoin(g)
	}
}

// joinExpired ends a join phase whose time is over.
func (s *Shard) joinExpired(g *live) {
	if g.state != PreparingRebalance {
		return
	}
	if g.initial && g.newcomers && g.extension > 0 {
		// More members came in: wait as long again, as far as the rebalance timeout allows.
		wait := min(s.options.InitialRebalanceDelay, g.extension)
		g.newcomers = false
		g.extension = max(g.extension-g.delay, 0)
		g.delay = wait
		s.alarms.Set(&g.joinExpiry, s.now.Add(wait))
		return
	}
	s.completeJoin(g)
}

// completeJoin makes the next generation out of the members that wait. Dynamic members that did not come are dropped;
// static ones stay until their session ends, since they may be starting again.
func (s *Shard) completeJoin(g *live) {
	s.stop(&g.joinExpiry)
	for _, m := range slices.Clone(g.members) {
		if m.joining == NoRequest && m.instanceID == "" {
			s.drop(g, m)
		}
	}
	if len(g.members) == 0 {
		g.generation++
		g.protocol, g.leader, g.initial = "", "", false
		g.updateSubscribed()
		s.enter(g, Empty, "no members are left")
		s.emitMetadata(g)
		return
	}
	if !g.electLeader() {
		// Only static members that are away: wait until one comes or the sessions end. Clients choose the timeout, and it
		// must not be so short that the group is busy with waiting.
		s.alarms.Set(&g.joinExpiry, s.now.Add(max(g.rebalanceTimeout(), time.Second)))
		return
	}
	g.generation++
	g.protocol = g.elect()
	g.initial = false
	g.updateSubscribed()
	s.enter(g, CompletingRebalance, "the members have joined")
	clear(g.unsynced)
	for _, m := range g.members {
		g.unsynced[m] = struct{}{}
		m.assignment = nil
		if m.joining == NoRequest {
			continue
		}
		s.reply(m.joining, g.joinReply(m))
		m.isNew = false
		s.setJoining(g, m, NoRequest)
		s.startSession(g, m)
	}
	s.alarms.Set(&g.syncExpiry, s.now.Add(g.rebalanceTimeout()))
}

// electLeader makes sure that the leader is a member that joined. It returns false if none did.
func (g *live) electLeader() bool {
	if leader := g.byID[g.leader]; leader != nil && leader.joining != NoRequest {
		return true
	}
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.joining != NoRequest })
	if i < 0 {
		return false
	}
	g.leader = g.members[i].id
	return true
}

// syncExpired drops members that joined the generation and never asked for their assignment.
func (s *Shard) syncExpired(g *live) {
	if g.state != CompletingRebalance && g.state != Stable || len(g.unsynced) == 0 {
		return
	}
	for _, m := range slices.Clone(g.members) {
		if _, missing := g.unsynced[m]; missing {
			s.drop(g, m)
		}
	}
	s.prepareRebalance(g, "members did not sync in time")
}

// refuseSyncs answers all that wait in SyncGroup with an error. Their sessions go on from now.
func (s *Shard) refuseSyncs(g *live, err kafka.Error) {
	for _, m := range g.members {
		m.assignment = nil
		if m.syncing != NoRequest {
			s.reply(m.syncing, SyncReply{Err: err})
			m.syncing = NoRequest
			s.startSession(g, m)
		}
	}
}

// drop takes a member out. What it waits for is answered with UNKNOWN_MEMBER_ID, so that a client that is still there
// joins again.
func (s *Shard) drop(g *live, m *member) {
	s.releaseRequests(m, kafka.UnknownMemberID)
	s.setJoining(g, m, NoRequest)
	s.stop(&m.expiry)
	g.remove(m)
}

// sessionExpired drops a member that was not heard of in time.
func (s *Shard) sessionExpired(g *live, m *member) {
	if g.byID[m.id] != m {
		return
	}
	s.drop(g, m)
	s.rebalanceOrComplete(g, "a member's session ended")
}
