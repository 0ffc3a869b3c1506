package serde

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/schema"
)

// assign puts a plain value into what into points to.
func (m *mapper) assign(value, into any) error {
	if p, ok := into.(*any); ok && p != nil {
		*p = value
		return nil
	}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return errInto
	}
	return m.set(v.Elem(), value, "", 0)
}

func misfit(v reflect.Value, x any) error {
	return fmt.Errorf("a %T does not fit into a Go %s", x, v.Type())
}

// set puts x into v. Null is the zero value.
func (m *mapper) set(v reflect.Value, x any, unit string, depth int) error {
	if depth > schema.MaxDepth {
		return errDeep
	}
	if x == nil {
		v.SetZero()
		return nil
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return m.set(v.Elem(), x, unit, depth+1)
	}
	if done, err := setSpecial(v, x, unit); done {
		return err
	}
	switch v.Kind() {
	case reflect.Interface:
		if !reflect.TypeOf(x).AssignableTo(v.Type()) {
			return misfit(v, x)
		}
		v.Set(reflect.ValueOf(x))
		return nil
	case reflect.Slice, reflect.Array:
		return m.setList(v, x, depth)
	case reflect.Map:
		return m.setMap(v, x, depth)
	case reflect.Struct:
		return m.setStruct(v, x, depth)
	}
	return setScalar(v, x)
}

// setSpecial is for times, durations and types that read text.
func setSpecial(v reflect.Value, x any, unit string) (done bool, err error) {
	n, isInt := x.(int64)
	switch {
	case v.Type() == timeType && isInt:
		v.Set(reflect.ValueOf(toTime(n, unit)))
		return true, nil
	case v.Type() == durationType && isInt && unit != "":
		d := time.Duration(n) * time.Millisecond
		if unit == "time-micros" {
			d = time.Duration(n) * time.Microsecond
		}
		v.SetInt(int64(d))
		return true, nil
	}
	if text, ok := x.(string); ok && v.CanAddr() && v.Addr().Type().Implements(intoTextType) {
		return true, v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)) //nolint:forcetypeassert // it was just asked
	}
	return false, nil
}

func setScalar(v reflect.Value, x any) error {
	switch v.Kind() {
	case reflect.Bool:
		if b, ok := x.(bool); ok {
			v.SetBool(b)
			return nil
		}
	case reflect.String:
		if s, ok := x.(string); ok {
			v.SetString(s)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n, ok := wholeNumber(x); ok && !v.OverflowInt(n) {
			v.SetInt(n)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, ok := x.(uint64)
		if n, isInt := wholeNumber(x); !ok && isInt && n >= 0 {
			u, ok = uint64(n), true
		}
		if ok && !v.OverflowUint(u) {
			v.SetUint(u)
			return nil
		}
	case reflect.Float32, reflect.Float64:
		switch n := x.(type) {
		case float64:
			v.SetFloat(n) // a float of the wire fits, and a double is rounded as Go does
			return nil
		case int64:
			v.SetFloat(float64(n))
			return nil
		case uint64:
			v.SetFloat(float64(n))
			return nil
		}
	}
	return misfit(v, x)
}

func wholeNumber(x any) (int64, bool) {
	switch n := x.(type) {
	case int64:
		return n, true
	case uint64:
		return int64(n), n <= math.MaxInt64 //nolint:gosec // the range is the second result
	case float64:
		return int64(n), n == math.Trunc(n) && math.Abs(n) <= 1<<53
	}
	return 0, false
}

func (m *mapper) setList(v reflect.Value, x any, depth int) error {
	if b, ok := x.([]byte); ok && v.Type().Elem().Kind() == reflect.Uint8 {
		if v.Kind() == reflect.Slice {
			v.SetBytes(b)
			return nil
		}
		if v.Len() != len(b) {
			return fmt.Errorf("%d bytes do not fit into a Go %s", len(b), v.Type())
		}
		reflect.Copy(v, reflect.ValueOf(b))
		return nil
	}
	list, ok := x.([]any)
	if !ok || v.Kind() == reflect.Array && v.Len() != len(list) {
		return misfit(v, x)
	}
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
	}
	for i, one := range list {
		if err := m.set(v.Index(i), one, "", depth+1); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func (m *mapper) setMap(v reflect.Value, x any, depth int) error {
	from, ok := x.(map[string]any)
	if !ok || v.Type().Key().Kind() != reflect.String {
		return misfit(v, x)
	}
	out := reflect.MakeMapWithSize(v.Type(), len(from))
	for name, one := range from {
		value := reflect.New(v.Type().Elem()).Elem()
		if err := m.set(value, one, "", depth+1); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		out.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), value)
	}
	v.Set(out)
	return nil
}

// setStruct fills a struct; what the value does not have is zero afterwards, and what the struct does not have is passed over.
func (m *mapper) setStruct(v reflect.Value, x any, depth int) error {
	from, ok := x.(map[string]any)
	if !ok {
		return misfit(v, x)
	}
	v.SetZero()
	fs := m.fieldsOf(v.Type())
	for name, one := range from {
		i, ok := fs.names[name]
		if !ok {
			if i, ok = fs.names[strings.ToLower(name)]; !ok {
				continue
			}
		}
		if err := m.set(v.FieldByIndex(fs.list[i].index), one, fs.list[i].unit, depth+1); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
