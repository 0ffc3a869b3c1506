package streamsgroup

import (
	"time"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
)

// The nouns of records, which are those of requests too.
type (
	// Topology is what an application is made of.
	Topology = streamsrecord.Topology
	// Endpoint is where a member answers interactive queries.
	Endpoint = streamsrecord.Endpoint
	// KeyValue is a config or a tag.
	KeyValue = streamsrecord.KeyValue
)

// Topics is an immutable view of the topics that exist.
type Topics interface {
	// Revision grows with every change of topics.
	Revision() int64
	// Partitions returns the number of partitions of a topic, 0 if there is no such topic.
	Partitions(name string) int32
	// Names returns all topics, sorted.
	Names() []string
}

// Event is what a Machine handles: one of the types below.
type Event interface{ event() }

// Settings of a group, from its configs.
type Settings struct {
	SessionTimeout, HeartbeatInterval time.Duration
	StandbyReplicas                   int
	InitialRebalanceDelay             time.Duration
	AssignmentInterval                time.Duration
}

// Epochs of a Heartbeat with a meaning of their own.
const (
	JoinEpoch        int32 = 0
	LeaveEpoch       int32 = -1
	LeaveStaticEpoch int32 = -2
)

// Heartbeat is a sign of life of a member, with what has changed since the last; nil fields have not. Its reply is a
// HeartbeatReply.
type Heartbeat struct {
	Group, MemberID string
	Epoch           int32
	EndpointEpoch   int32
	InstanceID      *string
	RackID          *string
	// RebalanceTimeout is negative if it has not changed.
	RebalanceTimeout time.Duration
	Topology         *Topology
	// Owned are the tasks that the member has, nil if they have not changed.
	Owned      *Tasks
	ProcessID  *string
	Endpoint   *Endpoint
	Tags       []KeyValue // nil: not changed
	Offsets    map[Task]int64
	EndOffsets map[Task]int64
	// ShutdownApplication asks all members to end.
	ShutdownApplication bool

	ClientID, ClientHost string
	Settings             Settings
	Topics               Topics
}

// Describe asks for the state of a group. Its reply is a Description.
type Describe struct {
	Group  string
	Topics Topics
}

// List asks for all streams groups of the partition. Its reply is a []Listing, sorted by group.
type List struct{}

// Delete deletes a group without members. Its reply is a kafka.Error.
type Delete struct{ Group string }

func (Heartbeat) event() {}
func (Describe) event()  {}
func (List) event()      {}
func (Delete) event()    {}

// Claims names the group; a heartbeat that joins takes it over from another kind that has no members in it.
func (h Heartbeat) Claims() (string, bool) { return h.Group, h.Epoch == JoinEpoch }

// Refused is the reply where the name belongs to a group of another kind.
func (h Heartbeat) Refused() any {
	return HeartbeatReply{Err: kafka.Errorf(kafka.GroupIDNotFound, "Group %s is not a streams group.", h.Group)}
}

// StatusCode says what is the matter with a group, as seen by a member.
type StatusCode int8

// The codes of KIP-1071.
const (
	StaleTopology StatusCode = iota
	MissingSourceTopics
	IncorrectlyPartitionedTopics
	MissingInternalTopics
	ShutdownApplication
	AssignmentDelayed
)

// Status is a code with its words.
type Status struct {
	Code   StatusCode
	Detail string
}

// HeartbeatReply answers Heartbeat. Of a refusal only Err is set.
type HeartbeatReply struct {
	Err      error
	MemberID string
	Epoch    int32
	Interval time.Duration
	Statuses []Status
	// Assigned are the member's tasks, nil if it knows them.
	Assigned      *Tasks
	EndpointEpoch int32
	// Endpoints tell who has which partitions, nil if the member knows.
	Endpoints []EndpointPartitions
	// Create are the internal topics that are not there.
	Create []NewTopic
}

// AcceptableRecoveryLag is how many records a warm-up task may lack and still count as caught up.
const AcceptableRecoveryLag = 10_000

// EndpointPartitions are the partitions behind a member's endpoint.
type EndpointPartitions struct {
	Endpoint        Endpoint
	Active, Standby []TopicPartitions
}

// TopicPartitions are partitions of one topic, ascending.
type TopicPartitions struct {
	Topic      string
	Partitions []int32
}

// NewTopic is an internal topic that is to be created. 0 replicas are the broker's default.
type NewTopic struct {
	Name        string
	Partitions  int32
	Replication int16
	Configs     []KeyValue
}

// State of a group.
type State int8

// The states of a streams group.
const (
	Empty State = iota
	NotReady
	Assigning
	Reconciling
	Stable
)

func (s State) String() string {
	return [...]string{"Empty", "NotReady", "Assigning", "Reconciling", "Stable"}[s]
}

// Description answers Describe. Err is kafka.GroupIDNotFound if there is no such group.
type Description struct {
	Err                    error
	State                  State
	Epoch, AssignmentEpoch int32
	Topology               *Topology
	// TopicPartitions are the numbers of partitions of internal topics, by name, once the topology fits its topics.
	TopicPartitions map[string]int32
	Members         []DescribedMember
}

// DescribedMember is a member of a Description.
type DescribedMember struct {
	ID                   string
	Epoch                int32
	InstanceID, RackID   *string
	ClientID, ClientHost string
	TopologyEpoch        int32
	ProcessID            string
	Endpoint             *Endpoint
	Tags                 []KeyValue
	Offsets, EndOffsets  map[Task]int64
	Assigned, Target     Tasks
}

// Listing is a group of the partition.
type Listing struct {
	Group string
	State State
}
