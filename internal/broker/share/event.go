package share

import (
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/sharerecord"
)

// TopicPartitions are partitions of one topic, ascending.
type TopicPartitions = sharerecord.TopicPartitions

// NamedPartitions are partitions of one topic, with its name.
type NamedPartitions = sharerecord.NamedPartitions

// Topics is an unchanging view of the topics that exist.
type Topics interface {
	Topic(name string) (id kafka.TopicID, partitions int32, ok bool)
}

// Event is what Groups handles beside machine.Tick: one of the types below. All of them are about one group but List,
// KnownTopics and TopicsDeleted.
type Event interface{ event() }

// Heartbeat joins, stays in or leaves a group. Its reply is a HeartbeatReply.
type Heartbeat struct {
	Group, Member string
	Epoch         int32 // 0 joins, -1 leaves
	RackID        *string
	Subscribed    []string // nil: as before
	ClientID      string
	ClientHost    string
	// Topics are those of now, Session and AssignmentInterval the group's settings.
	Topics             Topics
	Session            time.Duration
	AssignmentInterval time.Duration
}

// HeartbeatReply answers Heartbeat. HasAssignment tells that Assignment, which may be empty, is to be told.
type HeartbeatReply struct {
	Err           error
	Epoch         int32
	HasAssignment bool
	Assignment    []TopicPartitions
}

// Describe asks for the state of a group. Its reply is a Description.
type Describe struct{ Group string }

// Description answers Describe; Members are sorted by id.
type Description struct {
	Err                    error
	State                  string
	Epoch, AssignmentEpoch int32
	Members                []DescribedMember
}

// DescribedMember is a member of a Description.
type DescribedMember struct {
	ID                   string
	RackID               *string
	Epoch                int32
	ClientID, ClientHost string
	Subscribed           []string
	Assignment           []TopicPartitions
}

// List asks for all share groups. Its reply is a []Listing, sorted.
type List struct{}

// Listing is a group of the partition.
type Listing struct{ Group, State string }

// Offsets asks which partitions a group keeps a state for. Its reply is a []NamedPartitions, sorted by name.
type Offsets struct{ Group string }

// BeginAlter says that the start offsets of partitions are about to be set. The group is made if need be. Its reply is an
// AlterReply; Initialized or Uninitialized is to follow.
type BeginAlter struct {
	Group  string
	Topics []NamedPartitions
}

// AlterReply answers BeginAlter with the epoch for the partitions' states.
type AlterReply struct {
	Err        error
	StateEpoch int32
}

// Initialized says that the states of partitions were made. Its reply is kafka.None.
type Initialized struct {
	Group  string
	Topics []NamedPartitions
}

// Uninitialized says that the states of partitions could not be made. Its reply is kafka.None.
type Uninitialized struct {
	Group  string
	Topics []NamedPartitions
}

// BeginDelete says that the states of topics are about to be deleted: All of them, with the group to follow, or those
// named. Its reply is a DeleteReply; DeleteOffsets or DeleteGroup is to follow.
type BeginDelete struct {
	Group  string
	All    bool
	Topics []kafka.TopicID
}

// DeleteReply answers BeginDelete with the partitions that have a state.
type DeleteReply struct {
	Err    error
	Topics []NamedPartitions
}

// DeleteOffsets says that the states of topics are gone. Its reply is kafka.None.
type DeleteOffsets struct {
	Group  string
	Topics []kafka.TopicID
}

// DeleteGroup deletes a group without members. Its reply is a kafka.Error.
type DeleteGroup struct{ Group string }

// TopicsDeleted forgets the states of topics that are gone. Its reply is kafka.None.
type TopicsDeleted struct{ Topics []kafka.TopicID }

// KnownTopics asks which topics there are states for, or were about to be. Groups and States answer it with a
// []kafka.TopicID.
type KnownTopics struct{}

func (Heartbeat) event()     {}
func (KnownTopics) event()   {}
func (Describe) event()      {}
func (List) event()          {}
func (Offsets) event()       {}
func (BeginAlter) event()    {}
func (Initialized) event()   {}
func (Uninitialized) event() {}
func (BeginDelete) event()   {}
func (DeleteOffsets) event() {}
func (DeleteGroup) event()   {}
func (TopicsDeleted) event() {}

// Claims and Refused say what becomes of an event about a group of another kind.

// Claims names the group.
func (e Heartbeat) Claims() (string, bool) { return e.Group, false }

// Refused is the reply.
func (e Heartbeat) Refused() any { return HeartbeatReply{Err: notShare(e.Group)} }

// Claims names the group.
func (e Describe) Claims() (string, bool) { return e.Group, false }

// Refused is the reply.
func (e Describe) Refused() any { return Description{Err: notShare(e.Group)} }

// Claims names the group.
func (e BeginAlter) Claims() (string, bool) { return e.Group, false }

// Refused is the reply.
func (e BeginAlter) Refused() any { return AlterReply{Err: notShare(e.Group)} }

// Claims names the group.
func (e BeginDelete) Claims() (string, bool) { return e.Group, false }

// Refused is the reply.
func (e BeginDelete) Refused() any { return DeleteReply{Err: notShare(e.Group)} }

func notShare(group string) error {
	return kafka.Errorf(kafka.GroupIDNotFound, "Group %s is not a share group.", group)
}

// Initialize is the effect that asks for the states of partitions to be made, to begin at offset -1: where a group
// begins is decided when it is first read.
type Initialize struct {
	Group      string
	StateEpoch int32
	Topics     []NamedPartitions
}

// MemberLeft is the effect that tells that a member is gone, and Emptied that it was the last one.
type MemberLeft struct {
	Group, Member string
	Emptied       bool
}

// Record is a record of the machines.
type Record = machine.Record
