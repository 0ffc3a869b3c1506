package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/weir-stream/weir/internal/kafka"
)

// Errors of decoding. Each wraps the code that fits it, though most peers that cause one get their connection closed.
var (
	// ErrMalformed: the bytes are no request of this key and version.
	ErrMalformed = fmt.Errorf("request is malformed: %w", kafka.InvalidRequest)
	// ErrUnknownRequest: there is no such key, or the version is newer than this package knows.
	ErrUnknownRequest = fmt.Errorf("request is not known: %w", kafka.UnsupportedVersion)
	// ErrRequestTooLarge: the request, or what it would take in memory, is over the limit.
	ErrRequestTooLarge = fmt.Errorf("request is too large: %w", kafka.InvalidRequest)
)

// Memory that the decoder takes for things whose size the wire does not tell.
const (
	stringHeaderBytes = 16
	tagBytes          = 64 // an unknown tag in its map, at the map's worst fill
	tagMapBytes       = 48
	nullableBytes     = 128
)

// MeasureRequest walks through the body of a request without decoding it, and returns the bytes of memory that decoding
// would take, rounded up, without the bytes of the body itself, into which decoded byte slices point. It checks
// every length and count against the bytes that are there and fails with ErrMalformed or ErrUnknownRequest; it
// allocates nothing. Bytes after the request are ignored, as Kafka does.
//
// The decoder of kmsg takes memory for whatever count an array announces if only that many bytes follow, about a
// hundred times the bytes, and runs through as many tags as a request claims to have, up to 2^32. Walking first makes
// both harmless.
func MeasureRequest(key, version int16, body []byte) (int64, error) {
	shapes := parsedShapes()
	if key < 0 || int(key) >= len(shapes) || version < 0 || version > requestShapes[key].newest {
		return 0, ErrUnknownRequest
	}
	w := walker{rest: body, version: version, flexible: version >= requestShapes[key].firstFlexible}
	w.memory = int64(requestShapes[key].structBytes)
	w.structure(shapes[key])
	if w.bad {
		return 0, ErrMalformed
	}
	return w.memory, nil
}

type walker struct {
	rest     []byte
	version  int16
	flexible bool
	bad      bool
	memory   int64
}

func (w *walker) fail() {
	w.bad, w.rest = true, nil
}

func (w *walker) skip(n int64) {
	if n < 0 || n > int64(len(w.rest)) {
		w.fail()
		return
	}
	w.rest = w.rest[n:]
}

func (w *walker) uvarint() uint32 {
	// At most five bytes, and no more than 32 bits.
	var v uint64
	for i := range min(len(w.rest), 5) {
		b := w.rest[i]
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if v > 1<<32-1 {
				break
			}
			w.rest = w.rest[i+1:]
			return uint32(v)
		}
	}
	w.fail()
	return 0
}

// length reads a length of the given plain width, or a compact one; -1 is null.
func (w *walker) length(width int) int64 {
	if w.flexible {
		// The decoder keeps the length in 32 bits, so the sum wraps there.
		return int64(w.uvarint()) - 1
	}
	if len(w.rest) < width {
		w.fail()
		return 0
	}
	var n int64
	if width == 2 {
		n = int64(int16(binary.BigEndian.Uint16(w.rest)))
	} else {
		n = int64(int32(binary.BigEndian.Uint32(w.rest)))
	}
	w.rest = w.rest[width:]
	return n
}

func (w *walker) structure(fields []field) {
	for i := range fields {
		f := &fields[i]
		if f.tag < 0 && f.first <= w.version && w.version <= f.last {
			w.field(f)
			if w.bad {
				return
			}
		}
	}
	if w.flexible {
		w.tags(fields)
	}
}

func (w *walker) field(f *field) {
	switch f.kind {
	case kindFixed:
		w.skip(int64(f.width))
	case kindString:
		n := w.length(2)
		w.memory += max(n, 0)
		w.skip(n)
	case kindNullableString:
		if n := w.length(2); n >= 0 {
			w.memory += n + stringHeaderBytes
			w.skip(n)
		}
	case kindBytes:
		// The decoder takes null for empty here.
		if n := w.length(4); n != -1 {
			w.skip(n)
		}
	case kindNullableBytes:
		if n := w.length(4); n >= 0 {
			w.skip(n)
		}
	case kindArray:
		w.array(f)
	case kindStruct:
		w.structure(f.parts)
	case kindNullableStruct:
		if len(w.rest) == 0 {
			w.fail()
			return
		}
		present := int8(w.rest[0]) != -1
		w.rest = w.rest[1:]
		if present {
			w.memory += nullableBytes
			w.structure(f.parts)
		}
	}
}

func (w *walker) array(f *field) {
	n := w.length(4)
	if n > int64(len(w.rest)) {
		w.fail()
		return
	}
	if n <= 0 {
		return
	}
	w.memory += n * int64(f.width)
	elem := &f.parts[0]
	if elem.kind == kindFixed {
		w.skip(n * int64(elem.width))
		return
	}
	for range n {
		w.field(elem)
		if w.bad {
			return
		}
	}
}

func (w *walker) tags(fields []field) {
	count := w.uvarint()
	unknown := int64(0)
	for range count {
		tag, size := w.uvarint(), w.uvarint()
		if w.bad || int64(size) > int64(len(w.rest)) {
			w.fail()
			return
		}
		known := false
		for i := range fields {
			if f := &fields[i]; f.tag >= 0 && uint32(f.tag) == tag {
				known = true
				inner := walker{rest: w.rest[:size], version: w.version, flexible: w.flexible}
				inner.field(f)
				w.memory += inner.memory
				if inner.bad {
					w.fail()
					return
				}
			}
		}
		if !known {
			unknown++
		}
		w.rest = w.rest[size:]
	}
	if unknown > 0 {
		w.memory += tagMapBytes + unknown*tagBytes
	}
}
