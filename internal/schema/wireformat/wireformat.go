// Package wireformat reads and writes what stands before a payload, or in a header beside it, and says by which schema it was
// written: the framing of Confluent's serializers.
//
//	in front of key or value      in the record header __key_schema_id or __value_schema_id
//	┌────┬─────────────┐          ┌────┬────────────────────┐
//	│ 00 │ id, 4 bytes │          │ 01 │ GUID, 16 bytes     │
//	└────┴─────────────┘          └────┴────────────────────┘
//	followed, if the schema is Protobuf, by the indexes of the message: their number and each of them as a zig-zag varint;
//	a lone 0 stands for [0], the first message of the file.
//
// Integers are big-endian. Readers take either form in either place, as Confluent's do; a header goes before what the payload
// begins with. Nothing is copied: slices that are returned share the memory of those given. Whether an id is known, and which
// format it is of, is for the caller to find out. Functions are pure and may be called from anywhere.
package wireformat

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
)

// Names of the record headers that hold the id of a schema when it does not stand in front of the bytes.
const (
	KeyHeader   = "__key_schema_id"
	ValueHeader = "__value_schema_id"
)

// What the bytes begin with, and how many there are of them.
const (
	magicNumber = 0
	magicGUID   = 1
	NumberBytes = 1 + 4
	GUIDBytes   = 1 + 16
)

// maxIndexes bounds the path to a message of a Protobuf file: no parser takes messages nested deeper.
const maxIndexes = 200

// ErrNotFramed is wrapped by errors about bytes that show no schema: records of who knows nothing of a registry.
var ErrNotFramed = errors.New("no schema id in front")

// ErrIndexes is wrapped by errors about message indexes that are cut short or impossible.
var ErrIndexes = errors.New("wrong message indexes")

// GUID names a schema by its content, the same in every registry. The zero GUID names none.
type GUID [16]byte

// String returns the usual form: 8-4-4-4-12 lower-case hexadecimal digits.
func (g GUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], g[0:4])
	hex.Encode(b[9:13], g[4:6])
	hex.Encode(b[14:18], g[6:8])
	hex.Encode(b[19:23], g[8:10])
	hex.Encode(b[24:36], g[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// ParseGUID reads what String returns; upper case is the same.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return g, fmt.Errorf("%q is no GUID such as 8bf2f0ab-1f4c-4e0c-9f4e-7a5d2c3b1a00", s)
	}
	digits := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	if _, err := hex.Decode(g[:], []byte(digits)); err != nil {
		return GUID{}, fmt.Errorf("%q is no GUID: %w", s, err)
	}
	return g, nil
}

// ID names a schema: by GUID if that is set, else by its number in the registry, 0 to 2^31-1.
type ID struct {
	Number int
	GUID   GUID
}

// ByGUID says whether the schema is named by its GUID.
func (id ID) ByGUID() bool { return id.GUID != GUID{} }

// String is for messages: "id 7" or "GUID 8bf2...".
func (id ID) String() string {
	if id.ByGUID() {
		return "GUID " + id.GUID.String()
	}
	return fmt.Sprintf("id %d", id.Number)
}

// Frame is a key or a value, taken apart.
type Frame struct {
	ID ID
	// Payload is what follows the id: all of the bytes if the id stood in a header. For Protobuf, Message returns it.
	Payload []byte

	headerTail []byte // what follows the id in the header
	inHeader   bool
}

// Parse takes key or value apart. Header is the last record header with the name KeyHeader or ValueHeader, nil if there is none;
// it goes before what data begins with. An error wraps ErrNotFramed.
func Parse(header, data []byte) (Frame, error) {
	if header != nil {
		id, tail, err := readID(header)
		if err != nil {
			return Frame{}, fmt.Errorf("header: %w", err)
		}
		return Frame{ID: id, Payload: data, headerTail: tail, inHeader: true}, nil
	}
	id, payload, err := readID(data)
	return Frame{ID: id, Payload: payload}, err
}

// Message reads the indexes of the message, which only Protobuf has, and the payload behind them. Nil stands for the first
// message, so that the usual case allocates nothing. An error wraps ErrIndexes.
func (f Frame) Message() (at []int, payload []byte, err error) {
	if f.inHeader {
		at, _, err = ReadIndexes(f.headerTail)
		return at, f.Payload, err
	}
	return ReadIndexes(f.Payload)
}

func readID(b []byte) (ID, []byte, error) {
	switch {
	case len(b) == 0:
		return ID{}, nil, fmt.Errorf("%w: there are no bytes", ErrNotFramed)
	case b[0] == magicNumber && len(b) >= NumberBytes:
		n := binary.BigEndian.Uint32(b[1:])
		if n > math.MaxInt32 {
			return ID{}, nil, fmt.Errorf("%w: id %d is out of range", ErrNotFramed, n)
		}
		return ID{Number: int(n)}, b[NumberBytes:], nil
	case b[0] == magicGUID && len(b) >= GUIDBytes:
		id := ID{GUID: GUID(b[1:GUIDBytes])}
		if !id.ByGUID() {
			return ID{}, nil, fmt.Errorf("%w: the GUID is zero", ErrNotFramed)
		}
		return id, b[GUIDBytes:], nil
	case b[0] == magicNumber || b[0] == magicGUID:
		return ID{}, nil, fmt.Errorf("%w: %d bytes are too few", ErrNotFramed, len(b))
	}
	return ID{}, nil, fmt.Errorf("%w: they begin with 0x%02x", ErrNotFramed, b[0])
}

// Append appends the id as it stands in front of a payload or in a header, to dst: five bytes for a number, 17 for a GUID.
// A number that is out of range is a mistake of the caller and panics.
func Append(dst []byte, id ID) []byte {
	if id.ByGUID() {
		return append(append(dst, magicGUID), id.GUID[:]...)
	}
	if id.Number < 0 || id.Number > math.MaxInt32 {
		panic(fmt.Sprintf("wireformat: id %d is out of range", id.Number))
	}
	return binary.BigEndian.AppendUint32(append(dst, magicNumber), uint32(id.Number))
}

// AppendIndexes appends the indexes of a Protobuf message to dst; nil and [0] are the first of the file.
func AppendIndexes(dst []byte, at []int) []byte {
	if len(at) == 0 || len(at) == 1 && at[0] == 0 {
		return append(dst, 0)
	}
	dst = binary.AppendVarint(dst, int64(len(at)))
	for _, i := range at {
		dst = binary.AppendVarint(dst, int64(i))
	}
	return dst
}

// ReadIndexes reads what AppendIndexes wrote, and returns what follows it. Nil stands for the first message. An error wraps
// ErrIndexes.
func ReadIndexes(b []byte) (at []int, rest []byte, err error) {
	count, n := binary.Varint(b)
	if n <= 0 {
		return nil, nil, fmt.Errorf("%w: their number is cut short", ErrIndexes)
	}
	rest = b[n:]
	switch {
	case count == 0:
		return nil, rest, nil
	case count < 0 || count > maxIndexes || count > int64(len(rest)):
		return nil, nil, fmt.Errorf("%w: %d of them in %d bytes", ErrIndexes, count, len(rest))
	}
	at = make([]int, count)
	for i := range at {
		v, n := binary.Varint(rest)
		if n <= 0 || v < 0 || v > math.MaxInt32 {
			return nil, nil, fmt.Errorf("%w: index %d of %d", ErrIndexes, i+1, count)
		}
		at[i], rest = int(v), rest[n:]
	}
	if count == 1 && at[0] == 0 {
		at = nil
	}
	return at, rest, nil
}
