package group

import (
	"encoding/binary"
	"hash/fnv"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/group/assignor"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// regexInterval is the least time between two evaluations of a group's regular expressions that only a change of topics
// asks for: each looks at every topic there is.
const regexInterval = time.Second

// maxRegexBytes bounds a regular expression.
const maxRegexBytes = 64 << 10

// see takes a picture of the topics if it is newer than the last one.
func (s *Shard) see(picture Topics) {
	if picture != nil && (s.picture == nil || picture.Version() > s.picture.Version()) {
		s.picture = picture
	}
}

func (s *Shard) topic(name string) (TopicFacts, bool) {
	if s.picture == nil {
		return TopicFacts{}, false
	}
	return s.picture.ByName(name)
}

func (s *Shard) topicByID(id kafka.TopicID) (TopicFacts, bool) {
	if s.picture == nil {
		return TopicFacts{}, false
	}
	return s.picture.ByID(id)
}

func (s *Shard) pictureVersion() int64 {
	if s.picture == nil {
		return -1
	}
	return s.picture.Version()
}

// updateConsumer notes what a member says of itself, and bumps the group's epoch if that, or a change of the topics, asks for
// another assignment. It tells whether the member's subscription changed.
func (s *Shard) updateConsumer(group string, g *consumerGroup, id string, said *offsetrecord.ConsumerMember, describable func(string) bool) bool {
	before := noConsumerMember
	if m := g.members[id]; m != nil {
		before = m.ConsumerMember
	}
	if before == noConsumerMember || !reflect.DeepEqual(before, said) {
		s.emit(Record{Kind: offsetrecord.KindConsumerMember, Group: group, Member: id, Body: said})
	}
	changed := !slices.Equal(before.Topics, said.Topics) || before.Regex != said.Regex
	s.dropRegexes(group, g)
	bump := s.resolveRegexes(group, g, describable)
	s.refreshConsumer(group, g, bump || changed)
	return changed
}

// refreshConsumer bumps the group's epoch if asked to, or if the topics that its members read are not what they were.
func (s *Shard) refreshConsumer(group string, g *consumerGroup, bump bool) {
	live := s.consumerLive(group)
	if !bump && live.refreshed == s.pictureVersion() {
		return
	}
	live.refreshed = s.pictureVersion()
	hash := s.topicsHash(g)
	if bump || hash != g.hash {
		s.bumpConsumer(group, g, hash)
	}
	if g.outdated {
		s.emit(Record{Kind: offsetrecord.KindConsumerPartitions, Group: group})
	}
}

func (s *Shard) bumpConsumer(group string, g *consumerGroup, hash int64) {
	s.emit(Record{Kind: offsetrecord.KindConsumerGroup, Group: group, Body: &offsetrecord.ConsumerGroup{Epoch: g.epoch + 1, MetadataHash: hash}})
	s.decision.Changes = append(s.decision.Changes, Change{Group: group, State: g.state(), Generation: g.epoch, Members: len(g.members), Reason: "members, subscriptions or topics changed"})
}

// topicsHash is a fingerprint of the topics that members read, 0 if none of them exists. It is only compared with itself.
func (s *Shard) topicsHash(g *consumerGroup) int64 {
	names := slices.Collect(maps.Keys(g.topics))
	for expression := range g.regexUsers {
		if r := g.regexes[expression]; r != nil {
			names = append(names, r.topics...)
		}
	}
	slices.Sort(names)
	sum := fnv.New64a()
	found := false
	for _, name := range slices.Compact(names) {
		if t, ok := s.topic(name); ok {
			found = true
			sum.Write(t.ID[:])                                                  //nolint:errcheck // a hash never fails
			sum.Write(binary.BigEndian.AppendUint32(nil, uint32(t.Partitions))) //nolint:errcheck // a hash never fails
		}
	}
	if !found {
		return 0
	}
	return int64(sum.Sum64())
}

// dropRegexes deletes the results of regular expressions that no member has any more.
func (s *Shard) dropRegexes(group string, g *consumerGroup) {
	for _, expression := range slices.Sorted(maps.Keys(g.regexes)) {
		if g.regexUsers[expression] == 0 {
			s.emit(Record{Kind: offsetrecord.KindConsumerRegex, Group: group, Regex: expression})
		}
	}
}

// resolveRegexes matches regular expressions against the topics: those that are new at once, all of them when topics have
// changed. It tells whether members read other topics now.
func (s *Shard) resolveRegexes(group string, g *consumerGroup, describable func(string) bool) (changed bool) {
	if len(g.regexUsers) == 0 || s.picture == nil {
		return false
	}
	live := s.consumerLive(group)
	stale := live.matched != s.pictureVersion() && s.now.Sub(live.matchedAt) >= regexInterval
	if stale {
		live.matched, live.matchedAt = s.pictureVersion(), s.now
	}
	for _, expression := range slices.Sorted(maps.Keys(g.regexUsers)) {
		known := g.regexes[expression]
		if known != nil && !stale {
			continue
		}
		topics := s.match(expression, describable)
		if known != nil && slices.Equal(known.topics, topics) {
			continue
		}
		changed = true
		s.emit(Record{Kind: offsetrecord.KindConsumerRegex, Group: group, Regex: expression, Body: &offsetrecord.ConsumerRegex{
			Topics: topics, Version: s.pictureVersion(), Timestamp: s.now.UnixMilli(),
		}})
	}
	return changed
}

func (s *Shard) match(expression string, describable func(string) bool) []string {
	re, err := compileRegex(expression)
	if err != nil { // from a log that another program wrote
		return nil
	}
	var topics []string
	for name := range s.picture.Names() {
		if re.MatchString(name) && (describable == nil || describable(name)) {
			topics = append(topics, name)
		}
	}
	slices.Sort(topics)
	return topics
}

// progress is what brings a member forward.
type progress struct {
	group, member       string
	owned               []TopicPartitions
	hasOwned            bool // owned was said
	subscriptionChanged bool
	config              ConsumerConfig
}

// advanceConsumer makes the target assignment if it is due, and brings the member nearer to it.
func (s *Shard) advanceConsumer(p *progress) {
	g := s.durable.groups[p.group].consumer
	interval := p.config.assignment(&s.options)
	due := g.assignedAt == 0 || interval == 0 || s.now.UnixMilli()-g.assignedAt >= interval.Milliseconds()
	if g.epoch > g.assignmentEpoch && due {
		s.assignConsumer(p.group, g)
	}
	m := g.members[p.member]
	if !p.subscriptionChanged && m.reconciled(g.assignmentEpoch) {
		return
	}
	next := s.reconcile(g, m, p)
	if next == nil || reflect.DeepEqual(next, m.consumerCurrent) {
		return
	}
	s.emitCurrent(p.group, m.id, next)
	if m.Classic != nil {
		return
	}
	if next.state == memberUnrevoked {
		s.setConsumerTimer(p.group, m.id, rebalanceTimer, time.Duration(m.RebalanceTimeoutMillis)*time.Millisecond)
	} else {
		s.stopConsumerTimer(p.group, m.id, rebalanceTimer)
	}
}

// assignConsumer makes the target assignment for the group's epoch.
func (s *Shard) assignConsumer(group string, g *consumerGroup) {
	members := g.sorted()
	input := assignor.Group{Members: make([]assignor.Member, len(members)), Partitions: map[kafka.TopicID]int32{}}
	for i, m := range members {
		input.Members[i] = assignor.Member{ID: m.id, InstanceID: m.InstanceID, Has: g.target[m.id]}
		for _, name := range g.memberTopics(m) {
			if t, ok := s.topic(name); ok {
				input.Members[i].Topics = append(input.Members[i].Topics, t.ID)
				input.Partitions[t.ID] = t.Partitions
			}
		}
		slices.SortFunc(input.Members[i].Topics, compareTopicIDs)
	}
	for i, target := range assignor.Assign(g.assignor(s.options.ConsumerAssignor), input) {
		id := members[i].id
		if has, ok := g.target[id]; ok && maps.EqualFunc(has, target, slices.Equal) {
			continue
		}
		s.emit(Record{Kind: offsetrecord.KindConsumerTargetMember, Group: group, Member: id, Body: &offsetrecord.ConsumerAssignment{Topics: assignmentRecords(target)}})
	}
	s.emit(Record{Kind: offsetrecord.KindConsumerTarget, Group: group, Body: &offsetrecord.ConsumerTarget{Epoch: g.epoch, Timestamp: s.now.UnixMilli()}})
}

func assignmentRecords(a assignor.Assignment) []TopicPartitions {
	var topics []TopicPartitions
	for _, id := range sortedTopics(a) {
		topics = append(topics, TopicPartitions{ID: id, Partitions: a[id]})
	}
	return topics
}

// reconcile works out what the member has after the next step to its target, nil if there is none.
func (s *Shard) reconcile(g *consumerGroup, m *consumerMember, p *progress) *consumerCurrent {
	switch {
	case m.state == memberStable && m.epoch == g.assignmentEpoch,
		m.state == memberUnrevoked && stillHas(p, m.revoking):
		if p.subscriptionChanged {
			return s.revokeUnsubscribed(g, m, p)
		}
		return nil
	}
	return s.nextAssignment(g, m, p)
}

// stillHas tells whether the member has not said yet that it gave all of these up.
func stillHas(p *progress, revoking epochs) bool {
	if !p.hasOwned {
		return true
	}
	for _, t := range p.owned {
		for _, partition := range t.Partitions {
			if _, ok := revoking[t.ID][partition]; ok {
				return true
			}
		}
	}
	return false
}

// subscribedIDs are the ids of the existing topics that the member reads.
func (s *Shard) subscribedIDs(g *consumerGroup, m *consumerMember) map[kafka.TopicID]bool {
	ids := map[kafka.TopicID]bool{}
	for _, name := range g.memberTopics(m) {
		if t, ok := s.topic(name); ok {
			ids[t.ID] = true
		}
	}
	return ids
}

// revokeUnsubscribed takes partitions of topics from the member that it does not read any more, before there is a new
// target.
func (s *Shard) revokeUnsubscribed(g *consumerGroup, m *consumerMember, p *progress) *consumerCurrent {
	subscribed := s.subscribedIDs(g, m)
	next := &consumerCurrent{epoch: m.epoch, previous: m.epoch, state: m.state, assigned: epochs{}, revoking: epochs{}}
	maps.Copy(next.revoking, m.revoking)
	moved := false
	for id, partitions := range m.assigned {
		if subscribed[id] {
			next.assigned[id] = partitions
			continue
		}
		moved = true
		merged := maps.Clone(next.revoking[id])
		if merged == nil {
			merged = map[int32]int32{}
		}
		maps.Copy(merged, partitions)
		next.revoking[id] = merged
	}
	switch {
	case !moved:
		return nil
	case stillHas(p, next.revoking):
		next.state = memberUnrevoked
	default:
		next.revoking = nil
	}
	return next.trimmed()
}

// nextAssignment gives the member what of its target it has already and what is free. If that leaves something over, the
// member gives this up first and stays in its epoch.
func (s *Shard) nextAssignment(g *consumerGroup, m *consumerMember, p *progress) *consumerCurrent {
	subscribed, target := s.subscribedIDs(g, m), g.target[m.id]
	kept, surplus, fresh := epochs{}, epochs{}, epochs{}
	waits := false
	for id, partitions := range m.assigned {
		for partition, epoch := range partitions {
			if _, ok := slices.BinarySearch(target[id], partition); ok && subscribed[id] {
				kept.put(id, partition, epoch)
			} else {
				surplus.put(id, partition, epoch)
			}
		}
	}
	for id, partitions := range target {
		if !subscribed[id] {
			continue
		}
		for _, partition := range partitions {
			if _, has := kept[id][partition]; has {
				continue
			}
			_, own := m.revoking[id][partition]
			if g.owner(id, partition) != noOwner && !own {
				waits = true
				continue
			}
			fresh.put(id, partition, g.assignmentEpoch)
		}
	}
	if len(surplus) > 0 && stillHas(p, surplus) {
		return (&consumerCurrent{epoch: m.epoch, previous: m.epoch, state: memberUnrevoked, assigned: kept, revoking: surplus}).trimmed()
	}
	for id, partitions := range fresh {
		for partition, epoch := range partitions {
			kept.put(id, partition, epoch)
		}
	}
	next := &consumerCurrent{epoch: g.assignmentEpoch, previous: m.epoch, state: memberStable, assigned: kept}
	if waits {
		next.state = memberUnreleased
	}
	return next.trimmed()
}

func (e epochs) put(id kafka.TopicID, partition, epoch int32) {
	if e[id] == nil {
		e[id] = map[int32]int32{}
	}
	e[id][partition] = epoch
}

// trimmed makes sets without partitions nil, as they are after a replay.
func (c *consumerCurrent) trimmed() *consumerCurrent {
	if len(c.assigned) == 0 {
		c.assigned = nil
	}
	if len(c.revoking) == 0 {
		c.revoking = nil
	}
	return c
}

func (s *Shard) emitCurrent(group, member string, c *consumerCurrent) {
	s.emit(Record{Kind: offsetrecord.KindConsumerCurrent, Group: group, Member: member, Body: &offsetrecord.ConsumerCurrent{
		Epoch: c.epoch, PreviousEpoch: c.previous, State: int8(c.state), Assigned: c.assigned.records(), Revoking: c.revoking.records(),
	}})
}
