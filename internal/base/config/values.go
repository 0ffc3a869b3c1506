package config

import (
	"errors"
	"maps"
	"slices"
)

// Origin tells where a value comes from. A higher one wins.
type Origin uint8

// The origins, from weak to strong.
const (
	FromDefault Origin = iota
	FromFile
	FromEnv
	FromSet  // --set name=value
	FromFlag // a flag of its own
	// FromDynamicDefault and FromDynamicBroker are set while the program runs, for all brokers and for this one.
	FromDynamicDefault
	FromDynamicBroker
)

var originNames = [...]string{"default", "file", "env", "set", "flag", "dynamic default", "dynamic broker"}

// String is the word that `config show --origin` prints.
func (o Origin) String() string {
	if int(o) < len(originNames) {
		return originNames[o]
	}
	return "unknown"
}

// Static says that the value was given at start, not by a default and not while the program ran.
func (o Origin) Static() bool { return o >= FromFile && o <= FromFlag }

// Entry is a value that was set.
type Entry struct {
	Text   string // as given
	Origin Origin
	Where  string // the flag, variable, or file and line; may be empty
	parsed any
}

// Values is an immutable set of values. The nil *Values holds none: every key then reads as its default.
type Values struct {
	schema  *Schema
	entries map[string]Entry
}

// String says what this is and not what it holds, which may be secret.
func (v *Values) String() string { return "settings" }

// GoString is String.
func (v *Values) GoString() string { return v.String() }

// Schema is what the values were read by; nil for a nil *Values.
func (v *Values) Schema() *Schema {
	if v == nil {
		return nil
	}
	return v.schema
}

// Explicit is the entry of a setting that was set; false if it stands at its default.
func (v *Values) Explicit(name string) (Entry, bool) {
	if v == nil {
		return Entry{}, false
	}
	e, ok := v.entries[name]
	return e, ok
}

// Text is the value of a declared setting in canonical form, with its origin; ok is false if it is null or the
// schema does not have it. Sensitive values are given as they are: whoever shows them must ask Setting.Sensitive.
func (v *Values) Text(name string) (text string, origin Origin, ok bool) {
	s, known := v.Schema().Lookup(name)
	if !known {
		return "", FromDefault, false
	}
	if e, set := v.entries[name]; set {
		return formatValue(e.parsed), e.Origin, true
	}
	value, ok := s.defaultValue(v)
	if !ok {
		return "", FromDefault, false
	}
	return formatValue(value), FromDefault, true
}

// effective is the parsed value after fallbacks and defaults.
func (v *Values) effective(s *Setting) (any, bool) {
	if e, ok := v.Explicit(s.name); ok {
		return e.parsed, true
	}
	for _, f := range s.fallbacks {
		if e, ok := v.Explicit(f.setting.name); ok {
			return f.scaled(e.parsed), true
		}
	}
	if value, ok := s.defaultValue(v); ok {
		return value, true
	}
	for _, f := range s.fallbacks {
		if value, ok := f.setting.defaultValue(v); ok {
			return f.scaled(value), true
		}
	}
	return nil, false
}

func (f fallback) scaled(v any) any {
	n, ok := v.(int64)
	if !ok {
		return v
	}
	if n < 0 {
		return int64(-1)
	}
	return n * f.scale
}

// EffectiveText is the value that Key.Get would see, after fallbacks, in canonical form.
func (v *Values) EffectiveText(d Declared) (string, bool) {
	value, ok := v.effective(d.Setting())
	if !ok {
		return "", false
	}
	return formatValue(value), true
}

// With is v with further texts laid over it. Names must be in the schema; all mistakes are reported together, each a
// *ValueError or an *UnknownError. An entry of v with a stronger origin stays.
func (v *Values) With(origin Origin, texts map[string]string) (*Values, error) {
	next := &Values{schema: v.schema, entries: maps.Clone(v.entries)}
	if next.entries == nil {
		next.entries = make(map[string]Entry, len(texts))
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		errs = append(errs, next.put(name, Entry{Text: texts[name], Origin: origin}))
	}
	return next, errors.Join(errs...)
}

// WithSchema is v under a schema that has all settings of v's own, and more. A nil v becomes the defaults.
func (v *Values) WithSchema(s *Schema) *Values {
	next := s.Defaults()
	if v != nil {
		next.entries = v.entries
	}
	return next
}

// put is for a Values that nobody else has seen yet.
func (v *Values) put(name string, e Entry) error {
	s, ok := v.schema.Lookup(name)
	if !ok {
		return v.schema.unknown(name)
	}
	parsed, err := s.Parse(e.Text)
	if err != nil {
		return err
	}
	if old, ok := v.entries[name]; ok && old.Origin > e.Origin {
		return nil
	}
	e.parsed = parsed
	v.entries[name] = e
	return nil
}
