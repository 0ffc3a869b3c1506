package config

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/base/secret"
)

// Key is a setting together with the Go type of its value. Its zero value is useless; use a constructor.
type Key[T any] struct {
	setting *Setting
	from    func(any) T
}

// Setting is the declaration.
func (k Key[T]) Setting() *Setting { return k.setting }

// Name is the setting's dotted name.
func (k Key[T]) Name() string { return k.setting.name }

// Get is the setting's value in v, its default if v does not hold it, or the zero value if that is null.
// A list must not be changed by the caller.
func (k Key[T]) Get(v *Values) T {
	value, _ := k.Lookup(v)
	return value
}

// Lookup is Get, with false for null.
func (k Key[T]) Lookup(v *Values) (T, bool) {
	value, ok := v.effective(k.setting)
	if !ok {
		var zero T
		return zero, false
	}
	return k.from(value), true
}

// Secret is a value that never shows itself: printing, logging and encoding all give "[hidden]".
type Secret = secret.Text

const hidden = secret.Hidden

// declare builds a setting. Options are Option values, and one string, the documentation. Anything else, a missing
// documentation and a default that the checks refuse are mistakes in the source and panic as the program starts.
func declare[T any](name string, t Type, def any, from func(any) T, opts []any) Key[T] {
	s := &Setting{name: name, typ: t, hasDefault: true, defaultTo: def}
	for _, o := range opts {
		switch o := o.(type) {
		case string:
			s.doc = o
		case Option:
			o(s)
		case func(*Setting):
			o(s)
		default:
			panic(fmt.Sprintf("config: %s: %T is neither an option nor the documentation", name, o))
		}
	}
	if s.doc == "" {
		panic("config: " + name + " has no documentation")
	}
	if !s.hasDefault {
		s.defaultTo = nil
	} else if s.defaultFn == nil {
		if _, err := s.Parse(formatValue(def)); err != nil {
			panic("config: default: " + err.Error())
		}
	}
	return Key[T]{s, from}
}

// Bool declares a BOOLEAN.
func Bool(name string, def bool, opts ...any) Key[bool] {
	return declare(name, TypeBool, def, func(v any) bool { return v.(bool) }, opts)
}

// Int declares an INT: 32 bit.
func Int(name string, def int, opts ...any) Key[int] {
	return declare(name, TypeInt, int64(def), func(v any) int { return int(v.(int64)) }, opts)
}

// Short declares a SHORT: 16 bit.
func Short(name string, def int, opts ...any) Key[int] {
	return declare(name, TypeShort, int64(def), func(v any) int { return int(v.(int64)) }, opts)
}

// Long declares a LONG: 64 bit.
func Long(name string, def int64, opts ...any) Key[int64] {
	return declare(name, TypeLong, def, func(v any) int64 { return v.(int64) }, opts)
}

// Double declares a DOUBLE.
func Double(name string, def float64, opts ...any) Key[float64] {
	return declare(name, TypeDouble, def, func(v any) float64 { return v.(float64) }, opts)
}

// String declares a STRING. White space around it is dropped.
func String(name, def string, opts ...any) Key[string] {
	return declare(name, TypeString, def, func(v any) string { return v.(string) }, opts)
}

// Class declares a CLASS: the name of a Java class that a Kafka setting holds.
func Class(name, def string, opts ...any) Key[string] {
	return declare(name, TypeClass, def, func(v any) string { return v.(string) }, opts)
}

// List declares a LIST, written with commas. A nil default is the empty list.
func List(name string, def []string, opts ...any) Key[[]string] {
	return declare(name, TypeList, slices.Clone(def), func(v any) []string { return v.([]string) }, opts)
}

// Password declares a PASSWORD without default.
func Password(name string, opts ...any) Key[Secret] {
	opts = append([]any{Option(NoDefault)}, opts...)
	return declare(name, TypePassword, "", func(v any) Secret { return secret.New(v.(string)) }, opts)
}

// Millis declares a time in milliseconds, a LONG. Negative values (-1 is often "for ever") stay negative, and times
// over 292 years are cut to that. Ranges are in milliseconds.
func Millis(name string, def time.Duration, opts ...any) Key[time.Duration] {
	return declare(name, TypeLong, def.Milliseconds(), fromMillis, opts)
}

// MillisInt is Millis for the settings that Kafka keeps in an INT.
func MillisInt(name string, def time.Duration, opts ...any) Key[time.Duration] {
	return declare(name, TypeInt, def.Milliseconds(), fromMillis, opts)
}

func fromMillis(v any) time.Duration {
	ms := v.(int64)
	if ms > math.MaxInt64/int64(time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(max(ms, math.MinInt64/int64(time.Millisecond))) * time.Millisecond
}
