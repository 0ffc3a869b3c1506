package group

import (
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// RequestID names a request whose reply is owed; NoRequest is that of events without a reply.
type RequestID = machine.RequestID

// NoRequest is the RequestID of events without a reply.
const NoRequest = machine.NoRequest

// Record is one record of the shard's partition.
type Record = offsetrecord.Record

// Event is what a Shard handles: one of the types below.
type Event interface{ event() }

// Protocol is one assignment strategy that a member supports, with the member's metadata for it.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Join asks to be a member in the next generation. Its reply, JoinReply, comes when the rebalance has gathered its
// members, which may take until the rebalance timeout.
type Join struct {
	Group            string
	MemberID         string // empty: not a member yet
	InstanceID       string // empty: a dynamic member
	ClientID         string
	ClientHost       string
	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	ProtocolType     string
	Protocols        []Protocol // most preferred first
	Reason           string     // for the log only
	// NewMemberID is the id that the member gets if it needs one. It must never have been used before.
	NewMemberID string
	// RequireKnownMember makes a new dynamic member come back with the id it is told (JoinGroup v4, KIP-394).
	RequireKnownMember bool
	// CanSkipAssignment tells that the client knows JoinReply.SkipAssignment (JoinGroup v9, KIP-814).
	CanSkipAssignment bool
	// Picture is what a group of the consumer protocol knows topics by.
	Picture Topics
}

// Sync asks for the assignment of the current generation; the leader's brings it. Its reply is a SyncReply.
type Sync struct {
	Group        string
	MemberID     string
	InstanceID   string
	Generation   int32
	ProtocolType string // empty: not checked
	Protocol     string // empty: not checked
	Assignments  map[string][]byte
}

// Heartbeat prolongs a member's session. Its reply is a kafka.Error.
type Heartbeat struct {
	Group      string
	MemberID   string
	InstanceID string
	Generation int32
}

// Leave takes members out of a group. Its reply is a LeaveReply.
type Leave struct {
	Group   string
	Members []Leaver
}

// Leaver names a member that goes: by its id, or, if that is empty, by its instance id.
type Leaver struct {
	MemberID   string
	InstanceID string
	Reason     string // for the log only
}

// Commit stores offsets for a member (Generation >= 0) or for a consumer that manages its partitions alone
// (Generation < 0, MemberID empty). Its reply is a CommitReply. Partitions are known to exist.
type Commit struct {
	Group      string
	MemberID   string
	InstanceID string
	Generation int32
	Retention  time.Duration // negative: by the broker's setting
	// NamesMissingGroup makes an unknown group GROUP_ID_NOT_FOUND (OffsetCommit v9) rather than ILLEGAL_GENERATION.
	NamesMissingGroup bool
	Offsets           []CommitOffset
}

// CommitOffset is one offset of a Commit.
type CommitOffset struct {
	Topic       string
	TopicID     kafka.TopicID
	Partition   int32
	Offset      int64
	LeaderEpoch int32
	Metadata    string
}

// Fetch reads committed offsets. Its reply is a FetchReply.
type Fetch struct {
	Group  string
	All    bool // all offsets of the group, Topics is ignored
	Topics []FetchTopic
	// RequireStable refuses partitions with an offset that waits for the end of a transaction (OffsetFetch v7, KIP-447).
	RequireStable bool
	// MemberID and MemberEpoch (-1: none) are those of a member of a consumer group (OffsetFetch v9, KIP-848).
	MemberID    string
	MemberEpoch int32
}

// FetchTopic names the partitions of one topic. An offset that was committed for another topic of the same name is not
// returned if TopicID is set.
type FetchTopic struct {
	Topic      string
	TopicID    kafka.TopicID
	Partitions []int32
}

// DeleteOffsets deletes committed offsets of topics that no member subscribes. Its reply is a DeleteOffsetsReply.
type DeleteOffsets struct {
	Group  string
	Topics []FetchTopic
}

// DeleteGroup deletes a group without members and its offsets. Its reply is a kafka.Error.
type DeleteGroup struct{ Group string }

// Describe asks for the state of a group. Its reply is a Description.
type Describe struct{ Group string }

// List asks for all groups of the shard. Its reply is a []Listing, sorted by group.
type List struct{}

// Snapshot asks for all committed offsets of the shard. Its reply is a []CommittedOffset, sorted.
type Snapshot struct {
	// Pending adds the offsets that wait for the end of a transaction.
	Pending bool
}

// TopicsDeleted deletes all offsets committed for the topics, those included that wait for the end of a transaction. Its
// reply is kafka.None.
type TopicsDeleted struct{ Topics []DeletedTopic }

// DeletedTopic is a topic that is gone. Offsets that were committed for another topic of the name stay; a zero ID means
// every topic of the name.
type DeletedTopic struct {
	Name string
	ID   kafka.TopicID
}

// Tick makes everything happen whose time has come. It has no reply.
type Tick struct{}

func (Join) event()           {}
func (Sync) event()           {}
func (Heartbeat) event()      {}
func (Leave) event()          {}
func (Commit) event()         {}
func (Fetch) event()          {}
func (DeleteOffsets) event()  {}
func (DeleteGroup) event()    {}
func (Describe) event()       {}
func (List) event()           {}
func (Snapshot) event()       {}
func (TopicsDeleted) event()  {}
func (TxnCommit) event()      {}
func (EndTransaction) event() {}
func (TxnBegin) event()       {}
func (Tick) event()           {}

// Decision is what an event means. Records are to be appended in order; Replies may be sent once they, and the records
// of all earlier Decisions, are durable. Transaction and Marker are as in machine.Decision.
type Decision struct {
	Records     []Record
	Transaction *machine.Producer
	Marker      *machine.Marker
	Replies     []Reply
	Changes     []Change
}

// Reply answers one request. Body has the type that the event names; a request may be answered by a later event.
type Reply = machine.Reply

// Change tells the log of the broker that a group entered a state.
type Change struct {
	Group      string
	State      State
	Generation int32
	Members    int
	Reason     string
}

// NoGeneration stands for the generation where there is none.
const NoGeneration int32 = -1

// JoinReply answers Join. On an error only MemberID is set.
type JoinReply struct {
	Err            kafka.Error
	MemberID       string
	Generation     int32
	ProtocolType   string
	Protocol       string
	Leader         string
	SkipAssignment bool
	Members        []JoinedMember // for the leader alone
}

// JoinedMember is a member as the leader sees it.
type JoinedMember struct {
	ID         string
	InstanceID string
	Metadata   []byte // for the protocol that was chosen
}

// SyncReply answers Sync.
type SyncReply struct {
	Err          kafka.Error
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// LeaveReply answers Leave: Err is about the request as a whole, Members has an entry for each Leaver.
type LeaveReply struct {
	Err     kafka.Error
	Members []kafka.Error
}

// CommitReply answers Commit: Err is about the request as a whole, Offsets has an entry for each CommitOffset.
type CommitReply struct {
	Err     kafka.Error
	Offsets []kafka.Error
}

// NoOffset is the offset of a partition that nothing was committed for.
const NoOffset int64 = -1

// FetchReply answers Fetch in the order of its topics and partitions, or sorted if all were asked for.
type FetchReply struct {
	Err    kafka.Error
	Topics []FetchedTopic
}

// FetchedTopic is a topic of a FetchReply.
type FetchedTopic struct {
	Topic      string
	Partitions []FetchedOffset
}

// FetchedOffset is a committed offset, or NoOffset. Err is kafka.None or kafka.UnstableOffsetCommit.
type FetchedOffset struct {
	Partition   int32
	Err         kafka.Error
	Offset      int64
	LeaderEpoch int32
	Metadata    string
}

// DeleteOffsetsReply answers DeleteOffsets: a code for the request, or one for each partition of each topic.
type DeleteOffsetsReply struct {
	Err    kafka.Error
	Topics [][]kafka.Error
}

// Description answers Describe. Err is GROUP_ID_NOT_FOUND, and State Dead, if there is no such group. Protocol and the
// members' Metadata are only known while the group is Stable; their Assignment is kept until the next generation begins.
type Description struct {
	Err kafka.Error
	// OtherType says that the group is there, and not a classic one.
	OtherType    bool
	State        State
	ProtocolType string
	Protocol     string
	Members      []DescribedMember
}

// DescribedMember is a member of a Description.
type DescribedMember struct {
	ID         string
	InstanceID string
	ClientID   string
	ClientHost string
	Metadata   []byte
	Assignment []byte
}

// Type is the kind of a group, as Kafka names it.
type Type string

// Types of groups.
const (
	Classic  Type = "classic"
	Consumer Type = "consumer"
)

// Listing is a group of the shard.
type Listing struct {
	Group        string
	Type         Type
	State        State
	ProtocolType string
}

// CommittedOffset is an offset of a Snapshot.
type CommittedOffset struct {
	Group     string
	Topic     string
	TopicID   kafka.TopicID
	Partition int32
	Offset    int64
}
