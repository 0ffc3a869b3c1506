package scrub

import (
	"context"
	"fmt"

	"github.com/weir-stream/weir/internal/app/datadir"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/ownership"
)

// ReadMetadata reads what Run needs from a metadata store. Lives are read first: one that is then sealed gets into no pointer any more.
func ReadMetadata(ctx context.Context, store meta.Store) (Metadata, error) {
	m := Metadata{Pointers: map[int32]ownership.Pointer{}, Lives: map[uint64]ownership.Life{}}
	entries, err := store.Range(ctx, ownership.IncarnationPrefix, "", 0)
	if err != nil {
		return m, fmt.Errorf("read incarnations: %w", err)
	}
	for _, e := range entries {
		n, l, err := ownership.DecodeLife(e)
		if err != nil {
			return m, err
		}
		m.Lives[n] = l
	}
	if entries, err = store.Range(ctx, ownership.ShardPrefix, "", 0); err != nil {
		return m, fmt.Errorf("read shard pointers: %w", err)
	}
	for _, e := range entries {
		id, ok := ownership.ParseShardKey(e.Key)
		if !ok {
			continue
		}
		if m.Pointers[id], err = ownership.DecodePointer(e); err != nil {
			return m, err
		}
	}
	return m, nil
}

// OfDirectory returns what Run needs of a data directory, as it was opened.
func OfDirectory(d *datadir.Dir) Metadata {
	m := Metadata{Pointers: map[int32]ownership.Pointer{}}
	for id, p := range d.Pointers {
		m.Pointers[id] = ownership.Pointer{Epoch: p.Epoch, Manifest: p.Manifest, Checkpoint: p.Checkpoint}
	}
	return m
}
