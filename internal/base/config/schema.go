package config

import (
	"fmt"
	"maps"
	"slices"
)

// Schema is a set of settings, each name once. It is immutable; the nil *Schema is empty.
type Schema struct {
	byName map[string]*Setting
	byFlag map[string]string // name by flag
	byEnv  map[string]string // name by variable
	names  []string          // sorted
	scope  string            // "": there are none
}

// NewSchema collects settings. Two of one name, or two that share a flag or a variable, are an error.
func NewSchema(keys ...Declared) (*Schema, error) { return (&Schema{}).With(keys...) }

// With is the schema with further settings; without any it is the schema itself.
func (s *Schema) With(keys ...Declared) (*Schema, error) {
	if len(keys) == 0 && s != nil {
		return s, nil
	}
	size := s.Len() + len(keys)
	next := &Schema{byName: make(map[string]*Setting, size), byFlag: make(map[string]string, size), byEnv: make(map[string]string, size)}
	if s != nil {
		next.scope = s.scope
		maps.Copy(next.byName, s.byName)
		maps.Copy(next.byFlag, s.byFlag)
		maps.Copy(next.byEnv, s.byEnv)
	}
	for _, k := range keys {
		if err := next.add(k.Setting()); err != nil {
			return nil, err
		}
	}
	next.names = slices.Sorted(maps.Keys(next.byName))
	return next, nil
}

// add is the only method that changes a schema; With calls it before anybody else has the schema.
func (s *Schema) add(x *Setting) error {
	if _, ok := s.byName[x.name]; ok {
		return fmt.Errorf("setting %s is declared twice", x.name)
	}
	flag, env := x.FlagName(), x.EnvName()
	if other, ok := s.byFlag[flag]; ok {
		return fmt.Errorf("settings %s and %s share the flag --%s", other, x.name, flag)
	}
	if other, ok := s.byEnv[env]; ok {
		return fmt.Errorf("settings %s and %s share the variable %s", other, x.name, env)
	}
	s.byName[x.name], s.byFlag[flag], s.byEnv[env] = x, x.name, x.name
	return nil
}

// WithKnown is With for a catalogue: settings whose names the schema already has are passed over, since the code
// that acts on a setting declares it better than a list does.
func (s *Schema) WithKnown(keys ...Declared) (*Schema, error) {
	var missing []Declared
	for _, k := range keys {
		if _, ok := s.Lookup(k.Setting().name); !ok {
			missing = append(missing, k)
		}
	}
	return s.With(missing...)
}

// Len is the number of settings.
func (s *Schema) Len() int {
	if s == nil {
		return 0
	}
	return len(s.byName)
}

// Lookup finds a setting by its dotted name.
func (s *Schema) Lookup(name string) (*Setting, bool) {
	if s == nil {
		return nil, false
	}
	x, ok := s.byName[name]
	if !ok && s.scope != "" {
		return s.lookupScoped(name)
	}
	return x, ok
}

// Declares tells whether a setting of this very name was declared: Lookup also finds those of scopes.
func (s *Schema) Declares(name string) bool {
	if s == nil {
		return false
	}
	_, ok := s.byName[name]
	return ok
}

// Settings are all settings, sorted by name.
func (s *Schema) Settings() []*Setting {
	if s == nil {
		return nil
	}
	out := make([]*Setting, len(s.names))
	for i, n := range s.names {
		out[i] = s.byName[n]
	}
	return out
}

// Defaults are the values when nothing is set.
func (s *Schema) Defaults() *Values { return &Values{schema: s, entries: map[string]Entry{}} }

// UnknownError is a name that no setting has.
type UnknownError struct {
	Name    string
	Nearest string // the most similar name, or ""
}

// Error names the nearest setting.
func (e *UnknownError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf("unknown setting %q", e.Name)
	}
	return fmt.Sprintf("unknown setting %q (did you mean %q?)", e.Name, e.Nearest)
}

func (s *Schema) unknown(name string) error { return &UnknownError{name, s.Nearest(name)} }

// Nearest is the name most similar to name, or "" if none comes close.
func (s *Schema) Nearest(name string) string {
	const longest = 200 // nobody mistypes a longer name, and the search is quadratic
	if s == nil || len(name) > longest {
		return ""
	}
	best, bestDistance := "", max(2, len(name)/3)+1
	for _, n := range s.names {
		if d := distance(name, n); d < bestDistance {
			best, bestDistance = n, d
		}
	}
	return best
}

// distance is the Levenshtein distance: letters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
