package protobuf

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/weir-stream/weir/internal/schema"
)

// spareValues is how many values a payload may unfold into beyond one for each of its bytes. Two bytes can stand for an empty message,
// whose every field then has a default value.
const spareValues = 1 << 20

// Decode reads a payload into map[string]any. Fields without presence are always there: with their zero value, or an empty list or
// map; others only if they are set. Keys of maps are text. A number that an enum does not know is an int64, also of a closed enum, as Go's
// library has it: so it is not lost when the value is written again. Fields that the schema does not know are passed over.
func (s *Schema) Decode(payload []byte, at []int) (any, error) {
	m, err := s.root(at)
	if err != nil {
		return nil, err
	}
	into := map[string]any{}
	d := decoder{left: spareValues + len(payload)}
	if err := d.whole(m, payload, into, 0); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", schema.ErrPayload, m.name, err)
	}
	if m.required {
		if err := complete(m, into, 0); err != nil {
			return nil, fmt.Errorf("%w: %w", schema.ErrPayload, err)
		}
	}
	return into, nil
}

// Validate reads a payload without keeping what it reads, unless the schema has required fields.
func (s *Schema) Validate(payload []byte, at []int) error {
	m, err := s.root(at)
	if err != nil {
		return err
	}
	if m.required {
		_, err := s.Decode(payload, at)
		return err
	}
	d := decoder{left: math.MaxInt}
	if err := d.whole(m, payload, nil, 0); err != nil {
		return fmt.Errorf("%w: %s: %w", schema.ErrPayload, m.name, err)
	}
	return nil
}

// decoder reads one payload. Left is how many values it may still make.
type decoder struct{ left int }

var (
	errTooDeep = errors.New("messages within messages are too deep")
	errTooMany = errors.New("it unfolds into too many values")
)

// whole reads a message that ends with b.
func (d *decoder) whole(m *message, b []byte, into map[string]any, depth int) error {
	rest, err := d.message(m, b, into, depth, 0)
	if err == nil && len(rest) > 0 {
		return errors.New("a group ends that never began")
	}
	return err
}

// message reads fields into a map, or nowhere if that is nil, up to the end of b or to the end of a group with the number. It returns
// what follows.
func (d *decoder) message(m *message, b []byte, into map[string]any, depth int, group protowire.Number) ([]byte, error) {
	if depth > schema.MaxDepth {
		return nil, errTooDeep
	}
	frame := newFrame(m, into)
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		if typ == protowire.EndGroupType {
			if num != group {
				return nil, fmt.Errorf("the end of group %d where %d is open", num, group)
			}
			return b[n:], d.defaults(m, into)
		}
		b = b[n:]
		var err error
		if f := m.byNumber[num]; f != nil {
			b, err = d.field(f, typ, b, frame, depth)
		} else {
			b, err = skip(num, typ, b)
		}
		if err != nil {
			return nil, err
		}
	}
	if group != 0 {
		return nil, errors.New("a group has no end")
	}
	return nil, d.defaults(m, into)
}

// frame is a message while it is read: the map that it goes into, or nil, and which field of each oneof is set.
type frame struct {
	into map[string]any
	set  map[string]string
}

// newFrame begins to read a message, or goes on with one that came before and is merged with what comes now.
func newFrame(m *message, into map[string]any) *frame {
	f := &frame{into: into}
	for key := range into {
		if known := m.byName[key]; known != nil && known.oneof != "" {
			f.choose(known)
		}
	}
	return f
}

// choose makes a field the one that is set of its oneof. The one that was set goes.
func (fr *frame) choose(f *field) {
	if was, ok := fr.set[f.oneof]; ok && was != f.key {
		delete(fr.into, was)
	}
	if fr.set == nil {
		fr.set = map[string]string{}
	}
	fr.set[f.oneof] = f.key
}

func skip(num protowire.Number, typ protowire.Type, b []byte) ([]byte, error) {
	n := protowire.ConsumeFieldValue(num, typ, b)
	if n < 0 {
		return nil, protowire.ParseError(n)
	}
	return b[n:], nil
}

// defaults puts in what is always there.
func (d *decoder) defaults(m *message, into map[string]any) error {
	if into == nil {
		return nil
	}
	if d.left -= len(m.fields); d.left < 0 {
		return errTooMany
	}
	for _, f := range m.fields {
		if f.presence {
			continue
		}
		if _, ok := into[f.key]; !ok {
			into[f.key] = f.zero()
		}
	}
	return nil
}

// zero returns the value of a field without presence that is not set.
func (f *field) zero() any {
	switch {
	case f.mapKey != nil:
		return map[string]any{}
	case f.list:
		return []any{}
	default:
		return f.zeroScalar()
	}
}

func (f *field) zeroScalar() any {
	switch f.kind {
	case protoreflect.BoolKind:
		return false
	case protoreflect.StringKind:
		return ""
	case protoreflect.BytesKind:
		return []byte{}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return float64(0)
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return uint64(0)
	case protoreflect.EnumKind:
		if symbol, ok := f.enum.symbols[0]; ok {
			return symbol
		}
		return int64(0)
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return map[string]any{}
	default:
		return int64(0)
	}
}

// field reads the value behind a tag. One of another wire type than the schema's is passed over, as every reader of the format does.
func (d *decoder) field(f *field, typ protowire.Type, b []byte, in *frame, depth int) ([]byte, error) {
	if d.left--; d.left < 0 {
		return nil, errTooMany
	}
	want := wireType(f.kind)
	switch {
	case f.mapKey != nil && typ == protowire.BytesType:
		return d.entry(f, b, in.into, depth)
	case f.message != nil && typ == want:
		return d.nested(f, b, in, depth)
	case f.list && typ == protowire.BytesType && want != protowire.BytesType && f.message == nil:
		return d.packed(f, b, in.into)
	case f.message != nil || f.mapKey != nil || typ != want:
		return skip(f.number, typ, b)
	}
	v, rest, err := f.scalar(b, in.into != nil)
	if err == nil && in.into != nil {
		in.put(f, v)
	}
	return rest, err
}

// put sets a field, or adds to a list.
func (fr *frame) put(f *field, v any) {
	if f.list {
		list, _ := fr.into[f.key].([]any)
		fr.into[f.key] = append(list, v)
		return
	}
	if f.oneof != "" {
		fr.choose(f)
	}
	fr.into[f.key] = v
}

// nested reads a message within a message. One that comes again is merged with what was there.
func (d *decoder) nested(f *field, b []byte, in *frame, depth int) ([]byte, error) {
	var value map[string]any
	if in.into != nil {
		value, _ = in.into[f.key].(map[string]any)
		if value == nil || f.list {
			value = map[string]any{}
		}
		in.put(f, value)
	}
	if f.kind == protoreflect.GroupKind {
		return d.message(f.message, b, value, depth+1, f.number)
	}
	inner, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return nil, protowire.ParseError(n)
	}
	if err := d.whole(f.message, inner, value, depth+1); err != nil {
		return nil, fmt.Errorf("%s: %w", f.key, err)
	}
	return b[n:], nil
}

// packed reads the elements of a list that stand in one value.
func (d *decoder) packed(f *field, b []byte, into map[string]any) ([]byte, error) {
	inner, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return nil, protowire.ParseError(n)
	}
	rest := b[n:]
	var list []any
	for len(inner) > 0 {
		if d.left--; d.left < 0 {
			return nil, errTooMany
		}
		v, after, err := f.scalar(inner, into != nil)
		if err != nil {
			return nil, err
		}
		if inner = after; into != nil {
			list = append(list, v)
		}
	}
	if into != nil {
		before, _ := into[f.key].([]any)
		into[f.key] = append(before, list...)
	}
	return rest, nil
}

// entry reads an entry of a map: a message with a key and a value, either of which may be missing.
func (d *decoder) entry(f *field, b []byte, into map[string]any, depth int) ([]byte, error) {
	inner, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return nil, protowire.ParseError(n)
	}
	rest := b[n:]
	var pair frame
	if into != nil {
		pair.into = map[string]any{}
	}
	for len(inner) > 0 {
		num, typ, n := protowire.ConsumeTag(inner)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		inner = inner[n:]
		var err error
		switch num {
		case 1:
			inner, err = d.field(f.mapKey, typ, inner, &pair, depth+1)
		case 2:
			inner, err = d.field(f.mapValue, typ, inner, &pair, depth+1)
		default:
			inner, err = skip(num, typ, inner)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.key, err)
		}
	}
	if into == nil {
		return rest, nil
	}
	key, ok := pair.into[f.mapKey.key]
	if !ok {
		key = f.mapKey.zeroScalar()
	}
	value, ok := pair.into[f.mapValue.key]
	if !ok {
		value = f.mapValue.zeroScalar()
		if inner, isMessage := value.(map[string]any); isMessage {
			if err := d.defaults(f.mapValue.message, inner); err != nil {
				return nil, err
			}
		}
	}
	entries, _ := into[f.key].(map[string]any)
	if entries == nil {
		entries = map[string]any{}
		into[f.key] = entries
	}
	entries[keyText(key)] = value
	return rest, nil
}

// keyText writes the key of a map as the JSON mapping does.
func keyText(key any) string {
	switch k := key.(type) {
	case string:
		return k
	case bool:
		return strconv.FormatBool(k)
	case int64:
		return strconv.FormatInt(k, 10)
	case uint64:
		return strconv.FormatUint(k, 10)
	default:
		return ""
	}
}

// wireType returns how values of a kind are written, but for packed lists.
func wireType(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	default:
		return protowire.VarintType
	}
}

// scalar reads one value that is no message. If keep is false the value is checked, not made.
func (f *field) scalar(b []byte, keep bool) (v any, rest []byte, err error) {
	switch wireType(f.kind) {
	case protowire.Fixed32Type:
		u, n := protowire.ConsumeFixed32(b)
		if n < 0 {
			return nil, nil, protowire.ParseError(n)
		}
		if keep {
			v = f.from32(u)
		}
		return v, b[n:], nil
	case protowire.Fixed64Type:
		u, n := protowire.ConsumeFixed64(b)
		if n < 0 {
			return nil, nil, protowire.ParseError(n)
		}
		if keep {
			v = f.from64(u)
		}
		return v, b[n:], nil
	case protowire.BytesType:
		raw, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return nil, nil, protowire.ParseError(n)
		}
		if f.utf8 && !utf8.Valid(raw) {
			return nil, nil, fmt.Errorf("%s: the string is not UTF-8", f.key)
		}
		if keep && f.kind == protoreflect.StringKind {
			v = string(raw)
		} else if keep {
			v = append([]byte{}, raw...)
		}
		return v, b[n:], nil
	default:
		u, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, nil, protowire.ParseError(n)
		}
		if keep {
			v = f.fromVarint(u)
		}
		return v, b[n:], nil
	}
}

func (f *field) from32(u uint32) any {
	switch f.kind {
	case protoreflect.FloatKind:
		return float64(math.Float32frombits(u))
	case protoreflect.Sfixed32Kind:
		return int64(int32(u)) //nolint:gosec // the bits are meant
	default:
		return uint64(u)
	}
}

func (f *field) from64(u uint64) any {
	switch f.kind {
	case protoreflect.DoubleKind:
		return math.Float64frombits(u)
	case protoreflect.Sfixed64Kind:
		return int64(u) //nolint:gosec // the bits are meant
	default:
		return u
	}
}

func (f *field) fromVarint(u uint64) any {
	switch f.kind {
	case protoreflect.BoolKind:
		return protowire.DecodeBool(u)
	case protoreflect.EnumKind:
		n := int32(u) //nolint:gosec // the low bits are meant
		if symbol, ok := f.enum.symbols[n]; ok {
			return symbol
		}
		return int64(n)
	case protoreflect.Int32Kind:
		return int64(int32(u)) //nolint:gosec // the low bits are meant
	case protoreflect.Sint32Kind:
		return int64(int32(protowire.DecodeZigZag(u & math.MaxUint32))) //nolint:gosec // the low bits are meant
	case protoreflect.Sint64Kind:
		return protowire.DecodeZigZag(u)
	case protoreflect.Uint32Kind:
		return u & math.MaxUint32
	case protoreflect.Uint64Kind:
		return u
	default:
		return int64(u) //nolint:gosec // the bits are meant
	}
}

// complete says which required field is missing.
func complete(m *message, value map[string]any, depth int) error {
	if depth > schema.MaxDepth {
		return errTooDeep
	}
	for _, f := range m.fields {
		v, ok := value[f.key]
		switch {
		case !ok && f.required:
			return fmt.Errorf("%s: the required field %s is missing", m.name, f.key)
		case !ok || !f.leadsToRequired():
			continue
		}
		each := func(of *message, v any) error {
			if inner, ok := v.(map[string]any); ok {
				return complete(of, inner, depth+1)
			}
			return nil
		}
		var err error
		switch v := v.(type) {
		case []any:
			for i := 0; i < len(v) && err == nil; i++ {
				err = each(f.message, v[i])
			}
		case map[string]any:
			if f.mapValue == nil {
				err = each(f.message, v)
				break
			}
			for _, inner := range v {
				if err = each(f.mapValue.message, inner); err != nil {
					break
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
