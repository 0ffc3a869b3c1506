package group

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/broker/group/assignor"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// refusal is why a request of the consumer protocol is refused; its Err is never None.
type refusal struct {
	err  kafka.Error
	text string
}

func refuse(err kafka.Error, format string, args ...any) *refusal {
	return &refusal{err, fmt.Sprintf(format, args...)}
}

func (r *refusal) heartbeat() ConsumerHeartbeatReply {
	return ConsumerHeartbeatReply{Err: r.err, Text: r.text}
}

// check refuses what no group could accept.
func (e *ConsumerHeartbeat) check() *refusal {
	isEmpty := func(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }
	joining := e.MemberEpoch == joinEpoch
	switch {
	case (e.NeedsMemberID || e.MemberEpoch > 0 || e.MemberEpoch == leaveEpoch) && isEmpty(&e.MemberID):
		return refuse(kafka.InvalidRequest, "MemberId can't be empty.")
	case isEmpty(&e.Group):
		return refuse(kafka.InvalidRequest, "GroupId can't be empty.")
	case isEmpty(e.InstanceID):
		return refuse(kafka.InvalidRequest, "InstanceId can't be empty.")
	case isEmpty(e.RackID):
		return refuse(kafka.InvalidRequest, "RackId can't be empty.")
	case joining && e.RebalanceTimeout == -1:
		return refuse(kafka.InvalidRequest, "RebalanceTimeoutMs must be provided in first request.")
	case joining && (!e.HasOwned || len(e.Owned) > 0):
		return refuse(kafka.InvalidRequest, "TopicPartitions must be empty when (re-)joining.")
	case joining && e.Topics == nil && e.Regex == nil:
		return refuse(kafka.InvalidRequest, "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	case e.MemberEpoch == leaveStaticEpoch && e.InstanceID == nil:
		return refuse(kafka.InvalidRequest, "InstanceId can't be null.")
	case e.MemberEpoch < leaveStaticEpoch:
		return refuse(kafka.InvalidRequest, "MemberEpoch is invalid.")
	case e.Assignor != nil && !slices.Contains(assignor.Names(), *e.Assignor):
		return refuse(kafka.UnsupportedAssignor, "ServerAssignor %s is not supported. Supported assignors: %s.", *e.Assignor, strings.Join(assignor.Names(), ", "))
	}
	return nil
}

// consumerHeartbeat handles ConsumerGroupHeartbeat. Everything that can be refused is refused before anything changes.
func (s *Shard) consumerHeartbeat(e *ConsumerHeartbeat) ConsumerHeartbeatReply {
	if r := e.check(); r != nil {
		return r.heartbeat()
	}
	s.see(e.Picture)
	if e.MemberEpoch == leaveEpoch || e.MemberEpoch == leaveStaticEpoch {
		return s.consumerLeave(e)
	}
	if r := s.checkConsumerHeartbeat(e); r != nil {
		return r.heartbeat()
	}
	g := s.openConsumer(e.Group)
	id := e.MemberID
	if id == "" {
		id = e.NewMemberID
	}
	if e.InstanceID != nil {
		if old := g.members[g.static[*e.InstanceID]]; old != nil && e.MemberEpoch == joinEpoch {
			s.replaceMember(e.Group, g, old, id)
		}
	}
	said := &offsetrecord.ConsumerMember{RebalanceTimeoutMillis: -1}
	if m := g.members[id]; m != nil {
		*said = *m.ConsumerMember
	}
	e.update(said)
	changed := s.updateConsumer(e.Group, g, id, said, e.Describable)
	before := g.members[id].assigned
	s.advanceConsumer(&progress{group: e.Group, member: id, owned: e.Owned, hasOwned: e.HasOwned, subscriptionChanged: changed, config: e.Config})
	m := g.members[id]
	s.startConsumerSession(e.Group, id, e.Config.session(&s.options))
	reply := ConsumerHeartbeatReply{MemberID: id, MemberEpoch: m.epoch, HeartbeatInterval: e.Config.heartbeat(&s.options)}
	full := e.MemberEpoch == joinEpoch || e.RebalanceTimeout != -1 && (e.Topics != nil || e.Regex != nil) && e.HasOwned
	if full || !reflect.DeepEqual(before, m.assigned) {
		assignment := m.assigned.records()
		reply.Assignment = &assignment
	}
	return reply
}

// update takes over what the heartbeat says.
func (e *ConsumerHeartbeat) update(said *offsetrecord.ConsumerMember) {
	set := func(to, from *string) {
		if from != nil {
			*to = *from
		}
	}
	set(&said.InstanceID, e.InstanceID)
	set(&said.RackID, e.RackID)
	set(&said.Regex, e.Regex)
	set(&said.Assignor, e.Assignor)
	if e.RebalanceTimeout != -1 {
		said.RebalanceTimeoutMillis = e.RebalanceTimeout
	}
	if e.Topics != nil {
		said.Topics = slices.Compact(slices.Sorted(slices.Values(e.Topics)))
	}
	said.ClientID, said.ClientHost, said.Classic = e.ClientID, e.ClientHost, nil
}

// checkConsumerHeartbeat tells whether the heartbeat is one of a member, or of one to be.
func (s *Shard) checkConsumerHeartbeat(e *ConsumerHeartbeat) *refusal {
	if r := s.checkRegex(e); r != nil {
		return r
	}
	joining := e.MemberEpoch == joinEpoch
	g := s.consumerOf(e.Group)
	if g == nil {
		if !joining {
			r := s.noConsumerGroup(e.Group)
			if s.durable.groups[e.Group] == nil && s.live[e.Group] == nil {
				r.text = "Consumer g" + r.text[1:] // Kafka says it otherwise here
			}
			return r
		}
		return s.checkUpgrade(e.Group)
	}
	if len(g.members) >= s.options.ConsumerMaxSize && g.members[e.MemberID] == nil {
		return s.consumerGroupFull()
	}
	if e.InstanceID != nil {
		return g.checkStatic(e)
	}
	m := g.members[e.MemberID]
	switch {
	case m == nil && joining:
		return nil
	case m == nil:
		return refuse(kafka.UnknownMemberID, "Member %s is not a member of group %s.", e.MemberID, e.Group)
	}
	return m.checkEpoch(e)
}

func (s *Shard) noConsumerGroup(id string) *refusal {
	if s.durable.groups[id] != nil || s.live[id] != nil || s.options.Guests.Has(id) {
		return refuse(kafka.GroupIDNotFound, "Group %s is not a consumer group.", id)
	}
	return refuse(kafka.GroupIDNotFound, "Group %s not found.", id)
}

func (s *Shard) consumerGroupFull() *refusal {
	return refuse(kafka.GroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", s.options.ConsumerMaxSize)
}

// checkRegex refuses a regular expression that the group does not know and that is none.
func (s *Shard) checkRegex(e *ConsumerHeartbeat) *refusal {
	if e.Regex == nil || *e.Regex == "" {
		return nil
	}
	if g := s.consumerOf(e.Group); g != nil && g.regexUsers[*e.Regex] > 0 {
		return nil
	}
	if _, err := compileRegex(*e.Regex); err != nil {
		text := err.Error()
		if wrong, ok := errors.AsType[*syntax.Error](err); ok {
			text = wrong.Code.String()
		}
		return refuse(kafka.InvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %s.", *e.Regex, text)
	}
	return nil
}

// compileRegex makes an expression that matches whole names. Go's are of RE2's kind, as the protocol asks.
func compileRegex(expression string) (*regexp.Regexp, error) {
	if len(expression) > maxRegexBytes {
		return nil, fmt.Errorf("it has %d bytes, and %d are allowed", len(expression), maxRegexBytes)
	}
	if _, err := regexp.Compile(expression); err != nil {
		return nil, err
	}
	return regexp.Compile(`\A(?:` + expression + `)\z`)
}

// checkStatic is the part of checkConsumerHeartbeat for a static member.
func (g *consumerGroup) checkStatic(e *ConsumerHeartbeat) *refusal {
	instance := *e.InstanceID
	m := g.members[g.static[instance]]
	if e.MemberEpoch == joinEpoch {
		if m != nil && m.Classic == nil && m.epoch != leaveStaticEpoch {
			return refuse(kafka.UnreleasedInstanceID, "Static member %s with instance id %s cannot join the group because the instance id is owned by %s member.", e.MemberID, instance, m.id)
		}
		return nil
	}
	if r := m.checkInstance(e.MemberID, instance); r != nil {
		return r
	}
	return m.checkEpoch(e)
}

// checkInstance refuses a member that is not the one with the instance id. m may be nil.
func (m *consumerMember) checkInstance(memberID, instanceID string) *refusal {
	switch {
	case m == nil:
		return refuse(kafka.UnknownMemberID, "Instance id %s is unknown.", instanceID)
	case m.id != memberID:
		return refuse(kafka.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", memberID, instanceID, m.id)
	}
	return nil
}

// checkEpoch refuses a member whose epoch is not the one it was told last. It may not have heard of that one: then it
// has to have nothing that it did not get.
func (m *consumerMember) checkEpoch(e *ConsumerHeartbeat) *refusal {
	switch {
	case e.MemberEpoch == joinEpoch || e.MemberEpoch == m.epoch:
		return nil
	case e.MemberEpoch > m.epoch:
		return refuse(kafka.FencedMemberEpoch, "The consumer group member has a greater member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", e.MemberEpoch, m.epoch)
	case e.MemberEpoch == m.previous && e.HasOwned && m.assigned.contain(e.Owned):
		return nil
	}
	return refuse(kafka.FencedMemberEpoch, "The consumer group member has a smaller member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", e.MemberEpoch, m.epoch)
}

func (e epochs) contain(topics []TopicPartitions) bool {
	for _, t := range topics {
		for _, p := range t.Partitions {
			if _, ok := e[t.ID][p]; !ok {
				return false
			}
		}
	}
	return true
}

// consumerLeave handles the heartbeat of a member that leaves.
func (s *Shard) consumerLeave(e *ConsumerHeartbeat) ConsumerHeartbeatReply {
	g := s.consumerOf(e.Group)
	if g == nil {
		return s.noConsumerGroup(e.Group).heartbeat()
	}
	m := g.members[e.MemberID]
	if e.InstanceID != nil {
		m = g.members[g.static[*e.InstanceID]]
		if r := m.checkInstance(e.MemberID, *e.InstanceID); r != nil {
			return r.heartbeat()
		}
	}
	if m == nil {
		return refuse(kafka.UnknownMemberID, "Member %s is not a member of group %s.", e.MemberID, e.Group).heartbeat()
	}
	reply := ConsumerHeartbeatReply{MemberID: e.MemberID, MemberEpoch: e.MemberEpoch}
	if e.MemberEpoch == leaveStaticEpoch {
		// Its session goes on: a member that does not come back in time is taken out.
		s.emitCurrent(e.Group, m.id, &consumerCurrent{epoch: leaveStaticEpoch, previous: m.previous, state: m.state, assigned: m.assigned})
		s.stopConsumerTimer(e.Group, m.id, rebalanceTimer)
		return reply
	}
	s.fenceConsumer(e.Group, g, m, "it left")
	return reply
}

func (c *ConsumerConfig) session(o *Options) time.Duration {
	if c.SessionTimeout == 0 {
		return o.ConsumerSessionTimeout
	}
	return c.SessionTimeout
}

func (c *ConsumerConfig) heartbeat(o *Options) time.Duration {
	if c.HeartbeatInterval == 0 {
		return o.ConsumerHeartbeatInterval
	}
	return c.HeartbeatInterval
}

func (c *ConsumerConfig) assignment(o *Options) time.Duration {
	if c.AssignmentInterval == 0 {
		return o.ConsumerAssignmentInterval
	}
	return max(c.AssignmentInterval, 0)
}
