package config

import (
	"fmt"
	"strings"
)

// Type is the type of a setting, as Kafka names them.
type Type uint8

// The types of settings.
const (
	TypeBool Type = iota + 1
	TypeString
	TypeInt   // 32 bit
	TypeShort // 16 bit
	TypeLong  // 64 bit
	TypeDouble
	TypeList  // comma-separated
	TypeClass // name of a Java class; Weir keeps the text and loads nothing
	TypePassword
)

var typeNames = [...]string{"", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"}

// String is Kafka's name of the type, as in "Not a number of type LONG".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Mode tells whether a setting may change while the program runs.
type Mode uint8

// The modes.
const (
	ReadOnly      Mode = iota // at start only
	PerBrokerMode             // for one broker, or for all
	ClusterMode               // for one broker or for all; Kafka advises the same value everywhere
)

// String is the word that documentation uses.
func (m Mode) String() string {
	switch m {
	case PerBrokerMode:
		return "per-broker"
	case ClusterMode:
		return "cluster-wide"
	default:
		return "read-only"
	}
}

// Setting is a declaration without its Go type. It is immutable once a constructor has returned it.
type Setting struct {
	name       string
	doc        string
	typ        Type
	hasDefault bool // false: the default is null
	defaultTo  any  // parsed form; see parse
	defaultFn  func(*Values) string
	defaultDoc string
	checks     []check
	mode       Mode
	topic      string
	group      string
	flag       string
	common     bool
	inert      bool
	internal   bool
	scoped     bool // may be set for one scope of the schema; see Schema.WithScope
	distinct   bool // of a list: an element counts once
	fallbacks  []fallback
}

// fallback is another setting that gives the value when this one is not set: seconds for milliseconds, and so on.
type fallback struct {
	setting *Setting
	scale   int64
}

// Declared is anything that carries a declaration: a Key of any type, or a Setting.
type Declared interface{ Setting() *Setting }

// Setting makes a *Setting a Declared.
func (s *Setting) Setting() *Setting { return s }

// Name is the dotted name.
func (s *Setting) Name() string { return s.name }

// Doc is the one sentence that explains the setting.
func (s *Setting) Doc() string { return s.doc }

// Type is the setting's type.
func (s *Setting) Type() Type { return s.typ }

// Mode tells whether and how the setting may change at run time.
func (s *Setting) Mode() Mode { return s.mode }

// Sensitive settings never show their value.
func (s *Setting) Sensitive() bool { return s.typ == TypePassword }

// Topic is the name of the topic config that overrides this setting, or "".
func (s *Setting) Topic() string { return s.topic }

// Group is the name of the group config that overrides this setting, or "".
func (s *Setting) Group() string { return s.group }

// Inert settings are Kafka's, are accepted, checked and reported, and change nothing in Weir.
func (s *Setting) Inert() bool { return s.inert }

// Internal settings are left out of help and documentation.
func (s *Setting) Internal() bool { return s.internal }

// FlagName is the name of the command-line flag, without dashes: the dotted name with "-" for ".".
func (s *Setting) FlagName() string {
	if s.flag != "" {
		return s.flag
	}
	return strings.ReplaceAll(s.name, ".", "-")
}

// EnvName is the name of the environment variable: WEIR_ and the name in capitals, "_" for "." and "-".
func (s *Setting) EnvName() string {
	return envPrefix + strings.Map(func(r rune) rune {
		switch {
		case r == '.' || r == '-':
			return '_'
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		default:
			return r
		}
	}, s.name)
}

// Default is the default in text form; ok is false if it is null.
func (s *Setting) Default() (text string, ok bool) {
	v, ok := s.defaultValue(nil)
	if !ok {
		return "", false
	}
	return formatValue(v), true
}

// Fallbacks are the settings that give the value when this one is not set, in the order in which they are asked.
func (s *Setting) Fallbacks() []*Setting {
	out := make([]*Setting, len(s.fallbacks))
	for i, f := range s.fallbacks {
		out[i] = f.setting
	}
	return out
}

// Allowed describes the values that the setting takes, or "" if any of its type will do.
func (s *Setting) Allowed() string {
	var parts []string
	for _, c := range s.checks {
		if d := c.describe(); d != "" {
			parts = append(parts, d)
		}
	}
	return strings.Join(parts, " and ")
}

func (s *Setting) defaultValue(v *Values) (any, bool) {
	if s.defaultFn != nil {
		parsed, err := s.Parse(s.defaultFn(v))
		if err != nil {
			panic(fmt.Sprintf("config: computed default of %s: %v", s.name, err))
		}
		return parsed, true
	}
	return s.defaultTo, s.hasDefault
}

// Parse turns text into a value and checks it. The value is a bool, int64, float64, string or []string by type.
// The error is a *ValueError.
func (s *Setting) Parse(text string) (any, error) {
	v, err := parseValue(s.name, s.typ, text)
	if err != nil {
		return nil, err
	}
	if list, ok := v.([]string); ok && s.distinct {
		v = firstOfEach(list)
	}
	for _, c := range s.checks {
		if err := c.check(s, v); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// Canonical is text as the setting would print it: " 05 " is "5" for an INT. The error is a *ValueError.
func (s *Setting) Canonical(text string) (string, error) {
	v, err := s.Parse(text)
	if err != nil {
		return "", err
	}
	return formatValue(v), nil
}

// Option is a property of a declaration.
type Option func(*Setting)

// Dynamic marks a setting that may change while the program runs, for one broker or as the cluster's default.
func Dynamic(s *Setting) { s.mode = ClusterMode }

// PerBroker marks a setting that may change while the program runs and is meant to differ between brokers.
func PerBroker(s *Setting) { s.mode = PerBrokerMode }

// Common shows the setting's flag in the command's help; the flags of others are accepted but hidden.
func Common(s *Setting) { s.common = true }

// Inert marks a setting that Kafka has and that changes nothing in Weir: see Setting.Inert.
func Inert(s *Setting) { s.inert = true }

// Internal leaves the setting out of help and documentation.
func Internal(s *Setting) { s.internal = true }

// Scoped marks a setting that may also be set for one scope: see Schema.WithScope.
func Scoped(s *Setting) { s.scoped = true }

// NoDefault makes the default null: Lookup then says false, and Get gives the zero value.
func NoDefault(s *Setting) { s.hasDefault = false }

// Topic names the topic config that overrides this setting.
func Topic(name string) Option { return func(s *Setting) { s.topic = name } }

// Group names the group config that overrides this setting.
func Group(name string) Option { return func(s *Setting) { s.group = name } }

// FlagName gives the setting another flag than its dashed name, and shows it in help.
func FlagName(name string) Option {
	return func(s *Setting) { s.flag, s.common = name, true }
}

// DefaultFunc computes the default from the other values once those are read; what describes the rule for help.
// f must accept a nil *Values and return text that parses.
func DefaultFunc(what string, f func(*Values) string) Option {
	return func(s *Setting) { s.defaultFn, s.defaultDoc = f, what }
}

// Fallback names a setting that gives the value, times scale, when this one is not set. It may be given more than
// once; the first that is set counts, then the first that has a default. A negative value stays -1, unscaled.
func Fallback(k Declared, scale int64) Option {
	return func(s *Setting) { s.fallbacks = append(s.fallbacks, fallback{k.Setting(), scale}) }
}
