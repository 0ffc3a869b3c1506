package shard

import (
	"context"
	"fmt"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/shard/state"
)

// Kinds of objects in the blob store: KIND/SHARD/EPOCH.NUMBER.
const (
	objectPrefix     = "l"
	manifestPrefix   = "m"
	checkpointPrefix = "c"
)

func objectKey(kind string, shard int32, epoch int32, number uint64) string {
	return fmt.Sprintf("%s/%05d/%08x.%016x", kind, shard, epoch, number)
}

// checkpoint writes the shard's manifest and checkpoint and moves its pointer to them.
//
// The replay position is read before the logs are, and everything that the logs knew is made durable before the pointer
// moves: a snapshot may be ahead of the position, which replay passes over, but never ahead of the disk.
func (s *Store) checkpoint(ctx context.Context, sh *shardState) error {
	replay := s.durable.Load()
	ordinals := make(map[*partition.Object]int, len(sh.objects))
	for i, o := range sh.objects {
		ordinals[o] = i
	}
	c := &state.Checkpoint{Shard: sh.id, Epoch: uint64(sh.epoch), WALPosition: replay}
	live := make([]int64, len(sh.objects))
	for _, l := range s.logsOf(sh.id) {
		p := l.Snapshot(func(o *partition.Object) int { return ordinals[o] })
		for _, r := range p.Runs {
			live[r.Object] += r.Bytes
		}
		c.Partitions = append(c.Partitions, p)
	}
	barrier := s.wal.Barrier()
	if err := barrier.Wait(ctx); err != nil {
		return fmt.Errorf("wait for what the checkpoint knows: %w", err)
	}
	sh.version++
	m := &state.Manifest{Shard: sh.id, Epoch: uint64(sh.epoch), Version: sh.version, WALTrim: replay}
	for i, o := range sh.objects {
		m.Objects = append(m.Objects, state.Object{Key: o.Key, Level: o.Level, Bytes: o.Bytes, LiveBytes: live[i], CreatorEpoch: uint64(sh.epoch)})
	}
	p := pointer{
		Epoch: sh.epoch, Owner: s.incarnation, Version: sh.version, Replay: replay,
		Manifest: objectKey(manifestPrefix, sh.id, sh.epoch, sh.version), Checkpoint: objectKey(checkpointPrefix, sh.id, sh.epoch, sh.version),
		History: []tenure{{sh.epoch, s.incarnation}},
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
	s.discard(ctx, old.Manifest, old.Checkpoint)
	for _, key := range sh.unused {
		s.discard(ctx, key)
		s.env.Segments.Forget(key)
		delete(sh.damaged, key)
	}
	sh.unused = nil
	return nil
}

// commit makes manifest and checkpoint durable and moves the pointer to them.
func (s *Store) commit(ctx context.Context, sh *shardState, p pointer, manifest, checkpoint []byte) error {
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
