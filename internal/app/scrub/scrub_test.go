package scrub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/shard/state"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka/record"
)

const segmentKey = "l/00003/00000001.0000000000000001"

// shop is a store with one shard of epoch 2 and one segment.
type shop struct {
	*blob.Mem
	meta Metadata
	size int
}

func put(t *testing.T, s blob.Store, key string, b []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, b); err != nil {
		t.Fatal(err)
	}
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{Mem: blob.NewMem()}
	var object strings.Builder
	w := segment.NewWriter(&object, segment.Options{Shard: 3, Level: segment.L1, Epoch: 1, CreatedAt: time.UnixMilli(1)})
	topic := [16]byte{7}
	if err := w.BeginRun(topic, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		b := record.NewBuilder(record.None, 0)
		b.Append(7, nil, make([]byte, 3000), nil)
		if err := w.AppendBatch(b.Build(record.BuildOptions{BaseOffset: int64(i)})); err != nil {
			t.Fatal(err)
		}
	}
	f, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, segmentKey, []byte(object.String()))
	s.size = object.Len()
	r := f.Runs[0]
	m := state.Manifest{Shard: 3, Epoch: 2, Version: 5, Objects: []state.Object{{Key: segmentKey, Level: 1, Bytes: f.Bytes, LiveBytes: r.Bytes, CreatorEpoch: 1}}}
	c := state.Checkpoint{Shard: 3, Epoch: 2, Partitions: []state.Partition{{Topic: topic, Runs: []state.Run{{
		Pos: r.Pos, Bytes: r.Bytes, BaseOffset: r.BaseOffset, NextOffset: r.NextOffset, RecordCount: r.RecordCount, MinTimestamp: r.MinTimestamp, MaxTimestamp: r.MaxTimestamp, AbortedFrom: -1,
	}}}}}
	mb, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	cb, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p := ownership.Pointer{Epoch: 2, Manifest: "m/00003/00000002.0000000000000005", Checkpoint: "c/00003/00000002.0000000000000005"}
	put(t, s, p.Manifest, mb)
	put(t, s, p.Checkpoint, cb)
	s.meta = Metadata{Pointers: map[int32]ownership.Pointer{3: p}, Lives: map[uint64]ownership.Life{}}
	return s
}

func (s *shop) run(t *testing.T, change func(*Options)) Report {
	t.Helper()
	o := Options{Blob: s, Read: func(context.Context) (Metadata, error) { return s.meta, nil }}
	if change != nil {
		change(&o)
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *shop) body(t *testing.T, key string) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, r.Size())
	if _, err := r.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSoundStoreHasNoDamage(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	if r := s.run(t, nil); len(r.Damage) > 0 || len(r.Orphans) > 0 || r.Objects != 3 || r.Bytes < int64(s.size) {
		t.Errorf("got %+v, want three sound objects", r)
	}
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for key := range map[string]bool{segmentKey: true, s.meta.Pointers[3].Manifest: true, s.meta.Pointers[3].Checkpoint: true} {
		sound := s.body(t, key)
		for _, at := range []int{0, 1, len(sound) / 3, len(sound) / 2, len(sound) - 40, len(sound) - 1} {
			b := slices.Clone(sound)
			b[max(at, 0)] ^= 4
			put(t, s, key, b)
			if r := s.run(t, nil); len(r.Damage) == 0 || r.Damage[0].Key != key {
				t.Errorf("byte %d of %s: found %v", at, key, r.Damage)
			}
		}
		put(t, s, key, sound)
	}
}

func TestMissingAndExchangedObjectsAreFound(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	if err := s.Delete(t.Context(), segmentKey); err != nil {
		t.Fatal(err)
	}
	if r := s.run(t, nil); len(r.Damage) != 1 || !strings.Contains(r.Damage[0].Reason, "missing") {
		t.Errorf("found %v, want a missing object", r.Damage)
	}
	var object strings.Builder
	w := segment.NewWriter(&object, segment.Options{Shard: 3, Level: segment.L1, Epoch: 1, CreatedAt: time.UnixMilli(1)})
	if err := w.BeginRun([16]byte{8}, 0); err != nil {
		t.Fatal(err)
	}
	b := record.NewBuilder(record.None, 0)
	b.Append(7, nil, []byte("other"), nil)
	if err := w.AppendBatch(b.Build(record.BuildOptions{})); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	put(t, s, segmentKey, []byte(object.String()))
	if r := s.run(t, nil); len(r.Damage) != 2 {
		t.Errorf("found %v, want a wrong size and a wrong run", r.Damage)
	}
}

// A broker that merges while it is read is no damage: what the pointer names now counts.
func TestReplacedObjectsAreNoDamage(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	stale := Metadata{Pointers: map[int32]ownership.Pointer{3: {Epoch: 2, Manifest: "m/00003/00000002.0000000000000004", Checkpoint: "c/00003/00000002.0000000000000004"}}}
	reads := 0
	r := s.run(t, func(o *Options) {
		o.Read = func(context.Context) (Metadata, error) {
			if reads++; reads == 1 {
				return stale, nil
			}
			return s.meta, nil
		}
	})
	if len(r.Damage) > 0 || r.Objects != 3 {
		t.Errorf("found %+v, want no damage", r)
	}
}

func TestOrphansAreWhatNobodyCanPublish(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.meta.Lives[4] = ownership.Life{Sealed: 10, Trim: 3}
	s.meta.Lives[5] = ownership.Life{Sealed: -1, Trim: 2}
	want := map[string]bool{
		"l/00003/00000001.0000000000000002": true,  // an older epoch's, not named
		"l/00003/00000002.0000000000000001": false, // the owner may be about to publish it
		"l/00004/00000001.0000000000000001": false, // of a shard that has no pointer yet
		"m/00003/00000001.0000000000000009": true,
		"c/00003/00000001.0000000000000009": true,
		wal.ObjectKey(4, 2):                 true, // below the trim
		wal.ObjectKey(4, 3):                 false,
		wal.ObjectKey(4, 10):                false, // the seal
		wal.ObjectKey(4, 11):                true,  // beyond it
		wal.ObjectKey(5, 1):                 true,
		wal.ObjectKey(5, 2):                 false,
		wal.ObjectKey(5, 1<<40):             false,
		wal.ObjectKey(6, 1):                 false, // nothing is known of it
		"probe/x":                           false,
	}
	for key := range want {
		put(t, s, key, []byte("x"))
	}
	r := s.run(t, func(o *Options) { o.DeleteOrphans = true })
	found := map[string]bool{}
	for _, o := range r.Orphans {
		found[o.Key] = true
	}
	for key, orphan := range want {
		infos, err := s.List(t.Context(), key, "", 1)
		if err != nil {
			t.Fatal(err)
		}
		if found[key] != orphan || (len(infos) == 0) != orphan {
			t.Errorf("%s: orphan %v, is there %v; want orphan %v", key, found[key], len(infos) > 0, orphan)
		}
	}
	if again := s.run(t, nil); len(again.Orphans) > 0 || len(again.Damage) > 0 {
		t.Errorf("after the deletion: %+v", again)
	}
}

func FuzzKeys(f *testing.F) {
	f.Add(segmentKey)
	f.Add(wal.ObjectKey(7, 8))
	f.Add("l/1/")
	f.Fuzz(func(_ *testing.T, key string) {
		_, _, _ = parseKey(key)
		_, _, _ = parseFrame(key)
	})
}

func TestKeysAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	if shard, epoch, ok := parseKey(fmt.Sprintf("l/%05d/%08x.%016x", 12, 255, 3)); !ok || shard != 12 || epoch != 255 {
		t.Errorf("got %d, %d, %v", shard, epoch, ok)
	}
	if n, seq, ok := parseFrame(wal.ObjectKey(77, 1<<33)); !ok || n != 77 || seq != 1<<33 {
		t.Errorf("got %d, %d, %v", n, seq, ok)
	}
}
