// Package shard is the storage of a broker: the shards that it owns, the write-ahead log that they share, and what
// turns one into the other and keeps both bounded: recovery, checkpoints, cuts from the WAL into L1 objects, merges,
// retention and garbage collection.
//
//	append ─ partition.Log ─ wal.Log ── frames ──┐ cut (lazily, sorted by partition)
//	                                             v
//	read ─── partition.Log ── L0 extents    L1 objects ── merge ──> L2 objects
//	                             blob store: objects, manifests, checkpoints; meta store: one pointer a shard
//
// A shard is the unit of ownership and of manifests. Its pointer in the metadata store, moved by compare-and-swap, names
// the manifest (the list of its objects) and the checkpoint (the state of its logs and the WAL position from which
// frames must be replayed); that swap is the commit point of checkpoints, cuts, merges and trims. What no pointer names
// does not exist.
//
// A process is one incarnation: it seals the one before it in the metadata store, takes a new number and begins a new
// WAL file, so frames that a dead process left behind can never be taken for its own. A write or sync that fails ends
// Run with an error; the process must end with it, and the next one recovers (crash-only).
//
// Lock order: Store.mu, then partition.Log.mu. Neither is held during I/O. Maintenance (checkpoint, cut, merge,
// retention) is done by one goroutine, so manifests have a single writer. Compaction reads and writes in a goroutine of
// its own, for as long as that takes, and hands what it made to maintenance to be installed and published.
package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blockcache"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/pacer"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
)

// Topics tells which topics exist. It is asked for a partition's configuration when its log is made.
type Topics interface {
	// LogConfig returns the configuration of a topic's logs and the number of its partitions; false if there is no such topic.
	LogConfig(id kafka.TopicID) (config *partition.Config, partitions int32, ok bool)
	// Sync returns once everything that was changed before the call is known here, whoever changed it.
	Sync(ctx context.Context) error
	// Shard returns the shard of a topic's partition, in [0, shards).
	Shard(id kafka.TopicID, partition int32) int32
}

// Options of a Store. All but the sizes are required.
type Options struct {
	FS        vfs.FS
	WALDir    string
	Blob      blob.Store
	Meta      meta.Store
	Topics    Topics
	ClusterID [16]byte
	// Broker is this broker's node id, written beside its incarnation.
	Broker int32
	// Shards is the number of shards, 1 to 16 in the embedded profile; it is fixed when the data directory is made.
	Shards int32
	Now    func() time.Time
	Nonce  func() [16]byte
	Logger *slog.Logger
	// Registerer takes the metrics of the store and of its WAL.
	Registerer prometheus.Registerer

	// WALFileBytes is the size of a WAL file, 0 for 128 MiB.
	WALFileBytes int64
	// WALGroupBytes is the size near which a group is flushed, 0 for 1 MiB.
	WALGroupBytes int
	// WALKeepBytes is how much the WAL holds before its older half is cut into objects, 0 for 4 GiB; at most half of WALMaxBytes.
	WALKeepBytes int64
	// ExtentsMax is how many L0 extents the index holds before they are cut, 0 for 400,000.
	ExtentsMax int
	// CheckpointInterval is the time between checkpoints while there are writes, 0 for 60 s.
	CheckpointInterval time.Duration
	// RetentionInterval is the time between retention checks, 0 for 5 min (log.retention.check.interval.ms).
	RetentionInterval time.Duration
	// ProducerExpiry returns after how long an idle producer is forgotten, asked for at each look; nil for 24 h
	// (producer.id.expiration.ms).
	ProducerExpiry func() time.Duration
	// Cleaner returns the settings of log compaction, asked for at each look; nil for the defaults.
	Cleaner func() CleanerOptions
	// BlockCacheBytes bounds the memory for reads of what is not in the WAL's ring, 0 for 48 MiB, or 256 MiB if Remote.
	BlockCacheBytes int64
	// OpenObjects bounds the objects that are open for reading, 0 for 64, or 512 if Remote.
	OpenObjects int
	// Remote says that Blob is reached over a network, by blob.NewRemote: its failures are waited out, while the log in files takes what is written.
	Remote bool
	// WALMaxBytes bounds the log in files; what does not fit is refused until something was cut. 0: no limit but the disk.
	WALMaxBytes int64
	// UploadMaxAge is the age at which what lies in the log in files is cut into objects whatever its size, 0 for never.
	UploadMaxAge time.Duration
	// Cluster, if not nil, makes the store one of several on the same stores: its log lies in Blob, and it has the shards that
	// are assigned to it. FS, WALDir and the sizes of the log in files are then not used.
	Cluster *ClusterOptions
	// ReserveBytes is disk space that is kept for the checkpoints and metadata by which a full disk is emptied, 0 for
	// 32 MiB, and as much again that the log does not grow into: what the reserve gave up is not the log's. The metadata store wants some free space for each transaction, which must be a good deal less.
	ReserveBytes int64
}

// blockCacheBytes is what is read ahead of some consumers of the past, and more where reading costs a request and a round trip.
func blockCacheBytes(remote bool) int64 {
	if remote {
		return 256 << 20
	}
	return 48 << 20
}

func (o Options) withDefaults() Options {
	set := func(v *int64, def int64) {
		if *v == 0 {
			*v = def
		}
	}
	set(&o.WALFileBytes, 128<<20)
	set(&o.WALKeepBytes, 4<<30)
	if o.WALMaxBytes > 0 {
		o.WALKeepBytes = min(o.WALKeepBytes, o.WALMaxBytes/2) // a cut that is due when the log is full comes too late
	}
	set(&o.BlockCacheBytes, blockCacheBytes(o.Remote))
	set(&o.ReserveBytes, 32<<20)
	set((*int64)(&o.CheckpointInterval), int64(time.Minute))
	set((*int64)(&o.RetentionInterval), int64(5*time.Minute))
	if o.ProducerExpiry == nil {
		o.ProducerExpiry = func() time.Duration { return 24 * time.Hour }
	}
	if o.WALGroupBytes == 0 {
		o.WALGroupBytes = 1 << 20
	}
	if o.ExtentsMax == 0 {
		o.ExtentsMax = 400_000
	}
	if o.OpenObjects == 0 {
		o.OpenObjects = 64
		if o.Remote {
			o.OpenObjects = 512 // each costs memory alone, and two requests to have again
		}
	}
	if o.Shards == 0 {
		o.Shards = 4
	}
	return o
}

// logKey names a log within the node.
type logKey struct {
	topic     kafka.TopicID
	partition int32
}

// shardState is what maintenance knows of one shard. Who works on it holds busy; id, epoch, life and ctx never change once the
// shard is served, and nextObject and changed belong to nobody.
type shardState struct {
	id    int32
	epoch int32
	life  *life
	// ctx ends when the shard is given up or lost.
	ctx    context.Context
	cancel context.CancelFunc
	busy   chan struct{} // holds one token
	// pace is what cuts of the shard are part of while somebody holds busy.
	pace *pacer.Work
	// interrupt ends the work that is being done.
	interrupt atomic.Pointer[context.CancelFunc]
	// changed says that there is something for a checkpoint beside what was written: frames that were replayed, or a checkpoint that failed.
	changed atomic.Bool
	// changedTo is the sequence number behind the last frame with something of the shard that this incarnation wrote. A checkpoint is due if the pointer's own
	// is below it. A mere flag would not do: a checkpoint that begins while a frame is being applied would take it back and not have the frame.
	changedTo atomic.Uint64
	// marked is the mark of this life as of which the shard was published last, zero before the first time.
	marked wal.Mark
	// bytesIn counts what was written to the shard.
	bytesIn atomic.Int64
	// published is revision, for those who do not hold busy.
	published atomic.Int64
	pointer   ownership.Pointer
	// revision of the pointer in the metadata store, for the next compare-and-swap.
	revision int64
	movedAt  time.Time // when this broker moved the pointer last
	// objects of the manifest, oldest data first.
	objects []*partition.Object
	// damaged are the keys of objects that could not be read: they are left as they are.
	damaged map[string]bool
	version uint64
	// idle is the epoch in which it was taken, as long as nothing can have been written in it; else -1.
	idle int32
	// unpublished are the bytes that cuts have moved into objects since the last manifest.
	unpublished atomic.Int64
	// unused are the keys of objects that the next manifest does not name: they are deleted when it is published.
	unused []string
	// swept says that orphans were looked for; the goroutine of sweep alone uses it.
	swept bool
	// nextObject numbers the objects that this epoch makes; maintenance and the cleaner both make some.
	nextObject atomic.Uint64
}

// device is the write-ahead log: wal.Log or wal.ObjectLog.
type device interface {
	partition.WAL
	Admit(ctx context.Context, n int64) error
	Read(ctx context.Context, buf []byte, pos wal.Position, n int) ([]byte, error)
	Run(ctx context.Context, ready func()) error
}

// life is one incarnation of the broker: its log, and what its partitions' logs share.
type life struct {
	incarnation uint64
	env         *partition.Env
	wal         device
	files       *wal.Log       // wal, or nil
	objects     *wal.ObjectLog // wal, or nil
	// remembered is what objects remembered when the last checkpoint of all shards began, and cutTo where it ended. Maintenance alone uses them.
	remembered int64
	cutTo      wal.Mark
	// applied is the end of the last frame of objects whose runs have reached their logs.
	applied atomic.Pointer[wal.Mark]
	stuck   stuckShards
}

// Store is the storage of one broker.
type Store struct {
	o        Options
	segments *segment.Cache
	blocks   *blockcache.Cache
	// scans are what merges read through, so that they do not push what consumers read out of memory.
	scans   *segment.Cache
	metrics *metrics

	// present is the incarnation; with a log of files there is one in a process's life.
	present    atomic.Pointer[life]
	logMetrics *wal.ObjectMetrics // in a cluster
	// cutEnd is where the last cut for the sake of the WAL's size or age ended. Maintenance alone uses it.
	cutEnd wal.Position
	tier   tier
	waits  atomic.Pointer[string] // see Waits
	// clients are those for whom the logs work, and pacer makes cuts and merges yield to them; Look and Begin are maintenance's.
	clients pacer.Clients
	pacer   *pacer.Pacer

	mu   sync.RWMutex
	logs map[logKey]*partition.Log
	// shards by id; nil: not owned, or not loaded yet.
	shards []*shardState

	// durable is the end of the last frame whose runs have reached their logs.
	durable atomic.Int64
	// written counts frames since the last checkpoint.
	written atomic.Int64

	wake  chan struct{}
	jobs  chan job
	ready atomic.Bool

	reserve reserve

	// loads counts the shards that are being loaded: what they adopted into the log is in nobody else's sight.
	loads     atomic.Int64
	frames    *wal.FrameCache // that loads share
	syncing   batched
	sealing   singleflight.Group // by incarnation
	listeners []func(shard, epoch int32, owned bool)

	corruptMu sync.Mutex
	// reported are the damages that have been logged and counted, by text.
	reported map[string]struct{}
}

// What merges keep open and in memory: they read one run after the other from its begin to its end.
const (
	scanObjects = mergeObjects
	scanBytes   = 16 << 20
)

// New returns a store that has opened nothing yet.
func New(o Options) *Store {
	o = o.withDefaults()
	s := &Store{
		o: o, logs: map[logKey]*partition.Log{}, wake: make(chan struct{}, 1), jobs: make(chan job), metrics: newMetrics(o.Registerer, o.Now),
		reported: map[string]struct{}{}, blocks: blockcache.New(o.BlockCacheBytes), shards: make([]*shardState, o.Shards),
	}
	s.pacer = pacer.New(&s.clients, o.Registerer)
	s.segments = segment.NewCache(o.Blob, o.OpenObjects).Through(s.blocks)
	s.scans = segment.NewCache(o.Blob, scanObjects).Through(blockcache.New(scanBytes))
	s.present.Store(&life{env: s.newEnv()})
	if o.Cluster != nil {
		s.frames = wal.NewFrameCache(framesShared)
		s.logMetrics = wal.NewObjectMetrics(o.Registerer)
	}
	registerCaches(o.Registerer, s.segments, s.blocks)
	s.registerPending(o.Registerer)
	s.registerStuck(o.Registerer)
	s.registerUncut(o.Registerer)
	return s
}

// framesShared is how many frames loads share at the most: those of a minute or two.
const framesShared = 4096

func (s *Store) newEnv() *partition.Env {
	return &partition.Env{Clients: &s.clients, Segments: s.segments, Blocks: s.blocks, Now: s.o.Now, Logger: s.o.Logger, OnCorrupt: s.corrupt}
}

// OnOwnership registers f, before Run. It is called when the shard is served from now on, with its epoch, and when it is not any
// more; the calls for one shard follow each other. It must not take long.
func (s *Store) OnOwnership(f func(shard, epoch int32, owned bool)) {
	s.listeners = append(s.listeners, f)
}

func (s *Store) tellOwnership(shard, epoch int32, owned bool) {
	for _, f := range s.listeners {
		f(shard, epoch, owned)
	}
}

// shard returns a shard that this broker serves, or nil.
func (s *Store) shard(id int32) *shardState {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if id < 0 || int(id) >= len(s.shards) {
		return nil
	}
	return s.shards[id]
}

// owned returns the shards that this broker serves, ascending.
func (s *Store) owned() []*shardState {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(s.shards), func(sh *shardState) bool { return sh == nil })
}

// Owned returns the ids of the shards that this broker serves, ascending.
func (s *Store) Owned() []int32 {
	var ids []int32
	for _, sh := range s.owned() {
		ids = append(ids, sh.id)
	}
	return ids
}

// ErrNotReady is returned while recovery has not ended.
var ErrNotReady = errors.New("storage is not recovered yet")

// Run recovers, calls ready, and then writes and maintains the store until ctx ends. It returns after a last checkpoint
// when asked to end, and at once with the cause when storage fails.
func (s *Store) Run(ctx context.Context, ready func()) error {
	if s.o.Cluster != nil {
		return s.runCluster(ctx, ready)
	}
	start := s.o.Now()
	if err := s.recover(ctx); err != nil {
		return fmt.Errorf("recover storage: %w", err)
	}
	s.metrics.recovery.Set(s.o.Now().Sub(start).Seconds())
	// The WAL outlives ctx: what was accepted is written, and the last checkpoint needs it.
	walCtx, stopWAL := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWAL()
	g, gctx := errgroup.WithContext(ctx)
	walDone := make(chan error, 1)
	started := make(chan struct{})
	var once sync.Once
	l := s.present.Load()
	go func() { walDone <- l.wal.Run(walCtx, func() { once.Do(func() { close(started) }) }) }()
	select {
	case <-started:
	case err := <-walDone:
		return errors.Join(errors.New("write-ahead log ended before it began"), err)
	}
	s.ready.Store(true)
	defer s.ready.Store(false)
	for _, sh := range s.owned() {
		s.tellOwnership(sh.id, sh.epoch, true)
	}
	ready()
	g.Go(func() error { return s.maintain(gctx) })
	g.Go(func() error { return s.runCleaner(gctx) })
	g.Go(func() error {
		select {
		case err := <-walDone:
			walDone <- err
			return errors.Join(errors.New("write-ahead log failed"), err)
		case <-gctx.Done():
			return nil
		}
	})
	err := g.Wait()
	if err == nil {
		err = s.shutdown(context.WithoutCancel(ctx))
	}
	stopWAL()
	return errors.Join(err, <-walDone)
}

// shutdown makes the next start short.
func (s *Store) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := s.checkpointAll(ctx); err != nil {
		s.o.Logger.Warn("no checkpoint at shutdown, the next start replays more", "err", err)
	}
	return nil
}

// Log returns the log of a partition, made at its first use. UnknownTopicOrPartition if there is no such partition,
// NotLeaderOrFollower if this broker does not have its shard. A log whose shard is lost is closed.
func (s *Store) Log(topic kafka.TopicID, index int32) (*partition.Log, error) {
	key := logKey{topic, index}
	s.mu.RLock()
	l := s.logs[key]
	s.mu.RUnlock()
	if l != nil {
		return l, nil
	}
	if !s.ready.Load() {
		return nil, ErrNotReady
	}
	return s.makeLog(key)
}

func (s *Store) makeLog(key logKey) (*partition.Log, error) {
	config, n, ok := s.o.Topics.LogConfig(key.topic)
	if !ok || key.partition < 0 || key.partition >= n {
		return nil, kafka.UnknownTopicOrPartition
	}
	id := partition.Identity{Shard: s.o.Topics.Shard(key.topic, key.partition), Topic: key.topic, Partition: key.partition}
	if id.Shard < 0 || int(id.Shard) >= len(s.shards) {
		return nil, fmt.Errorf("%s is of shard %d, there are %d: %w", id, id.Shard, len(s.shards), kafka.UnknownServerError)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.logs[key]; l != nil {
		return l, nil
	}
	// Asked again under the lock: Drop, which comes after the topic is gone, then finds the log or prevents it.
	if _, _, ok := s.o.Topics.LogConfig(key.topic); !ok {
		return nil, kafka.UnknownTopicOrPartition
	}
	sh := s.shards[id.Shard]
	if sh == nil {
		return nil, kafka.NotLeaderOrFollower
	}
	l := partition.New(id, sh.life.env, sh.epoch, config)
	s.logs[key] = l
	return l, nil
}

// Existing returns the log of a partition if something was done with it in this process or anything is kept of it.
func (s *Store) Existing(topic kafka.TopicID, index int32) (*partition.Log, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l, ok := s.logs[logKey{topic, index}]
	return l, ok
}

// Reconfigure gives the logs of a topic its new configuration.
func (s *Store) Reconfigure(topic kafka.TopicID) {
	config, n, ok := s.o.Topics.LogConfig(topic)
	if !ok {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for p := range n {
		if l := s.logs[logKey{topic, p}]; l != nil {
			l.SetConfig(config)
		}
	}
}

// Drop closes the logs of a deleted topic. Their bytes go with the next trims and merges.
func (s *Store) Drop(topic kafka.TopicID, partitions int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range partitions {
		key := logKey{topic, p}
		if l := s.logs[key]; l != nil {
			l.Close()
			delete(s.logs, key)
		}
	}
	s.poke()
}

func (s *Store) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Admit blocks while the WAL has too many bytes queued. n is the size of what is about to be appended.
func (s *Store) Admit(ctx context.Context, n int64) error {
	w := s.present.Load().wal
	if w == nil {
		return ErrNotReady
	}
	if s.o.Remote && s.o.Cluster == nil && s.present.Load().env.Extents() > extentsRefused*int64(s.o.ExtentsMax) {
		return fmt.Errorf("%w: too much waits for the object store", wal.ErrNoSpace)
	}
	return w.Admit(ctx, n)
}

// LeaderEpoch returns the epoch of a shard, which is the leader epoch of its partitions; -1 if this broker does not have it.
func (s *Store) LeaderEpoch(shard int32) int32 {
	if sh := s.shard(shard); sh != nil {
		return sh.epoch
	}
	return -1
}

// Logs visits the logs that are in use, in no order, without a lock held.
func (s *Store) Logs(visit func(*partition.Log)) {
	s.mu.RLock()
	all := make([]*partition.Log, 0, len(s.logs))
	for _, l := range s.logs {
		all = append(all, l)
	}
	s.mu.RUnlock()
	for _, l := range all {
		visit(l)
	}
}

// logsOf returns the logs of a shard in the order of topic and partition, the order of objects.
func (s *Store) logsOf(shard int32) []*partition.Log {
	var out []*partition.Log
	s.Logs(func(l *partition.Log) {
		if l.Identity().Shard == shard {
			out = append(out, l)
		}
	})
	slices.SortFunc(out, func(a, b *partition.Log) int {
		x, y := a.Identity(), b.Identity()
		if c := slices.Compare(x.Topic[:], y.Topic[:]); c != 0 {
			return c
		}
		return int(x.Partition) - int(y.Partition)
	})
	return out
}

// onDurable is the call of a log of files for each frame, in order.
func (s *Store) onDurable(f *wal.Frame) {
	s.apply(f)
	s.durable.Store(int64(f.End()))
	s.written.Add(1)
	s.tier.note(f.End(), s.o.Now())
}

// apply tells the logs what has become durable.
func (s *Store) apply(f *wal.Frame) {
	for i := range f.Runs {
		f.Runs[i].Stream.Owner.(*partition.Log).Committed(&f.Runs[i])
	}
	for _, c := range f.Controls {
		s.mu.RLock()
		l := s.logs[logKey{c.Topic, c.Partition}]
		s.mu.RUnlock()
		if l != nil {
			l.Controlled(c)
		}
	}
}

// reportedMax bounds the damages that are remembered; past it they are forgotten and may be told once more.
const reportedMax = 4096

// corrupt counts and logs damage, once for each stretch: whoever reads it will try again and again.
func (s *Store) corrupt(err error) {
	text := err.Error()
	s.corruptMu.Lock()
	_, known := s.reported[text]
	if len(s.reported) >= reportedMax {
		clear(s.reported)
	}
	s.reported[text] = struct{}{}
	s.corruptMu.Unlock()
	if known {
		return
	}
	s.metrics.corrupt.Inc()
	s.o.Logger.Error("damaged bytes found; they are quarantined and not served", "err", err)
}

// Free returns the free and total bytes of the file system that holds the WAL. An object store has no bounds: errors.ErrUnsupported.
func (s *Store) Free() (vfs.Usage, error) {
	if s.o.Cluster != nil {
		return vfs.Usage{}, errors.ErrUnsupported
	}
	return s.o.FS.Usage(s.o.WALDir)
}

// Partitions returns how many logs of a shard are in use.
func (s *Store) Partitions(shard int32) int32 { return int32(len(s.logsOf(shard))) }
