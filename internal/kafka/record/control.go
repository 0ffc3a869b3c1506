package record

import (
	"encoding/binary"
	"fmt"
)

// ControlType is the kind of a control record, as its key says. Others than these mean nothing to a transaction.
type ControlType int16

// The kinds that end a transaction (KIP-98).
const (
	ControlAbort  ControlType = 0
	ControlCommit ControlType = 1
)

// EndTransaction is the one record of a transaction marker.
type EndTransaction struct {
	Type             ControlType
	CoordinatorEpoch int32
}

// Sizes of a control record's key (version, type), and of the value of a transaction marker (version, coordinator epoch).
const (
	controlKeyBytes   = 4
	controlValueBytes = 6
)

// BuildEndTransaction returns the control batch that ends a transaction of p, stamped ts, in ms since 1970. The bytes are those
// of Kafka's marker; the sequence of p does not matter.
func BuildEndTransaction(ts int64, p Producer, e EndTransaction) []byte {
	var key [controlKeyBytes]byte
	binary.BigEndian.PutUint16(key[2:], uint16(e.Type))
	var value [controlValueBytes]byte
	binary.BigEndian.PutUint32(value[2:], uint32(e.CoordinatorEpoch))
	b := NewBuilder(None, 0)
	b.Append(ts, key[:], value[:], nil)
	p.Sequence = -1
	return b.Build(BuildOptions{Producer: &p, Transactional: true, Control: true})
}

// ParseControl returns what the first record of a control batch says. A record that ends no transaction has no epoch. Versions
// after ours are read as ours, which they only add to. It fails with ErrTruncated, ErrBadMagic or ErrInvalid.
func ParseControl(batch []byte) (EndTransaction, error) {
	it, err := NewIterator(batch, len(batch))
	if err != nil {
		return EndTransaction{}, err
	}
	defer it.Close()
	r, ok := it.Next()
	if !ok {
		return EndTransaction{}, fmt.Errorf("control batch without a record: %w", ErrInvalid)
	}
	if len(r.Key) < controlKeyBytes {
		return EndTransaction{}, fmt.Errorf("control record with a key of %d bytes: %w", len(r.Key), ErrInvalid)
	}
	e := EndTransaction{Type: ControlType(binary.BigEndian.Uint16(r.Key[2:]))}
	if e.Type != ControlAbort && e.Type != ControlCommit {
		return e, nil
	}
	if len(r.Value) < controlValueBytes {
		return EndTransaction{}, fmt.Errorf("transaction marker with a value of %d bytes: %w", len(r.Value), ErrInvalid)
	}
	e.CoordinatorEpoch = int32(binary.BigEndian.Uint32(r.Value[2:]))
	return e, nil
}
