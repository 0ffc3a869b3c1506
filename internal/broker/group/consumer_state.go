package group

import (
	"maps"
	"slices"

	"github.com/weir-stream/weir/internal/broker/group/assignor"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// Groups of the consumer protocol (KIP-848). All of their state but the clocks is made by records, and so lies in the
// durable layer:
//
//	group epoch       grows whenever members, subscriptions or topics change
//	assignment epoch  the group epoch that the target assignment was made for; at most the group's
//	member epoch      the assignment epoch that the member has reached; at most the assignment's
//
// A heartbeat tells a member which partitions it has. It gives up first what others are to get; nobody gets a partition that
// another member still has, which owners keeps track of.

// memberState is how far a member is on the way to its target assignment, with Kafka's numbers.
type memberState int8

const (
	memberStable memberState = iota
	// memberUnrevoked has to give partitions up.
	memberUnrevoked
	// memberUnreleased waits for partitions that others have.
	memberUnreleased
)

// Epochs with a meaning of their own.
const (
	joinEpoch        int32 = 0
	leaveEpoch       int32 = -1
	leaveStaticEpoch int32 = -2 // leaves for a while and keeps its place
)

// noOwner is the epoch of a partition that no member has.
const noOwner int32 = -1

// epochs are partitions of topics, each with the member epoch in which the member got it.
type epochs map[kafka.TopicID]map[int32]int32

// consumerMember is a member of a consumer group. What it said of itself and what it has are records of their own; neither
// value is changed once it is there.
type consumerMember struct {
	id string
	*offsetrecord.ConsumerMember
	*consumerCurrent
}

// consumerCurrent is what a member has now.
type consumerCurrent struct {
	epoch, previous    int32
	state              memberState
	assigned, revoking epochs
}

var (
	noConsumerMember  = &offsetrecord.ConsumerMember{RebalanceTimeoutMillis: -1}
	noConsumerCurrent = &consumerCurrent{}
)

// resolved are the topics that a regular expression matched.
type resolved struct {
	topics  []string // sorted
	version int64
	at      int64 // ms
}

// consumerGroup is the durable state of a consumer group.
type consumerGroup struct {
	epoch           int32
	hash            int64
	assignmentEpoch int32
	assignedAt      int64 // ms, 0: not known
	members         map[string]*consumerMember
	static          map[string]string // member ids by instance id
	target          map[string]assignor.Assignment
	regexes         map[string]*resolved
	owners          map[kafka.TopicID]map[int32]int32 // epochs of the members that have the partitions
	// outdated says that a record of a kind that is not written any more is in the log.
	outdated bool
	// topics counts subscriptions by name, and regexUsers members by regular expression.
	topics     map[string]int
	regexUsers map[string]int
	assignors  map[string]int
	classic    int            // members that speak the classic protocol
	supports   map[string]int // of those, by the name of a protocol
}

func newConsumerGroup() *consumerGroup {
	return &consumerGroup{
		epoch:   1, // as Kafka has it: the first member's epoch is 2, or 1 if it reads nothing
		members: map[string]*consumerMember{}, static: map[string]string{}, target: map[string]assignor.Assignment{}, regexes: map[string]*resolved{},
		owners: map[kafka.TopicID]map[int32]int32{}, topics: map[string]int{}, regexUsers: map[string]int{}, assignors: map[string]int{}, supports: map[string]int{},
	}
}

// applyConsumer applies a record of the consumer protocol. The end of the group's epoch is the end of the group.
func (d *durable) applyConsumer(r Record) {
	s := d.groups[r.Group]
	if (s == nil || s.consumer == nil) && r.Body == nil {
		return
	}
	g := d.openConsumer(r.Group)
	switch body := r.Body.(type) {
	case *offsetrecord.ConsumerGroup:
		g.epoch, g.hash = body.Epoch, body.MetadataHash
	case *offsetrecord.ConsumerPartitions:
		g.outdated = true
	case *offsetrecord.ConsumerMember:
		g.update(r.Member, body, nil)
	case *offsetrecord.ConsumerTarget:
		g.assignmentEpoch, g.assignedAt = body.Epoch, body.Timestamp
	case *offsetrecord.ConsumerAssignment:
		g.target[r.Member] = assignmentOf(body.Topics)
	case *offsetrecord.ConsumerCurrent:
		g.update(r.Member, nil, &consumerCurrent{
			epoch: body.Epoch, previous: body.PreviousEpoch, state: memberState(body.State), assigned: epochsOf(body.Assigned, body.Epoch), revoking: epochsOf(body.Revoking, body.Epoch),
		})
	case *offsetrecord.ConsumerRegex:
		g.regexes[r.Regex] = &resolved{slices.Sorted(slices.Values(body.Topics)), body.Version, body.Timestamp}
	default:
		d.deleteConsumer(s, r)
	}
}

// openConsumer returns the group's state, empty if it is new.
func (d *durable) openConsumer(group string) *consumerGroup {
	s := d.groups[group]
	if s == nil {
		s = &stored{}
		d.groups[group] = s
	}
	if s.consumer == nil {
		s.consumer = newConsumerGroup()
	}
	return s.consumer
}

// deleteConsumer applies a tombstone.
func (d *durable) deleteConsumer(s *stored, r Record) {
	g := s.consumer
	switch r.Kind {
	case offsetrecord.KindConsumerGroup:
		s.consumer = nil
		d.settle(r.Group, s)
	case offsetrecord.KindConsumerPartitions:
		g.outdated = false
	case offsetrecord.KindConsumerMember:
		g.remove(r.Member)
	case offsetrecord.KindConsumerTarget:
		g.assignmentEpoch, g.assignedAt = -1, 0
	case offsetrecord.KindConsumerTargetMember:
		delete(g.target, r.Member)
	case offsetrecord.KindConsumerCurrent:
		if g.members[r.Member] != nil {
			g.update(r.Member, nil, &consumerCurrent{epoch: leaveEpoch, previous: leaveEpoch})
		}
	case offsetrecord.KindConsumerRegex:
		delete(g.regexes, r.Regex)
	}
}

// update replaces what is known of a member; nil keeps what was.
func (g *consumerGroup) update(id string, said *offsetrecord.ConsumerMember, current *consumerCurrent) {
	before := g.members[id]
	now := &consumerMember{id, noConsumerMember, noConsumerCurrent}
	if before != nil {
		*now = *before
		g.count(before, -1)
		g.release(before.consumerCurrent)
	}
	if said != nil {
		now.ConsumerMember = said
	}
	if current != nil {
		now.consumerCurrent = current
	}
	g.members[id] = now
	g.count(now, 1)
	g.own(now.consumerCurrent)
	if now.InstanceID != "" {
		g.static[now.InstanceID] = id
	}
}

func (g *consumerGroup) remove(id string) {
	m := g.members[id]
	if m == nil {
		return
	}
	delete(g.members, id)
	g.count(m, -1)
	g.release(m.consumerCurrent)
	if m.InstanceID != "" && g.static[m.InstanceID] == id {
		delete(g.static, m.InstanceID)
	}
}

// count keeps the sums over members.
func (g *consumerGroup) count(m *consumerMember, n int) {
	for _, t := range m.Topics {
		add(g.topics, t, n)
	}
	if m.Regex != "" {
		add(g.regexUsers, m.Regex, n)
	}
	if m.Assignor != "" {
		add(g.assignors, m.Assignor, n)
	}
	if m.Classic != nil {
		g.classic += n
		for _, p := range m.Classic.Protocols {
			add(g.supports, p.Name, n)
		}
	}
}

func add(counts map[string]int, key string, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}

// own and release note who has which partitions. At no time two members have the same one; should records say so, the later
// one is believed.
func (g *consumerGroup) own(c *consumerCurrent) {
	for _, has := range []epochs{c.assigned, c.revoking} {
		for t, partitions := range has {
			if g.owners[t] == nil {
				g.owners[t] = map[int32]int32{}
			}
			for p := range partitions {
				g.owners[t][p] = c.epoch
			}
		}
	}
}

func (g *consumerGroup) release(c *consumerCurrent) {
	for _, has := range []epochs{c.assigned, c.revoking} {
		for t, partitions := range has {
			for p := range partitions {
				delete(g.owners[t], p)
			}
			if len(g.owners[t]) == 0 {
				delete(g.owners, t)
			}
		}
	}
}

// owner returns the epoch of the member that has a partition, noOwner if none has it.
func (g *consumerGroup) owner(t kafka.TopicID, p int32) int32 {
	if epoch, ok := g.owners[t][p]; ok {
		return epoch
	}
	return noOwner
}

// sorted returns the members in order of their ids.
func (g *consumerGroup) sorted() []*consumerMember {
	members := make([]*consumerMember, 0, len(g.members))
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		members = append(members, g.members[id])
	}
	return members
}

// state works out what Kafka calls the state of the group.
func (g *consumerGroup) state() State {
	switch {
	case len(g.members) == 0:
		return Empty
	case g.epoch > g.assignmentEpoch:
		return Assigning
	}
	for _, m := range g.members {
		if !m.reconciled(g.assignmentEpoch) {
			return Reconciling
		}
	}
	return Stable
}

// reconciled tells whether the member has all of the target assignment of an epoch, and nothing else.
func (c *consumerCurrent) reconciled(epoch int32) bool {
	return c.state == memberStable && c.epoch == epoch
}

// assignor is the one that most members ask for, the default one if none does.
func (g *consumerGroup) assignor(otherwise string) string {
	best, votes := otherwise, 0
	for _, name := range slices.Sorted(maps.Keys(g.assignors)) {
		if g.assignors[name] > votes {
			best, votes = name, g.assignors[name]
		}
	}
	return best
}

// subscribes tells whether a member reads the topic.
func (g *consumerGroup) subscribes(topic string) bool {
	if g.topics[topic] > 0 {
		return true
	}
	for expression := range g.regexUsers {
		if r := g.regexes[expression]; r != nil {
			if _, ok := slices.BinarySearch(r.topics, topic); ok {
				return true
			}
		}
	}
	return false
}

// memberTopics are the topics that a member reads, sorted.
func (g *consumerGroup) memberTopics(m *consumerMember) []string {
	names := slices.Clone(m.Topics)
	if r := g.regexes[m.Regex]; m.Regex != "" && r != nil {
		names = append(names, r.topics...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func assignmentOf(topics []offsetrecord.TopicPartitions) assignor.Assignment {
	a := assignor.Assignment{}
	for _, t := range topics {
		if len(t.Partitions) > 0 {
			a[t.ID] = slices.Sorted(slices.Values(t.Partitions))
		}
	}
	return a
}

// epochsOf reads partitions; those whose epoch is not there have the given one.
func epochsOf(topics []offsetrecord.TopicPartitions, otherwise int32) epochs {
	if len(topics) == 0 {
		return nil
	}
	e := epochs{}
	for _, t := range topics {
		e[t.ID] = make(map[int32]int32, len(t.Partitions))
		for i, p := range t.Partitions {
			e[t.ID][p] = otherwise
			if t.Epochs != nil {
				e[t.ID][p] = t.Epochs[i]
			}
		}
	}
	return e
}

// records returns e as it stands in a record, sorted.
func (e epochs) records() []offsetrecord.TopicPartitions {
	var topics []offsetrecord.TopicPartitions
	for _, id := range sortedTopics(e) {
		t := offsetrecord.TopicPartitions{ID: id, Partitions: slices.Sorted(maps.Keys(e[id]))}
		for _, p := range t.Partitions {
			t.Epochs = append(t.Epochs, e[id][p])
		}
		topics = append(topics, t)
	}
	return topics
}

func sortedTopics[V any](m map[kafka.TopicID]V) []kafka.TopicID {
	return slices.SortedFunc(maps.Keys(m), compareTopicIDs)
}

func compareTopicIDs(a, b kafka.TopicID) int { return slices.Compare(a[:], b[:]) }
