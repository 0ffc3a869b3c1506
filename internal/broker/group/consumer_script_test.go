package group

import (
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// picture is the Topics of tests: the id of a topic is its name, with a number from its second life on.
type picture struct {
	version int64
	topics  map[string]TopicFacts
	made    map[string]bool // all that ever were
}

func (p *picture) Version() int64 { return p.version }

func (p *picture) ByName(name string) (TopicFacts, bool) { t, ok := p.topics[name]; return t, ok }

func (p *picture) ByID(id kafka.TopicID) (TopicFacts, bool) {
	for _, t := range p.topics {
		if t.ID == id {
			return t, true
		}
	}
	return TopicFacts{}, false
}

func (p *picture) Names() iter.Seq[string] { return slices.Values(slices.Sorted(maps.Keys(p.topics))) }

// with returns a later picture, in which a topic has so many partitions; 0 deletes it.
func (p *picture) with(name string, partitions int32) *picture {
	next := &picture{p.version + 1, maps.Clone(p.topics), maps.Clone(p.made)}
	if next.topics == nil {
		next.topics, next.made = map[string]TopicFacts{}, map[string]bool{}
	}
	t, ok := next.topics[name]
	switch {
	case partitions == 0:
		delete(next.topics, name)
		return next
	case !ok:
		t = TopicFacts{ID: topicID(name), Name: name}
		if p.made[name] {
			t.ID = topicID(name + strconv.FormatInt(next.version, 10))
		}
		next.made[name] = true
	}
	t.Partitions = partitions
	next.topics[name] = t
	return next
}

// heartbeatEvent is "hb m=a epoch=0 topics=t,u owned=t:0,1 rebalance=1m assignor=range regex=t.* instance=i v1".
func (s *script) heartbeatEvent(group string, a args) ConsumerHeartbeat {
	e := ConsumerHeartbeat{
		Group: group, MemberID: a.Args["m"], NewMemberID: "drawn", MemberEpoch: int32(a.Int("epoch", 0)), ClientID: "c", ClientHost: "/h",
		RebalanceTimeout: -1, NeedsMemberID: a.Has("v1"), Picture: s.picture,
	}
	optional := func(key string) *string {
		if !a.Has(key) {
			return nil
		}
		return new(a.Args[key])
	}
	e.InstanceID, e.Assignor, e.Regex, e.RackID = optional("instance"), optional("assignor"), optional("regex"), optional("rack")
	if a.Has("topics") {
		e.Topics = []string{}
		for name := range strings.SplitSeq(a.Args["topics"], ",") {
			if name != "" {
				e.Topics = append(e.Topics, name)
			}
		}
	}
	if e.MemberEpoch == joinEpoch && !a.Has("bare") {
		e.RebalanceTimeout, e.HasOwned = 60_000, true
	}
	if a.Has("rebalance") {
		e.RebalanceTimeout = int32(a.Duration("rebalance", "").Milliseconds())
	}
	if a.Has("owned") {
		e.HasOwned = true
		for _, pair := range a.list("owned") {
			t := TopicPartitions{ID: topicID(pair[0])}
			if facts, ok := s.picture.ByName(pair[0]); ok {
				t.ID = facts.ID
			}
			for p := range strings.SplitSeq(pair[1], ",") {
				t.Partitions = append(t.Partitions, atoi32(p))
			}
			e.Owned = append(e.Owned, t)
		}
	}
	if a.Has("hidden") {
		e.Describable = func(topic string) bool { return topic != a.Args["hidden"] }
	}
	return e
}

func formatPartitions(topics []TopicPartitions, withEpochs bool) string {
	var parts []string
	for _, t := range topics {
		var numbers []string
		for i, p := range t.Partitions {
			text := strconv.Itoa(int(p))
			if withEpochs && t.Epochs != nil {
				text += "@" + strconv.Itoa(int(t.Epochs[i]))
			}
			numbers = append(numbers, text)
		}
		parts = append(parts, strings.TrimRight(string(t.ID[:]), "\x00")+":"+strings.Join(numbers, ","))
	}
	return "{" + strings.Join(parts, " ") + "}"
}

func formatConsumerRecord(r Record) string {
	text := "record: "
	switch r.Kind {
	case offsetrecord.KindConsumerGroup:
		text += "consumer group " + r.Group
	case offsetrecord.KindConsumerPartitions:
		text += "partition metadata " + r.Group
	case offsetrecord.KindConsumerTarget:
		text += "target of " + r.Group
	case offsetrecord.KindConsumerRegex:
		text += "regex " + r.Group + " " + r.Regex
	default:
		text += map[Kind]string{offsetrecord.KindConsumerMember: "member ", offsetrecord.KindConsumerTargetMember: "target of ", offsetrecord.KindConsumerCurrent: "current of "}[r.Kind] + r.Group + " " + r.Member
	}
	switch b := r.Body.(type) {
	case nil:
		return text + " = deleted"
	case *offsetrecord.ConsumerGroup:
		return text + fmt.Sprintf(" = epoch %d", b.Epoch)
	case *offsetrecord.ConsumerTarget:
		return text + fmt.Sprintf(" = epoch %d", b.Epoch)
	case *offsetrecord.ConsumerMember:
		text += fmt.Sprintf(" = topics %v", b.Topics)
		if b.Regex != "" {
			text += " regex " + b.Regex
		}
		if b.Classic != nil {
			text += " classic"
		}
		return text
	case *offsetrecord.ConsumerAssignment:
		return text + " = " + formatPartitions(b.Topics, false)
	case *offsetrecord.ConsumerCurrent:
		return text + fmt.Sprintf(" = epoch %d state %d %s revoking %s", b.Epoch, b.State, formatPartitions(b.Assigned, true), formatPartitions(b.Revoking, true))
	case *offsetrecord.ConsumerRegex:
		return text + fmt.Sprintf(" = %v", b.Topics)
	}
	return text
}

// Kind is short for the tests.
type Kind = offsetrecord.Kind

func formatHeartbeat(b ConsumerHeartbeatReply) string {
	if b.Err != kafka.None {
		return fmt.Sprintf("hb: %s %s", b.Err.Name(), b.Text)
	}
	text := fmt.Sprintf("hb: member=%s epoch=%d", b.MemberID, b.MemberEpoch)
	if b.Assignment != nil {
		text += " " + formatPartitions(*b.Assignment, false)
	}
	return text
}

func formatConsumerDescription(b ConsumerDescription) string {
	if b.Err != kafka.None {
		return fmt.Sprintf("describe: %s %s", b.Err.Name(), b.Text)
	}
	text := fmt.Sprintf("describe: %v epoch=%d assignment=%d %s", b.State, b.Epoch, b.AssignmentEpoch, b.Assignor)
	for _, m := range b.Members {
		text += fmt.Sprintf(" [%s epoch=%d %v%s has=%s target=%s]", m.ID, m.Epoch, m.Topics, m.Regex, formatDescribed(m.Assigned), formatDescribed(m.Target))
	}
	return text
}

func formatDescribed(topics []DescribedPartitions) string {
	var parts []string
	for _, t := range topics {
		parts = append(parts, fmt.Sprintf("%s:%v", t.Topic.Name, t.Partitions))
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// checkConsumer compares a consumer group with one that was replayed, and checks what must hold of it at all times.
func checkConsumer(live *Shard, id string, got, want *consumerGroup) error {
	if (got == nil) != (want == nil) {
		return fmt.Errorf("consumer group %s: live %v, replayed %v", id, got != nil, want != nil)
	}
	if got == nil {
		return nil
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("consumer group %s\n live     %+v\n replayed %+v", id, describeConsumer(got), describeConsumer(want))
	}
	type owned struct {
		topic     kafka.TopicID
		partition int32
	}
	owners := map[owned]string{}
	for _, m := range got.sorted() {
		for _, has := range []epochs{m.assigned, m.revoking} {
			for topic, partitions := range has {
				for p := range partitions {
					if other, ok := owners[owned{topic, p}]; ok {
						return fmt.Errorf("group %s: %s and %s both have %s-%d", id, other, m.id, topic, p)
					}
					owners[owned{topic, p}] = m.id
				}
			}
		}
		if m.epoch > got.assignmentEpoch || got.assignmentEpoch > got.epoch {
			return fmt.Errorf("group %s: epoch %d, of the assignment %d, of %s %d", id, got.epoch, got.assignmentEpoch, m.id, m.epoch)
		}
		if l := live.consumers[id]; l == nil || l.timers[consumerTimer{m.id, sessionTimer}] == nil {
			return fmt.Errorf("group %s: nothing ends the session of %s", id, m.id)
		}
	}
	for id, g := range live.consumers {
		for key := range g.timers {
			if c := live.consumerOf(id); c == nil || c.members[key.member] == nil {
				return fmt.Errorf("group %s: a clock of %s, who is no member", id, key.member)
			}
		}
	}
	return nil
}

func describeConsumer(g *consumerGroup) string {
	text := fmt.Sprintf("epoch %d hash %d assignment %d at %d, %d classic, owners %v, target %v, static %v, topics %v, regexes %v/%v, assignors %v, supports %v", g.epoch, g.hash, g.assignmentEpoch, g.assignedAt, g.classic, g.owners, g.target, g.static, g.topics, g.regexUsers, len(g.regexes), g.assignors, g.supports)
	for _, m := range g.sorted() {
		text += fmt.Sprintf("\n  %s %+v %+v", m.id, *m.ConsumerMember, *m.consumerCurrent)
	}
	return text
}

func TestRegularExpressionsMatchWholeNames(t *testing.T) {
	t.Parallel()
	s := NewShard(Options{})
	s.see((&picture{}).with("a", 1).with("ab", 1).with("b", 1).with("a.b", 1))
	for expression, want := range map[string]string{"a": "a", "a.*": "a a.b ab", "a|b": "a b", "": "", ".*": "a a.b ab b", "(": "", `a\.b`: "a.b"} {
		if got := strings.Join(s.match(expression, nil), " "); got != want {
			t.Errorf("%q matches %q, want %q", expression, got, want)
		}
	}
}
