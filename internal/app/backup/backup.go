// Package backup keeps copies of the metadata store in the object store, and rebuilds a metadata store from one of them and from what the object store
// itself holds.
//
//	metadata ── Create, now and then ──> backup/meta/<number>     topics, configs, ACLs, users, ids
//	bucket   ── manifests, checkpoints ─┐
//	                                    └─ Restore ──> an empty metadata store
//
// A backup has no pointers of shards: those it could hold are outdated with the next checkpoint, whose predecessor is deleted.
//
// Of a cluster the bucket tells them itself: each owner stamped its pointer before it acknowledged anything (docs/format/stamps.md), each manifest says
// which frames it does not know, and the log is in the bucket. Restore seals what the newest pointers name, like a take-over, and every acknowledged
// record is there. Of a server, and where something is missing, Restore finds the newest manifest and checkpoint of each shard whose objects are all there.
// What was written after that checkpoint is lost: the log that held it is lost with the disk. A checkpoint that names stretches of it is
// written anew without them, and with markers for the transactions that have lost theirs (endings.go).
//
// Epochs and incarnations of the new metadata are above all whose objects the bucket holds, so nothing that is made from then on meets what is left of
// before. Nobody may use the old metadata any more when Restore is called.
package backup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/ownership"
)

const (
	prefix = "backup/meta/"
	magic  = "WEIRMETA"
	// version of the format: docs/format/backup.md.
	version   = 1
	headBytes = 8 + 2 + 8 + 4
	// bodyMax bounds a backup that is read.
	bodyMax = 1 << 30
)

// ErrDamaged says that an object is not a backup as it was written.
var ErrDamaged = errors.New("backup is damaged")

// Info describes a backup.
type Info struct {
	Number uint64    `json:"number"`
	Key    string    `json:"key"`
	Bytes  int64     `json:"bytes"`
	Time   time.Time `json:"time"`
	Keys   int       `json:"keys"`
}

// passing are keys that say who lives now, and which of it a new cluster finds out by itself.
func passing(key string) bool {
	for _, p := range []string{ownership.ShardPrefix, ownership.IncarnationPrefix, "b/", "load/", "drain/"} {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return key == "controller" || key == "assignment"
}

// Create writes a backup of store, as of one moment, and deletes all but the newest keep of them; keep 0 deletes none. Values are written as they are in
// the store, so hand in the one below encryption.
func Create(ctx context.Context, store meta.Store, objects blob.Store, now time.Time, keep int) (Info, error) {
	entries, err := store.Range(ctx, "", "", 0)
	if err != nil {
		return Info{}, fmt.Errorf("read the metadata: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e meta.Entry) bool { return passing(e.Key) })
	keys, err := numbers(ctx, objects)
	if err != nil {
		return Info{}, err
	}
	next := uint64(1)
	if n := len(keys); n > 0 {
		next = keys[n-1] + 1
	}
	b := encode(entries, now)
	if err := objects.PutIfAbsent(ctx, keyOf(next), b); err != nil {
		return Info{}, fmt.Errorf("write %s: %w", keyOf(next), err)
	}
	keys = append(keys, next)
	for keep > 0 && len(keys) > keep {
		if err := objects.Delete(ctx, keyOf(keys[0])); err != nil {
			return Info{}, fmt.Errorf("delete %s: %w", keyOf(keys[0]), err)
		}
		keys = keys[1:]
	}
	return Info{Number: next, Key: keyOf(next), Bytes: int64(len(b)), Time: now, Keys: len(entries)}, nil
}

func keyOf(number uint64) string { return fmt.Sprintf("%s%016x", prefix, number) }

// numbers returns those of the backups that there are, ascending.
func numbers(ctx context.Context, objects blob.Store) ([]uint64, error) {
	infos, err := objects.List(ctx, prefix, "", 0)
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	var out []uint64
	for _, i := range infos {
		if n, err := strconv.ParseUint(strings.TrimPrefix(i.Key, prefix), 16, 64); err == nil {
			out = append(out, n)
		}
	}
	return out, nil
}

// List describes the backups that there are, oldest first.
func List(ctx context.Context, objects blob.Store) ([]Info, error) {
	ns, err := numbers(ctx, objects)
	if err != nil {
		return nil, err
	}
	out := []Info{}
	for _, n := range ns {
		_, info, err := read(ctx, objects, n)
		if err != nil {
			return nil, err
		}
		out = append(out, info)
	}
	return out, nil
}

func read(ctx context.Context, objects blob.Store, number uint64) ([]meta.Entry, Info, error) {
	key := keyOf(number)
	b, err := readObject(ctx, objects, key)
	if err != nil {
		return nil, Info{}, err
	}
	entries, at, err := decode(b)
	if err != nil {
		return nil, Info{}, fmt.Errorf("%s: %w", key, err)
	}
	return entries, Info{Number: number, Key: key, Bytes: int64(len(b)), Time: at, Keys: len(entries)}, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode lays a backup out.
func encode(entries []meta.Entry, now time.Time) []byte {
	b := append([]byte(magic), 0, version)
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)))
	for _, e := range entries {
		b = binary.AppendUvarint(b, uint64(len(e.Key)))
		b = append(b, e.Key...)
		b = binary.AppendUvarint(b, uint64(len(e.Value)))
		b = append(b, e.Value...)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decode reads what encode laid out. Values are parts of b.
func decode(b []byte) ([]meta.Entry, time.Time, error) {
	if len(b) < headBytes+4 || string(b[:8]) != magic {
		return nil, time.Time{}, fmt.Errorf("%w: %d bytes that do not begin as one", ErrDamaged, len(b))
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != version {
		return nil, time.Time{}, fmt.Errorf("backup has version %d, this program reads %d", v, version)
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, time.Time{}, fmt.Errorf("%w: checksum mismatch", ErrDamaged)
	}
	at := time.UnixMilli(int64(binary.BigEndian.Uint64(b[10:]))).UTC()
	n := binary.BigEndian.Uint32(b[18:])
	body = body[headBytes:]
	if int64(n) > int64(len(body)/2) {
		return nil, at, fmt.Errorf("%w: %d entries in %d bytes", ErrDamaged, n, len(body))
	}
	entries := make([]meta.Entry, 0, n)
	text := func() ([]byte, bool) {
		size, used := binary.Uvarint(body)
		if used <= 0 || size > uint64(len(body)-used) {
			return nil, false
		}
		v := body[used : used+int(size)]
		body = body[used+int(size):]
		return v, true
	}
	for range n {
		key, ok1 := text()
		value, ok2 := text()
		if !ok1 || !ok2 || meta.CheckKey(string(key)) != nil {
			return nil, at, fmt.Errorf("%w: an entry ends early", ErrDamaged)
		}
		entries = append(entries, meta.Entry{Key: string(key), Value: value})
	}
	if len(body) > 0 {
		return nil, at, fmt.Errorf("%w: %d bytes after the last entry", ErrDamaged, len(body))
	}
	return entries, at, nil
}
