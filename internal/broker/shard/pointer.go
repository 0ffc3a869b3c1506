package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/weir-stream/weir/internal/base/meta"
)

// Keys in the metadata store: docs/format/meta.md.
const (
	incarnationCounterKey = "ids/incarnation"
	incarnationPrefix     = "inc/"
	shardPrefix           = "s/"
)

func incarnationKey(n uint64) string { return fmt.Sprintf("%s%016x", incarnationPrefix, n) }
func shardKey(id int32) string       { return fmt.Sprintf("%s%05d", shardPrefix, id) }

// tenure is one entry of a shard's history: in epoch, incarnation wrote its sections.
type tenure struct {
	Epoch       int32  `json:"epoch"`
	Incarnation uint64 `json:"inc"`
}

// pointer is a shard's value in the metadata store.
type pointer struct {
	Format     int    `json:"v"`
	Epoch      int32  `json:"epoch"`
	Owner      uint64 `json:"owner"`
	Version    uint64 `json:"version"`
	Manifest   string `json:"manifest,omitempty"`
	Checkpoint string `json:"checkpoint,omitempty"`
	// Replay is the WAL position from which frames must be replayed over the checkpoint.
	Replay int64 `json:"replay"`
	// History holds the tenures whose frames may lie at or beyond Replay, oldest first.
	History []tenure `json:"history"`
}

const pointerFormat = 1

func (p pointer) encode() []byte {
	p.Format = pointerFormat
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain numbers and strings always encode
	}
	return b
}

func decodePointer(e meta.Entry) (pointer, error) {
	var p pointer
	if err := json.Unmarshal(e.Value, &p); err != nil {
		return p, fmt.Errorf("metadata key %s: %w", e.Key, err)
	}
	if p.Format != pointerFormat {
		return p, fmt.Errorf("metadata key %s has format %d, this version reads %d", e.Key, p.Format, pointerFormat)
	}
	return p, nil
}

// epochOf returns the epoch in which an incarnation owned the shard.
func (p *pointer) epochOf(incarnation uint64) (int32, bool) {
	for _, t := range p.History {
		if t.Incarnation == incarnation {
			return t.Epoch, true
		}
	}
	return 0, false
}

// life is the record of an incarnation. Sealed is -1 while it is open, else the first sequence number that is not part
// of the log.
type life struct {
	Format int   `json:"v"`
	Broker int32 `json:"broker"`
	Start  int64 `json:"start"`
	Sealed int64 `json:"sealed"`
}

func decodeLife(e meta.Entry) (uint64, life, error) {
	var l life
	n, err := strconv.ParseUint(e.Key[len(incarnationPrefix):], 16, 64)
	if err != nil {
		return 0, l, fmt.Errorf("metadata key %s: %w", e.Key, err)
	}
	if err := json.Unmarshal(e.Value, &l); err != nil {
		return 0, l, fmt.Errorf("metadata key %s: %w", e.Key, err)
	}
	if l.Format != pointerFormat {
		return 0, l, fmt.Errorf("metadata key %s has format %d, this version reads %d", e.Key, l.Format, pointerFormat)
	}
	return n, l, nil
}

func (l life) encode() []byte {
	l.Format = pointerFormat
	b, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	return b
}

// errLostShard says that another incarnation has taken a shard: everything known of it is void.
var errLostShard = errors.New("shard was taken over by another incarnation")

// publish moves the shard's pointer to p. It fails without effect if anyone else has moved it.
func (s *Store) publish(ctx context.Context, sh *shardState, p pointer) error {
	key := shardKey(sh.id)
	r, err := s.o.Meta.Txn(ctx, []meta.Compare{{Key: key, Revision: sh.revision}}, []meta.Op{{Kind: meta.Put, Key: key, Value: p.encode()}})
	if err != nil {
		return fmt.Errorf("move pointer of shard %d: %w", sh.id, err)
	}
	if !r.Succeeded {
		return fmt.Errorf("move pointer of shard %d: %w", sh.id, errLostShard)
	}
	sh.pointer, sh.revision = p, r.Revision
	return nil
}
