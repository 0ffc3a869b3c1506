package streamsgroup

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
)

// Options of a Machine.
type Options struct {
	// MaxSize is the most members of a group; 0 is no limit.
	MaxSize int
	// SessionTimeout is that of members of which nothing was heard since the machine was loaded; default 45 s.
	SessionTimeout time.Duration
	// CleanupInterval is the time between looks for groups without members and offsets, which are then forgotten; default 10
	// minutes.
	CleanupInterval time.Duration
	// HasOffsets says whether offsets are committed for a group; they are kept elsewhere in the partition.
	HasOffsets func(group string) bool
}

func (o Options) withDefaults() Options {
	if o.SessionTimeout == 0 {
		o.SessionTimeout = 45 * time.Second
	}
	if o.CleanupInterval == 0 {
		o.CleanupInterval = 10 * time.Minute
	}
	if o.HasOffsets == nil {
		o.HasOffsets = func(string) bool { return false }
	}
	return o
}

// Machine keeps the streams groups of one partition. See the package comment.
type Machine struct {
	options Options
	groups  map[string]*group
	alarms  machine.Alarms
	cleanup machine.Alarm

	// now and decision belong to the event that is being handled.
	now      time.Time
	decision machine.Decision
}

// New returns the machine of a partition that holds no group.
func New(o Options) *Machine { return &Machine{options: o.withDefaults(), groups: map[string]*group{}} }

// Owns says whether event is one of this package's.
func (m *Machine) Owns(event any) bool {
	_, ok := event.(Event)
	return ok
}

// Has says whether there is a streams group by that name.
func (m *Machine) Has(id string) bool { return m.groups[id] != nil }

// Replay applies one record of the partition.
func (m *Machine) Replay(r machine.Record, _ *machine.Producer) error {
	decoded, err := streamsrecord.Decode(r.Key, r.Value)
	if errors.Is(err, streamsrecord.ErrUnknownKind) {
		return fmt.Errorf("%w: %w", machine.ErrUnknownKind, err)
	}
	if err != nil {
		return err
	}
	m.apply(&decoded)
	return nil
}

// ReplayMarker does nothing: streams groups keep no records in transactions.
func (m *Machine) ReplayMarker(machine.Marker) {}

// Activate ends the replay: members get a whole session.
func (m *Machine) Activate(now time.Time) machine.Decision {
	m.now, m.decision = now, machine.Decision{}
	for _, id := range slices.Sorted(maps.Keys(m.groups)) {
		g := m.groups[id]
		for _, mem := range g.sortedMembers() {
			m.startSession(g, mem, m.options.SessionTimeout)
			if mem.holding.state == unrevoked {
				m.startRevocation(g, mem)
			}
		}
	}
	m.cleanup.Fire = m.cleanUp
	m.alarms.Set(&m.cleanup, now.Add(m.options.CleanupInterval))
	return m.take()
}

// cleanUp forgets groups of which nothing is left.
func (m *Machine) cleanUp() {
	for _, id := range slices.Sorted(maps.Keys(m.groups)) {
		if len(m.groups[id].members) == 0 && !m.options.HasOffsets(id) {
			m.delete(id) //nolint:errcheck // it is there, and empty
		}
	}
	m.alarms.Set(&m.cleanup, m.now.Add(m.options.CleanupInterval))
}

// NextAlarm returns when a Tick is due.
func (m *Machine) NextAlarm() time.Time { return m.alarms.Next() }

// Handle decides what event means at time now.
func (m *Machine) Handle(id machine.RequestID, event any, now time.Time) machine.Decision {
	m.now, m.decision = now, machine.Decision{}
	switch e := event.(type) {
	case Heartbeat:
		m.reply(id, m.heartbeat(&e))
	case Describe:
		m.reply(id, m.describe(&e))
	case List:
		m.reply(id, m.list())
	case Delete:
		m.reply(id, m.delete(e.Group))
	case machine.Tick:
		for a := m.alarms.Pop(now); a != nil; a = m.alarms.Pop(now) {
			a.Fire()
		}
	default:
		panic(fmt.Sprintf("streamsgroup: event of unknown type %T", event))
	}
	return m.take()
}

func (m *Machine) take() machine.Decision {
	d := m.decision
	m.decision = machine.Decision{}
	return d
}

func (m *Machine) reply(id machine.RequestID, body any) {
	if id != machine.NoRequest {
		m.decision.Replies = append(m.decision.Replies, machine.Reply{Request: id, Body: body})
	}
}

// emit adds a record to the decision and applies it, the same way that a replay will.
func (m *Machine) emit(g *group, kind streamsrecord.Kind, memberID string, v streamsrecord.Value) {
	r := streamsrecord.Record{Kind: kind, Group: g.id, Member: memberID, Value: v}
	m.decision.Records = append(m.decision.Records, machine.Record{Key: r.AppendKey(nil), Value: r.ValueBytes()})
	m.apply(&r)
}

func (m *Machine) emitGroup(g *group, v streamsrecord.Group) {
	m.emit(g, streamsrecord.KindGroup, "", &v)
}

func (m *Machine) emitHolding(g *group, mem *member, h *holding) {
	m.emit(g, streamsrecord.KindCurrent, mem.id, &streamsrecord.Current{
		Epoch: h.epoch, PreviousEpoch: h.previousEpoch, State: int8(h.state), Owned: h.owned.record(true), Revoking: h.revoking.record(true),
	})
}

func (m *Machine) change(g *group, reason string) {
	m.decision.Changes = append(m.decision.Changes, machine.Change{Name: g.id, State: g.state().String(), Epoch: g.epoch, Members: len(g.members), Reason: reason})
}

func (m *Machine) stop(a *machine.Alarm) { m.alarms.Set(a, time.Time{}) }

func (m *Machine) startSession(g *group, mem *member, timeout time.Duration) {
	mem.session.Fire = func() { m.remove(g, mem, "its session ended") }
	m.alarms.Set(&mem.session, m.now.Add(timeout))
}

// startRevocation gives a member its rebalance timeout to give up tasks.
func (m *Machine) startRevocation(g *group, mem *member) {
	mem.revocation.Fire = func() { m.remove(g, mem, "it did not give up its tasks in time") }
	m.alarms.Set(&mem.revocation, m.now.Add(millis(mem.said.RebalanceTimeoutMillis)))
}

// remove takes a member out of its group, whose tasks are then to be assigned anew.
func (m *Machine) remove(g *group, mem *member, reason string) {
	m.forget(g, mem)
	m.bump(g)
	m.change(g, "member "+mem.id+" removed: "+reason)
}

func (m *Machine) forget(g *group, mem *member) {
	if mem.said.Endpoint != nil {
		g.endpointEpoch++
	}
	if g.shutdownBy == mem.id || len(g.members) == 1 {
		g.shutdownBy = ""
	}
	for _, kind := range []streamsrecord.Kind{streamsrecord.KindCurrent, streamsrecord.KindTarget, streamsrecord.KindMember} {
		m.emit(g, kind, mem.id, nil)
	}
}

// bump begins another group epoch with everything else as it is.
func (m *Machine) bump(g *group) {
	m.emitGroup(g, streamsrecord.Group{Epoch: g.epoch + 1, MetadataHash: g.hash, ValidatedTopologyEpoch: g.validated, Configs: g.configs})
}

func (m *Machine) delete(id string) kafka.Error {
	g := m.groups[id]
	switch {
	case g == nil:
		return kafka.GroupIDNotFound
	case len(g.members) > 0:
		return kafka.NonEmptyGroup
	}
	for _, kind := range []streamsrecord.Kind{streamsrecord.KindTargetEpoch, streamsrecord.KindTopology, streamsrecord.KindGroup} {
		m.emit(g, kind, "", nil)
	}
	return kafka.None
}
