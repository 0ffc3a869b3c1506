package backup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/shard/state"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// ErrNotEmpty is returned by Restore for a metadata store that holds something.
var ErrNotEmpty = errors.New("the metadata store is not empty")

// ErrNoBackup is returned by Restore for a bucket without a backup.
var ErrNoBackup = errors.New("there is no backup")

// Restored says what Restore found.
type Restored struct {
	Backup Info `json:"backup"`
	// Shards were found in the bucket. Whole of them have everything that was acknowledged; the others are as of their newest checkpoint.
	Shards int `json:"shards"`
	Whole  int `json:"whole_shards"`
	// Incarnation is the number above which new ones begin.
	Incarnation uint64 `json:"incarnation"`
	// DroppedBytes are the bytes of batches that checkpoints knew in a log on a disk, and that are lost with it.
	DroppedBytes int64 `json:"dropped_bytes"`
	// Passed are the manifests that were passed over since something that they name is missing.
	Passed []string `json:"passed"`
	// Transactions are those that were ended, since their markers are lost.
	Transactions Transactions `json:"transactions"`
}

// skippedProducers is more than are given ids between two backups.
const skippedProducers = 1 << 32

// found is what the bucket holds of a shard.
type found struct {
	epoch    int32               // the highest of any object
	claim    int32               // the highest epoch in which a broker of a cluster took it, -1 if none did
	versions map[string]struct{} // EPOCH.VERSION of manifests
}

// Options of Restore. Store, Objects and Open are required.
type Options struct {
	// Store is filled. It must be empty.
	Store   meta.Store
	Objects blob.Store
	// Number is that of the backup, 0 for the newest.
	Number uint64
	// Open returns Store and Objects seen through the encryption of the backup, or as they are; it is called once the keys of the backup are in Store.
	Open func() (meta.Store, blob.Store, error)
	// Cluster says that Store is that of a cluster, whose log is in the bucket too.
	Cluster bool
	// Now is the time of what is written.
	Now time.Time
}

// Restore fills a metadata store from a backup and from what the bucket holds.
func Restore(ctx context.Context, o Options) (Restored, error) {
	store, objects, number := o.Store, o.Objects, o.Number
	r := Restored{Passed: []string{}}
	there, err := store.Range(ctx, "", "", 1)
	if err != nil {
		return r, fmt.Errorf("read the metadata: %w", err)
	}
	if len(there) > 0 {
		return r, fmt.Errorf("%w: it holds %s", ErrNotEmpty, there[0].Key)
	}
	ns, err := numbers(ctx, objects)
	if err != nil {
		return r, err
	}
	if len(ns) == 0 || number != 0 && !slices.Contains(ns, number) {
		return r, ErrNoBackup
	}
	if number == 0 {
		number = ns[len(ns)-1]
	}
	entries, info, err := read(ctx, objects, number)
	if err != nil {
		return r, err
	}
	r.Backup = info
	shards, err := scanShards(ctx, objects)
	if err != nil {
		return r, err
	}
	lives, err := scanIncarnations(ctx, objects)
	if err != nil {
		return r, err
	}
	r.Incarnation = firstIncarnation(entries, lives)
	entries = slices.DeleteFunc(entries, func(e meta.Entry) bool { return e.Key == ownership.CounterKey || passing(e.Key) })
	if err := putAll(ctx, store, entries); err != nil {
		return r, err
	}
	clearMeta, clear, err := o.Open()
	if err != nil {
		return r, err
	}
	if err := topics.SkipProducerIDs(ctx, clearMeta, skippedProducers); err != nil {
		return r, err
	}
	pointers := []meta.Entry{{Key: ownership.CounterKey, Value: binary.BigEndian.AppendUint64(nil, r.Incarnation)}}
	var logs *logs
	if o.Cluster {
		if logs, err = newLogs(ctx, clearMeta, clear, lives); err != nil {
			return r, err
		}
	}
	all := map[int32]*chosen{}
	e := endings{}
	for _, id := range slices.Sorted(maps.Keys(shards)) {
		ch, err := chooseShard(ctx, clear, logs, id, shards[id], &r)
		if err != nil {
			return r, fmt.Errorf("restore shard %d: %w", id, err)
		}
		all[id] = &ch
		r.Shards++
		if ch.whole {
			r.Whole++
		} else if ch.checkpoint != nil {
			e.find(ch.checkpoint)
			r.DroppedBytes += dropLog(ch.checkpoint)
		}
	}
	if err := e.decide(ctx, clearMeta, clear, all); err != nil {
		return r, err
	}
	r.Transactions = e.report()
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if ch := all[id]; ch.checkpoint != nil {
			if err := writeShard(ctx, &o, clear, id, ch, &e); err != nil {
				return r, fmt.Errorf("restore shard %d: %w", id, err)
			}
		}
		pointers = append(pointers, meta.Entry{Key: ownership.ShardKey(id), Value: all[id].pointer.Encode()})
	}
	if logs != nil {
		pointers = append(pointers, logs.entries()...)
	}
	return r, putAll(ctx, clearMeta, pointers)
}

// putAll writes entries, so many at a time as a transaction takes.
func putAll(ctx context.Context, store meta.Store, entries []meta.Entry) error {
	var ops []meta.Op
	var compares []meta.Compare
	size := 0
	flush := func() error {
		if len(ops) == 0 {
			return nil
		}
		res, err := store.Txn(ctx, compares, ops)
		if err == nil && !res.Succeeded {
			err = ErrNotEmpty
		}
		if err != nil {
			return fmt.Errorf("write the metadata: %w", err)
		}
		ops, compares, size = nil, nil, 0
		return nil
	}
	for _, e := range entries {
		n := len(e.Key) + len(e.Value)
		if len(ops) == meta.MaxTxnOps || size+n > meta.MaxTxnBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		ops = append(ops, meta.Op{Kind: meta.Put, Key: e.Key, Value: e.Value})
		compares = append(compares, meta.Compare{Key: e.Key})
		size += n
	}
	return flush()
}

// scanShards finds which shards the bucket holds something of.
func scanShards(ctx context.Context, objects blob.Store) (map[int32]*found, error) {
	out := map[int32]*found{}
	for _, kind := range []string{"c/", "l/", "m/"} {
		infos, err := objects.List(ctx, kind, "", 0)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}
		for _, i := range infos {
			parts := strings.Split(i.Key, "/")
			if len(parts) != 3 {
				continue
			}
			first, _, _ := strings.Cut(parts[2], ".")
			id, err1 := strconv.ParseInt(parts[1], 10, 32)
			epoch, err2 := strconv.ParseInt(first, 16, 32)
			if err1 != nil || err2 != nil {
				continue
			}
			f := foundOf(out, int32(id))
			f.epoch = max(f.epoch, int32(epoch))
			if kind == "m/" {
				f.versions[parts[2]] = struct{}{}
			}
		}
	}
	return out, scanClaims(ctx, objects, out)
}

// scanClaims finds in which epoch brokers of a cluster took shards last.
func scanClaims(ctx context.Context, objects blob.Store, shards map[int32]*found) error {
	infos, err := objects.List(ctx, ownership.ClaimPrefix, "", 0)
	if err != nil {
		return fmt.Errorf("list %s: %w", ownership.ClaimPrefix, err)
	}
	for _, i := range infos {
		id, epoch, ok := ownership.ParseClaim(i.Key)
		if !ok {
			continue
		}
		f := foundOf(shards, id)
		f.epoch, f.claim = max(f.epoch, epoch), max(f.claim, epoch)
	}
	return nil
}

func foundOf(shards map[int32]*found, id int32) *found {
	f := shards[id]
	if f == nil {
		f = &found{epoch: -1, claim: -1, versions: map[string]struct{}{}}
		shards[id] = f
	}
	return f
}

// scanIncarnations returns the incarnations that the bucket holds something of, with the trim that was stamped.
func scanIncarnations(ctx context.Context, objects blob.Store) (map[uint64]uint64, error) {
	out := map[uint64]uint64{}
	for _, prefix := range []string{wal.ObjectPrefix + "/", ownership.BirthPrefix, ownership.TrimPrefix} {
		for after := ""; ; {
			infos, err := objects.List(ctx, prefix, after, listed)
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", prefix, err)
			}
			for _, i := range infos {
				after = i.Key
				if n, trim, ok := parseIncarnation(i.Key); ok {
					out[n] = max(out[n], trim)
				}
			}
			if len(infos) < listed {
				break
			}
		}
	}
	return out, nil
}

// listed is how many keys are asked for at a time.
const listed = 1000

// parseIncarnation reads the incarnation of a frame or a stamp, and the trim of a stamp that has one.
func parseIncarnation(key string) (number, trim uint64, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) < 3 {
		return 0, 0, false
	}
	var err error
	if number, err = strconv.ParseUint(parts[2], 16, 64); err != nil {
		return 0, 0, false
	}
	if strings.HasPrefix(key, ownership.TrimPrefix) {
		trim, ok = ownership.ParseStamp(key)
		return number, trim, ok
	}
	return number, 0, true
}

// firstIncarnation returns a number above all that the backup or the bucket knows, and above one that began after the backup and left nothing yet.
func firstIncarnation(entries []meta.Entry, lives map[uint64]uint64) uint64 {
	const margin = 1 << 20
	var last uint64
	for _, e := range entries {
		if e.Key == ownership.CounterKey && len(e.Value) == 8 {
			last = binary.BigEndian.Uint64(e.Value)
		}
	}
	for n := range lives {
		last = max(last, n)
	}
	return last + margin
}

// chosen is what a shard is restored from: the pointer of its last owner, or else the newest manifest and checkpoint all of whose objects are there.
type chosen struct {
	pointer ownership.Pointer
	whole   bool
	// manifest and checkpoint are nil if the shard is whole, or has none.
	manifest   *state.Manifest
	checkpoint *state.Checkpoint
}

// chooseShard finds what a shard is restored from. With logs, which may be nil, the pointer leads to the frames, too, that the checkpoint does not know.
func chooseShard(ctx context.Context, objects blob.Store, logs *logs, id int32, f *found, r *Restored) (chosen, error) {
	if logs != nil && f.claim >= 0 {
		p, whole, err := logs.pointer(ctx, id, f, r)
		if err != nil || whole {
			return chosen{pointer: p, whole: whole}, err
		}
	}
	ch := chosen{pointer: ownership.None()}
	ch.pointer.Epoch = f.epoch + 1 // that of what is written here
	names := slices.SortedFunc(maps.Keys(f.versions), func(a, b string) int { return strings.Compare(b, a) })
	for _, name := range names {
		mkey, ckey := fmt.Sprintf("m/%05d/%s", id, name), fmt.Sprintf("c/%05d/%s", id, name)
		m, c, err := readPair(ctx, objects, mkey, ckey)
		if errors.Is(err, blob.ErrNotFound) {
			r.Passed = append(r.Passed, mkey)
			continue
		}
		ch.manifest, ch.checkpoint = m, c
		return ch, err
	}
	return ch, nil
}

// readPair reads a manifest and its checkpoint. ErrNotFound if one of them or an object is not there.
func readPair(ctx context.Context, objects blob.Store, mkey, ckey string) (*state.Manifest, *state.Checkpoint, error) {
	b, err := readObject(ctx, objects, mkey)
	if err != nil {
		return nil, nil, err
	}
	m, err := state.DecodeManifest(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", mkey, err)
	}
	if b, err = readObject(ctx, objects, ckey); err != nil {
		return nil, nil, err
	}
	c, err := state.DecodeCheckpoint(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", ckey, err)
	}
	for _, o := range m.Objects {
		r, err := objects.Open(ctx, o.Key)
		if err != nil {
			return nil, nil, fmt.Errorf("open %s: %w", o.Key, err)
		}
		if err := r.Close(); err != nil {
			return nil, nil, err
		}
	}
	return m, c, nil
}

func readObject(ctx context.Context, objects blob.Store, key string) ([]byte, error) {
	r, err := objects.Open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	defer r.Close() //nolint:errcheck // it is only read
	if r.Size() > bodyMax {
		return nil, fmt.Errorf("%s holds %d bytes, at most %d are read", key, r.Size(), bodyMax)
	}
	b := make([]byte, r.Size())
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return b, nil
}
