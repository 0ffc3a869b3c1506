package avro

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/weir-stream/weir/internal/schema"
)

// Bounds of what a payload may make of itself: values that take no byte, or hardly any, could be claimed by the billion.
const (
	freeValues    = 1 << 16
	valuesPerByte = 16
)

var (
	errShort = errors.New("the bytes end too early")
	errDepth = fmt.Errorf("values are nested deeper than %d", schema.MaxDepth)
	errMany  = errors.New("more values than bytes could hold")
)

// reader takes values from a payload. It never reads past its end, and allocates no more than what it has read justifies.
type reader struct {
	in    []byte
	depth int
	left  int // values that may still come
}

func newReader(payload []byte) *reader {
	return &reader{in: payload, left: freeValues + valuesPerByte*len(payload)}
}

func (r *reader) enter() error {
	if r.depth++; r.depth > schema.MaxDepth {
		return errDepth
	}
	return nil
}

func (r *reader) count() error {
	if r.left--; r.left < 0 {
		return errMany
	}
	return nil
}

func (r *reader) take(n int) ([]byte, error) {
	if n > len(r.in) {
		return nil, errShort
	}
	b := r.in[:n]
	r.in = r.in[n:]
	return b, nil
}

func (r *reader) long() (int64, error) {
	v, n := binary.Varint(r.in)
	if n == 0 {
		return 0, errShort
	}
	if n < 0 {
		return 0, errors.New("a number is longer than 64 bits")
	}
	r.in = r.in[n:]
	return v, nil
}

func (r *reader) int() (int64, error) {
	v, err := r.long()
	if err == nil && (v < math.MinInt32 || v > math.MaxInt32) {
		return 0, fmt.Errorf("%d is out of the range of an int", v)
	}
	return v, err
}

func (r *reader) bool() (bool, error) {
	b, err := r.take(1)
	if err != nil {
		return false, err
	}
	if b[0] > 1 {
		return false, fmt.Errorf("0x%02x is no boolean", b[0])
	}
	return b[0] == 1, nil
}

// bytes reads a length and as many bytes. They share the payload's memory.
func (r *reader) bytes() ([]byte, error) {
	n, err := r.long()
	if err != nil {
		return nil, err
	}
	if n < 0 || n > int64(len(r.in)) {
		return nil, fmt.Errorf("a length of %d with %d bytes left", n, len(r.in))
	}
	return r.take(int(n))
}

func (r *reader) float(t *typ) (float64, error) {
	if t.kind == kFloat {
		b, err := r.take(4)
		if err != nil {
			return 0, err
		}
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), nil
	}
	b, err := r.take(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
}

// branch reads which branch of a union follows.
func (r *reader) branch(t *typ) (*typ, error) {
	i, err := r.long()
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= int64(len(t.branches)) {
		return nil, fmt.Errorf("branch %d of a union with %d", i, len(t.branches))
	}
	return t.branches[i], nil
}

func (r *reader) symbol(t *typ) (string, error) {
	i, err := r.int()
	if err != nil {
		return "", err
	}
	if i < 0 || i >= int64(len(t.symbols)) {
		return "", fmt.Errorf("symbol %d of enum %s with %d", i, t.name, len(t.symbols))
	}
	return t.symbols[i], nil
}

// block reads how many items follow, 0 at the end. Items are those of an array, or the entries of a map.
func (r *reader) block(t *typ) (int, error) {
	n, err := r.long()
	if err != nil {
		return 0, err
	}
	if n < 0 {
		size, err := r.long()
		if err != nil {
			return 0, err
		}
		if n == math.MinInt64 || size < 0 || size > int64(len(r.in)) {
			return 0, fmt.Errorf("a block of %d bytes with %d left", size, len(r.in))
		}
		n = -n
	}
	least := int64(t.items.minBytes)
	if t.kind == kMap {
		least++
	}
	if least > 0 && n > int64(len(r.in))/least || least == 0 && n > int64(r.left) {
		return 0, fmt.Errorf("%d items with %d bytes left", n, len(r.in))
	}
	return int(n), nil
}

// decode reads one value and builds it.
func (r *reader) decode(t *typ) (any, error) {
	if err := r.count(); err != nil {
		return nil, err
	}
	switch t.kind {
	case kNull:
		return nil, nil
	case kBoolean:
		return r.bool()
	case kInt:
		return r.int()
	case kLong:
		return r.long()
	case kFloat, kDouble:
		return r.float(t)
	case kString:
		b, err := r.bytes()
		return string(b), err
	case kBytes, kFixed:
		b, err := r.opaque(t)
		return append(make([]byte, 0, len(b)), b...), err
	case kEnum:
		return r.symbol(t)
	}
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer func() { r.depth-- }()
	switch t.kind {
	case kRecord:
		return r.record(t)
	case kArray:
		return r.array(t)
	case kMap:
		return r.mapping(t)
	}
	b, err := r.branch(t)
	if err != nil {
		return nil, err
	}
	return r.decode(b)
}

func (r *reader) opaque(t *typ) ([]byte, error) {
	if t.kind == kFixed {
		return r.take(t.size)
	}
	return r.bytes()
}

func (r *reader) record(t *typ) (any, error) {
	out := make(map[string]any, min(len(t.fields), 1+len(r.in)))
	for _, f := range t.fields {
		v, err := r.decode(f.typ)
		if err != nil {
			return nil, inside(f.name, err)
		}
		out[f.name] = v
	}
	return out, nil
}

func (r *reader) array(t *typ) (any, error) {
	out := []any{}
	for {
		n, err := r.block(t)
		if n == 0 || err != nil {
			return out, err
		}
		for range n {
			v, err := r.decode(t.items)
			if err != nil {
				return nil, inside(fmt.Sprint(len(out)), err)
			}
			out = append(out, v)
		}
	}
}

func (r *reader) mapping(t *typ) (any, error) {
	out := map[string]any{}
	for {
		n, err := r.block(t)
		if n == 0 || err != nil {
			return out, err
		}
		for range n {
			key, err := r.bytes()
			if err != nil {
				return nil, err
			}
			v, err := r.decode(t.items)
			if err != nil {
				return nil, inside(string(key), err)
			}
			out[string(key)] = v
		}
	}
}

// skip passes over one value and builds nothing.
func (r *reader) skip(t *typ) error {
	if err := r.count(); err != nil {
		return err
	}
	var err error
	switch t.kind {
	case kNull:
		return nil
	case kBoolean:
		_, err = r.bool()
		return err
	case kInt:
		_, err = r.int()
		return err
	case kLong:
		_, err = r.long()
		return err
	case kFloat, kDouble:
		_, err = r.take(t.minBytes)
		return err
	case kString, kBytes:
		_, err = r.bytes()
		return err
	case kFixed:
		_, err = r.take(t.size)
		return err
	case kEnum:
		_, err = r.symbol(t)
		return err
	}
	if err := r.enter(); err != nil {
		return err
	}
	defer func() { r.depth-- }()
	switch t.kind {
	case kRecord:
		for _, f := range t.fields {
			if err := r.skip(f.typ); err != nil {
				return inside(f.name, err)
			}
		}
		return nil
	case kArray, kMap:
		return r.skipItems(t)
	}
	b, err := r.branch(t)
	if err != nil {
		return err
	}
	return r.skip(b)
}

func (r *reader) skipItems(t *typ) error {
	for at := 0; ; {
		n, err := r.block(t)
		if n == 0 || err != nil {
			return err
		}
		if k := t.items.kind; t.kind == kArray && (k == kFloat || k == kDouble) {
			if _, err = r.take(n * t.items.minBytes); err != nil {
				return err
			}
			continue
		}
		for range n {
			if t.kind == kMap {
				if _, err := r.bytes(); err != nil {
					return err
				}
			}
			if err := r.skip(t.items); err != nil {
				return inside(fmt.Sprint(at), err)
			}
			at++
		}
	}
}

// end is an error if bytes are left.
func (r *reader) end() error {
	if len(r.in) > 0 {
		return fmt.Errorf("%d bytes too many", len(r.in))
	}
	return nil
}

// placed is an error with the names of the fields that lead to it.
type placed struct {
	path string
	err  error
}

func (e *placed) Error() string { return e.path + ": " + e.err.Error() }
func (e *placed) Unwrap() error { return e.err }

// inside puts a name in front of the path of an error.
func inside(name string, err error) error {
	if e, ok := err.(*placed); ok { //nolint:errorlint // only what inside itself has made and nothing has wrapped
		if len(e.path) < 500 {
			e.path = shorten(name) + "." + e.path
		}
		return e
	}
	return &placed{shorten(name), err}
}
