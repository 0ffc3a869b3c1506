package streamsgroup

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
)

// heartbeat decides what a heartbeat means. It changes nothing before all that could refuse it has been looked at.
func (m *Machine) heartbeat(e *Heartbeat) HeartbeatReply {
	g := m.groups[e.Group]
	if e.Epoch == LeaveEpoch || e.Epoch == LeaveStaticEpoch {
		return m.leave(g, e)
	}
	mem, err := m.admit(g, e)
	if err != nil {
		return HeartbeatReply{Err: err}
	}
	isNew := g == nil
	if isNew {
		g = newGroup(e.Group)
	}
	if err := g.checkTopology(e.Topology); err != nil {
		return HeartbeatReply{Err: err}
	}
	if isNew {
		m.groups[e.Group] = g
	}
	before := Tasks{}
	var endpoint *Endpoint
	if mem != nil {
		before, endpoint = mem.holding.owned, mem.said.Endpoint
	}
	mem, changed := m.update(g, mem, e)
	m.follow(g, e, changed)
	m.assign(g, e)
	m.reconcile(g, mem, e)
	if moved := !mem.holding.owned.same(&before); mem.said.Endpoint != nil && (moved || endpoint == nil || *endpoint != *mem.said.Endpoint) {
		g.endpointEpoch++
	}
	if e.ShutdownApplication && g.shutdownBy == "" {
		g.shutdownBy = mem.id
		m.change(g, "member "+mem.id+" asks all to shut down")
	}
	m.startSession(g, mem, e.Settings.SessionTimeout)
	return m.answer(g, mem, e, &before)
}

// admit finds the member of a heartbeat, nil if it is to be a new one, and refuses it if its epoch is not the member's.
func (m *Machine) admit(g *group, e *Heartbeat) (*member, error) {
	if g == nil {
		if e.Epoch != JoinEpoch {
			return nil, kafka.Errorf(kafka.GroupIDNotFound, "Streams group %s not found.", e.Group)
		}
		return nil, nil
	}
	mem := g.members[e.MemberID]
	if e.InstanceID != nil {
		s := g.static(*e.InstanceID)
		switch {
		case s == nil && e.Epoch != JoinEpoch:
			return nil, kafka.Errorf(kafka.UnknownMemberID, "Instance id %s is unknown.", *e.InstanceID)
		case s == nil || s == mem:
		case e.Epoch == JoinEpoch && s.holding.epoch != LeaveStaticEpoch:
			return nil, kafka.Errorf(kafka.UnreleasedInstanceID, "Static member %s with instance id %s cannot join the group because the instance id is owned by member %s.", e.MemberID, *e.InstanceID, s.id)
		case e.Epoch == JoinEpoch:
			return s, nil // it comes back under another member id
		default:
			return nil, kafka.Errorf(kafka.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", e.MemberID, *e.InstanceID, s.id)
		}
	}
	if mem == nil {
		if e.Epoch != JoinEpoch {
			return nil, kafka.Errorf(kafka.UnknownMemberID, "Member %s is not a member of group %s.", e.MemberID, e.Group)
		}
		if m.options.MaxSize > 0 && len(g.members) >= m.options.MaxSize {
			return nil, kafka.Errorf(kafka.GroupMaxSizeReached, "The streams group has reached its maximum capacity of %d members.", m.options.MaxSize)
		}
		return nil, nil
	}
	h := &mem.holding
	switch {
	case e.Epoch == JoinEpoch || e.Epoch == h.epoch:
		return mem, nil
	case e.Epoch > h.epoch:
		return nil, kafka.Errorf(kafka.FencedMemberEpoch, "The streams group member has a greater member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", e.Epoch, h.epoch)
	case e.Epoch == h.previousEpoch && e.Owned != nil && e.Owned.within(&h.owned):
		return mem, nil // the answer that brought the epoch was lost
	}
	return nil, kafka.Errorf(kafka.FencedMemberEpoch, "The streams group member has a smaller member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", e.Epoch, h.epoch)
}

// checkTopology refuses a topology that contradicts the group's. One with a lower epoch is let in: its member is told that
// it is stale.
func (g *group) checkTopology(t *Topology) error {
	if t == nil {
		return nil
	}
	if words := checkTopology(t); words != "" {
		return kafka.Errorf(kafka.StreamsInvalidTopology, "%s", words)
	}
	if g.topology != nil && t.Epoch == g.topology.Epoch && !sameTopology(t, g.topology) {
		return kafka.Errorf(kafka.InvalidRequest, "The topology differs from the one of the group, and has the same epoch %d: a changed topology needs a higher one.", t.Epoch)
	}
	return nil
}

// sameTopology compares as records are: a list may be nil or empty.
func sameTopology(a, b *Topology) bool {
	x, y := streamsrecord.Record{Kind: streamsrecord.KindTopology, Value: a}, streamsrecord.Record{Kind: streamsrecord.KindTopology, Value: b}
	return bytes.Equal(x.ValueBytes(), y.ValueBytes())
}

// update writes down what a member says of itself, and tells whether the assignment depends on what is new.
func (m *Machine) update(g *group, mem *member, e *Heartbeat) (_ *member, changed bool) {
	said := streamsrecord.Member{ClientID: e.ClientID, ClientHost: e.ClientHost}
	var kept holding
	if mem != nil {
		said = mem.said
		said.ClientID, said.ClientHost = e.ClientID, e.ClientHost
		if mem.id != e.MemberID { // a static member came back
			kept = mem.holding
			target := g.target[mem.id]
			m.forget(g, mem)
			if target != nil {
				m.emit(g, streamsrecord.KindTarget, e.MemberID, new(target.record(false)))
			}
			mem = nil
		}
	}
	before := said
	if e.InstanceID != nil {
		said.InstanceID = e.InstanceID
	}
	if e.RackID != nil {
		said.RackID = e.RackID
	}
	if e.RebalanceTimeout >= 0 {
		said.RebalanceTimeoutMillis = int32(e.RebalanceTimeout.Milliseconds())
	}
	if e.Topology != nil {
		said.TopologyEpoch = e.Topology.Epoch
	}
	if e.ProcessID != nil {
		said.ProcessID = *e.ProcessID
	}
	if e.Endpoint != nil {
		said.Endpoint = e.Endpoint
	}
	if e.Tags != nil {
		said.Tags = e.Tags
	}
	isNew := mem == nil
	if isNew || !reflect.DeepEqual(said, before) {
		m.emit(g, streamsrecord.KindMember, e.MemberID, &said)
	}
	mem = g.members[e.MemberID]
	switch {
	case kept.epoch == LeaveStaticEpoch:
		kept.epoch = kept.previousEpoch
		m.emitHolding(g, mem, &kept)
	case isNew:
		m.emitHolding(g, mem, &holding{})
	case e.Epoch == JoinEpoch && mem.holding.epoch == LeaveStaticEpoch:
		h := mem.holding
		h.epoch = h.previousEpoch
		m.emitHolding(g, mem, &h)
	}
	if e.Offsets != nil {
		mem.offsets = e.Offsets
		changed = m.justCaughtUp(g, mem, e)
	}
	if e.EndOffsets != nil {
		mem.ends = e.EndOffsets
	}
	fresh := isNew && kept.epoch == 0
	return mem, changed || fresh || said.ProcessID != before.ProcessID || said.TopologyEpoch != before.TopologyEpoch || !slices.Equal(said.Tags, before.Tags)
}

// justCaughtUp says whether a warm-up task of mem has few records left to read.
func (m *Machine) justCaughtUp(g *group, mem *member, e *Heartbeat) bool {
	for t := range mem.holding.owned[Warmup] {
		end, known := e.EndOffsets[t]
		if offset, ok := e.Offsets[t]; ok && known && end-offset <= AcceptableRecoveryLag {
			return true
		}
	}
	return false
}

// follow brings the group's topology and epoch up to date.
func (m *Machine) follow(g *group, e *Heartbeat, changed bool) {
	if t := e.Topology; t != nil && (g.topology == nil || t.Epoch > g.topology.Epoch) {
		m.emit(g, streamsrecord.KindTopology, "", t)
		changed = true
	}
	g.configure(e.Topics)
	next := streamsrecord.Group{Epoch: g.epoch + 1, ValidatedTopologyEpoch: -1, Configs: []KeyValue{{Key: standbyConfig, Value: strconv.Itoa(e.Settings.StandbyReplicas)}}}
	if g.configured != nil {
		next.MetadataHash = g.configured.hash
		if g.configured.problem == nil {
			next.ValidatedTopologyEpoch = g.configured.topologyEpoch
		}
	}
	if !changed && next.MetadataHash == g.hash && next.ValidatedTopologyEpoch == g.validated && slices.Equal(next.Configs, g.configs) {
		return
	}
	first := g.epoch == firstEpoch
	m.emitGroup(g, next)
	if delay := e.Settings.InitialRebalanceDelay; first && delay > 0 {
		g.delayed.Fire = func() {}
		m.alarms.Set(&g.delayed, m.now.Add(delay))
	}
}

// standbyConfig is the config of a group that its assignment depends on.
const standbyConfig = "num.standby.replicas"

// assign makes a target assignment for the group's epoch if there is none yet and it is time for one.
func (m *Machine) assign(g *group, e *Heartbeat) {
	if g.targetEpoch >= g.epoch || m.now.Before(g.delayed.Due()) {
		return
	}
	if since := m.now.UnixMilli() - g.targetMillis; g.targetMillis != 0 && since >= 0 && since < e.Settings.AssignmentInterval.Milliseconds() {
		return
	}
	m.stop(&g.delayed)
	members := map[string]string{}
	previous := map[string]*Tasks{}
	for id, mem := range g.members {
		previous[id] = &mem.holding.owned
		if t := g.target[id]; t != nil && mem.holding.state != stable {
			previous[id] = t
		}
		// Whoever runs another topology can do nothing for this one. A static member keeps its tasks while it is away.
		if g.topology != nil && mem.said.TopologyEpoch == g.topology.Epoch {
			members[id] = mem.said.ProcessID
		}
	}
	target := map[string]*Tasks{}
	if g.ready() {
		var tasks []Task
		for _, s := range slices.Sorted(maps.Keys(g.configured.tasks)) {
			for p := range g.configured.tasks[s] {
				tasks = append(tasks, Task{s, p})
			}
		}
		target = assign(tasks, e.Settings.StandbyReplicas, members, previous, func(t Task) bool { return g.configured.stateful[t.Subtopology] }, g.caughtUp, g.reports)
	}
	for _, mem := range g.sortedMembers() {
		next := target[mem.id]
		if next == nil {
			next = &Tasks{}
		}
		if old := g.target[mem.id]; old == nil || !old.same(next) {
			m.emit(g, streamsrecord.KindTarget, mem.id, new(next.record(false)))
		}
	}
	m.emit(g, streamsrecord.KindTargetEpoch, "", &streamsrecord.TargetEpoch{Epoch: g.epoch, TimestampMillis: m.now.UnixMilli()})
	m.change(g, "assigned")
}

// reconcile takes a member one step nearer to its target.
func (m *Machine) reconcile(g *group, mem *member, e *Heartbeat) {
	target := g.target[mem.id]
	if target == nil {
		target = &Tasks{}
	}
	before := &mem.holding
	next := before.next(target, g.targetEpoch, e.Owned, func(r Role, t Task) bool { return g.free(mem, r, t) })
	if next.epoch == before.epoch && next.state == before.state && next.owned.same(&before.owned) && next.revoking.same(&before.revoking) {
		return
	}
	m.emitHolding(g, mem, &next)
	m.stop(&mem.revocation)
	if next.state == unrevoked {
		m.startRevocation(g, mem)
	}
}

// answer tells a member what it has to know.
func (m *Machine) answer(g *group, mem *member, e *Heartbeat, before *Tasks) HeartbeatReply {
	r := HeartbeatReply{MemberID: mem.id, Epoch: mem.holding.epoch, Interval: e.Settings.HeartbeatInterval, EndpointEpoch: g.endpointEpoch}
	if e.Epoch == JoinEpoch || e.Owned != nil && !e.Owned.same(&mem.holding.owned) || !mem.holding.owned.same(before) {
		r.Assigned = &mem.holding.owned
	}
	if g.topology != nil && mem.said.TopologyEpoch < g.topology.Epoch {
		r.Statuses = append(r.Statuses, Status{StaleTopology, "The member's topology epoch " + strconv.Itoa(int(mem.said.TopologyEpoch)) + " is behind the group's topology epoch " + strconv.Itoa(int(g.topology.Epoch)) + "."})
	}
	if c := g.configured; c != nil && c.problem != nil {
		r.Statuses = append(r.Statuses, *c.problem)
		r.Create = c.create
	}
	if g.shutdownBy != "" {
		r.Statuses = append(r.Statuses, Status{ShutdownApplication, "Streams group member " + g.shutdownBy + " encountered a fatal error and requested a shutdown for the entire application."})
	}
	if m.now.Before(g.delayed.Due()) {
		r.Statuses = append(r.Statuses, Status{AssignmentDelayed, "Assignment delayed due to the configured initial rebalance delay."})
	}
	if e.EndpointEpoch != g.endpointEpoch {
		r.Endpoints = g.endpoints()
	}
	return r
}

// leave takes a member out, or notes that a static one will be back.
func (m *Machine) leave(g *group, e *Heartbeat) HeartbeatReply {
	if g == nil {
		return HeartbeatReply{Err: kafka.Errorf(kafka.GroupIDNotFound, "Group %s not found.", e.Group)}
	}
	mem := g.members[e.MemberID]
	if e.InstanceID != nil {
		s := g.static(*e.InstanceID)
		switch {
		case s == nil:
			return HeartbeatReply{Err: kafka.Errorf(kafka.UnknownMemberID, "Instance id %s is unknown.", *e.InstanceID)}
		case s != mem:
			return HeartbeatReply{Err: kafka.Errorf(kafka.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", e.MemberID, *e.InstanceID, s.id)}
		}
	}
	if mem == nil {
		return HeartbeatReply{Err: kafka.Errorf(kafka.UnknownMemberID, "Member %s is not a member of group %s.", e.MemberID, e.Group)}
	}
	reply := HeartbeatReply{MemberID: mem.id, Epoch: e.Epoch}
	if e.Epoch == LeaveStaticEpoch && mem.said.InstanceID != nil {
		h := mem.holding
		h.previousEpoch, h.epoch = h.epoch, LeaveStaticEpoch
		// What it was to give up it has given up by leaving.
		h.revoking = Tasks{}
		if h.state == unrevoked {
			h.state = unreleased
		}
		m.emitHolding(g, mem, &h)
		m.stop(&mem.revocation)
		return reply
	}
	m.remove(g, mem, "it left")
	return reply
}
