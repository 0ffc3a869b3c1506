// Package ownership says what the metadata store keeps of shards and of incarnations, and how it may change: pure values and the
// steps between them.
//
// A shard's Pointer is the one commit point of everything about the shard: who owns it, which manifest and checkpoint it has, and
// which frames of which incarnations must be replayed over them. It moves by compare-and-swap on its revision only, so an owner
// that was replaced can publish nothing.
//
//	taken ──(checkpoints)──> released ──> taken by another
//	  └── owner is dead: its incarnation is sealed ──> taken by another
//
// A frame's section of a shard is part of the shard's log if and only if a tenure of the pointer names its incarnation and its
// sequence number, or the checkpoint knows it already.
//
// The package knows no store: shard and cluster write what it decides.
package ownership

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/base/meta"
)

// Keys in the metadata store: docs/format/meta.md.
const (
	CounterKey        = "ids/incarnation"
	IncarnationPrefix = "inc/"
	ShardPrefix       = "s/"
)

// IncarnationKey is the key of an incarnation's Life.
func IncarnationKey(n uint64) string { return fmt.Sprintf("%s%016x", IncarnationPrefix, n) }

// ShardKey is the key of a shard's Pointer.
func ShardKey(id int32) string { return fmt.Sprintf("%s%05d", ShardPrefix, id) }

// ParseShardKey returns the shard of a key.
func ParseShardKey(key string) (int32, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(key, ShardPrefix), 10, 31)
	return int32(n), err == nil && strings.HasPrefix(key, ShardPrefix)
}

// format is the version of the encoding of Pointer and Life.
const format = 1

// Tenure is an entry of a shard's history: in Epoch, Incarnation wrote its sections.
type Tenure struct {
	Epoch       int32  `json:"epoch"`
	Incarnation uint64 `json:"inc"`
	// From and To bound the frames of the incarnation that may hold sections of the tenure and that no checkpoint knows: [From, To).
	// To is 0 while the tenure lasts. In a log of files, where an incarnation has the log for itself, both are 0 and Pointer.Replay
	// counts.
	From uint64 `json:"from,omitempty"`
	To   uint64 `json:"to,omitempty"`
}

// Pointer is a shard's value in the metadata store.
type Pointer struct {
	Format     int    `json:"v"`
	Epoch      int32  `json:"epoch"`
	Owner      uint64 `json:"owner"` // an incarnation; 0: the last owner has released the shard
	Version    uint64 `json:"version"`
	Manifest   string `json:"manifest,omitempty"`
	Checkpoint string `json:"checkpoint,omitempty"`
	// Replay is the position in a log of files from which frames must be replayed over the checkpoint.
	Replay int64 `json:"replay"`
	// History holds the tenures whose frames must be replayed, oldest first.
	History []Tenure `json:"history"`
}

// None is the pointer of a shard that was never owned.
func None() Pointer { return Pointer{Epoch: -1} }

// Encode returns the value to store.
func (p Pointer) Encode() []byte {
	p.Format = format
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain numbers and strings always encode
	}
	return b
}

// DecodePointer reads a stored value.
func DecodePointer(e meta.Entry) (Pointer, error) {
	var p Pointer
	if err := json.Unmarshal(e.Value, &p); err != nil {
		return p, fmt.Errorf("metadata key %s: %w", e.Key, err)
	}
	if p.Format != format {
		return p, fmt.Errorf("metadata key %s has format %d, this version reads %d", e.Key, p.Format, format)
	}
	return p, nil
}

// EpochOf returns the epoch in which an incarnation owned the shard, in a log of files.
func (p *Pointer) EpochOf(incarnation uint64) (int32, bool) {
	for _, t := range p.History {
		if t.Incarnation == incarnation {
			return t.Epoch, true
		}
	}
	return 0, false
}

// Open returns the incarnation of the tenure that has no end yet: it must be sealed, or be the new owner's own, before another can
// take the shard.
func (p *Pointer) Open() (incarnation uint64, ok bool) {
	if n := len(p.History); n > 0 && p.History[n-1].To == 0 {
		return p.History[n-1].Incarnation, true
	}
	return 0, false
}

// Take returns the pointer once incarnation has taken the shard: its own frames from the sequence number from on may hold
// sections. sealed is where the incarnation of the open tenure, if there is one, was sealed. Tenures without frames are dropped, so
// brokers that cannot stay up do not make a pointer grow.
func (p *Pointer) Take(incarnation, from, sealed uint64) Pointer {
	next := *p
	next.History = slices.Clone(p.History)
	if n := len(next.History); n > 0 && next.History[n-1].To == 0 {
		next.History[n-1].To = sealed
	}
	next.History = slices.DeleteFunc(next.History, func(t Tenure) bool { return t.To <= t.From })
	next.Epoch++
	next.Owner = incarnation
	next.History = append(next.History, Tenure{Epoch: next.Epoch, Incarnation: incarnation, From: from})
	return next
}

// Release returns the pointer once its owner has given the shard up: all of its sections lie below the sequence number to.
func (p *Pointer) Release(to uint64) Pointer {
	next := *p
	next.Owner = 0
	next.History = slices.Clone(p.History)
	if n := len(next.History); n > 0 {
		next.History[n-1].To = to
		if next.History[n-1].From >= to {
			next.History = next.History[:n-1]
		}
	}
	return next
}

// Publish returns the pointer to a manifest and a checkpoint that know all frames of the owner below the sequence number from, and
// all frames of all tenures before.
func (p *Pointer) Publish(version uint64, manifest, checkpoint string, from uint64) Pointer {
	next := *p
	next.Version, next.Manifest, next.Checkpoint = version, manifest, checkpoint
	next.History = []Tenure{{Epoch: p.Epoch, Incarnation: p.Owner, From: from}}
	return next
}

// Needs returns the first frame of an incarnation that must be kept for the shard, and false if it needs none.
func (p *Pointer) Needs(incarnation uint64) (from uint64, ok bool) {
	for _, t := range p.History {
		if t.Incarnation == incarnation {
			return t.From, true
		}
	}
	return 0, false
}

// Life is the record of an incarnation.
type Life struct {
	Format int   `json:"v"`
	Broker int32 `json:"broker"`
	// Start is where its log begins in files.
	Start int64 `json:"start"`
	// Sealed is -1 while it is open, else the first sequence number that is not part of the log.
	Sealed int64 `json:"sealed"`
	// Trim is a sequence number below which its frames may be deleted by now; all of them were durable.
	Trim uint64 `json:"trim,omitempty"`
}

// DecodeLife reads a stored value, and the incarnation from its key.
func DecodeLife(e meta.Entry) (uint64, Life, error) {
	var l Life
	n, err := strconv.ParseUint(strings.TrimPrefix(e.Key, IncarnationPrefix), 16, 64)
	if err != nil {
		return 0, l, fmt.Errorf("metadata key %s: %w", e.Key, err)
	}
	if err := json.Unmarshal(e.Value, &l); err != nil {
		return 0, l, fmt.Errorf("metadata key %s: %w", e.Key, err)
	}
	if l.Format != format {
		return 0, l, fmt.Errorf("metadata key %s has format %d, this version reads %d", e.Key, l.Format, format)
	}
	return n, l, nil
}

// Encode returns the value to store.
func (l Life) Encode() []byte {
	l.Format = format
	b, err := json.Marshal(l)
	if err != nil {
		panic(err) // plain numbers always encode
	}
	return b
}
