package topics

import "github.com/weir-stream/weir/internal/base/config"

// Settings of the broker behind the configs of share groups (KIP-932): a group's own config wins, within the least and
// most that stand here. They are read by their names (group_config.go).
var (
	ShareSessionTimeout    = config.MillisInt("group.share.session.timeout.ms", 45_000*millisecond, config.AtLeast(1), "Silence after which a member of a share group is taken for dead.")
	ShareMinSession        = config.MillisInt("group.share.min.session.timeout.ms", 45_000*millisecond, config.AtLeast(1), "Least session timeout of a share group.")
	ShareMaxSession        = config.MillisInt("group.share.max.session.timeout.ms", 60_000*millisecond, config.AtLeast(1), "Most session timeout of a share group.")
	ShareHeartbeat         = config.MillisInt("group.share.heartbeat.interval.ms", 5_000*millisecond, config.AtLeast(1), "How often members of share groups are told to send a heartbeat.")
	ShareMinHeartbeat      = config.MillisInt("group.share.min.heartbeat.interval.ms", 5_000*millisecond, config.AtLeast(1), "Least heartbeat interval of a share group.")
	ShareMaxHeartbeat      = config.MillisInt("group.share.max.heartbeat.interval.ms", 15_000*millisecond, config.AtLeast(1), "Most heartbeat interval of a share group.")
	ShareLockDuration      = config.MillisInt("group.share.record.lock.duration.ms", 30_000*millisecond, config.Range(1_000, 3_600_000), "How long a consumer of a share group holds the records that it got.")
	ShareMinLockDuration   = config.MillisInt("group.share.min.record.lock.duration.ms", 15_000*millisecond, config.Range(1_000, 30_000), "Least time that a share group lets its consumers hold records.")
	ShareMaxLockDuration   = config.MillisInt("group.share.max.record.lock.duration.ms", 60_000*millisecond, config.Range(30_000, 3_600_000), "Most time that a share group lets its consumers hold records.")
	ShareDeliveryLimit     = config.Int("group.share.delivery.count.limit", 5, config.Range(2, 10), "How often a record is handed out in a share group before it is given up.")
	ShareMinDeliveryLimit  = config.Int("group.share.min.delivery.count.limit", 2, config.Range(2, 5), "Least delivery count limit of a share group.")
	ShareMaxDeliveryLimit  = config.Int("group.share.max.delivery.count.limit", 10, config.Range(5, 25), "Most delivery count limit of a share group.")
	SharePartitionLocks    = config.Int("group.share.partition.max.record.locks", 2_000, config.Range(100, 10_000), "Most records of a partition that a share group has in flight.")
	ShareMinPartitionLocks = config.Int("group.share.min.partition.max.record.locks", 100, config.Range(100, 2_000), "Least bound of records in flight of a share group.")
	ShareMaxPartitionLocks = config.Int("group.share.max.partition.max.record.locks", 4_000, config.Range(2_000, 10_000), "Most bound of records in flight of a share group.")
	ShareAssignment        = config.MillisInt("group.share.assignment.interval.ms", 1_000*millisecond, config.AtLeast(0), config.Dynamic, "Least time between two assignments of a share group.")
	ShareMinAssignment     = config.MillisInt("group.share.min.assignment.interval.ms", 0, config.AtLeast(0), "Least assignment interval of a share group.")
	ShareMaxAssignment     = config.MillisInt("group.share.max.assignment.interval.ms", 15_000*millisecond, config.AtLeast(0), "Most assignment interval of a share group.")
)

func shareSettings() []config.Declared {
	return []config.Declared{
		ShareSessionTimeout, ShareMinSession, ShareMaxSession, ShareHeartbeat, ShareMinHeartbeat, ShareMaxHeartbeat,
		ShareLockDuration, ShareMinLockDuration, ShareMaxLockDuration, ShareDeliveryLimit, ShareMinDeliveryLimit, ShareMaxDeliveryLimit,
		SharePartitionLocks, ShareMinPartitionLocks, ShareMaxPartitionLocks, ShareAssignment, ShareMinAssignment, ShareMaxAssignment,
	}
}
