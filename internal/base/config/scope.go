package config

import (
	"maps"
	"slices"
	"strings"
)

// WithScope lets every setting that is declared Scoped also be set for one scope, under the name
//
//	prefix SCOPE . setting         listener.name.internal.ssl.client.auth
//	prefix SCOPE . part . setting  listener.name.internal.plain.sasl.jaas.config
//
// where neither SCOPE nor part holds a dot. There is no flag and no environment variable for such a name. Values.Scope
// gives the values as one scope sees them. A schema has one kind of scopes.
func (s *Schema) WithScope(prefix string) *Schema {
	next := *s
	next.scope = prefix
	return &next
}

// lookupScoped makes the setting behind the name of a scope's.
func (s *Schema) lookupScoped(name string) (*Setting, bool) {
	rest, ok := strings.CutPrefix(name, s.scope)
	if !ok {
		return nil, false
	}
	scope, setting, ok := strings.Cut(rest, ".")
	if !ok || scope == "" {
		return nil, false
	}
	base, ok := s.byName[setting]
	if !ok {
		_, inner, _ := strings.Cut(setting, ".")
		base, ok = s.byName[inner]
	}
	if !ok || !base.scoped {
		return nil, false
	}
	x := *base
	// What it overrides is the general setting, and nothing stands in for it where it is not set.
	x.name, x.topic, x.group, x.flag, x.common, x.fallbacks = name, "", "", "", false, nil
	x.hasDefault, x.defaultTo, x.defaultFn = false, nil, nil
	return &x, true
}

// Scope is v as one scope sees it: what was set under names that begin with prefix, the scope's name and its dot included,
// stands in the place of the general settings.
func (v *Values) Scope(prefix string) *Values {
	if v == nil {
		return nil
	}
	next := &Values{schema: v.schema, entries: maps.Clone(v.entries)}
	for name, e := range v.entries {
		if base, ok := strings.CutPrefix(name, prefix); ok && v.schema.Declares(base) {
			next.entries[base] = e
		}
	}
	return next
}

// Settings are all declared settings, and those of scopes that were set, sorted by name.
func (v *Values) Settings() []*Setting {
	if v == nil {
		return nil
	}
	out := v.schema.Settings()
	for name := range v.entries {
		if !v.schema.Declares(name) {
			if s, ok := v.schema.Lookup(name); ok {
				out = append(out, s)
			}
		}
	}
	slices.SortFunc(out, func(a, b *Setting) int { return strings.Compare(a.name, b.name) })
	return out
}
