package shard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/ownership"
)

// Stamps in the object store (docs/format/stamps.md): each is written after the transaction in the metadata store that it tells of, and before anything
// is acknowledged that depends on it. So metadata that was true once has been stamped with nothing that it does not know; a stamp that is
// ahead, when the metadata is read after it, proves that the metadata store was set back.

// ErrOlderMetadata says that the metadata store is older than the object store: it was restored from a copy, and what it says of shards
// names objects that have been replaced since, or none where there are some. To go on with it would lose acknowledged records.
var ErrOlderMetadata = errors.New("the metadata store is older than the object store, as if it was restored from an old snapshot or made anew; nothing is served, since acknowledged records would be lost." +
	" Stop all brokers, and rebuild the metadata from the object store: weir backup restore into an empty prefix of etcd (docs/ops/backup.md)")

// highest returns the highest stamp below prefix, false if there is none, and the keys of the lower ones.
func (s *Store) highest(ctx context.Context, prefix string) (top uint64, found bool, lower []string, err error) {
	var last string
	err = s.each(ctx, prefix, func(key string) {
		n, ok := ownership.ParseStamp(key)
		if !ok {
			return
		}
		if found {
			lower = append(lower, last)
		}
		top, found, last = n, true, key
	})
	return top, found, lower, err
}

// putStamp writes a stamp of which it matters only that it is there: another's is as good.
func (s *Store) putStamp(ctx context.Context, key string, body []byte) error {
	if err := s.o.Blob.PutIfAbsent(ctx, key, body); err != nil && !errors.Is(err, blob.ErrExists) {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// bear stamps a new incarnation. ErrOlderMetadata if one was given out before that the counter does not know.
func (s *Store) bear(ctx context.Context, number uint64) error {
	top, found, lower, err := s.highest(ctx, ownership.BirthPrefix)
	if err != nil {
		return err
	}
	if found && top >= number {
		e, err := s.o.Meta.Get(ctx, ownership.CounterKey)
		if err != nil {
			return fmt.Errorf("read the incarnation counter: %w", err)
		}
		if len(e.Value) != 8 || top == number || binary.BigEndian.Uint64(e.Value) < top {
			return fmt.Errorf("incarnation %d was given out before, the counter gave out %d: %w", top, number, ErrOlderMetadata)
		}
	}
	switch err := s.o.Blob.PutIfAbsent(ctx, ownership.BirthKey(number), s.stampBody()); {
	case errors.Is(err, blob.ErrExists): // whoever has it got it from the metadata store that this one has replaced
		return fmt.Errorf("incarnation %d was given out before: %w", number, ErrOlderMetadata)
	case err != nil:
		return fmt.Errorf("write %s: %w", ownership.BirthKey(number), err)
	}
	if found && top < number {
		lower = append(lower, ownership.BirthKey(top))
	}
	s.discard(ctx, lower...)
	return nil
}

// stampBody is the body of a stamp whose key says all.
func (s *Store) stampBody() []byte {
	n := s.o.Nonce()
	return n[:]
}

// checkClaim returns ErrOlderMetadata if a shard that this incarnation has just taken was taken in the same epoch or a later one before, and the metadata does not
// know of it.
func (s *Store) checkClaim(ctx context.Context, sh *shardState) error {
	top, found, _, err := s.highest(ctx, ownership.ClaimsOf(sh.id))
	if err != nil || !found || top < uint64(sh.pointer.Epoch) {
		return err
	}
	return s.unlessMoved(ctx, sh, fmt.Sprintf("it was taken in epoch %d before", top))
}

// claim stamps the epoch in which this incarnation has taken a shard, with the pointer. What the pointer leads to was read: a restore rests on that.
// ErrOlderMetadata if another incarnation has claimed the epoch: it was given the shard by a metadata store that this one has replaced, or the other way round.
func (s *Store) claim(ctx context.Context, sh *shardState) error {
	key := ownership.ClaimKey(sh.id, sh.pointer.Epoch)
	err := s.o.Blob.PutIfAbsent(ctx, key, sh.pointer.Encode())
	if err == nil {
		return nil
	}
	if !errors.Is(err, blob.ErrExists) {
		return fmt.Errorf("write %s: %w", key, err)
	}
	b, err := readObject(ctx, s.o.Blob, key)
	if err != nil {
		return err
	}
	p, err := ownership.DecodePointer(meta.Entry{Key: key, Value: b})
	if err != nil || p.Owner == sh.pointer.Owner {
		return err
	}
	return s.unlessMoved(ctx, sh, fmt.Sprintf("incarnation %d has taken it in the same epoch", p.Owner))
}

// checkShards compares the pointers of all shards with what the object store has of them, before an incarnation does anything. ErrOlderMetadata if a shard was
// taken in an epoch that its pointer does not know, or if what the pointer names is gone while there is newer.
func (s *Store) checkShards(ctx context.Context) error {
	claims, newest := map[int32]int32{}, map[int32]string{}
	there := map[string]bool{}
	err := s.each(ctx, ownership.ClaimPrefix, func(key string) {
		if id, epoch, ok := ownership.ParseClaim(key); ok {
			claims[id] = max(claims[id], epoch)
		}
	})
	if err != nil {
		return err
	}
	err = s.each(ctx, manifestPrefix+"/", func(key string) {
		var id int32
		if _, err := fmt.Sscanf(key, manifestPrefix+"/%d/", &id); err == nil {
			there[key], newest[id] = true, max(newest[id], key)
		}
	})
	if err != nil {
		return err
	}
	entries, err := s.o.Meta.Range(ctx, ownership.ShardPrefix, "", 0)
	if err != nil {
		return fmt.Errorf("read shard pointers: %w", err)
	}
	pointers := map[int32]ownership.Pointer{}
	for _, e := range entries {
		if id, ok := ownership.ParseShardKey(e.Key); ok {
			if pointers[id], err = ownership.DecodePointer(e); err != nil {
				return err
			}
		}
	}
	for id := range s.o.Shards {
		p, known := pointers[id]
		if !known {
			p = ownership.None()
		}
		epoch, claimed := claims[id]
		switch {
		case claimed && epoch > p.Epoch:
			return fmt.Errorf("shard %d was taken in epoch %d, the metadata knows epoch %d: %w", id, epoch, p.Epoch, ErrOlderMetadata)
		case p.Manifest != "" && !there[p.Manifest] && newest[id] > p.Manifest:
			gone, err := s.gone(ctx, p.Manifest)
			if err != nil {
				return err
			}
			if !gone { // the listing is old, and the newer one was never published
				continue
			}
			return fmt.Errorf("shard %d: %s, which its pointer names, is gone, and the store has %s: %w", id, p.Manifest, newest[id], ErrOlderMetadata)
		}
	}
	return nil
}

// gone makes sure that an object which was not listed is not there.
func (s *Store) gone(ctx context.Context, key string) (bool, error) {
	r, err := s.o.Blob.Open(ctx, key)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("look for %s: %w", key, err)
	}
	return false, r.Close()
}

// each calls visit with the keys below prefix, in order.
func (s *Store) each(ctx context.Context, prefix string, visit func(key string)) error {
	for after := ""; ; {
		infos, err := s.o.Blob.List(ctx, prefix, after, 1000)
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		for _, i := range infos {
			after = i.Key
			visit(i.Key)
		}
		if len(infos) < 1000 {
			return nil
		}
	}
}

// unlessMoved is ErrOlderMetadata with a reason if the shard's pointer still is what this broker wrote, and errLostShard if not: then what was found
// may be of who took the shard since.
func (s *Store) unlessMoved(ctx context.Context, sh *shardState, reason string) error {
	e, err := s.o.Meta.Get(ctx, ownership.ShardKey(sh.id))
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return fmt.Errorf("read pointer of shard %d: %w", sh.id, err)
	}
	if e.Revision != sh.revision {
		return errLostShard
	}
	return fmt.Errorf("shard %d is taken in epoch %d: %s: %w", sh.id, sh.pointer.Epoch, reason, ErrOlderMetadata)
}

// sweepClaims deletes the claims of epochs before this one.
func (s *Store) sweepClaims(ctx context.Context, sh *shardState) error {
	_, _, lower, err := s.highest(ctx, ownership.ClaimsOf(sh.id))
	if err != nil {
		return err
	}
	s.discard(ctx, lower...)
	return nil
}

// checkTrim refuses a Life whose trim is below what was stamped for the incarnation, and has not moved since it was read. It is called after the end of the log was
// looked for: a frame that was missed then was stamped before it was deleted.
func (s *Store) checkTrim(ctx context.Context, incarnation uint64, l ownership.Life) error {
	top, found, _, err := s.highest(ctx, ownership.TrimsOf(incarnation))
	if err != nil || !found || top <= l.Trim {
		return err
	}
	e, err := s.o.Meta.Get(ctx, ownership.IncarnationKey(incarnation))
	if err != nil {
		return fmt.Errorf("read incarnation %d: %w", incarnation, err)
	}
	if _, l, err = ownership.DecodeLife(e); err != nil {
		return err
	}
	if top > l.Trim {
		return fmt.Errorf("frames of incarnation %d below %d may be gone, the metadata says below %d: %w", incarnation, top, l.Trim, ErrOlderMetadata)
	}
	return nil
}

// missingState says why the manifest or checkpoint of a shard that this broker has just taken is not there: err as it is, unless the store has
// a newer manifest, which the metadata does not know.
func (s *Store) missingState(ctx context.Context, sh *shardState, err error) error {
	if !errors.Is(err, blob.ErrNotFound) || s.o.Cluster == nil {
		return err
	}
	infos, lerr := s.o.Blob.List(ctx, fmt.Sprintf("%s/%05d/", manifestPrefix, sh.id), sh.pointer.Manifest, 1)
	if lerr != nil || len(infos) == 0 {
		return errors.Join(err, lerr)
	}
	return errors.Join(err, s.unlessMoved(ctx, sh, "what its pointer names is gone, and the store has "+infos[0].Key))
}

// missingFrame does the same for a frame of a tenure.
func (s *Store) missingFrame(ctx context.Context, sh *shardState, t ownership.Tenure, err error) error {
	if !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	top, found, _, lerr := s.highest(ctx, ownership.TrimsOf(t.Incarnation))
	if lerr != nil || !found || top <= t.From {
		return errors.Join(err, lerr)
	}
	return errors.Join(err, s.unlessMoved(ctx, sh, fmt.Sprintf("frames of incarnation %d below %d were not needed any more", t.Incarnation, top)))
}
