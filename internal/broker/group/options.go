package group

import (
	"time"

	"github.com/weir-stream/weir/internal/broker/group/assignor"
)

// Options are the settings of a Shard. The zero value of a field means its default.
type Options struct {
	// Guests are groups of other kinds whose offsets are kept here; default none.
	Guests                Guests
	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms; default 3 s, negative: none
	MinSessionTimeout     time.Duration // group.min.session.timeout.ms; default 6 s
	MaxSessionTimeout     time.Duration // group.max.session.timeout.ms; default 30 min
	MaxSize               int           // group.max.size: members of a group; default no limit
	MaxMetadataBytes      int           // offset.metadata.max.bytes: with one commit; default 4096
	Retention             time.Duration // offsets.retention.minutes; default 7 days
	CleanupInterval       time.Duration // offsets.retention.check.interval.ms; default 10 min
	ProducerExpiry        time.Duration // producer.id.expiration.ms: how long a producer's epoch is known; default 1 day

	// Of groups of the consumer protocol, for those that have no setting of their own.
	ConsumerSessionTimeout     time.Duration   // group.consumer.session.timeout.ms; default 45 s
	ConsumerHeartbeatInterval  time.Duration   // group.consumer.heartbeat.interval.ms; default 5 s
	ConsumerAssignmentInterval time.Duration   // group.consumer.assignment.interval.ms; default 1 s, negative: none
	ConsumerMaxSize            int             // group.consumer.max.size: members of a group; default no limit
	ConsumerAssignor           string          // the first of group.consumer.assignors; default uniform
	Migration                  MigrationPolicy // group.consumer.migration.policy; the zero value allows none
}

// newMemberJoinTimeout is how long a member that is new may wait in JoinGroup. It has no session yet, and it cannot be
// seen that its client is gone; without this limit clients that retry would leave members behind in a long rebalance.
const newMemberJoinTimeout = 5 * time.Minute

// maxPendingMembers bounds the ids that were given out for a group and not used yet, a thing Kafka leaves
// unbounded: each costs memory for a session timeout, and asking for one costs the client nothing.
const maxPendingMembers = 10_000

func (o Options) withDefaults() Options {
	if o.InitialRebalanceDelay == 0 {
		o.InitialRebalanceDelay = 3 * time.Second
	}
	o.InitialRebalanceDelay = max(o.InitialRebalanceDelay, 0)
	if o.MinSessionTimeout == 0 {
		o.MinSessionTimeout = 6 * time.Second
	}
	if o.MaxSessionTimeout == 0 {
		o.MaxSessionTimeout = 30 * time.Minute
	}
	if o.MaxSize == 0 {
		o.MaxSize = int(^uint(0) >> 1)
	}
	if o.MaxMetadataBytes == 0 {
		o.MaxMetadataBytes = 4096
	}
	if o.Retention == 0 {
		o.Retention = 7 * 24 * time.Hour
	}
	if o.CleanupInterval == 0 {
		o.CleanupInterval = 10 * time.Minute
	}
	if o.ConsumerSessionTimeout == 0 {
		o.ConsumerSessionTimeout = 45 * time.Second
	}
	if o.ConsumerHeartbeatInterval == 0 {
		o.ConsumerHeartbeatInterval = 5 * time.Second
	}
	if o.ConsumerAssignmentInterval == 0 {
		o.ConsumerAssignmentInterval = time.Second
	}
	o.ConsumerAssignmentInterval = max(o.ConsumerAssignmentInterval, 0)
	if o.ConsumerMaxSize == 0 {
		o.ConsumerMaxSize = int(^uint(0) >> 1)
	}
	if o.ConsumerAssignor == "" {
		o.ConsumerAssignor = assignor.Uniform
	}
	if o.Guests == nil {
		o.Guests = noGuests{}
	}
	if o.ProducerExpiry == 0 {
		o.ProducerExpiry = 24 * time.Hour
	}
	return o
}
