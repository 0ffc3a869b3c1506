package coordinator

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Log is one partition of a coordinator's topic, for as long as this broker owns it. A Log is used by one goroutine at a
// time, but for the wait functions. Errors of one that was lost to another broker wrap kafka.NotLeaderOrFollower: the log
// takes nothing more, and what it took and has not made durable is not in it.
type Log interface {
	// Append assigns the batch (one encoded batch, format 2) the next offset and starts to make it durable. batch stays
	// unchanged. wait returns nil once the batch is durable. It must not be called twice. An error, of either,
	// leaves open whether the batch is in the log.
	Append(ctx context.Context, batch []byte) (wait func(context.Context) error, err error)
	// Replay calls visit for every batch from the log start to the end as of the call. Nothing that Append took before is
	// left out. The bytes are only valid during the call of visit.
	Replay(ctx context.Context, visit func(batch []byte) error) error
}

// Topics is what holds the topic of a coordinator. It may be called from many goroutines.
type Topics interface {
	// Lookup returns the number of partitions, and false while there is no such topic.
	Lookup() (partitions int32, ok bool)
	// Ensure creates the topic if need be, and returns its number of partitions, which never changes.
	Ensure(ctx context.Context) (partitions int32, err error)
	// Owned says whether this broker owns a partition, as far as it knows, and in which epoch. The epoch rises with each owner;
	// a partition that was lost and has come back has another one.
	Owned(partition int32) (epoch int32, owned bool)
	// Open returns the log of a partition that this broker owns, ready to be read and written; else the error is
	// kafka.NotLeaderOrFollower. Each tenure has a Log of its own.
	Open(partition int32) (Log, error)
	// Changed is closed at the next change of what Lookup or Owned says.
	Changed() <-chan struct{}
}

// Options of a coordinator. Topics and Logger are required.
type Options struct {
	Topics     Topics
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	// QueueRequests is how many requests may wait for a shard before callers wait too; default 256.
	QueueRequests int
	// InFlightBatches is how many batches of a shard may wait for the disk before the shard does; default 256.
	InFlightBatches int
	// BatchBytes is the size at which the records of a shard are cut into another batch; default 512 KiB. A record that
	// is larger makes a batch of its own.
	BatchBytes int
	// ReplayBytes is the most that one batch may take when it is decompressed in a replay; default 256 MiB.
	ReplayBytes int
	// Confident reports whether this broker may rely on being what it believes to be: while it does not, another may answer for its
	// partitions, and nothing is answered here. Nil: always.
	Confident func() bool
	// StopTimeout is how long batches that wait for the disk may take at shutdown, or when the partition is lost; default 3 s.
	StopTimeout time.Duration
	// Loads is how many partitions are loaded at a time; default 16.
	Loads int
	// Loaded is told of each partition that has been loaded and is served. It must not block; nil: nobody is told.
	Loaded func(partition int32)
}

func (o Options) withDefaults() Options {
	if o.QueueRequests == 0 {
		o.QueueRequests = 256
	}
	if o.InFlightBatches == 0 {
		o.InFlightBatches = 256
	}
	if o.BatchBytes == 0 {
		o.BatchBytes = 512 << 10
	}
	if o.ReplayBytes == 0 {
		o.ReplayBytes = 256 << 20
	}
	if o.Confident == nil {
		o.Confident = func() bool { return true }
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 3 * time.Second
	}
	if o.Loads == 0 {
		o.Loads = 16
	}
	if o.Loaded == nil {
		o.Loaded = func(int32) {}
	}
	return o
}

// Pauses between attempts to load a shard again.
const (
	firstReloadPause = 100 * time.Millisecond
	lastReloadPause  = 10 * time.Second
	// lastAwayPause is for a partition that this broker is said to own and whose log is not here.
	lastAwayPause = 500 * time.Millisecond
)

// createTimeout is how long a client's FindCoordinator waits for the topic to be created before it is told to ask again.
const createTimeout = 5 * time.Second
