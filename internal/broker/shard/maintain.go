package shard

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// lookInterval is how often the maintenance goroutine looks whether a cut or a checkpoint is due.
const lookInterval = 500 * time.Millisecond

// checkpointFrames bounds how many frames recovery replays, besides the checkpoint interval.
const checkpointFrames = 100_000

// maintain checkpoints, cuts, merges and applies retention, one thing at a time, until ctx ends. Lack of space is
// waited out; any other failure of storage ends the process.
func (s *Store) maintain(ctx context.Context) error {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	checkpointed, retained := s.o.Now(), s.o.Now()
	for {
		woken := false
		select {
		case <-ctx.Done():
			return nil
		case j := <-s.jobs:
			j.done <- j.run(ctx)
			continue
		case <-tick.C:
		case <-s.wake:
			woken = true
		}
		now := s.o.Now()
		if woken || now.Sub(retained) >= s.o.RetentionInterval {
			retained = now
			s.retain(now)
		}
		err := s.cutIfDue(ctx)
		due := s.written.Load() > checkpointFrames || (s.written.Load() > 0 && now.Sub(checkpointed) >= s.o.CheckpointInterval)
		if err == nil && (due || woken) {
			checkpointed = now
			err = s.checkpointAll(ctx)
		}
		if err == nil {
			err = s.mergeIfDue(ctx)
		}
		switch {
		case err == nil || ctx.Err() != nil:
		case vfs.IsNoSpace(err):
			s.o.Logger.Warn("no space for maintenance; it goes on when there is", "err", err)
		default:
			return fmt.Errorf("maintain storage: %w", err)
		}
	}
}

// job is something to be done by the maintenance goroutine, which alone may change manifests.
type job struct {
	run  func(context.Context) error
	done chan error
}

// inMaintenance runs f in the maintenance goroutine and returns its error.
func (s *Store) inMaintenance(ctx context.Context, f func(context.Context) error) error {
	j := job{f, make(chan error, 1)}
	select {
	case s.jobs <- j:
		return <-j.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Flush moves everything durable from the WAL into objects and gives its files back.
func (s *Store) Flush(ctx context.Context) error { return s.inMaintenance(ctx, s.cutAll) }

// Maintain asks for a round of retention, checkpoint and trim soon.
func (s *Store) Maintain() { s.poke() }

// retain moves the log start of the logs whose retention says so. It goes through the WAL, so a log start never goes
// back, not even over a crash.
func (s *Store) retain(now time.Time) {
	s.Logs(func(l *partition.Log) {
		l.ExpireProducers(now.UnixMilli(), s.o.ProducerExpiry.Milliseconds())
		start := l.RetentionStart(now.UnixMilli())
		if start <= l.Offsets().LogStart {
			return
		}
		if _, _, err := l.DeleteRecords(start); err != nil {
			s.o.Logger.Warn("retention has to wait", "partition", l.Identity().String(), "err", err)
			return
		}
		s.metrics.retained.Inc()
	})
}

// cutIfDue moves the older part of the WAL into objects when the WAL or its index has grown past its bound.
func (s *Store) cutIfDue(ctx context.Context) error {
	extents := 0
	s.Logs(func(l *partition.Log) {
		n, _ := l.Extents()
		extents += n
	})
	s.metrics.extents.Set(float64(extents))
	held, end := s.wal.Bytes(), wal.Position(s.durable.Load())
	switch {
	case extents > s.o.ExtentsMax:
	case held > s.o.WALKeepBytes:
		end -= wal.Position(s.o.WALKeepBytes / 2)
	default:
		return nil
	}
	for _, sh := range s.shards {
		if err := s.cut(ctx, sh, end); err != nil {
			return fmt.Errorf("cut shard %d below position %d: %w", sh.id, end, err)
		}
	}
	return s.checkpointAll(ctx)
}

func (s *Store) cutAll(ctx context.Context) error {
	end := wal.Position(s.durable.Load())
	for _, sh := range s.shards {
		if err := s.cut(ctx, sh, end); err != nil {
			return err
		}
	}
	return s.checkpointAll(ctx)
}

// checkpointAll publishes the state of every shard as of now, and gives back the part of the WAL that nothing needs.
func (s *Store) checkpointAll(ctx context.Context) error {
	started := s.o.Now()
	s.written.Store(0)
	for _, sh := range s.shards {
		if err := s.checkpoint(ctx, sh); err != nil {
			return fmt.Errorf("checkpoint shard %d: %w", sh.id, err)
		}
	}
	s.trim()
	s.metrics.checkpoint.Observe(s.o.Now().Sub(started).Seconds())
	return nil
}

// trim frees the WAL below what the pointers replay from and what any log still reads.
func (s *Store) trim() {
	low := wal.Position(s.durable.Load())
	for _, sh := range s.shards {
		low = min(low, wal.Position(sh.pointer.Replay))
	}
	s.Logs(func(l *partition.Log) {
		if p, ok := l.OldestWAL(); ok {
			low = min(low, p)
		}
	})
	s.wal.Trim(low)
}
