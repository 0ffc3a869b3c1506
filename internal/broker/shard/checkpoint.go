package shard

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/shard/state"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// Kinds of objects in the blob store: KIND/SHARD/EPOCH.NUMBER.
const (
	objectPrefix     = "l"
	manifestPrefix   = "m"
	checkpointPrefix = "c"
)

// Immutable says whether what is stored under a key is the same for ever, and worth keeping near: segments, whose keys no two epochs share.
func Immutable(key string) bool { return strings.HasPrefix(key, objectPrefix+"/") }

func objectKey(kind string, shard int32, epoch int32, number uint64) string {
	return fmt.Sprintf("%s/%05d/%08x.%016x", kind, shard, epoch, number)
}

// checkpointIfChanged writes a checkpoint of a shard as of mark. In a cluster, where each costs requests, a shard to which nothing was
// written gets none; its pointer is moved on once it holds back too much of the log, or something for heldBackMax. A shard that was taken after mark has to wait for the next.
func (s *Store) checkpointIfChanged(ctx context.Context, sh *shardState, mark wal.Mark) error {
	if sh.life.objects == nil {
		return s.checkpoint(ctx, sh, mark)
	}
	from, _ := sh.pointer.Needs(sh.life.incarnation)
	if mark.Seq < from {
		return nil
	}
	if sh.changed.Swap(false) || sh.changedTo.Load() > from {
		return s.checkpoint(ctx, sh, mark)
	}
	long := mark.Seq > from && time.Since(sh.movedAt) >= heldBackMax
	if len(sh.pointer.History) == 1 && mark.Seq < from+checkpointObjectFrames/2 && !long {
		return nil
	}
	err := s.publish(ctx, sh, sh.pointer.Publish(sh.version, sh.pointer.Manifest, sh.pointer.Checkpoint, mark.Seq))
	if err == nil {
		sh.marked = mark
	}
	return err
}

// lastMark is where the shard's checkpoint ends: a change of its objects alone is published as of there, and moves nothing more. Where no checkpoint knows all
// that owners before have written it is the end of the log.
func (sh *shardState) lastMark() wal.Mark {
	if sh.marked == (wal.Mark{}) {
		return sh.life.mark()
	}
	return sh.marked
}

// checkpoint writes the shard's manifest and checkpoint and moves its pointer to them.
//
// The replay position is read before the logs are, and everything that the logs knew is made durable before the pointer
// moves: a snapshot may be ahead of the position, which replay passes over, but never ahead of the disk.
//
// In a log of objects, whose places only this process knows, the position is that of mark, which a life had: what lies below it is cut first, and what lies above
// is left to replay.
func (s *Store) checkpoint(ctx context.Context, sh *shardState, mark wal.Mark) error {
	replay, below := s.durable.Load(), wal.Position(math.MaxInt64)
	if sh.life.objects != nil {
		if err := s.cut(ctx, sh, mark.Pos); err != nil {
			return err
		}
		replay, below = 0, mark.Pos
	}
	ordinals := make(map[*partition.Object]int, len(sh.objects))
	for i, o := range sh.objects {
		ordinals[o] = i
	}
	c := &state.Checkpoint{Shard: sh.id, Epoch: uint64(sh.epoch), WALPosition: replay}
	live := make([]int64, len(sh.objects))
	for _, l := range s.logsOf(sh.id) {
		p := l.Snapshot(func(o *partition.Object) int { return ordinals[o] }, below)
		for _, r := range p.Runs {
			live[r.Object] += r.Bytes
		}
		c.Partitions = append(c.Partitions, p)
	}
	barrier := sh.life.wal.Barrier()
	if err := barrier.Wait(ctx); err != nil {
		return fmt.Errorf("wait for what the checkpoint knows: %w", err)
	}
	sh.version++
	m := &state.Manifest{Shard: sh.id, Epoch: uint64(sh.epoch), Version: sh.version, WALTrim: replay}
	for i, o := range sh.objects {
		m.Objects = append(m.Objects, state.Object{Key: o.Key, Level: o.Level, Bytes: o.Bytes, LiveBytes: live[i], CreatorEpoch: uint64(sh.epoch)})
	}
	p := sh.pointer.Publish(sh.version, objectKey(manifestPrefix, sh.id, sh.epoch, sh.version), objectKey(checkpointPrefix, sh.id, sh.epoch, sh.version), mark.Seq)
	p.Replay = replay
	if sh.life.objects != nil {
		m.Incarnation, m.FirstFrame = sh.life.incarnation, mark.Seq
	}
	mb, err := m.Encode()
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	cb, err := c.Encode()
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	old := sh.pointer
	if err := s.commit(ctx, sh, p, mb, cb); err != nil {
		if noSpace(err) { // the pointer has not moved, and this will be tried again and again: leave nothing behind
			s.discard(ctx, p.Manifest, p.Checkpoint)
		}
		return err
	}
	sh.marked = mark
	sh.unpublished.Store(0)
	s.discard(ctx, old.Manifest, old.Checkpoint)
	for _, key := range sh.unused {
		s.discard(ctx, key)
		s.segments.Forget(key)
		s.scans.Forget(key)
		delete(sh.damaged, key)
	}
	sh.unused = nil
	return nil
}

// commit makes manifest and checkpoint durable and moves the pointer to them.
func (s *Store) commit(ctx context.Context, sh *shardState, p ownership.Pointer, manifest, checkpoint []byte) error {
	if err := s.o.Blob.PutIfAbsent(ctx, p.Manifest, manifest); err != nil {
		return fmt.Errorf("write %s: %w", p.Manifest, err)
	}
	if err := s.o.Blob.PutIfAbsent(ctx, p.Checkpoint, checkpoint); err != nil {
		return fmt.Errorf("write %s: %w", p.Checkpoint, err)
	}
	return s.publish(ctx, sh, p)
}

// discard deletes objects that no pointer names any more. What cannot be deleted now is an orphan of the next start.
func (s *Store) discard(ctx context.Context, keys ...string) {
	for _, k := range keys {
		if k == "" {
			continue
		}
		if err := s.o.Blob.Delete(ctx, k); err != nil {
			s.o.Logger.Warn("object could not be deleted; the next start sweeps it", "key", k, "err", err)
		}
	}
}

// writtenRun is a run as a footer tells of it.
type writtenRun struct {
	segment.RunInfo
	abortedFrom int64
}

// runsByLog gives each run of a footer to the log that it belongs to.
func runsByLog(f *segment.Footer) map[logKey]writtenRun {
	out := make(map[logKey]writtenRun, len(f.Runs))
	for i, r := range f.Runs {
		out[logKey{r.Topic, r.Partition}] = writtenRun{r, f.AbortedFrom[i]}
	}
	return out
}
