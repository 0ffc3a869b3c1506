package state

import (
	"fmt"
	"math"
)

// MaxKeyBytes is the longest object key.
const MaxKeyBytes = 1024

var manifestKind = kind{name: "manifest", magic: [8]byte{'W', 'E', 'I', 'R', 'M', 'A', 'N', 0}, version: 2}

// Manifest names the objects that make up a shard's log at one version. The pointer to it in the metadata store is the
// commit point of cuts, merges and retention.
type Manifest struct {
	Shard      int32
	Epoch      uint64 // of the shard, when this version was written
	Version    uint64 // rises by one with each manifest of the shard
	WALTrim    int64  // write-ahead log position: the shard needs nothing below it
	Checkpoint string // key of the checkpoint that belongs to this version; empty if it is named elsewhere
	Objects    []Object
	Tombstones []Tombstone
	// Incarnation, in a cluster, wrote this version: its frames from FirstFrame on may hold sections of the shard that the checkpoint does not know. 0 for
	// a log in files, and in manifests of version 1 of the format.
	Incarnation, FirstFrame uint64
}

// Object is an L1 or L2 object. Its place in Manifest.Objects is its ordinal, by which the checkpoint refers to it.
type Object struct {
	Key          string
	Level        uint8
	Bytes        int64 // of the whole object
	LiveBytes    int64 // of its runs that are still part of a log; at most Bytes
	CreatorEpoch uint64
	CreatedAt    int64 // ms
	MaxTimestamp int64 // ms, of all its batches
}

// Tombstone is an object that left the log with a version and may be deleted when no reader needs an older one.
type Tombstone struct {
	Key     string
	Version uint64
}

// Encode returns the manifest's bytes. ErrInvalid if it breaks a rule: a key that is empty or too long, numbers that
// must not be negative.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("encode manifest of shard %d: %w", m.Shard, err)
	}
	e := manifestKind.encoder(64 + 80*(len(m.Objects)+len(m.Tombstones)))
	e.uint(uint64(m.Shard))
	e.uint(m.Epoch)
	e.uint(m.Version)
	e.uint(uint64(m.WALTrim))
	e.string(m.Checkpoint)
	e.count(len(m.Objects))
	var prev Object
	for _, o := range m.Objects {
		e.string(o.Key)
		e.uint(uint64(o.Level))
		e.uint(uint64(o.Bytes))
		e.uint(uint64(o.LiveBytes))
		e.uint(o.CreatorEpoch)
		e.int(o.CreatedAt - prev.CreatedAt)
		e.int(o.MaxTimestamp - o.CreatedAt)
		prev = o
	}
	e.count(len(m.Tombstones))
	for _, t := range m.Tombstones {
		e.string(t.Key)
		e.uint(t.Version)
	}
	e.uint(m.Incarnation)
	e.uint(m.FirstFrame)
	return seal(e.b), nil
}

// DecodeManifest is the inverse of Encode. Errors: *CorruptError, ErrVersion.
func DecodeManifest(b []byte) (*Manifest, error) {
	d, err := manifestKind.decoder(b)
	if err != nil {
		return nil, err
	}
	m := &Manifest{
		Shard:      int32(d.natural(math.MaxInt32)),
		Epoch:      d.uint(),
		Version:    d.uint(),
		WALTrim:    d.natural(math.MaxInt64),
		Checkpoint: d.string(MaxKeyBytes),
	}
	const minObject, minTombstone = 8, 3
	if n := d.count(minObject); n > 0 {
		m.Objects = make([]Object, n)
	}
	var prev Object
	for i := range m.Objects {
		o := Object{
			Key:          d.string(MaxKeyBytes),
			Level:        uint8(d.natural(math.MaxUint8)),
			Bytes:        d.natural(math.MaxInt64),
			LiveBytes:    d.natural(math.MaxInt64),
			CreatorEpoch: d.uint(),
		}
		o.CreatedAt = prev.CreatedAt + d.int()
		o.MaxTimestamp = o.CreatedAt + d.int()
		m.Objects[i], prev = o, o
	}
	if n := d.count(minTombstone); n > 0 {
		m.Tombstones = make([]Tombstone, n)
	}
	for i := range m.Tombstones {
		m.Tombstones[i] = Tombstone{Key: d.string(MaxKeyBytes), Version: d.uint()}
	}
	if d.version >= 2 {
		m.Incarnation, m.FirstFrame = d.uint(), d.uint()
	}
	if err := d.close(); err != nil {
		return nil, err
	}
	if err := m.validate(); err != nil {
		return nil, &CorruptError{Kind: manifestKind.name, Offset: headBytes, Reason: err.Error()}
	}
	return m, nil
}

func (m *Manifest) validate() error {
	if m.Shard < 0 || m.WALTrim < 0 || len(m.Checkpoint) > MaxKeyBytes {
		return fmt.Errorf("shard %d, position %d, checkpoint %q: %w", m.Shard, m.WALTrim, m.Checkpoint, ErrInvalid)
	}
	for i, o := range m.Objects {
		if !validKey(o.Key) || o.LiveBytes < 0 || o.LiveBytes > o.Bytes {
			return fmt.Errorf("object %d, key %q, %d bytes, %d live: %w", i, o.Key, o.Bytes, o.LiveBytes, ErrInvalid)
		}
	}
	for i, t := range m.Tombstones {
		if !validKey(t.Key) {
			return fmt.Errorf("tombstone %d, key %q: %w", i, t.Key, ErrInvalid)
		}
	}
	return nil
}

func validKey(k string) bool { return k != "" && len(k) <= MaxKeyBytes }
