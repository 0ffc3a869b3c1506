package serde

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/schema"
)

// mapper converts between Go values and the plain model. It remembers what it found out about types: as many as a program has.
type mapper struct{ types sync.Map } // reflect.Type → *fields

// fields are those of a struct, with those of embedded ones.
type fields struct {
	list  []field
	names map[string]int // in lower case too, where that names one alone
}

type field struct {
	name      string
	index     []int
	omitEmpty bool
	unit      string // of a time
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextMarshaler]()
	intoTextType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

var errDeep = fmt.Errorf("values are nested more than %d deep", schema.MaxDepth)

// fieldsOf looks a struct type up, or works it out.
func (m *mapper) fieldsOf(t reflect.Type) *fields {
	if f, ok := m.types.Load(t); ok {
		return f.(*fields) //nolint:forcetypeassert // nothing else is stored
	}
	f := &fields{names: map[string]int{}}
	f.add(t, nil)
	for i, one := range f.list {
		f.names[one.name] = i
	}
	for i, one := range f.list {
		lower := strings.ToLower(one.name)
		if _, taken := f.names[lower]; !taken {
			f.names[lower] = i
		}
	}
	m.types.Store(t, f)
	return f
}

func (f *fields) add(t reflect.Type, at []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, tagged := sf.Tag.Lookup("avro")
		if !tagged {
			tag, tagged = sf.Tag.Lookup("json")
		}
		if tag == "-" {
			continue
		}
		index := append(slices.Clip(at), i)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct && (!tagged || strings.HasPrefix(tag, ",")) {
			f.add(sf.Type, index)
			continue
		}
		if !sf.IsExported() {
			continue
		}
		name, rest, _ := strings.Cut(tag, ",")
		one := field{name: name, index: index}
		if name == "" {
			one.name = sf.Name
		}
		for option := range strings.SplitSeq(rest, ",") {
			switch option {
			case "omitempty", "omitzero":
				one.omitEmpty = true
			case "timestamp-millis", "timestamp-micros", "timestamp-nanos", "date", "time-millis", "time-micros":
				one.unit = option
			}
		}
		// A field of an outer struct hides one of an embedded one.
		if j := slices.IndexFunc(f.list, func(o field) bool { return o.name == one.name }); j >= 0 {
			if len(index) < len(f.list[j].index) {
				f.list[j] = one
			}
			continue
		}
		f.list = append(f.list, one)
	}
}

// plain converts a Go value into the plain model. Maps and slices that are plain already are shared, not copied.
func (m *mapper) plain(v any) (any, error) {
	return m.toPlain(reflect.ValueOf(v), "", 0)
}

func (m *mapper) toPlain(v reflect.Value, unit string, depth int) (any, error) {
	if depth > schema.MaxDepth {
		return nil, errDeep
	}
	if !v.IsValid() {
		return nil, nil
	}
	switch t := v.Type(); {
	case t == timeType:
		return fromTime(v.Interface().(time.Time), unit), nil //nolint:forcetypeassert // its type was just compared
	case t == durationType && unit != "":
		return fromDuration(time.Duration(v.Int()), unit), nil
	case v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface && t.Implements(textType):
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText() //nolint:forcetypeassert // it was just asked
		return string(text), err
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil, nil
		}
		return m.toPlain(v.Elem(), unit, depth+1)
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if u := v.Uint(); u > math.MaxInt64 {
			return u, nil
		}
		return int64(v.Uint()), nil //nolint:gosec // it fits
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.String:
		return v.String(), nil
	case reflect.Slice, reflect.Array:
		return m.list(v, depth)
	case reflect.Map:
		return m.object(v, depth)
	case reflect.Struct:
		return m.record(v, depth)
	}
	return nil, fmt.Errorf("a Go %s cannot be written", v.Type())
}

func (m *mapper) list(v reflect.Value, depth int) (any, error) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		if v.Kind() == reflect.Slice {
			return v.Bytes(), nil
		}
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		return b, nil
	}
	if v.Kind() == reflect.Slice && v.IsNil() {
		return []any{}, nil
	}
	out := make([]any, v.Len())
	for i := range out {
		var err error
		if out[i], err = m.toPlain(v.Index(i), "", depth+1); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return out, nil
}

func (m *mapper) object(v reflect.Value, depth int) (any, error) {
	if v.Type().Key().Kind() != reflect.String {
		return nil, fmt.Errorf("a Go %s cannot be written: its keys are no strings", v.Type())
	}
	out := make(map[string]any, v.Len())
	for it := v.MapRange(); it.Next(); {
		x, err := m.toPlain(it.Value(), "", depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", it.Key().String(), err)
		}
		out[it.Key().String()] = x
	}
	return out, nil
}

func (m *mapper) record(v reflect.Value, depth int) (any, error) {
	fs := m.fieldsOf(v.Type())
	out := make(map[string]any, len(fs.list))
	for i := range fs.list {
		f := &fs.list[i]
		fv := v.FieldByIndex(f.index)
		if f.omitEmpty && fv.IsZero() {
			continue
		}
		x, err := m.toPlain(fv, f.unit, depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		out[f.name] = x
	}
	return out, nil
}

func fromTime(t time.Time, unit string) int64 {
	switch unit {
	case "timestamp-micros":
		return t.UnixMicro()
	case "timestamp-nanos":
		return t.UnixNano()
	case "date":
		days := t.Unix() / 86400
		if t.Unix() < 0 && t.Unix()%86400 != 0 {
			days--
		}
		return days
	}
	return t.UnixMilli()
}

func toTime(n int64, unit string) time.Time {
	switch unit {
	case "timestamp-micros":
		return time.UnixMicro(n).UTC()
	case "timestamp-nanos":
		return time.Unix(0, n).UTC()
	case "date":
		return time.Unix(n*86400, 0).UTC()
	}
	return time.UnixMilli(n).UTC()
}

func fromDuration(d time.Duration, unit string) int64 {
	if unit == "time-micros" {
		return d.Microseconds()
	}
	return d.Milliseconds()
}

var errInto = errors.New("into is no pointer that a value could be put into")
