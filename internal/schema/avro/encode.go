package avro

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

const (
	// maxPayloadBytes bounds what a small value could grow to by large defaults.
	maxPayloadBytes = 256 << 20
	// freeSteps and stepsPerValue bound the work on a value: where unions meet unions, there may be many ways to try.
	freeSteps     = 1 << 17
	stepsPerValue = 8
)

var errSteps = errors.New("there are too many ways to read it")

var errGrown = fmt.Errorf("the payload grows beyond %d bytes", maxPayloadBytes)

// encoder writes values of the plain model.
type encoder struct {
	out   []byte
	depth int
	left  int // steps

	filler *filler // while defaults are made, nil else
}

func (e *encoder) varint(v int64)  { e.out = binary.AppendVarint(e.out, v) }
func (e *encoder) string(s string) { e.varint(int64(len(s))); e.out = append(e.out, s...) }
func (e *encoder) opaque(b []byte) { e.varint(int64(len(b))); e.out = append(e.out, b...) }
func (e *encoder) float32(f float64) {
	e.out = binary.LittleEndian.AppendUint32(e.out, math.Float32bits(float32(f)))
}

func (e *encoder) float64(f float64) {
	e.out = binary.LittleEndian.AppendUint64(e.out, math.Float64bits(f))
}

func (e *encoder) bool(b bool) {
	if b {
		e.out = append(e.out, 1)
	} else {
		e.out = append(e.out, 0)
	}
}

func (e *encoder) enter() error {
	if e.depth++; e.depth > schema.MaxDepth {
		return errDepth
	}
	if len(e.out) > maxPayloadBytes {
		return errGrown
	}
	return nil
}

// integer returns a value that is a whole number, however it is kept.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case uint64:
		return int64(v), v <= math.MaxInt64 //nolint:gosec // the range is the second result
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) <= 1<<53
	}
	return 0, false
}

// number returns a value that is a number.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case uint64:
		return float64(v), true
	}
	i, ok := integer(v)
	return float64(i), ok
}

func wrong(t *typ, v any) error {
	return fmt.Errorf("want %s, got %s", t.branchName(), describe(v))
}

// describe names a value and its sort, in a message.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("the string %q", shorten(v))
	case []byte:
		return fmt.Sprintf("%d bytes", len(v))
	case []any:
		return fmt.Sprintf("an array of %d", len(v))
	case map[string]any:
		return fmt.Sprintf("an object with %d members", len(v))
	case bool, int, int64, uint64, float64:
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("a Go %T", v)
}

// sizeOf counts the values within a value, no deeper than is encoded.
func sizeOf(v any, depth int) int {
	n := 1
	if depth > schema.MaxDepth {
		return n
	}
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			n += sizeOf(x, depth+1)
		}
	case map[string]any:
		for _, x := range v {
			n += sizeOf(x, depth+1)
		}
	}
	return n
}

// encode appends v.
func (e *encoder) encode(t *typ, v any) error {
	if e.left--; e.left < 0 {
		return errSteps
	}
	switch t.kind {
	case kNull, kBoolean, kString, kBytes, kEnum, kFixed:
		return e.simple(t, v)
	case kInt, kLong:
		i, ok := integer(v)
		if !ok {
			return wrong(t, v)
		}
		if t.kind == kInt && (i < math.MinInt32 || i > math.MaxInt32) {
			return fmt.Errorf("%d is out of the range of an int", i)
		}
		e.varint(i)
		return nil
	case kFloat, kDouble:
		f, ok := number(v)
		switch {
		case !ok:
			return wrong(t, v)
		case t.kind == kFloat:
			e.float32(f)
		default:
			e.float64(f)
		}
		return nil
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer func() { e.depth-- }()
	switch t.kind {
	case kRecord:
		return e.record(t, v)
	case kArray:
		return e.array(t, v)
	case kMap:
		return e.mapping(t, v)
	}
	return e.union(t, v)
}

func (e *encoder) simple(t *typ, v any) error {
	switch x := v.(type) {
	case nil:
		if t.kind == kNull {
			return nil
		}
	case bool:
		if t.kind == kBoolean {
			e.bool(x)
			return nil
		}
	case string:
		if t.kind == kString {
			e.string(x)
			return nil
		}
		if t.kind == kEnum {
			i, ok := t.symbolSet[x]
			if !ok {
				return fmt.Errorf("%q is no symbol of enum %s", shorten(x), t.name)
			}
			e.varint(int64(i))
			return nil
		}
	case []byte:
		if t.kind == kBytes {
			e.opaque(x)
			return nil
		}
		if t.kind == kFixed {
			if len(x) != t.size {
				return fmt.Errorf("%s has %d bytes, got %d", t.name, t.size, len(x))
			}
			e.out = append(e.out, x...)
			return nil
		}
	}
	return wrong(t, v)
}

func (e *encoder) record(t *typ, v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return wrong(t, v)
	}
	known := 0
	for _, f := range t.fields {
		x, given := m[f.name]
		var err error
		switch {
		case given:
			known++
			err = e.encode(f.typ, x)
		case f.def != nil:
			err = e.defaultValue(f)
		default:
			err = errors.New("is missing, and has no default")
		}
		if err != nil {
			return inside(f.name, err)
		}
	}
	if known < len(m) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if _, ok := t.fieldIndex[name]; !ok {
				return fmt.Errorf("%s has no field %q", t.name, shorten(name))
			}
		}
	}
	return nil
}

func (e *encoder) array(t *typ, v any) error {
	list, ok := v.([]any)
	if !ok {
		return wrong(t, v)
	}
	if len(list) > 0 {
		e.varint(int64(len(list)))
		for i, x := range list {
			if err := e.encode(t.items, x); err != nil {
				return inside(fmt.Sprint(i), err)
			}
		}
	}
	e.varint(0)
	return nil
}

func (e *encoder) mapping(t *typ, v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return wrong(t, v)
	}
	if len(m) > 0 {
		e.varint(int64(len(m)))
		for _, key := range slices.Sorted(maps.Keys(m)) {
			e.string(key)
			if err := e.encode(t.items, m[key]); err != nil {
				return inside(key, err)
			}
		}
	}
	e.varint(0)
	return nil
}

// union writes a value as the first branch that takes it: whole numbers rather as int or long than as float or double, the others
// in the order of the schema. A value in the form of Avro's JSON, an object whose only member is the name of a branch, is taken
// too if no branch takes it as it is.
func (e *encoder) union(t *typ, v any) error {
	var failed error // of the last branch that might have been meant
	try := func(i int, v any) bool {
		from := len(e.out)
		e.varint(int64(i))
		err := e.encode(t.branches[i], v)
		if err == nil {
			return true
		}
		e.out = e.out[:from]
		if compatible(t.branches[i], v) {
			failed = fmt.Errorf("as %s: %w", t.branches[i].branchName(), err)
		}
		return false
	}
	for _, exact := range []bool{true, false} {
		for i, b := range t.branches {
			if compatible(b, v) && natural(b, v) == exact && try(i, v) {
				return nil
			}
		}
	}
	if m, ok := v.(map[string]any); ok && len(m) == 1 {
		for name, inner := range m {
			if i := slices.IndexFunc(t.branches, func(b *typ) bool { return b.branchName() == name }); i >= 0 && try(i, inner) {
				return nil
			}
		}
	}
	if failed == nil {
		return wrong(t, v)
	}
	return failed
}

// compatible tells whether a value is of a sort that a type takes, without looking into it.
func compatible(t *typ, v any) bool {
	switch v.(type) {
	case nil:
		return t.kind == kNull
	case bool:
		return t.kind == kBoolean
	case string:
		return t.kind == kString || t.kind == kEnum
	case []byte:
		return t.kind == kBytes || t.kind == kFixed
	case []any:
		return t.kind == kArray
	case map[string]any:
		return t.kind == kMap || t.kind == kRecord
	}
	return t.kind >= kInt && t.kind <= kDouble
}

// natural tells whether a value is of the very sort that decoding a type gives.
func natural(t *typ, v any) bool {
	switch v := v.(type) {
	case float64:
		return t.kind == kDouble || t.kind == kFloat && (float64(float32(v)) == v || math.IsNaN(v))
	case int, int64, uint64:
		return t.kind == kInt || t.kind == kLong
	case string:
		_, known := t.symbolSet[v]
		return t.kind == kString || known
	}
	return true
}

// latin1 turns a string whose characters stand for bytes into these.
func latin1(s string) ([]byte, error) {
	if !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) {
		return []byte(s), nil
	}
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return nil, fmt.Errorf("%q stands for no byte: characters go up to U+00FF", r)
		}
		out = append(out, byte(r))
	}
	return out, nil
}
