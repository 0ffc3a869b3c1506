package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// maxFileBytes bounds a settings file: a larger one is a mistake.
const maxFileBytes = 1 << 20

// envPrefix begins the name of every environment variable that is a setting.
const envPrefix = "WEIR_"

// Sources are the places that Load reads. The zero value gives the defaults.
type Sources struct {
	Flags *pflag.FlagSet // bound with BindFlags and parsed
	Set   []string       // "name=value" each
	Env   []string       // as os.Environ gives it; only names with WEIR_ matter
	// IgnoreEnv are variables with WEIR_ that are no settings.
	IgnoreEnv []string
	File      string // YAML; "" for none
}

// SourceError says where a refused value came from and what would be right. It wraps the *ValueError or
// *UnknownError.
type SourceError struct {
	Where   string // "flag --num-partitions", "env WEIR_NUM_PARTITIONS", "weir.yaml:3"
	Allowed string
	Err     error
}

// Error is on one line.
func (e *SourceError) Error() string {
	if e.Allowed == "" {
		return e.Where + ": " + e.Err.Error()
	}
	return e.Where + ": " + e.Err.Error() + "; allowed: " + e.Allowed
}

// Unwrap gives the cause.
func (e *SourceError) Unwrap() error { return e.Err }

// BindFlags adds a flag for every setting but secrets: everybody on a machine can read the command lines of its processes.
// Only those declared with Common or FlagName show up in help.
func (s *Schema) BindFlags(fs *pflag.FlagSet) {
	for _, x := range s.Settings() {
		if x.Sensitive() {
			continue
		}
		name := x.FlagName()
		fs.Var(&flagValue{setting: x}, name, x.doc)
		f := fs.Lookup(name)
		f.Hidden = !x.common
		if x.typ == TypeBool {
			f.NoOptDefVal = "true"
		}
		f.DefValue = x.shownDefault()
	}
}

// flagValue keeps the text of a flag. Checking is Load's work, so that all mistakes are told at once.
type flagValue struct {
	setting *Setting
	text    string
}

// Set is called by pflag.
func (f *flagValue) Set(text string) error {
	f.text = text
	return nil
}

// String is the text as given.
func (f *flagValue) String() string { return f.text }

// Type is the word for the value in help.
func (f *flagValue) Type() string {
	if f.setting == nil {
		return ""
	}
	return strings.ToLower(f.setting.typ.String())
}

// Load reads all sources; a stronger one wins over a weaker one. All mistakes are told together, joined, each a
// *SourceError; the values are then nil.
func (s *Schema) Load(src Sources) (*Values, error) {
	v := s.Defaults()
	given, errs, err := s.collect(src)
	if err != nil {
		return nil, err
	}
	look := newProviders(given)
	for _, g := range given {
		text, err := look.resolve(g.entry.Text)
		if err != nil {
			errs = append(errs, &SourceError{Where: g.entry.Where, Err: fmt.Errorf("%s: %w", g.name, err)})
			continue
		}
		g.entry.Text = text
		errs = append(errs, v.putFrom(g.name, g.entry))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return v, nil
}

// given is a setting as a source has it.
type given struct {
	name  string
	entry Entry
}

// collect reads all sources, from the weakest to the strongest.
func (s *Schema) collect(src Sources) (all []given, errs []error, err error) {
	put := func(name string, e Entry) { all = append(all, given{name, e}) }
	if src.File != "" {
		pairs, err := readFile(src.File)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range pairs {
			put(p.name, Entry{Text: p.text, Origin: FromFile, Where: fmt.Sprintf("%s:%d", src.File, p.line)})
		}
	}
	errs = s.loadEnv(src.Env, src.IgnoreEnv, put)
	for _, pair := range src.Set {
		name, text, ok := strings.Cut(pair, "=")
		if !ok {
			errs = append(errs, fmt.Errorf("--set %q: want name=value", pair))
			continue
		}
		put(strings.TrimSpace(name), Entry{Text: text, Origin: FromSet, Where: "--set"})
	}
	if src.Flags != nil {
		src.Flags.Visit(func(f *pflag.Flag) {
			if fv, ok := f.Value.(*flagValue); ok {
				put(fv.setting.name, Entry{Text: fv.text, Origin: FromFlag, Where: "flag --" + f.Name})
			}
		})
	}
	return all, errs, nil
}

func (s *Schema) loadEnv(env, ignore []string, put func(string, Entry)) []error {
	var errs []error
	for _, pair := range slices.Sorted(slices.Values(env)) {
		variable, text, ok := strings.Cut(pair, "=")
		if !ok || !strings.HasPrefix(variable, envPrefix) || slices.Contains(ignore, variable) {
			continue
		}
		name, known := s.byEnv[variable]
		if !known {
			errs = append(errs, &SourceError{Where: "env " + variable, Err: s.unknownEnv(variable)})
			continue
		}
		put(name, Entry{Text: text, Origin: FromEnv, Where: "env " + variable})
	}
	return errs
}

func (s *Schema) unknownEnv(variable string) error {
	asName := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, envPrefix), "_", "."))
	err := &UnknownError{Name: variable}
	if x, ok := s.Lookup(s.Nearest(asName)); ok {
		err.Nearest = x.EnvName()
	}
	return err
}

func (v *Values) putFrom(name string, e Entry) error {
	err := v.put(name, e)
	if err == nil {
		return nil
	}
	out := &SourceError{Where: e.Where, Err: err}
	if x, ok := v.schema.Lookup(name); ok {
		out.Allowed = x.Allowed()
		if ve, isValue := errors.AsType[*ValueError](err); isValue && x.Sensitive() {
			ve.Value = hidden
		}
	}
	return out
}

func readFile(path string) ([]pair, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	pairs, err := parseYAML(data)
	if err != nil {
		return nil, fmt.Errorf("settings file %s: %w", path, err)
	}
	return pairs, nil
}

// LoadYAML is Load for the text of one file, named in errors as where.
func (s *Schema) LoadYAML(where string, data []byte) (*Values, error) {
	pairs, err := parseYAML(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	v := s.Defaults()
	var errs []error
	for _, p := range pairs {
		errs = append(errs, v.putFrom(p.name, Entry{Text: p.text, Origin: FromFile, Where: fmt.Sprintf("%s:%d", where, p.line)}))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return v, nil
}

// Explicits are the names of all settings that were set, sorted.
func (v *Values) Explicits() []string {
	if v == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(v.entries))
}
