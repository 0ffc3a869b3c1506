package meta

import (
	"encoding/binary"
	"fmt"
	"math"
)

// envelopeVersion is the first byte of every value on disk. After it come the revision of the last change
// and the lease, as varints, and the value itself to the end. Pebble guards all of it by checksums.
const envelopeVersion = 1

func appendRecord(b []byte, r record) []byte {
	b = append(b, envelopeVersion)
	b = binary.AppendUvarint(b, uint64(r.revision))
	b = binary.AppendUvarint(b, uint64(r.lease))
	return append(b, r.value...)
}

// parseRecord reads what appendRecord wrote. The value is a part of b.
func parseRecord(b []byte) (record, error) {
	if len(b) == 0 || b[0] != envelopeVersion {
		return record{}, fmt.Errorf("value of %d bytes without version %d: %w", len(b), envelopeVersion, ErrCorrupt)
	}
	b = b[1:]
	var fields [2]int64
	for i := range fields {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > math.MaxInt64 {
			return record{}, fmt.Errorf("value with a bad number: %w", ErrCorrupt)
		}
		fields[i], b = int64(v), b[n:]
	}
	if fields[0] == 0 {
		return record{}, fmt.Errorf("value without a revision: %w", ErrCorrupt)
	}
	return record{revision: fields[0], lease: fields[1], value: b}, nil
}
