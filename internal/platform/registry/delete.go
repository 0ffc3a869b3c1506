package registry

import (
	"context"
	"slices"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
)

// DeleteVersion deletes a version of a subject, or for good one that was deleted, and returns its number.
func (r *Registry) DeleteVersion(ctx context.Context, subject, version string, permanent bool) (int, error) {
	number, err := parseVersion(version)
	if err != nil {
		return 0, err
	}
	deleted := 0
	err = r.change(ctx, func(s *state.State) ([]state.Record, error) {
		v := s.Get(subject, number, state.All)
		switch {
		case v == nil && !s.Has(subject, state.All):
			return nil, errSubject(subject)
		case v == nil:
			return nil, errVersion(number)
		case v.Deleted && !permanent:
			return nil, errVersionDeleted(subject, v.Version)
		}
		deleted = v.Version
		if s.ModeFor(subject).ReadsOnly() {
			return nil, errReadOnly(subject)
		}
		if live := s.Versions(subject, state.Live); !permanent && len(live) == 1 && isAssociated(s, subject) {
			return nil, gate.Errorf(40907, "No active (non-deleted) version exists for subject '%s'", subject)
		}
		f := state.Live
		if permanent {
			f = state.All
		}
		if len(s.ReferencedBy(subject, v.Version, f)) > 0 {
			return nil, errReferenced(subject, v.Version)
		}
		if !permanent {
			gone := *v
			gone.Deleted = true
			return []state.Record{state.PutVersion(&gone)}, nil
		}
		if !v.Deleted {
			return nil, errVersionNotDeleted(subject, v.Version)
		}
		out := []state.Record{state.RemoveVersion(subject, v.Version)}
		if len(s.Versions(subject, state.All)) == 1 {
			out = append(out, forget(s, subject)...)
		}
		return out, nil
	})
	return deleted, err
}

// forget are the records that end the settings of a subject that is gone.
func forget(s *state.State, subject string) []state.Record {
	var out []state.Record
	if s.Mode(subject) != "" {
		out = append(out, state.RemoveMode(subject))
	}
	if s.Config(subject) != nil {
		out = append(out, state.RemoveConfig(subject))
	}
	return out
}

// DeleteSubject deletes the versions of a subject, or for good those that were deleted, and returns their numbers.
func (r *Registry) DeleteSubject(ctx context.Context, subject string, permanent bool) (deleted []int, err error) {
	err = r.change(ctx, func(s *state.State) ([]state.Record, error) {
		deleted = []int{}
		switch {
		case !s.Has(subject, state.All) || state.IsContext(subject):
			return nil, errSubject(subject)
		case !permanent && !s.Has(subject, state.Live):
			return nil, errSubjectDeleted(subject)
		case s.ModeFor(subject).ReadsOnly():
			return nil, errReadOnly(subject)
		case isAssociated(s, subject):
			return nil, gate.Errorf(40904, "An association already exists for subject '%s'", subject)
		}
		f := state.Live
		if permanent {
			f = state.All
		}
		versions := s.Versions(subject, f)
		for _, v := range versions {
			if r.referencedByOthers(s, v, f) {
				return nil, errReferenced(subject, v.Version)
			}
			if permanent && !v.Deleted {
				return nil, errSubjectNotDeleted(subject)
			}
			deleted = append(deleted, v.Version)
		}
		if !permanent {
			return []state.Record{state.DeleteSubject(subject, deleted[len(deleted)-1])}, nil
		}
		var out []state.Record
		for _, v := range slices.Backward(versions) {
			out = append(out, state.RemoveVersion(subject, v.Version))
		}
		return append(out, forget(s, subject)...), nil
	})
	return deleted, err
}

// referencedByOthers tells whether another subject refers to a version.
func (*Registry) referencedByOthers(s *state.State, v *state.Version, f state.Filter) bool {
	for _, id := range s.ReferencedBy(v.Subject, v.Version, f) {
		for _, other := range s.ByID(state.Prefix(id.Context), id.ID, f) {
			if other.Subject != v.Subject {
				return true
			}
		}
	}
	return false
}

// DeleteContext forgets a context that holds nothing.
func (r *Registry) DeleteContext(ctx context.Context, prefix string) error {
	return r.change(ctx, func(s *state.State) ([]state.Record, error) {
		if s.Has(prefix, state.All) {
			return nil, errContextNotEmpty(prefix)
		}
		context, _ := state.Split(prefix)
		if context == state.DefaultContext || !s.HasContext(context) {
			return nil, nil
		}
		return []state.Record{state.RemoveContext(context)}, nil
	})
}
