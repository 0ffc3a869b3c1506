package group

import (
	"iter"
	"time"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// TopicPartitions are partitions of a topic.
type TopicPartitions = offsetrecord.TopicPartitions

// Topics is an unchanging picture of the topics that exist. It comes with the events that need it; a Shard goes by the
// newest that it saw.
type Topics interface {
	// Version grows with every change.
	Version() int64
	ByName(name string) (TopicFacts, bool)
	ByID(id kafka.TopicID) (TopicFacts, bool)
	// Names are those of all topics that a regular expression may match, in order.
	Names() iter.Seq[string]
}

// TopicFacts is what a group has to know of a topic.
type TopicFacts struct {
	ID         kafka.TopicID
	Name       string
	Partitions int32
}

// ConsumerConfig are the settings of one group. The zero value of a field means the Shard's.
type ConsumerConfig struct {
	SessionTimeout     time.Duration
	HeartbeatInterval  time.Duration
	AssignmentInterval time.Duration // negative: none
}

// ConsumerHeartbeat makes its sender a member of a consumer group (MemberEpoch 0), keeps it one, or takes it out
// (leaveEpoch, or leaveStaticEpoch for a static member that will be back). What a pointer or slice leaves nil has not
// changed. Its reply is a ConsumerHeartbeatReply.
type ConsumerHeartbeat struct {
	Group            string
	MemberID         string // empty (version 0 only): the member gets NewMemberID
	NewMemberID      string
	MemberEpoch      int32
	InstanceID       *string
	RackID           *string
	ClientID         string
	ClientHost       string
	RebalanceTimeout int32    // ms; negative: not changed
	Topics           []string // nil: not changed
	Regex            *string
	Assignor         *string
	Owned            []TopicPartitions // nil: not said; Epochs are not used
	HasOwned         bool
	// NeedsMemberID is set for versions in which clients make their ids (version 1).
	NeedsMemberID bool

	Picture Topics
	Config  ConsumerConfig
	// Describable tells which topics a regular expression may match for this client; nil means all.
	Describable func(topic string) bool
}

// ConsumerHeartbeatReply answers ConsumerHeartbeat. Assignment is nil if there is nothing new to the member.
type ConsumerHeartbeatReply struct {
	Err               kafka.Error
	Text              string // beside Err, for people
	MemberID          string
	MemberEpoch       int32
	HeartbeatInterval time.Duration
	Assignment        *[]TopicPartitions
}

// ConsumerDescribe asks for the state of a consumer group. Its reply is a ConsumerDescription.
type ConsumerDescribe struct {
	Group   string
	Picture Topics
}

// ConsumerDescription answers ConsumerDescribe. Err is GROUP_ID_NOT_FOUND, with a Text, if there is no such group.
type ConsumerDescription struct {
	Err             kafka.Error
	Text            string
	State           State
	Epoch           int32
	AssignmentEpoch int32
	Assignor        string
	Members         []ConsumerDescribedMember
}

// ConsumerDescribedMember is a member of a ConsumerDescription.
type ConsumerDescribedMember struct {
	ID         string
	InstanceID string
	RackID     string
	Epoch      int32
	ClientID   string
	ClientHost string
	Topics     []string
	Regex      string
	Classic    bool
	Assigned   []DescribedPartitions
	Target     []DescribedPartitions
}

// DescribedPartitions are partitions of a topic that exists.
type DescribedPartitions struct {
	Topic      TopicFacts
	Partitions []int32
}

func (ConsumerHeartbeat) event() {}
func (ConsumerDescribe) event()  {}

// Claims and Refused implement coordinator.Claim: a heartbeat that joins takes the group over from another kind that has
// no members in it.
func (e ConsumerHeartbeat) Claims() (string, bool) { return e.Group, e.MemberEpoch == joinEpoch }

// Refused is the answer if the group is one of another kind.
func (e ConsumerHeartbeat) Refused() any {
	return ConsumerHeartbeatReply{Err: kafka.GroupIDNotFound, Text: "Group " + e.Group + " is not a consumer group."}
}
