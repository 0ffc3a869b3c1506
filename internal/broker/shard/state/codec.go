package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
)

// ErrVersion tells that the object is intact but of a format that this program does not know.
var ErrVersion = errors.New("unknown format version")

// ErrInvalid tells that a struct to encode breaks a rule of its format.
var ErrInvalid = errors.New("invalid state")

// CorruptError tells that bytes are not what Encode made. The caller adds the object's key.
type CorruptError struct {
	Kind   string // "manifest" or "checkpoint"
	Offset int    // in the object, where decoding stopped
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt at byte %d: %s", e.Kind, e.Offset, e.Reason)
}

// Both kinds: magic 8, version 2, zero 2, body, CRC-32C of all before it 4.
const (
	headBytes = 12
	tailBytes = 4
)

// kind is one of the two formats. It is written in version, and read from version 1 on.
type kind struct {
	name    string
	magic   [8]byte
	version uint16
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal puts the checksum under an encoded object.
func seal(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// encoder appends the parts of a body.
type encoder struct{ b []byte }

func (k kind) encoder(sizeHint int) encoder {
	b := append(make([]byte, 0, sizeHint), k.magic[:]...)
	b = binary.BigEndian.AppendUint16(b, k.version)
	return encoder{b: append(b, 0, 0)}
}

func (e *encoder) uint(x uint64) {
	if x < 0x80 {
		e.b = append(e.b, byte(x))
		return
	}
	e.b = binary.AppendUvarint(e.b, x)
}

func (e *encoder) int(x int64)    { e.uint(uint64(x)<<1 ^ uint64(x>>63)) }
func (e *encoder) count(n int)    { e.uint(uint64(n)) }
func (e *encoder) crc(x uint32)   { e.b = binary.BigEndian.AppendUint32(e.b, x) }
func (e *encoder) bytes(p []byte) { e.b = append(e.b, p...) }

func (e *encoder) flag(set bool) {
	if set {
		e.uint(1)
	} else {
		e.uint(0)
	}
}

func (e *encoder) string(s string) {
	e.count(len(s))
	e.b = append(e.b, s...)
}

// decoder reads the parts of a body. The first fault sticks: what is read later is zero.
type decoder struct {
	kind    kind
	version uint16 // of the object: the kind's or an older one
	b       []byte // body and what is before it
	off     int
	err     error
}

// decoder checks the envelope of an object.
func (k kind) decoder(b []byte) (*decoder, error) {
	if len(b) < headBytes+tailBytes {
		return nil, &CorruptError{Kind: k.name, Offset: len(b), Reason: "too short"}
	}
	end := len(b) - tailBytes
	if crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return nil, &CorruptError{Kind: k.name, Offset: end, Reason: "checksum does not match"}
	}
	if [8]byte(b) != k.magic {
		return nil, &CorruptError{Kind: k.name, Reason: "magic does not match"}
	}
	v := binary.BigEndian.Uint16(b[8:])
	if v < 1 || v > k.version {
		return nil, fmt.Errorf("%s of version %d, known is %d: %w", k.name, v, k.version, ErrVersion)
	}
	if b[10] != 0 || b[11] != 0 {
		return nil, &CorruptError{Kind: k.name, Offset: 10, Reason: "reserved bytes are set"}
	}
	return &decoder{kind: k, version: v, b: b[:end], off: headBytes}, nil
}

// close tells whether all was read without fault.
func (d *decoder) close() error {
	if d.err == nil && d.off != len(d.b) {
		d.fail("bytes after the end")
	}
	return d.err
}

func (d *decoder) fail(reason string) {
	if d.err == nil {
		d.err = &CorruptError{Kind: d.kind.name, Offset: d.off, Reason: reason}
	}
	d.off = len(d.b)
}

func (d *decoder) left() int { return len(d.b) - d.off }

// uint reads a varint in its shortest form; longer ones are refused, so that one content has one encoding.
func (d *decoder) uint() uint64 {
	if d.off < len(d.b) && d.b[d.off] < 0x80 {
		d.off++
		return uint64(d.b[d.off-1])
	}
	x, n := binary.Uvarint(d.b[d.off:])
	if n <= 0 || n > 1 && d.b[d.off+n-1] == 0 {
		d.fail("malformed varint")
		return 0
	}
	d.off += n
	return x
}

func (d *decoder) int() int64 {
	x := d.uint()
	return int64(x>>1) ^ -int64(x&1)
}

// natural reads an unsigned number that must be at most most.
func (d *decoder) natural(most int64) int64 {
	x := d.uint()
	if x > uint64(most) {
		d.fail("number is out of range")
		return 0
	}
	return int64(x)
}

// small reads a zigzag number that must lie in [-1, most].
func (d *decoder) small(most int64) int64 {
	x := d.int()
	if x < -1 || x > most {
		d.fail("number is out of range")
		return 0
	}
	return x
}

// count reads the length of a list whose items take at least itemBytes each.
func (d *decoder) count(itemBytes int) int {
	n := d.uint()
	if n > uint64(d.left()/itemBytes) {
		d.fail("list is longer than the object")
		return 0
	}
	return int(n)
}

func (d *decoder) take(n int) []byte {
	if n > d.left() {
		d.fail("object ends early")
		return nil
	}
	d.off += n
	return d.b[d.off-n : d.off]
}

func (d *decoder) crc() uint32 {
	if p := d.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (d *decoder) string(most int) string {
	n := d.count(1)
	if n > most {
		d.fail("string is too long")
		return ""
	}
	return string(d.take(n))
}

// end adds a length to a start, both natural.
func (d *decoder) end(start, length int64) int64 {
	sum, carry := bits.Add64(uint64(start), uint64(length), 0)
	if carry != 0 || sum > math.MaxInt64 {
		d.fail("number is out of range")
		return 0
	}
	return int64(sum)
}

// arena hands out the slices of many lists from one array.
type arena[T any] struct{ free []T }

// take returns n items, nil for none. The array was made for the sum of all lists; a list that does not fit is a lie.
func (a *arena[T]) take(d *decoder, n int) []T {
	if n == 0 {
		return nil
	}
	if n > len(a.free) {
		d.fail("lists are longer than their sum")
		return nil
	}
	p := a.free[:n:n]
	a.free = a.free[n:]
	return p
}
