package shard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/pacer"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// lookInterval is how often the maintenance goroutine looks whether a cut or a checkpoint is due.
const lookInterval = 500 * time.Millisecond

// How many frames recovery replays at the most, besides the checkpoint interval. Each of an object store's is a request or two, many at a time.
const (
	checkpointFileFrames   = 100_000
	checkpointObjectFrames = 512
	checkpointBurstFrames  = 2048 // of a burst, which are large
)

// burst is for how long clients may write as fast as they can without it being cut beside them: in a cluster a cut for the bytes that are there comes no sooner after the first eighth of them.
const burst = 15 * time.Second

// pauseOfCuts is between two cuts for the number of extents: the one before may have failed.
const pauseOfCuts = 2 * time.Second

// How many shards are checkpointed at the same time in a cluster, since each waits for four or five requests, one after the other, and how many bytes of segments make it fewer:
// uploads of large ones keep a store and a network busy by themselves, and clients beside them wait.
const (
	checkpointShards     = 4
	checkpointShardBytes = 32 << 20
)

// cutAt is how much is written to a log of objects before it is cut, whatever the time: seven eighths of what is cut together, since more comes until it is looked at.
func (s *Store) cutAt() int64 {
	if s.o.Cluster == nil {
		return 0
	}
	return s.o.Cluster.Log.Recallable() / 8 * 7
}

// uncut is how much was written to a log of objects since the last checkpoint began.
func (s *Store) uncut() int64 {
	l := s.present.Load()
	if l.objects == nil {
		return 0
	}
	return l.objects.Remembered() - l.remembered
}

// checkpointDue says whether a checkpoint is to be taken, the last one having begun so long ago, and an eighth of what is cut together being there for so long.
//
// In a cluster a checkpoint cuts what was written since the last one. It does so while that is in memory, unless clients write so fast that the processors are theirs first: what has left
// memory is read back, frame by frame.
func (s *Store) checkpointDue(age, filling time.Duration) bool {
	frames, most := s.written.Load(), int64(checkpointFileFrames)
	if s.o.Cluster != nil {
		most = checkpointObjectFrames
		much, many := s.uncut() > s.cutAt(), s.present.Load().env.Extents() > int64(s.o.ExtentsMax)
		if much && filling >= burst || many && age >= pauseOfCuts {
			return true
		}
		if much {
			most = checkpointBurstFrames
		}
	}
	return frames > most || frames > 0 && age >= s.o.CheckpointInterval
}

// For how many ticks maintenance rests when the disk is full, and when the object store does not answer.
const (
	fullTicks = 4
	awayTicks = 10
)

// noSpace says that err tells of a full disk, and that nothing else has happened.
func noSpace(err error) bool {
	return vfs.IsNoSpace(err) && !errors.Is(err, wal.ErrFailed) || errors.Is(err, wal.ErrNoSpace) || errors.Is(err, meta.ErrNoSpace)
}

// waitable says that err will pass: the disk is full, or an object store on the network does not answer.
func waitable(err error) bool { return noSpace(err) || errors.Is(err, blob.ErrAway) }

// rest is what maintenance waits for. What the last round was to do is still to be done then.
type rest struct {
	full, away bool
	ticks      int
}

// settle takes the result of a round. It returns the error that ends the process, if any.
func (r *rest) settle(s *Store, err error) error {
	if waitable(err) {
		text := err.Error()
		s.waits.Store(&text)
	}
	switch {
	case err == nil:
		s.waits.Store(nil)
		if r.away {
			s.o.Logger.Info("the object store answers again")
		}
		*r = rest{}
		s.metrics.tier.away.Set(0)
		s.reserve.refill(s)
	case noSpace(err):
		if !r.full {
			s.o.Logger.Warn("no space for maintenance; it goes on when there is", "err", err)
		}
		r.full, r.ticks = true, fullTicks
		if s.reserve.give(s) {
			r.ticks = 0
		}
	case errors.Is(err, blob.ErrAway):
		if !r.away {
			s.o.Logger.Warn("the object store does not answer; what was written waits on the local disk", "err", err)
		}
		r.away, r.ticks = true, awayTicks
		s.metrics.tier.away.Set(1)
	default:
		return fmt.Errorf("maintain storage: %w", err)
	}
	return nil
}

// maintain checkpoints, cuts, merges and applies retention, one thing at a time, until ctx ends. Lack of space is
// waited out, with the reserve given up to get out of it, and so is an object store on the network that does not answer; any other
// failure of storage ends the process.
func (s *Store) maintain(ctx context.Context) error {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	checkpointed, retained, wrote := time.Now(), time.Now(), time.Now() // intervals are the process's own, whatever becomes of the clock
	var rest rest
	for {
		woken := false
		select {
		case <-ctx.Done():
			return nil
		case j := <-s.jobs:
			err := j.run(ctx)
			j.done <- err
			if err != nil && ctx.Err() == nil && !waitable(err) {
				return fmt.Errorf("maintain storage: %w", err)
			}
			continue
		case <-tick.C:
			s.tier.note(wal.Position(s.durable.Load()), s.o.Now()) // the last frame of a burst may have come too soon after a mark
			s.pacer.Look()
			if rest.ticks > 0 {
				rest.ticks--
				continue
			}
		case <-s.wake:
			woken = true
		}
		s.reserve.giveIfLow(s)
		woken = woken || rest.full || rest.away
		now := time.Now()
		if s.uncut() < s.cutAt()/8 {
			wrote = now
		}
		if woken || now.Sub(retained) >= s.o.RetentionInterval {
			retained = now
			s.retain(s.o.Now())
		}
		err := s.cutIfDue(ctx)
		if err == nil && (s.checkpointDue(now.Sub(checkpointed), now.Sub(wrote)) || woken) {
			checkpointed, wrote = now, now
			err = s.checkpointAll(ctx)
		}
		if err == nil {
			err = s.mergeIfDue(ctx)
		}
		if ctx.Err() != nil {
			continue
		}
		if err := rest.settle(s, err); err != nil {
			return err
		}
	}
}

// job is something to be done by the maintenance goroutine, which alone may change manifests.
type job struct {
	run  func(context.Context) error
	done chan error
}

// inMaintenance runs f in the maintenance goroutine and returns its error, which ends the store unless it is waitable. What is being done there does not
// yield to clients meanwhile.
func (s *Store) inMaintenance(ctx context.Context, f func(context.Context) error) error {
	defer s.pacer.Hurry()()
	j := job{f, make(chan error, 1)}
	select {
	case s.jobs <- j:
		return <-j.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retain moves the log start of the logs whose retention says so. It goes through the WAL, so a log start never goes
// back, not even over a crash.
func (s *Store) retain(now time.Time) {
	var refused error
	expiry := s.o.ProducerExpiry().Milliseconds()
	s.Logs(func(l *partition.Log) {
		l.ExpireProducers(now.UnixMilli(), expiry)
		start := l.RetentionStart(now.UnixMilli())
		if start <= l.Offsets().LogStart {
			return
		}
		if _, _, err := l.DeleteRecords(start); err != nil {
			refused = err
			return
		}
		s.metrics.retained.Inc()
	})
	if refused != nil && !errors.Is(refused, partition.ErrClosed) {
		s.o.Logger.Warn("retention has to wait for some partitions", "err", refused)
	}
}

// cutIfDue moves the older part of the WAL into objects when the WAL or its index has grown past its bound.
func (s *Store) cutIfDue(ctx context.Context) error {
	l := s.present.Load()
	extents := l.env.Extents()
	s.metrics.extents.Set(float64(extents))
	if l.objects != nil {
		return nil // a checkpoint cuts
	}
	held, end := l.files.Bytes(), wal.Position(s.durable.Load())
	switch {
	case extents > int64(s.o.ExtentsMax):
	case s.o.Remote && l.files.NoSpace():
		// All goes, as others have filled the disk. The last file is not given back, whatever lies in it: less than one is no reason.
		if end < s.cutEnd+wal.Position(s.o.WALFileBytes) {
			return nil
		}
	case held > s.o.WALKeepBytes:
		end -= wal.Position(s.o.WALKeepBytes / 2)
		// Files that hold quarantined bytes stay, and may keep held above its bound: only new bytes are a reason to go on.
		if end < s.cutEnd+wal.Position(s.o.WALKeepBytes/8) {
			return nil
		}
	default:
		if end = s.tooOld(s.o.Now()); end <= s.cutEnd {
			return nil
		}
	}
	pace := s.cutWork(l, end)
	defer pace.End()
	if err := s.cutBelow(ctx, pace, end); err != nil {
		return err
	}
	s.cutEnd = end
	return nil
}

// cutBelow moves what lies below end in the WAL into objects and gives its files back.
func (s *Store) cutBelow(ctx context.Context, pace *pacer.Work, end wal.Position) error {
	for _, sh := range s.owned() {
		err := s.onShard(ctx, sh, pace, func(ctx context.Context) error {
			if err := s.cut(ctx, sh, end); err != nil {
				return fmt.Errorf("cut shard %d below position %d: %w", sh.id, end, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return s.checkpointAll(ctx)
}

// checkpointAll publishes the state of every shard as of now, and gives back the part of the WAL that nothing needs.
func (s *Store) checkpointAll(ctx context.Context) error {
	started := s.o.Now()
	s.written.Store(0)
	if l := s.present.Load(); l.objects != nil {
		s.checkpointObjects(ctx, l)
	} else {
		for _, sh := range s.owned() {
			err := s.onShard(ctx, sh, nil, func(ctx context.Context) error {
				if err := s.checkpoint(ctx, sh, wal.Mark{}); err != nil {
					return fmt.Errorf("checkpoint shard %d: %w", sh.id, err)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	s.trim()
	s.metrics.checkpoint.Observe(s.o.Now().Sub(started).Seconds())
	return nil
}

// checkpointObjects cuts what the log holds up to now, stretch by stretch, each as large as memory holds, and publishes with the last. What is written meanwhile is left to the next checkpoint, or
// beside clients who write faster than segments are made this one would never end. Shards that fail are tried again, by onShard.
func (s *Store) checkpointObjects(ctx context.Context, l *life) {
	mark := l.mark()
	pace := s.checkpointWork(l, mark)
	defer pace.End()
	for done := false; !done && ctx.Err() == nil; {
		// Reading back is taken for half of the work.
		r := l.objects.Recall(ctx, l.cutTo.Pos, mark, func(ctx context.Context, bytes int64) error { return pace.Await(ctx, bytes/2) })
		done = r.End == mark
		var working errgroup.Group
		working.SetLimit(s.together(l.cutTo, r.End))
		for _, sh := range s.owned() {
			working.Go(func() error {
				return s.onShard(ctx, sh, pace, func(ctx context.Context) error {
					if !done {
						return s.cut(ctx, sh, r.End.Pos)
					}
					return s.checkpointIfChanged(ctx, sh, mark)
				})
			})
		}
		working.Wait() //nolint:errcheck // in a cluster no shard's error is anybody else's
		r.Release()
		l.cutTo = r.End
	}
}

// together is how many shards a stretch of the log is cut of at a time.
func (s *Store) together(from, to wal.Mark) int {
	changed := int64(0)
	for _, sh := range s.owned() {
		if sh.changedTo.Load() > from.Seq {
			changed++
		}
	}
	each := int64(to.Pos-from.Pos) / max(1, changed)
	return int(min(checkpointShards, max(1, checkpointShardBytes/max(1, each))))
}

// onShard does one piece of work on a shard, unless it is given up meanwhile: nobody else works on it then. Its cuts are part of pace; nil: they yield to nobody.
//
// In a cluster a failure is the shard's alone: a store that does not answer now may do so at the next look, and a shard that was
// taken by another broker is given up.
func (s *Store) onShard(ctx context.Context, sh *shardState, pace *pacer.Work, work func(context.Context) error) error {
	select {
	case sh.busy <- struct{}{}:
		defer func() { <-sh.busy }()
	case <-ctx.Done():
		return nil //nolint:nilerr // the end was asked for
	case <-sh.ctx.Done():
		return nil
	}
	if sh.ctx.Err() != nil {
		return nil
	}
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(sh.ctx, cancel)() //nolint:contextcheck // the shard's own end
	sh.interrupt.Store(&cancel)
	defer sh.interrupt.Store(nil)
	sh.pace = pace
	err := work(wctx)
	switch {
	case err == nil, s.o.Cluster == nil:
		return err
	case wctx.Err() != nil:
		sh.changed.Store(true)
		return nil
	case errors.Is(err, errLostShard):
		s.o.Logger.Warn("a shard has been taken by another broker", "shard", sh.id, "epoch", sh.epoch)
		s.dropShard(sh)
		return nil
	}
	sh.changed.Store(true)
	s.o.Logger.Warn("work on a shard failed, it is tried again", "shard", sh.id, "err", err)
	return nil
}

// trim frees the WAL below what the pointers replay from and what any log still reads.
func (s *Store) trim() {
	if l := s.present.Load(); l.objects != nil {
		s.trimObjects(l)
		return
	}
	low := wal.Position(s.durable.Load())
	var keep []wal.Position
	for _, sh := range s.owned() {
		low = min(low, wal.Position(sh.pointer.Replay))
	}
	s.Logs(func(l *partition.Log) {
		if p, ok := l.OldestWAL(); ok {
			low = min(low, p)
		}
		keep = append(keep, l.Quarantined()...)
	})
	s.present.Load().files.Trim(low, keep...)
}
