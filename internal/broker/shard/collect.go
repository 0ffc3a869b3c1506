package shard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// trimObjects forgets the places of frames that no log reads from any more.
func (s *Store) trimObjects(l *life) {
	loading := s.loads.Load() > 0
	low := l.mark().Pos
	s.Logs(func(log *partition.Log) {
		if p, ok := log.OldestWAL(); ok {
			low = min(low, p)
		}
	})
	l.objects.Trim(low, !loading && s.loads.Load() == 0)
}

// collect deletes, now and then, the frames that no shard needs any more: each broker those of its own incarnation, and the
// controller those of the dead. A frame is needed while the pointer of a shard names its incarnation and it. Seals stay for ever.
func (s *Store) collect(ctx context.Context, l *life) error {
	interval := s.o.Cluster.CollectInterval
	if interval == 0 {
		interval = time.Minute
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	silent := map[uint64]bool{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := s.moveIdle(ctx)
		if err == nil {
			err = s.collectOnce(ctx, l, silent)
		}
		if err != nil && ctx.Err() == nil {
			s.o.Logger.Warn("frames that are not needed any more were not deleted; that is tried again", "err", err)
		}
	}
}

// collectOnce is one round. silent are the incarnations that were open and not alive in the round before: those that own nothing are
// sealed by nobody else, and could keep their frames for ever.
func (s *Store) collectOnce(ctx context.Context, l *life, silent map[uint64]bool) error {
	// The incarnations are read before the pointers: one that is dead then gets into no pointer any more.
	lives, err := s.o.Meta.Range(ctx, ownership.IncarnationPrefix, "", 0)
	if err != nil {
		return fmt.Errorf("read incarnations: %w", err)
	}
	end := l.mark().Seq // before the pointers, too: a shard taken after them begins at or above it
	needed, err := s.needed(ctx)
	if err != nil {
		return err
	}
	view := s.o.Cluster.Directory.View()
	// While a shard has no owner nobody has compared what the metadata says of it with the objects.
	decides := view.Controller == view.Self && !slices.ContainsFunc(view.Shards, func(o cluster.Ownership) bool { return o.Broker == cluster.Nobody })
	before := maps.Clone(silent)
	clear(silent)
	for _, e := range lives {
		n, record, err := ownership.DecodeLife(e)
		if err != nil {
			return err
		}
		low, isNeeded := needed[n]
		switch {
		case n == l.incarnation:
			if !isNeeded {
				low = end
			}
			err = s.deleteFrames(ctx, e, record, n, min(low, end))
		case record.Sealed < 0 && !view.Alive(n) && decides:
			silent[n] = true
			if before[n] {
				_, err = s.seal(ctx, n)
			}
		case record.Sealed >= 0 && decides:
			if !isNeeded {
				low = uint64(record.Sealed)
			}
			err = s.deleteFrames(ctx, e, record, n, min(low, uint64(record.Sealed)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// needed returns the first frame of each incarnation that a shard's pointer names.
func (s *Store) needed(ctx context.Context) (map[uint64]uint64, error) {
	entries, err := s.o.Meta.Range(ctx, ownership.ShardPrefix, "", 0)
	if err != nil {
		return nil, fmt.Errorf("read shard pointers: %w", err)
	}
	needed := map[uint64]uint64{}
	for _, e := range entries {
		p, err := ownership.DecodePointer(e)
		if err != nil {
			return nil, err
		}
		for _, t := range p.History {
			if from, ok := needed[t.Incarnation]; !ok || t.From < from {
				needed[t.Incarnation] = t.From
			}
		}
	}
	return needed, nil
}

// deleteFrames deletes the frames of an incarnation below the sequence number low. That they may be gone is noted first, since who
// seals the incarnation must know that they were there; in the object store too, where it is known even if the metadata is set back.
func (s *Store) deleteFrames(ctx context.Context, e meta.Entry, record ownership.Life, n, low uint64) error {
	if low <= record.Trim {
		return nil
	}
	from := record.Trim
	record.Trim = low
	r, err := s.o.Meta.Txn(ctx, []meta.Compare{{Key: e.Key, Revision: e.Revision}}, []meta.Op{{Kind: meta.Put, Key: e.Key, Value: record.Encode()}})
	if err != nil {
		return fmt.Errorf("note the trim of incarnation %d: %w", n, err)
	}
	if !r.Succeeded {
		return nil // sealed, or trimmed by another, this moment
	}
	if err := s.putStamp(ctx, ownership.TrimKey(n, low), s.stampBody()); err != nil {
		return err
	}
	if from > 0 {
		s.discard(ctx, ownership.TrimKey(n, from))
	}
	for seq := from; seq < low; seq++ {
		if err := s.o.Blob.Delete(ctx, wal.ObjectKey(n, seq)); err != nil {
			return fmt.Errorf("delete frame %d of incarnation %d: %w", seq, n, err)
		}
	}
	return nil
}

// sweepInterval is how often a broker looks for shards that it has got and whose orphans it has not deleted yet.
const sweepInterval = time.Second

// sweep deletes what owners before left of the shards that this broker has got, one shard after the other and not while shards are being
// loaded: those are waited for. What fails is left to the next owner.
func (s *Store) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, sh := range s.owned() {
			if sh.swept || s.loads.Load() > 0 {
				continue
			}
			sh.swept = true
			if err := s.onShard(ctx, sh, nil, func(ctx context.Context) error { return errors.Join(s.sweepOrphans(ctx, sh), s.sweepClaims(ctx, sh)) }); err != nil {
				return err
			}
		}
	}
}

// heldBackMax is for how long a shard that nobody writes to may hold back frames that others need no more: what is in them may be of a topic that was deleted.
const heldBackMax = 10 * time.Minute

// moveIdle moves the pointers of shards that hold back frames for long. Checkpoints do that too, but there are none while nobody writes to the broker. What has
// something for a checkpoint waits for it.
func (s *Store) moveIdle(ctx context.Context) error {
	for _, sh := range s.owned() {
		err := s.onShard(ctx, sh, nil, func(ctx context.Context) error {
			mark := sh.life.mark() // first: of all frames below it changedTo tells
			if from, _ := sh.pointer.Needs(sh.life.incarnation); sh.changed.Load() || sh.changedTo.Load() > from {
				return nil
			}
			return s.checkpointIfChanged(ctx, sh, mark)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
