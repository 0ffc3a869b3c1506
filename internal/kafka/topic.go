package kafka

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Names of the topics that the broker itself writes. Clients see them as internal (Metadata's is_internal) and may not
// create, produce to or delete them by ordinary means.
const (
	GroupMetadataTopic    = "__consumer_offsets"
	TransactionStateTopic = "__transaction_state"
	ShareGroupStateTopic  = "__share_group_state"
	ClusterMetadataTopic  = "__cluster_metadata"
)

// IsInternalTopic tells whether name is one of the topics that Kafka marks as internal. The cluster metadata topic is
// never listed to clients, but its name is reserved too.
func IsInternalTopic(name string) bool {
	switch name {
	case GroupMetadataTopic, TransactionStateTopic, ShareGroupStateTopic, ClusterMetadataTopic:
		return true
	}
	return false
}

// MaxTopicNameBytes is the longest topic name: it leaves room for a partition number in a file name of 255 bytes.
const MaxTopicNameBytes = 249

// ValidateTopicName returns nil if name has 1 to 249 characters out of [a-zA-Z0-9._-] and is neither "." nor "..".
// Otherwise it returns a *Detail with InvalidTopicException whose text says what is wrong.
func ValidateTopicName(name string) error {
	switch {
	case name == "":
		return Errorf(InvalidTopicException, "Topic name is invalid: it must not be empty")
	case name == "." || name == "..":
		return Errorf(InvalidTopicException, "Topic name is invalid: '.' and '..' are not allowed")
	case len(name) > MaxTopicNameBytes:
		return Errorf(InvalidTopicException, "Topic name is invalid: it has %d bytes, at most %d are allowed", len(name), MaxTopicNameBytes)
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return Errorf(InvalidTopicException, "Topic name is invalid: %q contains a character other than ASCII letters, digits, '.', '_' and '-'", name)
		}
	}
	return nil
}

// TopicID identifies a topic for its whole life; a topic that is deleted and made again gets another (KIP-516). The zero
// value means "no id". It is a version 4 UUID, 16 bytes in network order.
type TopicID [16]byte

// NewTopicID draws a random id from random, which should be crypto/rand.Reader outside of tests. The ids that
// Kafka reserves (the 100 lowest) are no version 4 UUIDs and so never come out. Ids whose text starts with "-" are
// drawn again, as Kafka does: on a command line they would be read as options.
func NewTopicID(random io.Reader) (TopicID, error) {
	for {
		var id TopicID
		if _, err := io.ReadFull(random, id[:]); err != nil {
			return TopicID{}, fmt.Errorf("draw topic id: %w", err)
		}
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if id.String()[0] != '-' {
			return id, nil
		}
	}
}

// IsZero tells whether id is the zero id.
func (id TopicID) IsZero() bool { return id == TopicID{} }

// String returns the 22 characters of URL-safe base64 by which Kafka's tools show ids.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseTopicID reads what String writes.
func ParseTopicID(s string) (TopicID, error) {
	var id TopicID
	if len(s) != 22 {
		return TopicID{}, fmt.Errorf("parse topic id %q: want 22 characters, got %d", s, len(s))
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(id[:], []byte(s)); err != nil {
		return TopicID{}, fmt.Errorf("parse topic id %q: %w", s, err)
	}
	return id, nil
}

// ProducerID identifies an idempotent or transactional producer session. NoProducerID means that a batch is neither.
type ProducerID int64

// NoProducerID, NoProducerEpoch and NoSequence fill the producer fields of a batch from a plain producer.
const (
	NoProducerID    ProducerID = -1
	NoProducerEpoch int16      = -1
	NoSequence      int32      = -1
)

// MaxProducerEpoch is the highest epoch that a producer is given; the one above it only fences. After it comes another
// producer id.
const MaxProducerEpoch int16 = math.MaxInt16 - 1

// NoLeaderEpoch stands where a leader epoch is not known.
const NoLeaderEpoch int32 = -1

// TopicPartition names one partition. Partition counts from 0.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String returns "topic-3".
func (tp TopicPartition) String() string { return tp.Topic + "-" + strconv.Itoa(int(tp.Partition)) }

// Compare orders by topic, then by partition.
func (tp TopicPartition) Compare(other TopicPartition) int {
	if c := cmp.Compare(tp.Topic, other.Topic); c != 0 {
		return c
	}
	return cmp.Compare(tp.Partition, other.Partition)
}
