package sharerecord

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kbin"

	"github.com/weir-stream/weir/internal/kafka"
)

// Kind tells what a GroupRecord is about; the numbers are those of the keys.
type Kind int16

// Kinds of records in __consumer_offsets.
const (
	KindMember          Kind = 10 // value Member
	KindEpoch           Kind = 11 // value Epoch
	KindAssignmentEpoch Kind = 12 // value AssignmentEpoch
	KindTarget          Kind = 13 // value Assignment
	KindCurrent         Kind = 14 // value Current
	KindPartitions      Kind = 15 // value Partitions
)

// GroupRecord is a record of __consumer_offsets. Member is set for the kinds about one member. A nil Value is a tombstone.
type GroupRecord struct {
	Kind          Kind
	Group, Member string
	Value         Value
}

// Value is the value of a GroupRecord: one of the types that the kinds name, as a pointer.
type Value interface{ appendTo(b []byte) []byte }

// Member is what a member said of itself.
type Member struct {
	RackID               *string
	ClientID, ClientHost string
	SubscribedTopics     []string
}

// Epoch is the epoch of a group and a hash of the topics that it is about.
type Epoch struct {
	Epoch        int32
	MetadataHash int64
}

// AssignmentEpoch is the group epoch that the assignment was made for, and when, in ms since 1970; 0 is not known.
type AssignmentEpoch struct {
	Epoch     int32
	Timestamp int64
}

// TopicPartitions are partitions of a topic, ascending.
type TopicPartitions struct {
	ID         kafka.TopicID
	Partitions []int32
}

// Assignment is what a member shall have, sorted by topic id.
type Assignment struct{ Topics []TopicPartitions }

// Current is what a member has. Its epoch is that of the assignment it was told of, and Previous the one before.
type Current struct {
	Epoch, Previous int32
	State           int8 // always 0: stable
	Topics          []TopicPartitions
}

// NamedPartitions are partitions of a topic, with its name.
type NamedPartitions struct {
	ID         kafka.TopicID
	Name       string
	Partitions []int32
}

// NamedTopic is a topic by id and name.
type NamedTopic struct {
	ID   kafka.TopicID
	Name string
}

// Partitions tells how far the state of a group's partitions is: about to be made, made, about to be deleted.
type Partitions struct {
	Initializing, Initialized []NamedPartitions
	Deleting                  []NamedTopic
}

// AppendKey appends the bytes of the record's key to b.
func (r *GroupRecord) AppendKey(b []byte) []byte {
	b = kbin.AppendInt16(b, int16(r.Kind))
	b = kbin.AppendString(b, r.Group)
	switch r.Kind {
	case KindMember, KindTarget, KindCurrent:
		b = kbin.AppendString(b, r.Member)
	}
	return b
}

// EncodeValue returns the bytes of the record's value, nil for a tombstone.
func (r *GroupRecord) EncodeValue() []byte {
	if r.Value == nil {
		return nil
	}
	return r.Value.appendTo(kbin.AppendInt16(nil, valueVersion))
}

func (m *Member) appendTo(b []byte) []byte {
	b = kbin.AppendCompactNullableString(b, m.RackID)
	b = kbin.AppendCompactString(b, m.ClientID)
	b = kbin.AppendCompactString(b, m.ClientHost)
	b = kbin.AppendCompactArrayLen(b, len(m.SubscribedTopics))
	for _, t := range m.SubscribedTopics {
		b = kbin.AppendCompactString(b, t)
	}
	return noTags(b)
}

func (e *Epoch) appendTo(b []byte) []byte {
	return noTags(kbin.AppendInt64(kbin.AppendInt32(b, e.Epoch), e.MetadataHash))
}

func (e *AssignmentEpoch) appendTo(b []byte) []byte {
	b = kbin.AppendInt32(b, e.Epoch)
	if e.Timestamp == 0 {
		return noTags(b)
	}
	return kbin.AppendInt64(append(b, 1, 0, 8), e.Timestamp) // one tagged field: tag 0 of 8 bytes
}

func appendTopics(b []byte, topics []TopicPartitions) []byte {
	b = kbin.AppendCompactArrayLen(b, len(topics))
	for _, t := range topics {
		b = noTags(appendPartitions(appendID(b, t.ID), t.Partitions))
	}
	return b
}

func (a *Assignment) appendTo(b []byte) []byte { return noTags(appendTopics(b, a.Topics)) }

func (c *Current) appendTo(b []byte) []byte {
	b = kbin.AppendInt32(kbin.AppendInt32(b, c.Epoch), c.Previous)
	return noTags(appendTopics(kbin.AppendInt8(b, c.State), c.Topics))
}

func (p *Partitions) appendTo(b []byte) []byte {
	for _, named := range [][]NamedPartitions{p.Initializing, p.Initialized} {
		b = kbin.AppendCompactArrayLen(b, len(named))
		for _, t := range named {
			b = noTags(appendPartitions(kbin.AppendCompactString(appendID(b, t.ID), t.Name), t.Partitions))
		}
	}
	b = kbin.AppendCompactArrayLen(b, len(p.Deleting))
	for _, t := range p.Deleting {
		b = noTags(kbin.AppendCompactString(appendID(b, t.ID), t.Name))
	}
	return noTags(b)
}

// DecodeGroup reads a record of __consumer_offsets; a nil value is a tombstone. The result shares no memory with its
// arguments. The error wraps ErrUnknownKind for records of other kinds of groups; any other one means that the bytes are
// damaged or from a later format.
func DecodeGroup(key, value []byte) (GroupRecord, error) {
	n, err := kindOf(key)
	if err != nil {
		return GroupRecord{}, err
	}
	r := GroupRecord{Kind: Kind(n)}
	if r.Kind < KindMember || r.Kind > KindPartitions {
		return GroupRecord{}, fmt.Errorf("key of kind %d: %w", n, ErrUnknownKind)
	}
	k := read(key[2:])
	r.Group = k.String()
	switch r.Kind {
	case KindMember, KindTarget, KindCurrent:
		r.Member = k.String()
	}
	if err := k.done(); err != nil {
		return GroupRecord{}, fmt.Errorf("key of kind %d: %w", n, err)
	}
	if value == nil {
		return r, nil
	}
	if r.Value, err = decodeValue(r.Kind, value); err != nil {
		return GroupRecord{}, fmt.Errorf("record of kind %d of share group %q: %w", n, r.Group, err)
	}
	return r, nil
}

func decodeValue(kind Kind, b []byte) (Value, error) {
	v, err := valueOf(b)
	if err != nil {
		return nil, err
	}
	var out Value
	switch kind {
	case KindMember:
		out = v.member()
	case KindEpoch:
		out = &Epoch{Epoch: v.Int32(), MetadataHash: v.Int64()}
	case KindAssignmentEpoch:
		e := &AssignmentEpoch{Epoch: v.Int32()}
		v.tags(func(tag uint32, body *reader) {
			if tag == 0 {
				e.Timestamp = body.Int64()
			}
		})
		return e, v.done()
	case KindTarget:
		out = &Assignment{v.topics()}
	case KindCurrent:
		out = &Current{v.Int32(), v.Int32(), v.Int8(), v.topics()}
	default:
		out = v.states()
	}
	v.tags(nil)
	return out, v.done()
}

func (r *reader) member() *Member {
	m := &Member{RackID: r.CompactNullableString(), ClientID: r.CompactString(), ClientHost: r.CompactString()}
	for range r.count(1) {
		m.SubscribedTopics = append(m.SubscribedTopics, r.CompactString())
	}
	return m
}

func (r *reader) topics() []TopicPartitions {
	var out []TopicPartitions
	for range r.count(18) {
		out = append(out, TopicPartitions{r.id(), r.partitions()})
		r.tags(nil)
	}
	slices.SortFunc(out, func(a, b TopicPartitions) int { return CompareIDs(a.ID, b.ID) })
	return out
}

func (r *reader) states() *Partitions {
	p := &Partitions{}
	for _, to := range []*[]NamedPartitions{&p.Initializing, &p.Initialized} {
		for range r.count(19) {
			*to = append(*to, NamedPartitions{r.id(), r.CompactString(), r.partitions()})
			r.tags(nil)
		}
	}
	for range r.count(18) {
		p.Deleting = append(p.Deleting, NamedTopic{r.id(), r.CompactString()})
		r.tags(nil)
	}
	return p
}

// CompareIDs orders topic ids by their bytes.
func CompareIDs(a, b kafka.TopicID) int { return bytes.Compare(a[:], b[:]) }
