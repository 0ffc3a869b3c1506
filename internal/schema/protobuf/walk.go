package protobuf

import (
	"fmt"
	"maps"
	"slices"

	"github.com/weir-stream/weir/internal/schema"
)

// Walk visits scalar fields, elements of lists and values of maps, those under the name and the tags of their field. Fields that are not set are
// passed over.
func (s *Schema) Walk(value any, at []int, visit func(schema.Field, any) (any, error)) (any, error) {
	m, err := s.root(at)
	if err != nil {
		return nil, err
	}
	return walkMessage(m, value, visit, 0)
}

func walkMessage(m *message, value any, visit func(schema.Field, any) (any, error), depth int) (any, error) {
	v, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: %T is no %s", schema.ErrPayload, value, m.name)
	}
	if depth > schema.MaxDepth {
		return nil, fmt.Errorf("%w: %w", schema.ErrPayload, errTooDeep)
	}
	changed := maps.Clone(v)
	for _, f := range m.fields {
		inner := v[f.key]
		if inner == nil {
			continue
		}
		var err error
		switch {
		case f.mapKey != nil:
			inner, err = walkMap(f, v, inner, visit, depth)
		case f.list:
			inner, err = walkList(f, v, inner, visit, depth)
		default:
			inner, err = walkOne(f, f, v, inner, visit, depth)
		}
		if err != nil {
			return nil, err
		}
		changed[f.key] = inner
	}
	return changed, nil
}

// walkOne visits a value of the kind that of has, in the name of a field of owner.
func walkOne(f, of *field, owner map[string]any, v any, visit func(schema.Field, any) (any, error), depth int) (any, error) {
	if of.message != nil {
		return walkMessage(of.message, v, visit, depth+1)
	}
	place := f.visited
	place.Message = owner
	return visit(place, v)
}

func walkList(f *field, owner map[string]any, v any, visit func(schema.Field, any) (any, error), depth int) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: %s: %T is no list", schema.ErrPayload, f.key, v)
	}
	changed := make([]any, len(list))
	for i, e := range list {
		var err error
		if changed[i], err = walkOne(f, f, owner, e, visit, depth); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

func walkMap(f *field, owner map[string]any, v any, visit func(schema.Field, any) (any, error), depth int) (any, error) {
	entries, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: %s: %T is no map", schema.ErrPayload, f.key, v)
	}
	changed := make(map[string]any, len(entries))
	for _, k := range slices.Sorted(maps.Keys(entries)) {
		var err error
		if changed[k], err = walkOne(f, f.mapValue, owner, entries[k], visit, depth); err != nil {
			return nil, err
		}
	}
	return changed, nil
}
