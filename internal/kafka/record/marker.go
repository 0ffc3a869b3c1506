package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Marker is the record of a control batch that ends a transaction (KIP-98).
type Marker struct {
	Commit           bool
	CoordinatorEpoch int32
}

// Kinds of control records, as the key of a control record names them.
const (
	controlAbort  = 0
	controlCommit = 1
)

// ErrNotMarker is returned by ParseMarker for a control batch of another kind.
var ErrNotMarker = errors.New("control batch is not the end of a transaction")

// BuildMarker returns the control batch that ends the transaction of p, stamped ts in ms. The sequence of p is not used.
func BuildMarker(ts int64, p Producer, m Marker) []byte {
	// Key: int16 version, int16 kind. Value: int16 version, int32 epoch of the coordinator.
	key, value := make([]byte, 4), make([]byte, 6)
	binary.BigEndian.PutUint16(key[2:], controlAbort)
	if m.Commit {
		binary.BigEndian.PutUint16(key[2:], controlCommit)
	}
	binary.BigEndian.PutUint32(value[2:], uint32(m.CoordinatorEpoch))
	b := NewBuilder(None, 0)
	b.Append(ts, key, value, nil)
	p.Sequence = -1
	return b.Build(BuildOptions{Producer: &p, Transactional: true, Control: true})
}

// ParseMarker reads the marker of a control batch.
func ParseMarker(batch []byte) (Marker, error) {
	it, err := NewIterator(batch, markerBytesMax)
	if err != nil {
		return Marker{}, err
	}
	defer it.Close()
	r, ok := it.Next()
	if !ok {
		return Marker{}, fmt.Errorf("control batch without a record: %w", errors.Join(ErrNotMarker, it.Err()))
	}
	if len(r.Key) < 4 {
		return Marker{}, fmt.Errorf("key of a control record has %d bytes: %w", len(r.Key), ErrNotMarker)
	}
	kind := binary.BigEndian.Uint16(r.Key[2:])
	if kind > controlCommit {
		return Marker{}, fmt.Errorf("kind %d: %w", kind, ErrNotMarker)
	}
	if len(r.Value) < 6 {
		return Marker{}, fmt.Errorf("value of a control record has %d bytes: %w", len(r.Value), ErrNotMarker)
	}
	return Marker{Commit: kind == controlCommit, CoordinatorEpoch: int32(binary.BigEndian.Uint32(r.Value[2:]))}, nil
}

// markerBytesMax bounds what a control batch may expand to.
const markerBytesMax = 4 << 10
