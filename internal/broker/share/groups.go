package share

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/sharerecord"
)

// GroupOptions are the settings of Groups. The zero value of a field means its default.
type GroupOptions struct {
	MaxSize int           // group.share.max.size: members of a group; default 200
	Session time.Duration // what members get after a restart, until their first heartbeat; default 45 s
}

// States of a group, as clients name them.
const (
	StateEmpty  = "Empty"
	StateStable = "Stable"
)

// firstEpoch is the epoch of a group, and of its assignment, before anything has changed it.
const firstEpoch = 1

// initializeRetry is how long the making of a partition's state may take before it is asked for again.
const initializeRetry = 30 * time.Second

// Groups is the machine of the share groups of one partition of __consumer_offsets.
type Groups struct {
	options  GroupOptions
	groups   map[string]*group
	sessions sessions

	// now and decision belong to the event that is being handled.
	now      time.Time
	decision machine.Decision
}

// NewGroups returns the machine of a partition that holds no group.
func NewGroups(o GroupOptions) *Groups {
	if o.MaxSize == 0 {
		o.MaxSize = 200
	}
	if o.Session == 0 {
		o.Session = 45 * time.Second
	}
	return &Groups{options: o, groups: map[string]*group{}}
}

// Owns says whether event is one of this package's.
func (g *Groups) Owns(event any) bool {
	_, ok := event.(Event)
	return ok
}

// Has says whether there is a share group by that name.
func (g *Groups) Has(id string) bool { return g.groups[id] != nil }

// Replay applies one record of the partition.
func (g *Groups) Replay(r Record, _ *machine.Producer) error {
	decoded, err := sharerecord.DecodeGroup(r.Key, r.Value)
	if errors.Is(err, sharerecord.ErrUnknownKind) {
		return fmt.Errorf("%w: %w", machine.ErrUnknownKind, err)
	}
	if err != nil {
		return err
	}
	g.apply(&decoded)
	return nil
}

// ReplayMarker ends a transaction; no record of a share group is in one.
func (g *Groups) ReplayMarker(machine.Marker) {}

// Activate ends the replay: members have a whole session to call, and what was being initialized is asked for again by
// the next heartbeat.
func (g *Groups) Activate(now time.Time) machine.Decision {
	g.now = now
	for _, id := range slices.Sorted(maps.Keys(g.groups)) {
		s := g.groups[id]
		for _, member := range slices.Sorted(maps.Keys(s.members)) {
			g.sessions.set(s, s.members[member], now.Add(g.options.Session))
		}
	}
	return machine.Decision{}
}

// never is when nothing is due.
var never = time.Unix(math.MaxInt32, 0)

// NextAlarm returns when a Tick is due.
func (g *Groups) NextAlarm() time.Time {
	if at, ok := g.sessions.next(); ok {
		return at
	}
	return never
}

// Handle decides what event means at time now.
func (g *Groups) Handle(id machine.RequestID, event any, now time.Time) machine.Decision {
	g.now, g.decision = now, machine.Decision{}
	var body any
	switch e := event.(type) {
	case machine.Tick:
		for s, m := g.sessions.pop(now); m != nil; s, m = g.sessions.pop(now) {
			g.remove(s, m, "the session ended")
		}
	case Heartbeat:
		body = g.heartbeat(&e)
	case Describe:
		body = g.describe(e.Group)
	case List:
		body = g.list()
	case KnownTopics:
		body = g.knownTopics()
	case Offsets:
		body = g.offsets(e.Group)
	case BeginAlter:
		body = g.beginAlter(&e)
	case Initialized:
		g.initialized(e.Group, e.Topics)
		body = kafka.None
	case Uninitialized:
		g.uninitialized(e.Group, e.Topics)
		body = kafka.None
	case BeginDelete:
		body = g.beginDelete(&e)
	case DeleteOffsets:
		g.deleteOffsets(e.Group, e.Topics)
		body = kafka.None
	case DeleteGroup:
		body = g.deleteGroup(e.Group)
	case TopicsDeleted:
		for _, group := range slices.Sorted(maps.Keys(g.groups)) {
			g.deleteOffsets(group, e.Topics)
		}
		body = kafka.None
	default:
		panic(fmt.Sprintf("share: event of unknown type %T", event))
	}
	if id != machine.NoRequest && body != nil {
		g.decision.Replies = append(g.decision.Replies, machine.Reply{Request: id, Body: body})
	}
	d := g.decision
	g.decision = machine.Decision{}
	return d
}

// emit adds a record to the decision and applies it, the same way that a replay will.
func (g *Groups) emit(kind sharerecord.Kind, group, member string, value sharerecord.Value) {
	r := sharerecord.GroupRecord{Kind: kind, Group: group, Member: member, Value: value}
	g.decision.Records = append(g.decision.Records, Record{Key: r.AppendKey(nil), Value: r.EncodeValue()})
	g.apply(&r)
}

func (g *Groups) changed(s *group, reason string) {
	g.decision.Changes = append(g.decision.Changes, machine.Change{Name: s.id, State: s.state(), Epoch: s.epoch, Members: len(s.members), Reason: reason})
}

func (g *Groups) describe(id string) Description {
	s := g.groups[id]
	if s == nil {
		return Description{Err: notFound(id)}
	}
	d := Description{State: s.state(), Epoch: s.epoch, AssignmentEpoch: s.assignmentEpoch}
	for _, id := range slices.Sorted(maps.Keys(s.members)) {
		m := s.members[id]
		d.Members = append(d.Members, DescribedMember{
			ID: id, RackID: m.info.RackID, Epoch: m.epoch, ClientID: m.info.ClientID, ClientHost: m.info.ClientHost,
			Subscribed: m.info.SubscribedTopics, Assignment: m.assigned,
		})
	}
	return d
}

func notFound(id string) error {
	return kafka.Errorf(kafka.GroupIDNotFound, "Group %s not found.", id)
}

func (g *Groups) list() []Listing {
	all := make([]Listing, 0, len(g.groups))
	for _, id := range slices.Sorted(maps.Keys(g.groups)) {
		all = append(all, Listing{id, g.groups[id].state()})
	}
	return all
}
