package streamsgroup

import (
	"maps"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
)

// group is one group. What stands above the line is made by records alone.
type group struct {
	id           string
	epoch        int32
	hash         int64
	validated    int32 // epoch of the topology that was last found to fit; -1: none
	configs      []KeyValue
	topology     *Topology
	members      map[string]*member
	targetEpoch  int32
	targetMillis int64
	target       map[string]*Tasks
	// --
	configured *configured
	// delayed holds the first assignment up, so that members that start together share it.
	delayed machine.Alarm
	// endpointEpoch grows when the partitions behind an endpoint change.
	endpointEpoch int32
	shutdownBy    string
}

// member is one member of a group.
type member struct {
	id      string
	said    streamsrecord.Member
	holding holding
	// --
	session, revocation machine.Alarm
	// offsets and ends are what it last reported, nil if it never did.
	offsets, ends map[Task]int64
}

// firstEpoch is that of a new group, in which nobody has anything: a member whose first assignment is held up is in it.
const firstEpoch = 1

func newGroup(id string) *group {
	return &group{id: id, epoch: firstEpoch, targetEpoch: firstEpoch, validated: -1, members: map[string]*member{}, target: map[string]*Tasks{}}
}

// apply is the only place that changes what records make.
func (m *Machine) apply(r *streamsrecord.Record) {
	g := m.groups[r.Group]
	if g == nil {
		if r.Value == nil {
			return
		}
		g = newGroup(r.Group)
		m.groups[r.Group] = g
	}
	switch r.Kind {
	case streamsrecord.KindGroup:
		if r.Value == nil {
			delete(m.groups, r.Group)
			m.stop(&g.delayed)
			return
		}
		v := r.Value.(*streamsrecord.Group)
		g.epoch, g.hash, g.validated, g.configs = v.Epoch, v.MetadataHash, v.ValidatedTopologyEpoch, v.Configs
	case streamsrecord.KindTopology:
		g.topology = nil
		if r.Value != nil {
			g.topology = r.Value.(*streamsrecord.Topology)
		}
		g.configured = nil
	case streamsrecord.KindTargetEpoch:
		g.targetEpoch, g.targetMillis = firstEpoch, 0
		if r.Value != nil {
			v := r.Value.(*streamsrecord.TargetEpoch)
			g.targetEpoch, g.targetMillis = v.Epoch, v.TimestampMillis
		}
	case streamsrecord.KindTarget:
		if r.Value == nil {
			delete(g.target, r.Member)
			return
		}
		g.target[r.Member] = new(tasksOf(r.Value.(*streamsrecord.Tasks)))
	case streamsrecord.KindMember:
		m.applyMember(g, r)
	case streamsrecord.KindCurrent:
		m.applyCurrent(g, r)
	}
}

func (m *Machine) applyMember(g *group, r *streamsrecord.Record) {
	mem := g.members[r.Member]
	if r.Value == nil {
		if mem != nil {
			m.stop(&mem.session)
			m.stop(&mem.revocation)
			delete(g.members, r.Member)
		}
		return
	}
	if mem == nil {
		mem = &member{id: r.Member}
		g.members[r.Member] = mem
	}
	mem.said = *r.Value.(*streamsrecord.Member)
}

func (m *Machine) applyCurrent(g *group, r *streamsrecord.Record) {
	mem := g.members[r.Member]
	if mem == nil {
		return // the tombstone of a member that is gone
	}
	if r.Value == nil {
		mem.holding = holding{}
		return
	}
	v := r.Value.(*streamsrecord.Current)
	mem.holding = holding{
		epoch: v.Epoch, previousEpoch: v.PreviousEpoch, state: memberState(v.State), owned: tasksOf(&v.Owned), revoking: tasksOf(&v.Revoking),
	}
}

// free says whether a member of process may take a task: an active one that nobody has, and nothing of which the process
// has a copy in another member's hands or role.
func (g *group) free(of *member, role Role, t Task) bool {
	for _, o := range g.members {
		for _, has := range []*Tasks{&o.holding.owned, &o.holding.revoking} {
			switch {
			case role == Active && has[Active].has(t) && o != of:
				return false
			case o.said.ProcessID != of.said.ProcessID:
			case has[Active].has(t) && (o != of || role != Active), has[Standby].has(t) && (o != of || role != Standby), has[Warmup].has(t) && (o != of || role != Warmup):
				return false
			}
		}
	}
	return true
}

func (g *group) sortedMembers() []*member {
	out := make([]*member, 0, len(g.members))
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		out = append(out, g.members[id])
	}
	return out
}

// configure brings up to date what the topology comes to.
func (g *group) configure(topics Topics) {
	if g.topology == nil {
		g.configured = nil
		return
	}
	if c := g.configured; c == nil || c.revision != topics.Revision() || c.topologyEpoch != g.topology.Epoch {
		g.configured = configure(g.topology, topics)
	}
}

func (g *group) ready() bool { return g.configured != nil && g.configured.tasks != nil }

func (g *group) state() State {
	switch {
	case len(g.members) == 0:
		return Empty
	case !g.ready():
		return NotReady
	case g.epoch > g.targetEpoch:
		return Assigning
	}
	for _, m := range g.members {
		if m.holding.state != stable || m.holding.epoch != g.targetEpoch {
			return Reconciling
		}
	}
	return Stable
}

// static returns the member with an instance id, or nil.
func (g *group) static(instance string) *member {
	for _, m := range g.members {
		if m.said.InstanceID != nil && *m.said.InstanceID == instance {
			return m
		}
	}
	return nil
}

// caughtUp says whether a process has the state of a task: one of its members has it active or stands by for it and lacks
// few records, or does not report.
func (g *group) caughtUp(process string, t Task) bool {
	for _, m := range g.members {
		if m.said.ProcessID != process {
			continue
		}
		if m.holding.owned[Active].has(t) {
			return true
		}
		end, ok := m.ends[t]
		if offset, known := m.offsets[t]; ok && known && end-offset <= AcceptableRecoveryLag {
			return true
		}
	}
	return false
}

func (g *group) reports(process string) bool {
	for _, m := range g.members {
		if m.said.ProcessID == process && m.offsets != nil {
			return true
		}
	}
	return false
}

// millis returns a duration of a record, 0 for one that is not set.
func millis(ms int32) time.Duration { return time.Duration(max(0, ms)) * time.Millisecond }
