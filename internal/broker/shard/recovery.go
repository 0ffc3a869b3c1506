package shard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/shard/state"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
)

// recover reads pointers, manifests and checkpoints, replays the WAL's footers over them, seals the incarnation before
// this one and begins a new one. It reads no record data but the tail that was not known to be synced.
func (s *Store) recover(ctx context.Context) error {
	if err := s.loadShards(ctx); err != nil {
		return err
	}
	lives, sealed, err := s.loadLives(ctx)
	if err != nil {
		return err
	}
	from := s.replayFrom()
	res, err := wal.Scan(ctx, wal.ScanOptions{FS: s.o.FS, Dir: s.o.WALDir, ClusterID: s.o.ClusterID, From: from, Sealed: sealed}, s.replay)
	if err != nil {
		return fmt.Errorf("scan the write-ahead log from position %d: %w", from, err)
	}
	for _, l := range s.logs {
		l.Recovered()
	}
	start := res.NextStart
	if err := s.beginIncarnation(ctx, lives, res, start); err != nil {
		return err
	}
	s.durable.Store(int64(start))
	s.tier.note(start, s.o.Now().Add(-s.o.UploadMaxAge)) // nobody knows how old it is
	l := s.present.Load()
	l.files = wal.New(wal.Options{
		FS: s.o.FS, Dir: s.o.WALDir, ClusterID: s.o.ClusterID, Incarnation: l.incarnation, Nonce: s.o.Nonce(),
		Start: start, Recovered: res.End, FileBytes: s.o.WALFileBytes, GroupBytes: s.o.WALGroupBytes, MaxBytes: s.o.WALMaxBytes, LeaveBytes: s.o.ReserveBytes, OnDurable: s.onDurable, Logger: s.o.Logger, Registerer: s.o.Registerer,
	})
	l.wal, l.env.WAL = l.files, l.files
	for _, l := range s.logs {
		l.SetLeaderEpoch(s.shards[l.Identity().Shard].epoch)
	}
	for _, sh := range s.shards {
		if err := s.sweepOrphans(ctx, sh); err != nil {
			return err
		}
	}
	s.reserve.refill(s)
	return nil
}

func (s *Store) loadShards(ctx context.Context) error {
	entries, err := s.o.Meta.Range(ctx, ownership.ShardPrefix, "", 0)
	if err != nil {
		return fmt.Errorf("read shard pointers: %w", err)
	}
	for id := range s.o.Shards {
		sh := newShardState(id, s.present.Load())
		sh.ctx, sh.cancel = context.WithCancel(context.WithoutCancel(ctx)) //nolint:fatcontext // one for each shard
		s.shards[id] = sh
	}
	for _, e := range entries {
		var id int32
		if _, err := fmt.Sscanf(strings.TrimPrefix(e.Key, ownership.ShardPrefix), "%d", &id); err != nil || id < 0 || id >= s.o.Shards {
			return fmt.Errorf("metadata key %s is no shard of [0, %d): the data directory was made with another number of shards", e.Key, s.o.Shards)
		}
		sh := s.shards[id]
		if sh.pointer, err = ownership.DecodePointer(e); err != nil {
			return err
		}
		sh.revision, sh.version = e.Revision, sh.pointer.Version
		if err := s.loadShard(ctx, sh); err != nil {
			return fmt.Errorf("load shard %d: %w", id, err)
		}
	}
	return nil
}

func newShardState(id int32, l *life) *shardState {
	return &shardState{id: id, life: l, epoch: -1, idle: -1, pointer: ownership.None(), damaged: map[string]bool{}, busy: make(chan struct{}, 1)}
}

func (s *Store) loadShard(ctx context.Context, sh *shardState) error {
	c, err := s.readState(ctx, sh)
	if err != nil || c == nil {
		return err
	}
	for i := range c.Partitions {
		p := &c.Partitions[i]
		if l := s.recoveredLog(p.Topic, p.Partition); l != nil {
			l.Restore(p, sh.objects)
		}
	}
	return nil
}

// readState reads manifest and checkpoint of a shard: it fills sh.objects and returns the checkpoint, or nil if there is none.
func (s *Store) readState(ctx context.Context, sh *shardState) (*state.Checkpoint, error) {
	if sh.pointer.Manifest == "" {
		return nil, nil //nolint:nilnil // a shard without state
	}
	var manifest, checkpoint []byte
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		manifest, err = readObject(gctx, s.o.Blob, sh.pointer.Manifest)
		return err
	})
	g.Go(func() (err error) {
		checkpoint, err = readObject(gctx, s.o.Blob, sh.pointer.Checkpoint)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	m, err := state.DecodeManifest(manifest)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", sh.pointer.Manifest, err)
	}
	for _, o := range m.Objects {
		sh.objects = append(sh.objects, &partition.Object{Key: o.Key, Level: o.Level, Bytes: o.Bytes, Data: o.LiveBytes})
	}
	c, err := state.DecodeCheckpoint(checkpoint)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", sh.pointer.Checkpoint, err)
	}
	for i := range c.Partitions {
		if err := checkOrdinals(&c.Partitions[i], len(sh.objects)); err != nil {
			return nil, fmt.Errorf("checkpoint %s: %w", sh.pointer.Checkpoint, err)
		}
	}
	return c, nil
}

func checkOrdinals(p *state.Partition, objects int) error {
	for _, r := range p.Runs {
		if r.Object < 0 || r.Object >= objects {
			return fmt.Errorf("checkpoint names object %d of a manifest of %d", r.Object, objects)
		}
	}
	return nil
}

// recoveredLog returns the log of a partition while recovery runs, or nil if its topic is gone.
func (s *Store) recoveredLog(topic kafka.TopicID, index int32) *partition.Log {
	key := logKey{topic, index}
	if l := s.logs[key]; l != nil {
		return l
	}
	l, err := s.makeLog(key)
	if err != nil {
		return nil
	}
	return l
}

func (s *Store) loadLives(ctx context.Context) (map[uint64]ownership.Life, map[uint64]uint64, error) {
	entries, err := s.o.Meta.Range(ctx, ownership.IncarnationPrefix, "", 0)
	if err != nil {
		return nil, nil, fmt.Errorf("read incarnations: %w", err)
	}
	lives, sealed := map[uint64]ownership.Life{}, map[uint64]uint64{}
	for _, e := range entries {
		n, l, err := ownership.DecodeLife(e)
		if err != nil {
			return nil, nil, err
		}
		lives[n] = l
		if l.Sealed >= 0 {
			sealed[n] = uint64(l.Sealed)
		}
	}
	return lives, sealed, nil
}

// replayFrom returns the oldest position that any shard must replay.
func (s *Store) replayFrom() wal.Position {
	from := wal.Position(-1)
	for _, sh := range s.shards {
		if p := wal.Position(sh.pointer.Replay); from < 0 || p < from {
			from = p
		}
	}
	return max(from, 0)
}

// replay applies a frame's sections to the logs. What lies below the replay position of a shard is part of its
// checkpoint: a scan passes over it where another shard's checkpoint is older, and the pointer does not tell its epoch.
func (s *Store) replay(f *wal.Frame) error {
	for i := range f.Runs {
		r := &f.Runs[i]
		if r.Shard < 0 || int(r.Shard) >= len(s.shards) {
			return fmt.Errorf("frame %d of incarnation %d holds shard %d of %d", f.Seq, f.Incarnation, r.Shard, len(s.shards))
		}
		p := &s.shards[r.Shard].pointer
		if f.End() <= wal.Position(p.Replay) {
			continue
		}
		epoch, ok := p.EpochOf(f.Incarnation)
		if !ok {
			return fmt.Errorf("frame %d of incarnation %d holds shard %d, which it did not own", f.Seq, f.Incarnation, r.Shard)
		}
		if l := s.recoveredLog(r.Topic, r.Partition); l != nil {
			l.Replay(r, epoch)
		}
	}
	for _, c := range f.Controls {
		if c.Shard < 0 || int(c.Shard) >= len(s.shards) || f.End() <= wal.Position(s.shards[c.Shard].pointer.Replay) {
			continue
		}
		if l := s.recoveredLog(c.Topic, c.Partition); l != nil {
			l.ReplayControl(c)
		}
	}
	return nil
}

// beginIncarnation seals the incarnations before this one, and takes all shards with the next epoch, in one transaction.
func (s *Store) beginIncarnation(ctx context.Context, lives map[uint64]ownership.Life, res wal.ScanResult, start wal.Position) error {
	var compares []meta.Compare
	var ops []meta.Op
	number := uint64(1)
	entry, err := s.o.Meta.Get(ctx, ownership.CounterKey)
	switch {
	case err == nil && len(entry.Value) == 8:
		number = binary.BigEndian.Uint64(entry.Value) + 1
	case err == nil:
		return fmt.Errorf("metadata key %s holds %d bytes, not 8", ownership.CounterKey, len(entry.Value))
	case !errors.Is(err, meta.ErrNotFound):
		return fmt.Errorf("read the incarnation counter: %w", err)
	}
	compares = append(compares, meta.Compare{Key: ownership.CounterKey, Revision: entry.Revision})
	ops = append(ops, meta.Op{Kind: meta.Put, Key: ownership.CounterKey, Value: binary.BigEndian.AppendUint64(nil, number)})
	for n, l := range lives {
		if l.Sealed >= 0 {
			continue
		}
		l.Sealed = 0
		if n == res.Incarnation {
			l.Sealed = int64(res.NextSeq)
		}
		lives[n] = l
		ops = append(ops, meta.Op{Kind: meta.Put, Key: ownership.IncarnationKey(n), Value: l.Encode()})
	}
	ops = append(ops, meta.Op{Kind: meta.Put, Key: ownership.IncarnationKey(number), Value: ownership.Life{Broker: s.o.Broker, Start: int64(start), Sealed: -1}.Encode()})
	for _, n := range pastLives(lives, s.replayFrom()) {
		ops = append(ops, meta.Op{Kind: meta.Delete, Key: ownership.IncarnationKey(n)})
	}
	for _, sh := range s.shards {
		sh.epoch = sh.pointer.Epoch + 1
		p := sh.pointer
		p.Epoch, p.Owner = sh.epoch, number
		// Lives without a frame need no tenure: a node that cannot stay up must not make its pointers grow.
		p.History = slices.DeleteFunc(slices.Clone(p.History), func(t ownership.Tenure) bool {
			l, known := lives[t.Incarnation]
			return known && l.Sealed == 0
		})
		p.History = append(p.History, ownership.Tenure{Epoch: sh.epoch, Incarnation: number})
		compares = append(compares, meta.Compare{Key: ownership.ShardKey(sh.id), Revision: sh.revision})
		ops = append(ops, meta.Op{Kind: meta.Put, Key: ownership.ShardKey(sh.id), Value: p.Encode()})
		sh.pointer = p
	}
	r, err := s.o.Meta.Txn(ctx, compares, ops)
	if errors.Is(err, meta.ErrNoSpace) { // nothing was changed; a node on a full disk must come up, to be emptied
		s.reserve.held = true // if the node before this one had it still
		s.reserve.give(s)
		r, err = s.o.Meta.Txn(ctx, compares, ops)
	}
	if err != nil {
		return fmt.Errorf("begin incarnation %d: %w", number, err)
	}
	if !r.Succeeded {
		return fmt.Errorf("begin incarnation %d: another process began one at the same time", number)
	}
	for _, sh := range s.shards {
		sh.revision = r.Revision
	}
	s.present.Load().incarnation = number
	return nil
}

const (
	// livesKept is how many records of incarnations are kept in any case, for those who look into a dead node.
	livesKept = 16
	// livesDropped bounds how many are deleted at one start.
	livesDropped = 64
)

// pastLives returns incarnations all of whose frames lie below from, where no scan looks any more: a later one began
// at or below it.
func pastLives(lives map[uint64]ownership.Life, from wal.Position) []uint64 {
	numbers := slices.Sorted(maps.Keys(lives))
	var past []uint64
	for i, n := range numbers[:max(0, len(numbers)-livesKept)] {
		if lives[numbers[i+1]].Start <= int64(from) && len(past) < livesDropped {
			past = append(past, n)
		}
	}
	return past
}

// sweepOrphans deletes the objects of a shard that its manifest does not name: an owner before left them between writing and
// publishing. Whatever such an owner, if it lives, still writes it can never publish.
func (s *Store) sweepOrphans(ctx context.Context, sh *shardState) error {
	live := map[string]bool{sh.pointer.Manifest: true, sh.pointer.Checkpoint: true}
	for _, o := range sh.objects {
		live[o.Key] = true
	}
	for _, key := range sh.unused { // the published manifest still names them
		live[key] = true
	}
	for _, kind := range []string{objectPrefix, manifestPrefix, checkpointPrefix} {
		prefix := fmt.Sprintf("%s/%05d/", kind, sh.id)
		// What this epoch makes comes behind it in the list.
		end := objectKey(kind, sh.id, sh.epoch, 0)
		for after := ""; ; {
			infos, err := s.o.Blob.List(ctx, prefix, after, 1000)
			if err != nil {
				return fmt.Errorf("list %s: %w", prefix, err)
			}
			for _, i := range infos {
				after = i.Key
				if live[i.Key] || i.Key >= end {
					continue
				}
				if err := s.o.Blob.Delete(ctx, i.Key); err != nil {
					return fmt.Errorf("delete orphan %s: %w", i.Key, err)
				}
			}
			if len(infos) < 1000 || after >= end {
				break
			}
		}
	}
	return nil
}

// objectBytesMax bounds a manifest or checkpoint that is read whole.
const objectBytesMax = 1 << 30

func readObject(ctx context.Context, store blob.Store, key string) ([]byte, error) {
	r, err := store.Open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	defer r.Close() //nolint:errcheck // it is only read
	if r.Size() > objectBytesMax {
		return nil, fmt.Errorf("%s holds %d bytes, at most %d are read", key, r.Size(), int64(objectBytesMax))
	}
	b := make([]byte, r.Size())
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return b, nil
}
