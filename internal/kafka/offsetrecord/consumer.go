package offsetrecord

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/weir-stream/weir/internal/kafka"
)

// Records of groups of the consumer protocol (KIP-848). Several make up one group, and one member has three:
//
//	key version 3   group             epoch, hash of what is known of its topics
//	            4   group             partition metadata: what brokers before 4.1 had instead of the hash; only deleted
//	            5   group | member    what the member said of itself
//	            6   group             epoch and time of the target assignment
//	            7   group | member    the member's part of the target assignment
//	            8   group | member    epoch, state and partitions that the member has now
//	            16  group | regex     topics that a regular expression matched
//
// Values are version 0, in the flexible encoding.

// Key versions of the consumer protocol, as Kafka numbers them.
const (
	keyConsumerGroup        = 3
	keyConsumerPartitions   = 4
	keyConsumerMember       = 5
	keyConsumerTarget       = 6
	keyConsumerTargetMember = 7
	keyConsumerCurrent      = 8
	keyConsumerRegex        = 16
)

// Kinds of records of the consumer protocol. Their Body is of the type that is named; nil deletes.
const (
	KindConsumerGroup        Kind = iota + KindMetadata + 1 // *ConsumerGroup
	KindConsumerPartitions                                  // *ConsumerPartitions
	KindConsumerMember                                      // *ConsumerMember, of Member
	KindConsumerTarget                                      // *ConsumerTarget
	KindConsumerTargetMember                                // *ConsumerAssignment, of Member
	KindConsumerCurrent                                     // *ConsumerCurrent, of Member
	KindConsumerRegex                                       // *ConsumerRegex, of Regex
)

// Body is the value of a record of the consumer protocol: a pointer to one of the types below.
type Body interface{ appendTo(b []byte) []byte }

// ConsumerGroup is the epoch of a group.
type ConsumerGroup struct {
	Epoch        int32
	MetadataHash int64
}

// ConsumerPartitions tells that an older broker wrote what it knew of the group's topics.
type ConsumerPartitions struct{}

// ConsumerMember is what a member said of itself. Empty strings stand for null.
type ConsumerMember struct {
	InstanceID             string
	RackID                 string
	ClientID               string
	ClientHost             string
	Topics                 []string
	Regex                  string
	RebalanceTimeoutMillis int32
	Assignor               string
	Classic                *ClassicMember // nil for a member that speaks the consumer protocol
}

// ClassicMember is what a consumer group keeps of a member that speaks the classic protocol.
type ClassicMember struct {
	SessionTimeoutMillis int32
	Protocols            []ClassicProtocol
}

// ClassicProtocol is one protocol of a ClassicMember.
type ClassicProtocol struct {
	Name     string
	Metadata []byte
}

// ConsumerTarget is the epoch of the target assignment, and when it was made, in ms; 0: not known.
type ConsumerTarget struct {
	Epoch     int32
	Timestamp int64
}

// TopicPartitions are partitions of a topic. Epochs, of the same length or nil, are those in which the member got them.
type TopicPartitions struct {
	ID         kafka.TopicID
	Partitions []int32
	Epochs     []int32
}

// ConsumerAssignment is a member's part of the target assignment.
type ConsumerAssignment struct{ Topics []TopicPartitions }

// ConsumerCurrent is what a member has now.
type ConsumerCurrent struct {
	Epoch         int32
	PreviousEpoch int32
	State         int8
	Assigned      []TopicPartitions
	Revoking      []TopicPartitions
}

// ConsumerRegex are the topics that a regular expression matched. Version is that of the metadata, Timestamp in ms.
type ConsumerRegex struct {
	Topics    []string
	Version   int64
	Timestamp int64
}

func (v *ConsumerGroup) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(v.Epoch))
	return appendTags(b, tagInt64(v.MetadataHash))
}

// tagInt64 is a tagged field that is left out if it is 0.
func tagInt64(n int64) []byte {
	if n == 0 {
		return nil
	}
	return binary.BigEndian.AppendUint64(nil, uint64(n))
}

func (v *ConsumerPartitions) appendTo(b []byte) []byte {
	return appendTags(appendLength(b, 0))
}

func (v *ConsumerMember) appendTo(b []byte) []byte {
	b = appendNullable(b, v.InstanceID)
	b = appendNullable(b, v.RackID)
	b = appendString(b, v.ClientID)
	b = appendString(b, v.ClientHost)
	b = appendStrings(b, v.Topics)
	b = appendNullable(b, v.Regex)
	b = binary.BigEndian.AppendUint32(b, uint32(v.RebalanceTimeoutMillis))
	b = appendNullable(b, v.Assignor)
	var classic []byte
	if v.Classic != nil {
		// A nullable structure says first that it is there.
		classic = binary.BigEndian.AppendUint32([]byte{1}, uint32(v.Classic.SessionTimeoutMillis))
		classic = appendLength(classic, len(v.Classic.Protocols))
		for _, p := range v.Classic.Protocols {
			classic = appendString(classic, p.Name)
			classic = append(appendLength(classic, len(p.Metadata)), p.Metadata...)
			classic = appendTags(classic)
		}
		classic = appendTags(classic)
	}
	return appendTags(b, classic)
}

func (v *ConsumerTarget) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(v.Epoch))
	return appendTags(b, tagInt64(v.Timestamp))
}

func (v *ConsumerAssignment) appendTo(b []byte) []byte {
	return appendTags(appendPartitions(b, v.Topics))
}

func appendPartitions(b []byte, topics []TopicPartitions) []byte {
	b = appendLength(b, len(topics))
	for i := range topics {
		b = append(b, topics[i].ID[:]...)
		b = appendInt32s(b, topics[i].Partitions)
		var epochs []byte
		if topics[i].Epochs != nil {
			epochs = appendInt32s(nil, topics[i].Epochs)
		}
		b = appendTags(b, epochs)
	}
	return b
}

func (v *ConsumerCurrent) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(v.Epoch))
	b = binary.BigEndian.AppendUint32(b, uint32(v.PreviousEpoch))
	b = append(b, byte(v.State))
	b = appendPartitions(b, v.Assigned)
	return appendTags(appendPartitions(b, v.Revoking))
}

func (v *ConsumerRegex) appendTo(b []byte) []byte {
	b = appendStrings(b, v.Topics)
	b = binary.BigEndian.AppendUint64(b, uint64(v.Version))
	b = binary.BigEndian.AppendUint64(b, uint64(v.Timestamp))
	return appendTags(b)
}

// consumerKinds are the kinds by key version, and whether a second string follows the group's in the key.
var consumerKinds = map[int16]struct {
	kind   Kind
	second bool
}{
	keyConsumerGroup: {KindConsumerGroup, false}, keyConsumerPartitions: {KindConsumerPartitions, false}, keyConsumerMember: {KindConsumerMember, true},
	keyConsumerTarget: {KindConsumerTarget, false}, keyConsumerTargetMember: {KindConsumerTargetMember, true},
	keyConsumerCurrent: {KindConsumerCurrent, true}, keyConsumerRegex: {KindConsumerRegex, true},
}

func (r *Record) appendConsumerKey(b []byte) []byte {
	for version, k := range consumerKinds {
		if k.kind != r.Kind {
			continue
		}
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = appendKeyString(b, r.Group)
		switch {
		case r.Kind == KindConsumerRegex:
			b = appendKeyString(b, r.Regex)
		case k.second:
			b = appendKeyString(b, r.Member)
		}
	}
	return b
}

func appendKeyString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// decodeConsumer reads a record of the consumer protocol.
func decodeConsumer(key, value []byte) (Record, error) {
	k := reader{b: key}
	version := k.int16()
	is := consumerKinds[version]
	r := Record{Kind: is.kind, Group: k.keyString()}
	if is.second {
		second := k.keyString()
		if is.kind == KindConsumerRegex {
			r.Regex = second
		} else {
			r.Member = second
		}
	}
	if k.err != nil {
		return Record{}, fmt.Errorf("decode key of version %d: %w", version, k.err)
	}
	if value == nil {
		return r, nil
	}
	v := reader{b: value}
	if format := v.int16(); v.err == nil && format != 0 {
		return Record{}, fmt.Errorf("value version %d of group %q, key version %d, is not known", format, r.Group, version)
	}
	r.Body = v.body(is.kind)
	if v.err != nil {
		return Record{}, fmt.Errorf("decode value of group %q, key version %d: %w", r.Group, version, v.err)
	}
	return r, nil
}

func (r *reader) body(kind Kind) Body {
	switch kind {
	case KindConsumerGroup:
		v := &ConsumerGroup{Epoch: r.int32()}
		r.tags(func(tag uint64, f *reader) { readInt64(tag, f, &v.MetadataHash) })
		return v
	case KindConsumerMember:
		return r.consumerMember()
	case KindConsumerTarget:
		v := &ConsumerTarget{Epoch: r.int32()}
		r.tags(func(tag uint64, f *reader) { readInt64(tag, f, &v.Timestamp) })
		return v
	case KindConsumerTargetMember:
		v := &ConsumerAssignment{Topics: r.partitions()}
		r.tags(nil)
		return v
	case KindConsumerCurrent:
		v := &ConsumerCurrent{Epoch: r.int32(), PreviousEpoch: r.int32(), State: r.int8()}
		v.Assigned, v.Revoking = r.partitions(), r.partitions()
		r.tags(nil)
		return v
	case KindConsumerRegex:
		v := &ConsumerRegex{Topics: r.strings(), Version: r.int64(), Timestamp: r.int64()}
		r.tags(nil)
		return v
	default:
		return &ConsumerPartitions{}
	}
}

func readInt64(tag uint64, f *reader, to *int64) {
	if tag == 0 {
		*to = f.int64()
	}
}

func (r *reader) consumerMember() *ConsumerMember {
	v := &ConsumerMember{
		InstanceID: r.string(), RackID: r.string(), ClientID: r.string(), ClientHost: r.string(), Topics: r.strings(), Regex: r.string(),
		RebalanceTimeoutMillis: r.int32(), Assignor: r.string(),
	}
	r.tags(func(tag uint64, f *reader) {
		if tag != 0 || f.uvarint() == 0 {
			return
		}
		v.Classic = &ClassicMember{SessionTimeoutMillis: f.int32()}
		for range max(f.length(3), 0) {
			v.Classic.Protocols = append(v.Classic.Protocols, ClassicProtocol{Name: f.string(), Metadata: f.bytes()})
			f.tags(nil)
		}
		f.tags(nil)
	})
	return v
}

// partitionsBytesMin is the least that the partitions of a topic take: the id, no partition, no tag.
const partitionsBytesMin = 18

func (r *reader) partitions() []TopicPartitions {
	n := r.length(partitionsBytesMin)
	if n <= 0 {
		return nil
	}
	topics := make([]TopicPartitions, 0, n)
	for range n {
		t := TopicPartitions{ID: r.topicID(), Partitions: r.int32s()}
		r.tags(func(tag uint64, f *reader) {
			if tag == 0 {
				t.Epochs = f.int32s()
			}
		})
		if len(t.Epochs) != len(t.Partitions) {
			t.Epochs = nil
		}
		topics = append(topics, t)
	}
	return slices.Clip(topics)
}
