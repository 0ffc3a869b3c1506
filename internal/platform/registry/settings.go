package registry

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
)

// UpdateConfig changes settings of a name, "" for all, and returns them. update gets what is set now, which it may change.
func (r *Registry) UpdateConfig(ctx context.Context, name string, update func(*state.Config) error) (*state.Config, error) {
	if !state.ValidSubject(name, true) {
		return nil, errInvalidSubject(name)
	}
	var out *state.Config
	err := r.change(ctx, func(s *state.State) ([]state.Record, error) {
		if s.ModeFor(name).ReadsOnly() {
			return nil, errReadOnly(name)
		}
		out = &state.Config{}
		if old := s.Config(name); old != nil {
			*out = *old
		}
		before := *out
		if err := update(out); err != nil {
			return nil, err
		}
		if err := checkPair(s.ConfigFor(name), before, *out); err != nil {
			return nil, err
		}
		return []state.Record{state.PutConfig(name, out)}, nil
	})
	return out, err
}

// checkPair refuses the policy LOGICAL with a level that looks forward alone, as upstream does: tables of Iceberg, which that policy is made for, cannot change like that.
// What is set for a name is looked at with what it has from above; to take a setting back is always allowed.
func checkPair(above, before, after state.Config) error {
	if after.Level == before.Level && after.Policy == before.Policy || after.Level == "" && before.Level != "" || after.Policy == "" && before.Policy != "" {
		return nil
	}
	level, policy := cmp.Or(after.Level, above.Level), cmp.Or(after.Policy, above.Policy)
	if policy == "LOGICAL" && (level == "FORWARD" || level == "FORWARD_TRANSITIVE") {
		return gate.Errorf(42203, "compatibilityPolicy=LOGICAL cannot be combined with compatibilityLevel=%s: Iceberg only supports backward-compatible schema evolution", level)
	}
	return nil
}

// checkConfig refuses settings that are none.
func checkConfig(c *state.Config) error {
	c.Level = state.Level(strings.ToUpper(string(c.Level)))
	if c.Level != "" && !slices.Contains(state.Levels(), c.Level) {
		return errInvalidLevel()
	}
	switch c.Policy = upper(c.Policy); c.Policy {
	case "", "STRICT", "LENIENT", "LOGICAL":
	default:
		return errInvalidLevel()
	}
	if err := validateRuleSet(c.DefaultRuleSet); err != nil {
		return err
	}
	return validateRuleSet(c.OverrideRuleSet)
}

func upper[T ~string](text T) T { return T(strings.ToUpper(string(text))) }

// DeleteConfig ends the settings of a name and returns what they were.
func (r *Registry) DeleteConfig(ctx context.Context, name string) (state.Config, error) {
	var out state.Config
	err := r.change(ctx, func(s *state.State) ([]state.Record, error) {
		old := s.Config(name)
		switch {
		case old == nil && !isTop(name):
			return nil, errSubject(name)
		case s.ModeFor(name).ReadsOnly():
			return nil, errReadOnly(name)
		case old == nil:
			out = state.Config{Level: state.DefaultLevel}
			return nil, nil
		}
		if out = *old; out.Level == "" {
			out.Level = state.DefaultLevel
		}
		return []state.Record{state.RemoveConfig(name)}, nil
	})
	return out, err
}

// isTop tells whether a name stands for everything: settings of it are always there.
func isTop(name string) bool {
	context, subject := state.Split(name)
	return name == "" || context == state.GlobalContext && subject == ""
}

// Config is what is set for a name, or what holds for it.
func (r *Registry) Config(ctx context.Context, name string, inScope bool) (state.Config, error) {
	return read(ctx, r, func(s *state.State) (state.Config, error) {
		if inScope {
			return s.ConfigFor(name), nil
		}
		c := s.Config(name)
		if c == nil {
			if isTop(name) {
				return state.Config{Level: state.DefaultLevel}, nil
			}
			return state.Config{}, errNoConfig(name)
		}
		out := *c
		if out.Level == "" {
			out.Level = state.DefaultLevel
		}
		return out, nil
	})
}

// Mode is what is set for a name, or what holds for it.
func (r *Registry) Mode(ctx context.Context, name string, inScope bool) (state.Mode, error) {
	return read(ctx, r, func(s *state.State) (state.Mode, error) {
		m := s.Mode(name)
		switch {
		case inScope:
			return s.ModeFor(name), nil
		case m == "" && isTop(name):
			return state.ReadWrite, nil
		case m == "":
			return "", errNoMode(name)
		}
		return m, nil
	})
}

// SetMode changes the mode of a name. To import needs a place without subjects, or force.
func (r *Registry) SetMode(ctx context.Context, name, text string, force bool) (state.Mode, error) {
	if !state.ValidSubject(name, true) {
		return "", errInvalidSubject(name)
	}
	mode := state.Mode(strings.ToUpper(text))
	if !slices.Contains(state.Modes(), mode) {
		return "", errInvalidMode(invalidMode)
	}
	if mode == state.Forward && (name == "" || !isTop(name)) {
		return "", errInvalidMode("Forward mode only supported on global level")
	}
	err := r.change(ctx, func(s *state.State) ([]state.Record, error) {
		var out []state.Record
		if mode == state.Import && s.ModeFor(name) != state.Import && !force {
			if s.Has(name, state.Live) {
				return nil, errNotPermitted("Cannot import since found existing subjects")
			}
			records, err := clearDeleted(s, name)
			if err != nil {
				return nil, err
			}
			out = records
		}
		return append(out, state.PutMode(name, mode)), nil
	})
	return mode, err
}

// clearDeleted are the records that end deleted versions under a name, so that an import may use their ids.
func clearDeleted(s *state.State, name string) ([]state.Record, error) {
	prefix := name
	if isTop(name) && name != "" {
		prefix = state.Wildcard
	}
	var out []state.Record
	for _, subject := range s.Subjects(prefix, state.All) {
		if !state.IsContext(name) && subject != name {
			continue
		}
		for _, v := range s.Versions(subject, state.All) {
			if len(s.ReferencedBy(subject, v.Version, state.All)) > 0 {
				return nil, errReferenced(subject, v.Version)
			}
			out = append(out, state.RemoveVersion(subject, v.Version))
		}
	}
	return append(out, state.ClearSubject(name)), nil
}

// DeleteMode ends the mode of a name and returns what it was, "" if it had none. With recursive, the modes of the subjects of a
// context end, too.
func (r *Registry) DeleteMode(ctx context.Context, name string, recursive bool) (state.Mode, error) {
	var old state.Mode
	err := r.change(ctx, func(s *state.State) ([]state.Record, error) {
		var out []state.Record
		old = s.Mode(name)
		switch {
		case old != "":
			out = append(out, state.RemoveMode(name))
		case isTop(name):
			old = state.ReadWrite
		case !recursive:
			return nil, errSubject(name)
		}
		if recursive && state.IsContext(name) {
			for _, other := range s.ModesUnder(name) {
				out = append(out, state.RemoveMode(other))
			}
		}
		return out, nil
	})
	return old, err
}
