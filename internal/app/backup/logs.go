package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// logs are the write-ahead logs of a cluster, which lie in the bucket. Who wrote what counts is told by the bucket itself: each owner of a shard has
// stamped its pointer before it acknowledged anything, and each manifest says from which frame on of its writer's log it does not know all.
// Incarnations that a shard needs are sealed, as at a take-over: if one of them lives after all, it can acknowledge nothing any more.
type logs struct {
	objects blob.Store // seen through encryption
	cluster [16]byte
	trims   map[uint64]uint64 // by incarnation; below it frames may be gone
	sealed  map[uint64]uint64
}

func newLogs(ctx context.Context, store meta.Store, objects blob.Store, trims map[uint64]uint64) (*logs, error) {
	id, err := topics.ReadClusterID(ctx, store)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, fmt.Errorf("the backup is not that of a cluster: %w", err)
	}
	return &logs{objects: objects, cluster: id, trims: trims, sealed: map[uint64]uint64{}}, err
}

// pointer returns the pointer that a shard's last owner had: everything that was acknowledged. It reports false if what it leads to is not all there.
func (l *logs) pointer(ctx context.Context, id int32, f *found, r *Restored) (ownership.Pointer, bool, error) {
	key := ownership.ClaimKey(id, f.claim)
	b, err := readObject(ctx, l.objects, key)
	if err != nil {
		return ownership.Pointer{}, false, err
	}
	p, err := ownership.DecodePointer(meta.Entry{Key: key, Value: b})
	if err != nil {
		return p, false, err
	}
	if err := l.published(ctx, id, f, &p, r); errors.Is(err, blob.ErrNotFound) {
		r.Passed = append(r.Passed, p.Manifest)
		return p, false, nil
	} else if err != nil {
		return p, false, err
	}
	p.Owner, p.Epoch = 0, max(p.Epoch, f.epoch)
	for i := range p.History {
		t := &p.History[i]
		end, err := l.end(ctx, t.Incarnation)
		if err != nil {
			return p, false, err
		}
		if t.To == 0 {
			t.To = end
		}
		if t.To > end {
			return p, false, fmt.Errorf("frame %d of incarnation %d, which was acknowledged, is missing", end, t.Incarnation)
		}
		t.From = max(t.From, l.trims[t.Incarnation])
	}
	p.History = slices.DeleteFunc(p.History, func(t ownership.Tenure) bool { return t.From >= t.To })
	return p, true, nil
}

// published moves a claim's pointer on to the newest manifest that its owner wrote, if there is one. blob.ErrNotFound if the manifest that
// the pointer has then is not whole.
func (l *logs) published(ctx context.Context, id int32, f *found, p *ownership.Pointer, r *Restored) error {
	own := fmt.Sprintf("%08x.", f.claim)
	names := slices.SortedFunc(maps.Keys(f.versions), func(a, b string) int { return strings.Compare(b, a) })
	for _, name := range slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, own) }) {
		mkey, ckey := fmt.Sprintf("m/%05d/%s", id, name), fmt.Sprintf("c/%05d/%s", id, name)
		m, _, err := readPair(ctx, l.objects, mkey, ckey)
		if errors.Is(err, blob.ErrNotFound) { // its writer ended between the two, or was about to publish another
			r.Passed = append(r.Passed, mkey)
			continue
		}
		if err != nil {
			return err
		}
		p.Version, p.Manifest, p.Checkpoint = m.Version, mkey, ckey
		p.History = []ownership.Tenure{{Epoch: f.claim, Incarnation: m.Incarnation, From: m.FirstFrame}}
		return nil
	}
	if p.Manifest == "" {
		return nil
	}
	_, _, err := readPair(ctx, l.objects, p.Manifest, p.Checkpoint)
	return err
}

// end seals an incarnation, and returns the first sequence number that is not part of its log.
func (l *logs) end(ctx context.Context, incarnation uint64) (uint64, error) {
	if k, ok := l.sealed[incarnation]; ok {
		return k, nil
	}
	s := wal.ObjectSeal{Blob: l.objects, ClusterID: l.cluster, Incarnation: incarnation, From: l.trims[incarnation]}
	rand.Read(s.Nonce[:]) //nolint:errcheck // it never fails
	k, err := wal.SealObjects(ctx, s)
	if err == nil {
		l.sealed[incarnation] = k
	}
	return k, err
}

// entries are the records of all incarnations. What lies in the logs of those that no shard needs is garbage, and is told to be: "beyond the seal".
func (l *logs) entries() []meta.Entry {
	var out []meta.Entry
	for _, n := range slices.Sorted(maps.Keys(l.trims)) {
		life := ownership.Life{Sealed: int64(l.sealed[n])}
		if _, needed := l.sealed[n]; needed {
			life.Trim = l.trims[n]
		}
		out = append(out, meta.Entry{Key: ownership.IncarnationKey(n), Value: life.Encode()})
	}
	return out
}
