// Package offsetrecord reads and writes the records of __consumer_offsets in Kafka's own bytes.
//
// Two kinds of record make up the durable state of classic groups: committed offsets (key versions 0 and 1) and group
// metadata (key version 2). The topic is compacted, so the newest record of a key is the state of that key, and a null
// value (a tombstone) ends it. Tools outside of the broker read this topic, which is why the bytes are Kafka's:
//
//	offset key       int16 version=1 | group | topic | int32 partition
//	offset value     v1: as v0 and an expire timestamp (only for commits that named a retention of their own)
//	                 v4: int64 offset | int32 leader epoch | metadata | int64 commit timestamp | tagged topic id
//	metadata key     int16 version=2 | group
//	metadata value   v3: protocol type | int32 generation | protocol | leader | int64 state timestamp | members
//
// Written are value versions 4 (or 1, see above) and 3, what Apache Kafka 4.3 writes; read are 0 to 4. Message types of
// kmsg do the encoding and stop here. The records of groups of the consumer protocol stand in consumer.go. Functions are pure and may be called from any goroutine. The package knows
// nothing of batches, logs or group rules.
package offsetrecord

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka"
)

// ErrUnknownKind is wrapped by the error of Decode for a key version that this package does not know. Such a record
// belongs to a group type that is kept by somebody else; it is whole, only not ours.
var ErrUnknownKind = errors.New("unknown kind of group record")

// Key versions as Kafka numbers them.
const (
	keyOffsetOld = 0 // written by brokers before 0.9.0.1, same layout as 1
	keyOffset    = 1
	keyMetadata  = 2
)

// Highest value versions known, and those that are written.
const (
	maxValueVersion          = 4
	offsetValueVersion       = 4
	offsetValueExpireVersion = 1
	metadataValueVersion     = 3
)

// NoTimestamp stands in the timestamp fields for "none".
const NoTimestamp int64 = -1

// Kind tells which of its fields a Record uses.
type Kind int8

const (
	// KindOffset is the committed offset of (Group, Topic, Partition); a nil Offset deletes it.
	KindOffset Kind = iota + 1
	// KindMetadata is the state of Group; a nil Metadata deletes it.
	KindMetadata
)

// Record is one decoded record. Its value pointer is nil for a tombstone.
type Record struct {
	Kind      Kind
	Group     string
	Topic     string
	Partition int32
	Offset    *Offset
	Metadata  *Metadata
	// Member, Regex and Body belong to the kinds of the consumer protocol.
	Member, Regex string
	Body          Body
}

// Offset is one committed offset. Timestamps are milliseconds since 1970.
type Offset struct {
	Offset          int64
	LeaderEpoch     int32 // -1: not known
	Metadata        string
	CommitTimestamp int64
	ExpireTimestamp int64         // NoTimestamp: by the broker's retention
	TopicID         kafka.TopicID // zero: not known (records of older brokers, and those with an ExpireTimestamp)
}

// Metadata is the state of a classic group as of its last completed rebalance. Protocol and Leader are empty while the
// group has no members.
type Metadata struct {
	ProtocolType   string
	Generation     int32
	Protocol       string
	Leader         string
	StateTimestamp int64 // when the group entered its state; NoTimestamp: not known
	Members        []Member
}

// Member is a member of a group with what it was assigned. Subscription is its metadata for the group's protocol.
type Member struct {
	ID                     string
	InstanceID             string // empty: a dynamic member
	ClientID               string
	ClientHost             string
	RebalanceTimeoutMillis int32
	SessionTimeoutMillis   int32
	Subscription           []byte
	Assignment             []byte
}

// AppendKey appends the bytes of r's key to dst.
func (r Record) AppendKey(dst []byte) []byte {
	if r.Kind > KindMetadata {
		return r.appendConsumerKey(dst)
	}
	if r.Kind == KindMetadata {
		key := kmsg.GroupMetadataKey{Version: keyMetadata, Group: r.Group}
		return key.AppendTo(dst)
	}
	key := kmsg.OffsetCommitKey{Version: keyOffset, Group: r.Group, Topic: r.Topic, Partition: r.Partition}
	return key.AppendTo(dst)
}

// Value returns the bytes of r's value, nil for a tombstone.
func (r Record) Value() []byte {
	switch {
	case r.Kind == KindOffset && r.Offset != nil:
		return r.Offset.encode()
	case r.Kind == KindMetadata && r.Metadata != nil:
		return r.Metadata.encode()
	case r.Body != nil:
		return r.Body.appendTo(make([]byte, 2, 64)) // version 0
	}
	return nil
}

func (o *Offset) encode() []byte {
	value := kmsg.NewOffsetCommitValue()
	value.Version = offsetValueVersion
	value.Offset = o.Offset
	value.LeaderEpoch = o.LeaderEpoch
	value.Metadata = o.Metadata
	value.CommitTimestamp = o.CommitTimestamp
	value.TopicID = o.TopicID
	if o.ExpireTimestamp != NoTimestamp {
		// The expire timestamp exists in version 1 alone.
		value.Version = offsetValueExpireVersion
		value.ExpireTimestamp = o.ExpireTimestamp
	}
	return value.AppendTo(nil)
}

func (m *Metadata) encode() []byte {
	value := kmsg.NewGroupMetadataValue()
	value.Version = metadataValueVersion
	value.ProtocolType = m.ProtocolType
	value.Generation = m.Generation
	value.Protocol = nullable(m.Protocol)
	value.Leader = nullable(m.Leader)
	value.CurrentStateTimestamp = m.StateTimestamp
	value.Members = make([]kmsg.GroupMetadataValueMember, 0, len(m.Members))
	for i := range m.Members {
		from, to := &m.Members[i], kmsg.NewGroupMetadataValueMember()
		to.MemberID = from.ID
		to.InstanceID = nullable(from.InstanceID)
		to.ClientID = from.ClientID
		to.ClientHost = from.ClientHost
		to.RebalanceTimeoutMillis = from.RebalanceTimeoutMillis
		to.SessionTimeoutMillis = from.SessionTimeoutMillis
		to.Subscription = from.Subscription
		to.Assignment = from.Assignment
		value.Members = append(value.Members, to)
	}
	return value.AppendTo(nil)
}

// Decode reads a record from the bytes of its key and value; a nil value is a tombstone. The result shares no memory
// with its arguments. The error wraps ErrUnknownKind for a kind of record that is not kept here; any other error
// means that the bytes are damaged or from a later format.
func Decode(key, value []byte) (Record, error) {
	if len(key) < 2 {
		return Record{}, fmt.Errorf("group record key of %d bytes is too short", len(key))
	}
	switch version := int16(binary.BigEndian.Uint16(key)); version {
	case keyOffsetOld, keyOffset:
		return decodeOffset(key, value)
	case keyMetadata:
		return decodeMetadata(key, value)
	default:
		if _, ok := consumerKinds[version]; ok {
			return decodeConsumer(key, value)
		}
		return Record{}, fmt.Errorf("group record key version %d: %w", version, ErrUnknownKind)
	}
}

func decodeOffset(keyBytes, valueBytes []byte) (Record, error) {
	var key kmsg.OffsetCommitKey
	if err := key.ReadFrom(keyBytes); err != nil {
		return Record{}, fmt.Errorf("decode key of offset commit: %w", err)
	}
	r := Record{Kind: KindOffset, Group: key.Group, Topic: key.Topic, Partition: key.Partition}
	if valueBytes == nil {
		return r, nil
	}
	if err := checkValueVersion(valueBytes); err != nil {
		return Record{}, fmt.Errorf("decode offset of group %q, %s-%d: %w", r.Group, r.Topic, r.Partition, err)
	}
	value := kmsg.NewOffsetCommitValue()
	if err := value.ReadFrom(valueBytes); err != nil {
		return Record{}, fmt.Errorf("decode offset of group %q, %s-%d: %w", r.Group, r.Topic, r.Partition, err)
	}
	r.Offset = &Offset{
		Offset:          value.Offset,
		LeaderEpoch:     kafka.NoLeaderEpoch,
		Metadata:        value.Metadata,
		CommitTimestamp: value.CommitTimestamp,
		ExpireTimestamp: NoTimestamp,
		TopicID:         value.TopicID,
	}
	if value.Version >= 3 {
		r.Offset.LeaderEpoch = value.LeaderEpoch
	}
	if value.Version == offsetValueExpireVersion {
		r.Offset.ExpireTimestamp = value.ExpireTimestamp
	}
	return r, nil
}

func decodeMetadata(keyBytes, valueBytes []byte) (Record, error) {
	var key kmsg.GroupMetadataKey
	if err := key.ReadFrom(keyBytes); err != nil {
		return Record{}, fmt.Errorf("decode key of group metadata: %w", err)
	}
	r := Record{Kind: KindMetadata, Group: key.Group}
	if valueBytes == nil {
		return r, nil
	}
	if err := checkValueVersion(valueBytes); err != nil {
		return Record{}, fmt.Errorf("decode metadata of group %q: %w", r.Group, err)
	}
	value := kmsg.NewGroupMetadataValue()
	if err := value.ReadFrom(valueBytes); err != nil {
		return Record{}, fmt.Errorf("decode metadata of group %q: %w", r.Group, err)
	}
	r.Metadata = &Metadata{
		ProtocolType:   value.ProtocolType,
		Generation:     value.Generation,
		Protocol:       orEmpty(value.Protocol),
		Leader:         orEmpty(value.Leader),
		StateTimestamp: NoTimestamp,
	}
	if value.Version >= 2 {
		r.Metadata.StateTimestamp = value.CurrentStateTimestamp
	}
	for i := range value.Members {
		from := &value.Members[i]
		member := Member{
			ID:                     from.MemberID,
			InstanceID:             orEmpty(from.InstanceID),
			ClientID:               from.ClientID,
			ClientHost:             from.ClientHost,
			RebalanceTimeoutMillis: from.RebalanceTimeoutMillis,
			SessionTimeoutMillis:   from.SessionTimeoutMillis,
			Subscription:           bytes.Clone(from.Subscription), // kmsg's point into valueBytes
			Assignment:             bytes.Clone(from.Assignment),
		}
		if value.Version == 0 {
			// Version 0 knew one timeout for both.
			member.RebalanceTimeoutMillis = from.SessionTimeoutMillis
		}
		r.Metadata.Members = append(r.Metadata.Members, member)
	}
	return r, nil
}

// checkValueVersion refuses a value that is too short for its version field or from a format later than ours.
func checkValueVersion(value []byte) error {
	if len(value) < 2 {
		return fmt.Errorf("value of %d bytes is too short", len(value))
	}
	if version := int16(binary.BigEndian.Uint16(value)); version < 0 || version > maxValueVersion {
		return fmt.Errorf("value version %d is not known, the highest is %d", version, maxValueVersion)
	}
	return nil
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
