// Package partition is the log of one partition: the state machine that says what may be appended, which offset it
// gets, what may be read, and what is kept.
//
// A Log owns its offsets (log start, high watermark, log end), the leader-epoch cache, the producers' last batches, the
// virtual segments that retention works on, and the index of where its batches lie: L0 extents in the write-ahead log,
// then runs in L1/L2 objects once a cut has moved them. It holds no file: bytes are read through the Env that all logs
// of a node share.
//
//	log start       last stable   high watermark   log end
//	    |  L1/L2 runs  |  L0 extents  |  in flight  |
//	    [ object ..... )[ WAL frames )[ WAL group ..)
//
// A transaction is open in a log from its first batch to its marker (transactions.go). Nothing of it is committed, and the last
// stable offset stays before it, until the marker is durable. Aborted transactions are listed where their marker is (aborted.go).
//
// Life of a batch: Append checks it, assigns the offset, patches base offset and leader epoch in place and hands the
// bytes to the WAL, all under mu, so offsets follow the order of the WAL. Committed is called by the WAL's writer when
// the frame is durable: only then the high watermark moves and readers see it. There is no roll-back: a failed write
// ends the process, and recovery starts from what is durable.
//
// State changes in apply and in the few setters beside it; recovery replays the same functions, so a recovered log
// equals the one that was lost.
//
// Lock order: Log.mu, then the WAL's mutex. No I/O happens under mu. The package is used by shard (recovery, cuts,
// retention) and by the request handlers (append, read, lookups); it knows no topic names and no requests.
package partition

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/base/blockcache"
	"github.com/weir-stream/weir/internal/base/pacer"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// ErrClosed is returned by calls on a log whose topic was deleted or whose node has stopped.
var ErrClosed = errors.New("partition log is closed")

// WAL is the write-ahead log as a partition uses it: files (wal.Log) or objects (wal.ObjectLog). The methods are those of wal.Log.
type WAL interface {
	Append(s *wal.Stream, batch []byte, info wal.BatchInfo) (wal.Ticket, error)
	AppendControl(c wal.Control) (wal.Ticket, error)
	Barrier() wal.Ticket
	Recent(pos wal.Position, n int64) (p []byte, release func(), ok bool)
	Pin(ctx context.Context, pos wal.Position) (wal.Pinned, error)
	Apart() bool
	Place(pos wal.Position) (wal.Place, bool)
}

// Env is what the logs of a node share. WAL is set once recovery has ended and before the first Append or Read.
type Env struct {
	WAL      WAL
	Segments *segment.Cache
	// Blocks is through which everything is read that is not in the WAL's memory; Segments reads through it too.
	Blocks *blockcache.Cache
	Now    func() time.Time
	Logger *slog.Logger
	// OnCorrupt is told of damage that is met. It must not block.
	OnCorrupt func(error)

	// Clients, if not nil, counts what the logs do for clients.
	Clients *pacer.Clients

	// extents counts what the logs that are not closed keep in memory for the sake of L0.
	extents atomic.Int64
}

// Extents returns how many L0 extents the logs of the node hold together, with the aborted transactions in them.
func (e *Env) Extents() int64 { return e.extents.Load() }

// Config is the part of a topic's configuration that the log acts on. Durations of -1 mean without limit.
type Config struct {
	MaxMessageBytes      int32
	LogAppendTime        bool
	TimestampBeforeMaxMs int64
	TimestampAfterMaxMs  int64
	// Recompress asks that batches of another codec are recompressed to Codec at Level.
	Recompress      bool
	Codec           record.Codec
	Level           int
	SegmentBytes    int64
	SegmentMs       int64
	RetentionMs     int64
	RetentionBytes  int64
	Delete, Compact bool
	// DeleteRetentionMs is how long a compacted log keeps tombstones readable.
	DeleteRetentionMs int64
	// A compacted log keeps records for MinCompactionLagMs as they are, and is cleaned when some are older than
	// MaxCompactionLagMs or when the dirty part of it is above MinDirtyRatio.
	MinCompactionLagMs, MaxCompactionLagMs int64
	MinDirtyRatio                          float64
	// DecompressedBytesMax bounds what one batch may expand to where its records must be looked at.
	DecompressedBytesMax int
}

// Identity names a partition within its node.
type Identity struct {
	Shard     int32
	Topic     kafka.TopicID
	Partition int32
}

func (id Identity) String() string { return fmt.Sprintf("%s-%d", id.Topic, id.Partition) }

// Log is one partition's log. All methods may be called together.
type Log struct {
	id     Identity
	env    *Env
	config atomic.Pointer[Config]

	mu     sync.Mutex
	stream *wal.Stream
	closed bool
	// logStart <= last stable offset <= highWatermark <= logEnd always.
	logStart, highWatermark, logEnd int64
	leaderEpoch                     int32
	epochs                          []EpochStart
	producers                       producers
	// ongoing are the transactions without a marker, closing those whose marker is not durable, both by first offset; aborted
	// those whose marker lies in no run, by marker.
	ongoing       []openTransaction
	closing       []closingTransaction
	aborted       []segment.AbortedTxn
	verifications map[int64]*Verification
	segments      []virtualSegment
	// cleaned is up to where compaction has cleaned the log.
	cleaned int64
	runs    []run
	extents []extent
	// quarantined are the damaged extents that a cut has passed over: they lie below all of extents, between or inside runs.
	quarantined []extent
	// unmarked are the transactions that were open where the objects end.
	unmarked UnmarkedAt
	waiters  []watch
}

// New returns an empty log that begins at offset 0. leaderEpoch is the shard's.
func New(id Identity, env *Env, leaderEpoch int32, config *Config) *Log {
	l := &Log{id: id, env: env, leaderEpoch: leaderEpoch}
	l.stream = wal.NewStream(id.Shard, id.Topic, id.Partition)
	l.stream.Owner = l
	l.config.Store(config)
	return l
}

// Identity returns what the log was made with.
func (l *Log) Identity() Identity { return l.id }

// SetConfig replaces the configuration; batches appended from now on obey it.
func (l *Log) SetConfig(c *Config) { l.config.Store(c) }

// Config returns the configuration in force.
func (l *Log) Config() *Config { return l.config.Load() }

// SetLeaderEpoch sets the epoch that appended batches carry. The cache gets an entry when the first one is written.
func (l *Log) SetLeaderEpoch(epoch int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaderEpoch = epoch
}

// Offsets is a consistent snapshot of a log's offsets.
type Offsets struct {
	LogStart, HighWatermark, LastStable, LogEnd int64
	LeaderEpoch                                 int32
}

// Offsets returns the log's offsets as of one moment.
func (l *Log) Offsets() Offsets {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.offsetsLocked()
}

func (l *Log) offsetsLocked() Offsets {
	return Offsets{l.logStart, l.highWatermark, l.lastStableLocked(), l.logEnd, l.leaderEpoch}
}

// Bytes returns the size of what the log keeps, as its virtual segments count it.
func (l *Log) Bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for i := range l.segments {
		n += l.segments[i].bytes
	}
	return n
}

// Close makes further appends and reads fail and wakes all waiters. Batches in flight still become durable.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.dropExtentsLocked(len(l.extents))
	l.dropAbortedLocked(math.MaxInt64)
	l.closed = true
	for _, w := range l.waiters {
		w.add(math.MaxInt32)
	}
	l.waiters = nil
}

// Committed tells the log that run is durable: its batches become visible. It is called by the WAL's writer, in the
// order of the WAL.
func (l *Log) Committed(r *wal.Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commitLocked(r, true)
}

func (l *Log) commitLocked(r *wal.Run, verified bool) {
	if r.NextOffset <= l.highWatermark {
		return
	}
	if !l.closed {
		l.extents = append(l.extents, newExtent(r, verified))
		l.env.extents.Add(1)
	}
	stable := l.lastStableLocked()
	l.raiseHighWatermarkLocked(r.NextOffset)
	l.wakeLocked(r.Bytes, stable)
}

// Controlled tells the log that a control entry about it is durable.
func (l *Log) Controlled(c wal.Control) {
	if c.Kind != wal.ControlDeleteRecords {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raiseLogStartLocked(c.Value)
}
