package partition

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blockcache"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/kafka"
)

// FuzzPlaces reads by whatever bytes: objects that are not there, or none at all.
func FuzzPlaces(f *testing.F) {
	e := placesEncoder{numbers: map[string]int{}}
	if err := e.run(&run{object: &Object{Key: "l1/x", Bytes: 900, Level: 1}, info: segment.RunInfo{BaseOffset: 3, NextOffset: 9, Bytes: 100}, abortedFrom: 4}); err != nil {
		f.Fatal(err)
	}
	e.extents = appendVarints(e.extents, e.object("w/a", 4000, 0, 0), 128, 9, 20, 500)
	e.extents, e.extentCount = append(e.extents, 1, 2, 3, 4), 1
	f.Add(e.encode(20, []segment.AbortedTxn{{ProducerID: 1, FirstOffset: 4, LastOffset: 10, LastStableOffset: 11}}, nil), int64(3))
	f.Add([]byte{placesVersion}, int64(0))
	f.Add([]byte{placesVersion, 2, 0xff, 0xff, 0xff, 0xff, 0x0f}, int64(0))
	objects := blob.NewMem()
	if err := objects.Put(f.Context(), "w/a", make([]byte, 4000)); err != nil {
		f.Fatal(err)
	}
	blocks := blockcache.New(4 << 20)
	env := &Env{Segments: segment.NewCache(objects, 8).Through(blocks), Blocks: blocks, Now: time.Now}
	f.Fuzz(func(t *testing.T, places []byte, offset int64) {
		res, err := ReadPlaces(context.WithoutCancel(t.Context()), Identity{Topic: kafka.TopicID{1}}, env, objects, places, ReadRequest{Offset: offset, MaxBytes: 1 << 16, AtLeastOne: true, Committed: true})
		if err == nil && res.Bytes > 0 {
			t.Errorf("read %d bytes where there are no batches", res.Bytes)
		}
		res.Drop()
	})
}

func TestDamagedPlacesAreRefused(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{nil, {9}, {placesVersion}, {placesVersion, 2, 2}, {placesVersion, 0, 0, 0, 0, 0, 0, 1}} {
		if _, err := ReadPlaces(t.Context(), Identity{}, &Env{}, blob.NewMem(), b, ReadRequest{}); !errors.Is(err, ErrBadPlaces) {
			t.Errorf("%v: %v", b, err)
		}
	}
}
