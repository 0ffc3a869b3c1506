package protobuf

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/weir-stream/weir/internal/schema"
)

// Encode writes a map[string]any. Keys are names of fields, or their JSON names; nil stands for unset. Whole numbers may come as any Go
// number that holds them, enums as symbol or number. The same value makes the same bytes: fields by number, keys of maps sorted.
func (s *Schema) Encode(value any, at []int) ([]byte, error) {
	m, err := s.root(at)
	if err != nil {
		return nil, err
	}
	b, err := appendMessage(nil, m, value, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", schema.ErrPayload, m.name, err)
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

func appendMessage(b []byte, m *message, value any, depth int) ([]byte, error) {
	if depth > schema.MaxDepth {
		return nil, errTooDeep
	}
	v, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%T is no message", value)
	}
	type set struct {
		f *field
		v any
	}
	fields := make([]set, 0, len(v))
	for name, inner := range v {
		f := m.byName[name]
		if f == nil {
			return nil, fmt.Errorf("there is no field %q", name)
		}
		if inner != nil {
			fields = append(fields, set{f, inner})
		}
	}
	slices.SortFunc(fields, func(x, y set) int { return cmp.Compare(x.f.number, y.f.number) })
	oneofs := map[string]string{}
	var err error
	for i, s := range fields {
		if i > 0 && fields[i-1].f == s.f {
			return nil, fmt.Errorf("field %s is there by two names", s.f.key)
		}
		if s.f.oneof != "" {
			if other, taken := oneofs[s.f.oneof]; taken {
				return nil, fmt.Errorf("%s and %s are both set, of which oneof %s has room for one", other, s.f.key, s.f.oneof)
			}
			oneofs[s.f.oneof] = s.f.key
		}
		if b, err = appendField(b, s.f, s.v, depth); err != nil {
			return nil, fmt.Errorf("%s: %w", s.f.key, err)
		}
	}
	for _, f := range m.fields {
		if f.required && !slices.ContainsFunc(fields, func(s set) bool { return s.f == f }) {
			return nil, fmt.Errorf("the required field %s is missing", f.key)
		}
	}
	return b, nil
}

// appendField writes a field with its tag: nothing if it has no presence and is zero.
func appendField(b []byte, f *field, v any, depth int) ([]byte, error) {
	switch {
	case f.mapKey != nil:
		return appendMap(b, f, v, depth)
	case f.list:
		list, ok := v.([]any)
		if !ok {
			return nil, fmt.Errorf("%T is no list", v)
		}
		if f.packed && len(list) > 0 {
			return appendPacked(b, f, list)
		}
		var err error
		for i, e := range list {
			if b, err = appendOne(b, f, e, depth); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return b, nil
	case !f.presence:
		raw, err := appendScalar(nil, f, v)
		if err != nil {
			return nil, err
		}
		if isZero(raw) {
			return b, nil
		}
		return append(protowire.AppendTag(b, f.number, wireType(f.kind)), raw...), nil
	default:
		return appendOne(b, f, v, depth)
	}
}

// isZero says whether bytes are those of a zero: a varint 0, a length 0, or a fixed number with no bit set.
func isZero(raw []byte) bool {
	for _, c := range raw {
		if c != 0 {
			return false
		}
	}
	return true
}

// appendOne writes a single value with its tag.
func appendOne(b []byte, f *field, v any, depth int) ([]byte, error) {
	b = protowire.AppendTag(b, f.number, wireType(f.kind))
	if f.message == nil {
		return appendScalar(b, f, v)
	}
	if f.kind == protoreflect.GroupKind {
		b, err := appendMessage(b, f.message, v, depth+1)
		if err != nil {
			return nil, err
		}
		return protowire.AppendTag(b, f.number, protowire.EndGroupType), nil
	}
	inner, err := appendMessage(nil, f.message, v, depth+1)
	if err != nil {
		return nil, err
	}
	return protowire.AppendBytes(b, inner), nil
}

func appendPacked(b []byte, f *field, list []any) ([]byte, error) {
	var inner []byte
	var err error
	for i, e := range list {
		if inner, err = appendScalar(inner, f, e); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return protowire.AppendBytes(protowire.AppendTag(b, f.number, protowire.BytesType), inner), nil
}

func appendMap(b []byte, f *field, v any, depth int) ([]byte, error) {
	entries, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%T is no map", v)
	}
	for _, k := range slices.Sorted(maps.Keys(entries)) {
		key, err := keyValue(f.mapKey, k)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k, err)
		}
		inner, err := appendOne(nil, f.mapKey, key, depth+1)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k, err)
		}
		if entries[k] == nil {
			return nil, fmt.Errorf("key %q: it has no value", k)
		}
		if inner, err = appendOne(inner, f.mapValue, entries[k], depth+1); err != nil {
			return nil, fmt.Errorf("key %q: %w", k, err)
		}
		b = protowire.AppendBytes(protowire.AppendTag(b, f.number, protowire.BytesType), inner)
	}
	return b, nil
}

// keyValue reads the key of a map from its text.
func keyValue(f *field, text string) (any, error) {
	switch f.kind {
	case protoreflect.StringKind:
		return text, nil
	case protoreflect.BoolKind:
		return strconv.ParseBool(text)
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return strconv.ParseUint(text, 10, 64)
	default:
		return strconv.ParseInt(text, 10, 64)
	}
}

var errRange = errors.New("the number is out of range")

// appendScalar writes a value without its tag.
func appendScalar(b []byte, f *field, v any) ([]byte, error) {
	switch f.kind {
	case protoreflect.BoolKind:
		on, ok := v.(bool)
		if !ok {
			return nil, fmt.Errorf("%T is no bool", v)
		}
		return protowire.AppendVarint(b, protowire.EncodeBool(on)), nil
	case protoreflect.StringKind:
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%T is no string", v)
		}
		if f.utf8 && !utf8.ValidString(s) {
			return nil, errors.New("the string is not UTF-8")
		}
		return protowire.AppendString(b, s), nil
	case protoreflect.BytesKind:
		raw, ok := v.([]byte)
		if !ok {
			return nil, fmt.Errorf("%T is no []byte", v)
		}
		return protowire.AppendBytes(b, raw), nil
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return appendFloat(b, f, v)
	case protoreflect.EnumKind:
		if symbol, ok := v.(string); ok {
			n, ok := f.enum.numbers[symbol]
			if !ok {
				return nil, fmt.Errorf("the enum has no %q", symbol)
			}
			return protowire.AppendVarint(b, uint64(n)), nil //nolint:gosec // negative numbers are written with all 64 bits
		}
		return appendInteger(b, protoreflect.Int32Kind, v)
	default:
		return appendInteger(b, f.kind, v)
	}
}

func appendFloat(b []byte, f *field, v any) ([]byte, error) {
	var n float64
	switch v := v.(type) {
	case float64:
		n = v
	case float32:
		n = float64(v)
	case int64:
		n = float64(v)
	case uint64:
		n = float64(v)
	case int:
		n = float64(v)
	default:
		return nil, fmt.Errorf("%T is no number", v)
	}
	if f.kind == protoreflect.DoubleKind {
		return protowire.AppendFixed64(b, math.Float64bits(n)), nil
	}
	if math.Abs(n) > math.MaxFloat32 && !math.IsInf(n, 0) {
		return nil, errRange
	}
	return protowire.AppendFixed32(b, math.Float32bits(float32(n))), nil
}

// appendInteger writes a whole number of any kind within the bounds of the kind.
func appendInteger(b []byte, kind protoreflect.Kind, v any) ([]byte, error) {
	switch kind {
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		most := uint64(math.MaxUint64)
		if kind == protoreflect.Uint32Kind || kind == protoreflect.Fixed32Kind {
			most = math.MaxUint32
		}
		n, err := unsigned(v)
		switch {
		case err != nil:
			return nil, err
		case n > most:
			return nil, errRange
		case kind == protoreflect.Fixed32Kind:
			return protowire.AppendFixed32(b, uint32(n)), nil //nolint:gosec // bounded above
		case kind == protoreflect.Fixed64Kind:
			return protowire.AppendFixed64(b, n), nil
		default:
			return protowire.AppendVarint(b, n), nil
		}
	}
	n, err := signed(v)
	if err != nil {
		return nil, err
	}
	short := kind == protoreflect.Int32Kind || kind == protoreflect.Sint32Kind || kind == protoreflect.Sfixed32Kind
	if short && (n < math.MinInt32 || n > math.MaxInt32) {
		return nil, errRange
	}
	switch kind {
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return protowire.AppendVarint(b, protowire.EncodeZigZag(n)), nil
	case protoreflect.Sfixed32Kind:
		return protowire.AppendFixed32(b, uint32(n)), nil //nolint:gosec // bounded above
	case protoreflect.Sfixed64Kind:
		return protowire.AppendFixed64(b, uint64(n)), nil //nolint:gosec // the bits are meant
	default:
		return protowire.AppendVarint(b, uint64(n)), nil //nolint:gosec // negative numbers are written with all 64 bits
	}
}

func signed(v any) (int64, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case int:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case uint64:
		if v > math.MaxInt64 {
			return 0, errRange
		}
		return int64(v), nil
	case uint32:
		return int64(v), nil
	case float64:
		if v != math.Trunc(v) || v < -(1<<63) || v >= 1<<63 {
			return 0, fmt.Errorf("%v is no whole number in range", v)
		}
		return int64(v), nil
	default:
		return 0, fmt.Errorf("%T is no whole number", v)
	}
}

func unsigned(v any) (uint64, error) {
	switch v := v.(type) {
	case uint64:
		return v, nil
	case float64:
		if v != math.Trunc(v) || v < 0 || v >= 1<<64 {
			return 0, fmt.Errorf("%v is no whole number in range", v)
		}
		return uint64(v), nil
	default:
		n, err := signed(v)
		if err != nil {
			return 0, err
		}
		if n < 0 {
			return 0, errRange
		}
		return uint64(n), nil
	}
}
