package shard

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
)

// ClusterOptions make a Store one of several on the same blob and metadata stores. Directory and Announce are required.
type ClusterOptions struct {
	// Directory says which shards are assigned to this broker, and which incarnations are alive.
	Directory *cluster.Directory
	// Announce makes the incarnation known to the others. It is called at the begin of each.
	Announce func(ctx context.Context, incarnation uint64) error
	// Log is how the write-ahead log is written; Blob, ClusterID, Incarnation, Nonce, OnDurable and the logger are filled in.
	Log wal.ObjectOptions
	// LoadsMax bounds the shards that are being moved at the same time, 0 for 16.
	LoadsMax int
	// CollectInterval is the time between deletions of what the log does not need any more, 0 for 1 min.
	CollectInterval time.Duration
}

// How long a broker rests before it begins another incarnation, or looks again at a shard that it could not take.
const (
	firstLifePause = 100 * time.Millisecond
	lastLifePause  = 5 * time.Second
	lookAgain      = 500 * time.Millisecond
)

// runCluster lives one incarnation after the other until ctx ends. One ends when its log cannot be written any more: because a
// successor has sealed it, or the object store does not answer for long. All that it knew is dropped then.
func (s *Store) runCluster(ctx context.Context, ready func()) error {
	var once sync.Once
	pause := firstLifePause
	for {
		began := time.Now()
		err := s.live(ctx, func() { once.Do(ready) })
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end was asked for, and whatever is not written was not acknowledged
		}
		if errors.Is(err, ErrOlderMetadata) {
			return err
		}
		if time.Since(began) > lastLifePause {
			pause = firstLifePause
		}
		s.o.Logger.Warn("the broker's incarnation has ended, another begins", "err", err, "pause", pause)
		s.disown(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, lastLifePause)
	}
}

// disown tells the others that this broker has no incarnation, so that they take its shards: it may be long until another can begin, where the object store cannot be reached from here alone.
func (s *Store) disown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastLifePause)
	defer cancel()
	if err := s.o.Cluster.Announce(ctx, 0); err != nil {
		s.o.Logger.Warn("the others were not told that this broker has no incarnation", "err", err)
	}
}

// live is one incarnation.
func (s *Store) live(ctx context.Context, ready func()) error {
	l, err := s.begin(ctx)
	if err != nil {
		return err
	}
	// The log outlives ctx: what was accepted is written, and the shards are handed over with it.
	walCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLog()
	walDone := make(chan error, 1)
	started := make(chan struct{})
	go func() { walDone <- l.wal.Run(walCtx, func() { close(started) }) }()
	select {
	case <-started:
	case err := <-walDone:
		return errors.Join(errors.New("write-ahead log ended before it began"), err)
	}
	s.present.Store(l)
	s.ready.Store(true)
	if err := s.o.Cluster.Announce(ctx, l.incarnation); err != nil {
		stopLog()
		return errors.Join(fmt.Errorf("announce incarnation %d: %w", l.incarnation, err), <-walDone)
	}
	s.o.Logger.Info("incarnation begins", "incarnation", l.incarnation)
	ready()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.maintain(gctx) })
	g.Go(func() error { return s.runCleaner(gctx) })
	g.Go(func() error { return s.reconcile(gctx, l) })
	g.Go(func() error { return s.collect(gctx, l) })
	g.Go(func() error { return s.sweep(gctx) })
	g.Go(func() error {
		select {
		case err := <-walDone:
			walDone <- err
			return errors.Join(errors.New("write-ahead log ended"), err)
		case <-gctx.Done():
			return nil
		}
	})
	err = g.Wait()
	if err == nil {
		s.releaseAll(context.WithoutCancel(ctx))
	}
	for _, sh := range s.owned() {
		s.dropShard(sh)
	}
	stopLog()
	return errors.Join(err, <-walDone)
}

// begin makes a new incarnation known to the metadata store.
func (s *Store) begin(ctx context.Context) (*life, error) {
	if err := s.checkShards(ctx); err != nil {
		return nil, err
	}
	for {
		number := uint64(1)
		entry, err := s.o.Meta.Get(ctx, ownership.CounterKey)
		switch {
		case err == nil && len(entry.Value) == 8:
			number = binary.BigEndian.Uint64(entry.Value) + 1
		case err == nil:
			return nil, fmt.Errorf("metadata key %s holds %d bytes, not 8", ownership.CounterKey, len(entry.Value))
		case !errors.Is(err, meta.ErrNotFound):
			return nil, fmt.Errorf("read the incarnation counter: %w", err)
		}
		r, err := s.o.Meta.Txn(ctx, []meta.Compare{{Key: ownership.CounterKey, Revision: entry.Revision}}, []meta.Op{
			{Kind: meta.Put, Key: ownership.CounterKey, Value: binary.BigEndian.AppendUint64(nil, number)},
			{Kind: meta.Put, Key: ownership.IncarnationKey(number), Value: ownership.Life{Broker: s.o.Broker, Sealed: -1}.Encode()},
		})
		if err != nil {
			return nil, fmt.Errorf("begin incarnation %d: %w", number, err)
		}
		if !r.Succeeded {
			continue
		}
		if err := s.bear(ctx, number); err != nil {
			return nil, fmt.Errorf("begin incarnation %d: %w", number, err)
		}
		return s.newLife(number), nil
	}
}

func (s *Store) newLife(number uint64) *life {
	l := &life{incarnation: number, env: s.newEnv(), cutTo: wal.Mark{Pos: wal.OwnStart}}
	o := s.o.Cluster.Log
	o.Blob, o.ClusterID, o.Incarnation, o.Nonce, o.Logger, o.Metrics = s.o.Blob, s.o.ClusterID, number, s.o.Nonce(), s.o.Logger, s.logMetrics
	o.OnDurable = func(f *wal.Frame) {
		for i := range f.Runs {
			s.noteChange(f.Runs[i].Shard, f.Runs[i].Bytes, f.Seq)
		}
		for _, c := range f.Controls {
			s.noteChange(c.Shard, 0, f.Seq)
		}
		s.apply(f)
		l.applied.Store(&wal.Mark{Pos: f.End(), Seq: f.Seq + 1})
		s.written.Add(1)
	}
	l.objects = wal.NewObjectLog(o)
	l.wal, l.env.WAL = l.objects, l.objects
	return l
}

// noteChange notes that the frame seq has something of a shard, before the frame becomes part of the life's mark.
func (s *Store) noteChange(id int32, bytes int64, seq uint64) {
	if sh := s.shard(id); sh != nil {
		sh.changedTo.Store(seq + 1)
		sh.bytesIn.Add(bytes)
	}
}

// Written returns how many bytes of batches were written to each shard that this broker serves, since it does.
func (s *Store) Written() map[int32]int64 {
	out := map[int32]int64{}
	for _, sh := range s.owned() {
		out[sh.id] = sh.bytesIn.Load()
	}
	return out
}

// mark is the end of what is durable and known to the logs.
func (l *life) mark() wal.Mark {
	if m := l.applied.Load(); m != nil {
		return *m
	}
	return wal.Mark{Pos: wal.OwnStart}
}

// reconcile takes the shards that are assigned to this broker as soon as nobody has them, and gives up those that are assigned to
// others, until ctx ends, or the metadata turns out to be older than the objects.
func (s *Store) reconcile(ctx context.Context, l *life) error {
	var working sync.WaitGroup
	defer working.Wait()
	slots := make(chan struct{}, cmp.Or(s.o.Cluster.LoadsMax, 16))
	busy := newShardSet()
	refused := make(chan error, 1)
	for {
		changed := s.o.Cluster.Directory.Changed()
		view := s.o.Cluster.Directory.View()
		again := false
		for id := range s.o.Shards {
			work := s.nextStep(view, l, id)
			if work == nil || !busy.add(id) {
				again = again || work != nil
				continue
			}
			working.Go(func() {
				defer busy.remove(id)
				select {
				case slots <- struct{}{}:
					defer func() { <-slots }()
				case <-ctx.Done():
					return
				}
				switch err := work(ctx); {
				case err == nil || ctx.Err() != nil:
				case errors.Is(err, ErrOlderMetadata):
					select {
					case refused <- err:
					default: // the first is enough
					}
				default:
					s.o.Logger.Warn("a shard could not be moved, it is tried again", "shard", id, "err", err)
				}
			})
			again = true
		}
		var retry <-chan time.Time
		if again {
			retry = time.After(lookAgain)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-refused:
			return err
		case <-changed:
		case <-retry:
		}
	}
}

// nextStep says what is to be done about a shard, or nil.
func (s *Store) nextStep(view *cluster.View, l *life, id int32) func(context.Context) error {
	sh, own, wanted := s.shard(id), view.Owner(id), view.Wanted(id)
	if wanted != view.Self {
		l.stuck.forget(id)
	}
	switch {
	case sh != nil && own.Incarnation != l.incarnation && own.Revision > sh.seen():
		return func(context.Context) error {
			s.o.Logger.Warn("a shard has been taken by another broker", "shard", id, "epoch", sh.epoch)
			s.dropShard(sh)
			return nil
		}
	case sh != nil && wanted != view.Self && wanted != cluster.Nobody:
		return func(ctx context.Context) error { return s.release(ctx, sh) }
	case sh == nil && wanted == view.Self && (own.Incarnation == 0 || own.Incarnation == l.incarnation || !view.Alive(own.Incarnation)):
		return func(ctx context.Context) error { return s.tryToTake(ctx, l, id) }
	case sh == nil && wanted != view.Self && own.Incarnation == l.incarnation:
		return func(ctx context.Context) error { return s.finishRelease(ctx, l, id) }
	}
	return nil
}

// seen is the revision of the pointer as this broker wrote it last.
func (sh *shardState) seen() int64 { return sh.published.Load() }

// batched runs something that many ask for at the same time as few times as possible: each call waits for a run that began after it.
type batched struct {
	mu      sync.Mutex
	running bool
	next    *batchedRun
}

type batchedRun struct {
	done chan struct{}
	err  error
}

func (b *batched) do(ctx context.Context, f func(context.Context) error) error {
	b.mu.Lock()
	if b.next == nil {
		b.next = &batchedRun{done: make(chan struct{})}
	}
	mine := b.next
	lead := !b.running
	b.running = true
	b.mu.Unlock()
	for lead {
		b.mu.Lock()
		r := b.next
		b.next = nil
		if r == nil {
			b.running = false
			b.mu.Unlock()
			break
		}
		b.mu.Unlock()
		r.err = f(ctx)
		close(r.done)
	}
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// shardSet is a set of shards that are being worked on.
type shardSet struct {
	mu  sync.Mutex
	ids map[int32]bool
}

func newShardSet() *shardSet { return &shardSet{ids: map[int32]bool{}} }

func (b *shardSet) add(id int32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ids[id] {
		return false
	}
	b.ids[id] = true
	return true
}

func (b *shardSet) remove(id int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ids, id)
}

// dropShard stops serving a shard at once: its logs are closed, nothing of it is published any more.
func (s *Store) dropShard(sh *shardState) {
	sh.cancel()
	s.mu.Lock()
	mine := s.shards[sh.id] == sh
	if mine {
		s.shards[sh.id] = nil
		for key, l := range s.logs {
			if l.Identity().Shard == sh.id {
				l.Close()
				delete(s.logs, key)
			}
		}
	}
	s.mu.Unlock()
	if mine {
		s.tellOwnership(sh.id, sh.epoch, false)
	}
}

// release gives a shard up in order: it checkpoints what there is, stops serving, waits until all that was accepted is durable, and
// says in the pointer where that ends. Whoever takes the shard then has next to nothing to replay, unless clients have just written more than is in memory: to cut that would
// take longer than to replay it.
func (s *Store) release(ctx context.Context, sh *shardState) error {
	if stop := sh.interrupt.Load(); stop != nil {
		(*stop)() // a merge, say: it may as well be done by the next owner
	}
	err := s.onShard(ctx, sh, nil, func(ctx context.Context) error {
		mark := sh.life.mark()
		from, _ := sh.pointer.Needs(sh.life.incarnation)
		if sh.marked != (wal.Mark{}) && sh.changedTo.Load() > from && int64(mark.Pos-sh.marked.Pos) > s.o.Cluster.Log.Ring() {
			return nil
		}
		return s.checkpointIfChanged(ctx, sh, mark)
	})
	if err != nil {
		return err
	}
	if sh.ctx.Err() != nil {
		return nil // lost meanwhile
	}
	s.dropShard(sh)
	select {
	case sh.busy <- struct{}{}: // whatever is being done ends now
		defer func() { <-sh.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.publishRelease(ctx, sh)
}

// publishRelease says in the pointer that a shard is not served any more, and where its sections end.
func (s *Store) publishRelease(ctx context.Context, sh *shardState) error {
	if err := sh.life.wal.Barrier().Wait(ctx); err != nil {
		return fmt.Errorf("release shard %d: wait for what was accepted: %w", sh.id, err)
	}
	if err := s.publish(ctx, sh, sh.pointer.Release(sh.life.objects.Durable().Seq)); err != nil {
		return fmt.Errorf("release shard %d: %w", sh.id, err)
	}
	s.o.Logger.Info("shard released", "shard", sh.id, "epoch", sh.pointer.Epoch)
	return nil
}

// finishRelease releases a shard that this incarnation owns by its pointer and does not serve: an earlier try got no answer. Nothing
// was written for it since.
func (s *Store) finishRelease(ctx context.Context, l *life, id int32) error {
	sh := newShardState(id, l)
	if err := s.readPointer(ctx, sh); err != nil {
		return err
	}
	if s.shard(id) != nil || sh.pointer.Owner != l.incarnation {
		return nil
	}
	return s.publishRelease(ctx, sh)
}

// readPointer reads what the metadata store has of a shard.
func (s *Store) readPointer(ctx context.Context, sh *shardState) error {
	e, err := s.o.Meta.Get(ctx, ownership.ShardKey(sh.id))
	if errors.Is(err, meta.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read pointer of shard %d: %w", sh.id, err)
	}
	sh.revision = e.Revision
	sh.pointer, err = ownership.DecodePointer(e)
	return err
}

// releaseAll gives all shards up, for shutdown.
func (s *Store) releaseAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var releasing sync.WaitGroup
	for _, sh := range s.owned() {
		releasing.Go(func() {
			if err := s.release(ctx, sh); err != nil {
				s.o.Logger.Warn("a shard was not released, its next owner has to seal this broker", "shard", sh.id, "err", err)
			}
		})
	}
	releasing.Wait()
}

// tryToTake takes a shard, unless it could not be taken a short while ago.
func (s *Store) tryToTake(ctx context.Context, l *life, id int32) error {
	if l.stuck.rests(id, time.Now()) {
		return nil
	}
	sh := newShardState(id, l)
	err := s.take(ctx, sh)
	if err == nil || ctx.Err() != nil || errors.Is(err, errLostShard) {
		l.stuck.forget(id)
		return err
	}
	l.stuck.failed(id, sh.idle, time.Now())
	return err
}

// take makes the incarnation of sh the owner of a shard that nobody alive has, loads it, and serves it.
//
// The owner before, if it has not released the shard, is sealed first: from then on it acknowledges nothing, so what is found below
// the seal is all there is. Then the pointer moves, and only then is anything read: an owner before may have published until then.
//
// What it took and could not load it loads in the same epoch when it tries again: an object that is gone must not make pointers, and what the metadata store
// keeps of them, grow without end.
func (s *Store) take(ctx context.Context, sh *shardState) error {
	started, l := time.Now(), sh.life
	if err := s.readPointer(ctx, sh); err != nil {
		return err
	}
	if open, ok := sh.pointer.Open(); !ok || open != l.incarnation || !l.stuck.idle(sh.id, sh.pointer.Epoch) {
		if mine, err := s.own(ctx, sh); err != nil || !mine {
			return err
		}
	}
	sh.published.Store(sh.revision)
	sh.epoch, sh.version, sh.idle = sh.pointer.Epoch, sh.pointer.Version, sh.pointer.Epoch
	tenures := len(sh.pointer.History) - 1 // the pointer is maintenance's once the shard is served
	if err := s.load(ctx, sh); err != nil {
		return fmt.Errorf("load shard %d: %w", sh.id, err)
	}
	s.o.Logger.Info("shard taken", "shard", sh.id, "epoch", sh.epoch, "tenures", tenures, "duration", time.Since(started))
	return nil
}

// own makes the incarnation of sh the owner of a shard whose pointer was read. It reports false if somebody else was faster.
func (s *Store) own(ctx context.Context, sh *shardState) (bool, error) {
	l := sh.life
	sealed := uint64(0)
	switch open, ok := sh.pointer.Open(); {
	case ok && open == l.incarnation: // it had the shard, and lost it on the way to release or to serve it
		if err := l.wal.Barrier().Wait(ctx); err != nil {
			return false, fmt.Errorf("take shard %d again: %w", sh.id, err)
		}
		sealed = l.objects.Durable().Seq
	case ok && s.o.Cluster.Directory.View().Alive(open):
		return false, nil // somebody was faster
	case ok:
		var err error
		if sealed, err = s.sealOnce(ctx, open); err != nil {
			return false, err
		}
	}
	next := sh.pointer.Take(l.incarnation, l.objects.NextSeq(), sealed)
	return true, s.publish(ctx, sh, next)
}

// sealOnce is seal, once for all shards of an incarnation that are taken at the same time: where it ends is looked for with some hundred requests.
func (s *Store) sealOnce(ctx context.Context, incarnation uint64) (uint64, error) {
	k, err, _ := s.sealing.Do(strconv.FormatUint(incarnation, 10), func() (any, error) { return s.seal(ctx, incarnation) })
	if err != nil {
		return 0, err
	}
	return k.(uint64), nil
}

// seal ends an incarnation, and returns the first sequence number that is not part of its log.
func (s *Store) seal(ctx context.Context, incarnation uint64) (uint64, error) {
	key := ownership.IncarnationKey(incarnation)
	for {
		e, err := s.o.Meta.Get(ctx, key)
		if err != nil {
			return 0, fmt.Errorf("read incarnation %d: %w", incarnation, err)
		}
		_, l, err := ownership.DecodeLife(e)
		if err != nil {
			return 0, err
		}
		if l.Sealed >= 0 {
			return uint64(l.Sealed), nil
		}
		k, err := wal.SealObjects(ctx, wal.ObjectSeal{Blob: s.o.Blob, ClusterID: s.o.ClusterID, Incarnation: incarnation, From: l.Trim, Nonce: s.o.Nonce()})
		if err != nil {
			return 0, err
		}
		if err := s.checkTrim(ctx, incarnation, l); err != nil {
			return 0, err
		}
		l.Sealed = int64(k)
		r, err := s.o.Meta.Txn(ctx, []meta.Compare{{Key: key, Revision: e.Revision}}, []meta.Op{{Kind: meta.Put, Key: key, Value: l.Encode()}})
		if err != nil {
			return 0, fmt.Errorf("note the seal of incarnation %d: %w", incarnation, err)
		}
		if r.Succeeded {
			s.o.Logger.Info("incarnation sealed", "incarnation", incarnation, "at", k)
			return k, nil
		}
	}
}

// load reads manifest, checkpoint and the footers of the frames that the history names, stamps the shard's epoch, and begins to serve the shard.
func (s *Store) load(ctx context.Context, sh *shardState) error {
	sh.ctx, sh.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r := &loading{s: s, sh: sh, logs: map[logKey]*partition.Log{}}
	s.loads.Add(1)
	defer func() {
		if s.loads.Add(-1) == 0 {
			s.frames.Clear()
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.checkClaim(gctx, sh) })
	synced := make(chan struct{})
	g.Go(func() error {
		err := s.syncing.do(ctx, s.o.Topics.Sync) // not with gctx: other shards wait for the same look
		if err == nil {
			close(synced)
		}
		return err
	})
	g.Go(func() error { return r.read(gctx, synced) })
	err := g.Wait()
	if err == nil {
		sh.idle = -1 // its epoch may be claimed from now on, and can be claimed once
		err = s.claim(ctx, sh)
	}
	if err != nil {
		sh.cancel()
		return err
	}
	for _, l := range r.logs {
		l.Recovered()
		l.SetLeaderEpoch(sh.epoch)
	}
	s.mu.Lock()
	if s.present.Load() != sh.life || s.shards[sh.id] != nil {
		s.mu.Unlock()
		sh.cancel()
		return errLostShard
	}
	for key, l := range r.logs {
		if config, n, ok := s.o.Topics.LogConfig(key.topic); ok && key.partition < n {
			l.SetConfig(config) // it may have changed meanwhile
			s.logs[key] = l
		}
	}
	s.shards[sh.id] = sh
	s.mu.Unlock()
	s.tellOwnership(sh.id, sh.epoch, true)
	s.poke()
	return nil
}

// loading is a shard that nobody sees yet.
type loading struct {
	s    *Store
	sh   *shardState
	logs map[logKey]*partition.Log
}

// read reads what there is of the shard while the topics are being asked for, and applies it once synced is closed.
func (r *loading) read(ctx context.Context, synced <-chan struct{}) error {
	c, err := r.s.readState(ctx, r.sh)
	if err != nil {
		return r.s.missingState(ctx, r.sh, err)
	}
	select {
	case <-synced: // a topic that is not known here would be passed over as a deleted one
	case <-ctx.Done():
		return ctx.Err()
	}
	if c != nil {
		for i := range c.Partitions {
			p := &c.Partitions[i]
			if l := r.log(p.Topic, p.Partition); l != nil {
				l.Restore(p, r.sh.objects)
			}
		}
	}
	for _, t := range r.sh.pointer.History[:len(r.sh.pointer.History)-1] {
		scan := wal.ObjectScan{Blob: r.s.o.Blob, ClusterID: r.s.o.ClusterID, Incarnation: t.Incarnation, From: t.From, To: t.To, Cache: r.s.frames}
		if err := wal.ScanObjects(ctx, scan, func(f *wal.ObjectFrame) error { return r.replay(f, t.Epoch) }); err != nil {
			return fmt.Errorf("replay frames [%d, %d) of incarnation %d: %w", t.From, t.To, t.Incarnation, r.s.missingFrame(ctx, r.sh, t, err))
		}
	}
	return nil
}

// replay applies the shard's section of a frame.
func (r *loading) replay(f *wal.ObjectFrame, epoch int32) error {
	adopted, by := false, wal.Position(0)
	for i := range f.Runs {
		run := f.Runs[i]
		if run.Shard != r.sh.id {
			continue
		}
		if !adopted {
			adopted, by = true, r.sh.life.objects.Adopt(f)-f.Pos
		}
		if l := r.log(run.Topic, run.Partition); l != nil {
			run.Pos += by
			l.Replay(&run, epoch)
			r.sh.changed.Store(true)
		}
	}
	for _, c := range f.Controls {
		if c.Shard != r.sh.id {
			continue
		}
		if l := r.log(c.Topic, c.Partition); l != nil {
			l.ReplayControl(c)
			r.sh.changed.Store(true)
		}
	}
	return nil
}

// log returns the log of a partition, or nil if its topic is gone.
func (r *loading) log(topic kafka.TopicID, index int32) *partition.Log {
	key := logKey{topic, index}
	if l := r.logs[key]; l != nil {
		return l
	}
	config, n, ok := r.s.o.Topics.LogConfig(topic)
	if !ok || index < 0 || index >= n {
		return nil
	}
	l := partition.New(partition.Identity{Shard: r.sh.id, Topic: topic, Partition: index}, r.sh.life.env, r.sh.epoch, config)
	r.logs[key] = l
	return l
}
