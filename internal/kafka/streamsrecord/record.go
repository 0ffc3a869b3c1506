// Package streamsrecord reads and writes the records of streams groups (KIP-1071) in __consumer_offsets, in Kafka's own
// bytes: value version 0 of each kind, as Apache Kafka 4.3 writes it.
//
//	key      int16 kind | group [| member]
//	value    int16 0 | fields of the type below, flexible encoding; null ends what the key names
//
// Each layout stands once: the function that visits the fields of a type both writes and reads it. Functions are pure. A
// length in the bytes is held against the bytes that are left before anything is made.
package streamsrecord

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"
)

// ErrUnknownKind is wrapped by the error of Decode for a key that is not one of a streams group.
var ErrUnknownKind = errors.New("not a record of a streams group")

// Kind tells what a record is about. The values are those of Kafka's keys.
type Kind int16

// The kinds of records, each with the type of its value.
const (
	KindGroup       Kind = 17 // *Group
	KindMember      Kind = 19 // *Member
	KindTargetEpoch Kind = 20 // *TargetEpoch
	KindTarget      Kind = 21 // *Tasks, what a member is to have
	KindCurrent     Kind = 22 // *Current, what a member has
	KindTopology    Kind = 23 // *Topology
)

// Record is one decoded record. Value has the type that the kind names, or is nil for a tombstone.
type Record struct {
	Kind   Kind
	Group  string
	Member string // of KindMember, KindTarget, KindCurrent
	Value  Value
}

// Value is one of the types of values.
type Value interface{ code(c *coder) }

// KeyValue is a config or a tag.
type KeyValue struct{ Key, Value string }

// Group is the state of a group as a whole.
type Group struct {
	Epoch int32
	// MetadataHash stands for the topics that the topology reads, as they were at Epoch.
	MetadataHash int64
	// ValidatedTopologyEpoch is the last epoch of the topology that was found to fit its topics; -1: none was.
	ValidatedTopologyEpoch int32
	// Configs are those that the last assignment was made with.
	Configs []KeyValue
}

// Member is what a member said of itself.
type Member struct {
	InstanceID, RackID     *string
	ClientID, ClientHost   string
	RebalanceTimeoutMillis int32
	TopologyEpoch          int32
	ProcessID              string
	Endpoint               *Endpoint
	Tags                   []KeyValue
}

// Endpoint is where a member answers interactive queries.
type Endpoint struct {
	Host string
	Port uint16
}

// TargetEpoch is the group epoch that the target assignment was made for.
type TargetEpoch struct {
	Epoch int32
	// TimestampMillis is when it was made.
	TimestampMillis int64
}

// TaskIDs are tasks of one subtopology. Epochs, where it is not nil, holds for each partition the member epoch in which
// the member got the task.
type TaskIDs struct {
	Subtopology string
	Partitions  []int32
	Epochs      []int32
}

// Tasks are what a member is to have.
type Tasks struct{ Active, Standby, Warmup []TaskIDs }

// Current is what a member has, and what it was told to give up.
type Current struct {
	Epoch, PreviousEpoch int32
	State                int8
	Owned, Revoking      Tasks
}

// Topology is what the group's application is made of.
type Topology struct {
	Epoch         int32
	Subtopologies []Subtopology
}

// Subtopology is a part of a topology whose tasks are independent of the others'. The numbers of a CopartitionGroup point
// into its lists.
type Subtopology struct {
	ID                      string
	SourceTopics            []string
	SourceTopicRegex        []string
	StateChangelogTopics    []TopicInfo
	RepartitionSinkTopics   []string
	RepartitionSourceTopics []TopicInfo
	CopartitionGroups       []CopartitionGroup
}

// TopicInfo is an internal topic. 0 partitions, or replicas, are not given.
type TopicInfo struct {
	Name        string
	Partitions  int32
	Replication int16
	Configs     []KeyValue
}

// CopartitionGroup are source topics that must have as many partitions as each other.
type CopartitionGroup struct{ SourceTopics, SourceTopicRegex, RepartitionSourceTopics []int16 }

// AppendKey appends the bytes of r's key to dst.
func (r *Record) AppendKey(dst []byte) []byte {
	dst = kbin.AppendInt16(dst, int16(r.Kind))
	dst = kbin.AppendString(dst, r.Group)
	if r.Kind.ofMember() {
		dst = kbin.AppendString(dst, r.Member)
	}
	return dst
}

func (k Kind) ofMember() bool { return k == KindMember || k == KindTarget || k == KindCurrent }

// ValueBytes returns the bytes of r's value, nil for a tombstone.
func (r *Record) ValueBytes() []byte {
	if r.Value == nil {
		return nil
	}
	c := &coder{writing: true}
	var version int16
	c.i16(&version)
	r.Value.code(c)
	return c.out
}

// Decode reads a record; a nil value is a tombstone. The result shares no memory with its arguments.
func Decode(key, value []byte) (Record, error) {
	if len(key) < 2 {
		return Record{}, fmt.Errorf("key of %d bytes: %w", len(key), ErrUnknownKind)
	}
	r := Record{Kind: Kind(int16(binary.BigEndian.Uint16(key)))}
	var v Value
	switch r.Kind {
	case KindGroup:
		v = &Group{}
	case KindMember:
		v = &Member{}
	case KindTargetEpoch:
		v = &TargetEpoch{}
	case KindTarget:
		v = &Tasks{}
	case KindCurrent:
		v = &Current{}
	case KindTopology:
		v = &Topology{}
	default:
		return Record{}, fmt.Errorf("key of kind %d: %w", r.Kind, ErrUnknownKind)
	}
	k := kbin.Reader{Src: key[2:]}
	r.Group = k.String()
	if r.Kind.ofMember() {
		r.Member = k.String()
	}
	if err := k.Complete(); err != nil {
		return Record{}, fmt.Errorf("key of kind %d: %w", r.Kind, err)
	}
	if value == nil {
		return r, nil
	}
	c := &coder{in: kbin.Reader{Src: value}}
	var version int16
	if c.i16(&version); version != 0 {
		return Record{}, fmt.Errorf("value of kind %d, group %q: version %d, known is 0", r.Kind, r.Group, version)
	}
	v.code(c)
	if err := c.in.Complete(); err != nil {
		return Record{}, fmt.Errorf("value of kind %d, group %q: %w", r.Kind, r.Group, err)
	}
	r.Value = v
	return r, nil
}

func (g *Group) code(c *coder) {
	c.i32(&g.Epoch)
	c.i64(&g.MetadataHash)
	if !c.writing {
		g.ValidatedTopologyEpoch = -1
	}
	c.tags(
		tag{0, g.ValidatedTopologyEpoch != -1, func(c *coder) { c.i32(&g.ValidatedTopologyEpoch) }},
		tag{1, g.Configs != nil, func(c *coder) { list(c, &g.Configs, keyValueBytes, (*KeyValue).code) }},
	)
}

// keyValueBytes and their like are the least that an item takes.
const keyValueBytes = 3

func (k *KeyValue) code(c *coder) {
	c.text(&k.Key)
	c.text(&k.Value)
	c.tags()
}

func (m *Member) code(c *coder) {
	c.nullable(&m.InstanceID)
	c.nullable(&m.RackID)
	c.text(&m.ClientID)
	c.text(&m.ClientHost)
	c.i32(&m.RebalanceTimeoutMillis)
	c.i32(&m.TopologyEpoch)
	c.text(&m.ProcessID)
	// A struct that may be null begins with 1, or -1 if it is.
	present := int8(-1)
	if m.Endpoint != nil {
		present = 1
	}
	if c.i8(&present); present >= 0 {
		if !c.writing {
			m.Endpoint = &Endpoint{}
		}
		c.text(&m.Endpoint.Host)
		c.u16(&m.Endpoint.Port)
		c.tags()
	}
	list(c, &m.Tags, keyValueBytes, (*KeyValue).code)
	c.tags()
}

func (t *TargetEpoch) code(c *coder) {
	c.i32(&t.Epoch)
	c.tags(tag{0, t.TimestampMillis != 0, func(c *coder) { c.i64(&t.TimestampMillis) }})
}

const taskIDsBytes = 3

func (t *TaskIDs) code(c *coder) {
	c.text(&t.Subtopology)
	list(c, &t.Partitions, 4, func(p *int32, c *coder) { c.i32(p) })
	c.tags(tag{0, t.Epochs != nil, func(c *coder) { list(c, &t.Epochs, 4, func(p *int32, c *coder) { c.i32(p) }) }})
}

func (t *Tasks) fields(c *coder) {
	list(c, &t.Active, taskIDsBytes, (*TaskIDs).code)
	list(c, &t.Standby, taskIDsBytes, (*TaskIDs).code)
	list(c, &t.Warmup, taskIDsBytes, (*TaskIDs).code)
}

func (t *Tasks) code(c *coder) {
	t.fields(c)
	c.tags()
}

func (t *Current) code(c *coder) {
	c.i32(&t.Epoch)
	c.i32(&t.PreviousEpoch)
	c.i8(&t.State)
	t.Owned.fields(c)
	t.Revoking.fields(c)
	c.tags()
}

func (t *Topology) code(c *coder) {
	c.i32(&t.Epoch)
	list(c, &t.Subtopologies, 8, (*Subtopology).code)
	c.tags()
}

func (s *Subtopology) code(c *coder) {
	c.text(&s.ID)
	texts(c, &s.SourceTopics)
	texts(c, &s.SourceTopicRegex)
	list(c, &s.StateChangelogTopics, topicInfoBytes, (*TopicInfo).code)
	texts(c, &s.RepartitionSinkTopics)
	list(c, &s.RepartitionSourceTopics, topicInfoBytes, (*TopicInfo).code)
	list(c, &s.CopartitionGroups, 4, (*CopartitionGroup).code)
	c.tags()
}

const topicInfoBytes = 9

func (t *TopicInfo) code(c *coder) {
	c.text(&t.Name)
	c.i32(&t.Partitions)
	c.i16(&t.Replication)
	list(c, &t.Configs, keyValueBytes, (*KeyValue).code)
	c.tags()
}

func (g *CopartitionGroup) code(c *coder) {
	for _, l := range []*[]int16{&g.SourceTopics, &g.SourceTopicRegex, &g.RepartitionSourceTopics} {
		list(c, l, 2, func(i *int16, c *coder) { c.i16(i) })
	}
	c.tags()
}
