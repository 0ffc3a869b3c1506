package avro

import (
	"fmt"
	"maps"
	"slices"

	"github.com/weir-stream/weir/internal/schema"
)

var scalarNames = map[kind]string{
	kBoolean: "BOOLEAN", kInt: "INT", kLong: "LONG", kFloat: "FLOAT", kDouble: "DOUBLE", kBytes: "BYTES", kString: "STRING", kEnum: "ENUM", kFixed: "FIXED",
}

// Walk visits the scalars of a value that stand in fields: those in arrays and maps one by one, as values of the field that the
// array or map is in. Null is not visited. A value at the top, in no field, is neither.
func (s *Schema) Walk(value any, _ []int, visit func(schema.Field, any) (any, error)) (any, error) {
	w := walker{visit: visit, left: freeSteps + stepsPerValue*sizeOf(value, 0)}
	return w.walk(s.root, value, nil)
}

type walker struct {
	visit func(schema.Field, any) (any, error)
	depth int
	left  int
}

// walk visits what lies in v, which stands in the field at, nil at the top, and returns v or a copy with what was changed.
func (w *walker) walk(t *typ, v any, at *schema.Field) (any, error) {
	if v == nil {
		return nil, nil
	}
	if name, ok := scalarNames[t.kind]; ok {
		if at == nil {
			return v, nil
		}
		f := *at
		f.Type = name
		return w.visit(f, v)
	}
	if w.depth++; w.depth > schema.MaxDepth {
		return nil, broken(errDepth)
	}
	defer func() { w.depth-- }()
	switch x := v.(type) {
	case []any:
		if t.kind == kArray {
			return w.array(t, x, at)
		}
	case map[string]any:
		switch t.kind {
		case kMap:
			return w.mapping(t, x, at)
		case kRecord:
			return w.record(t, x)
		}
	}
	if t.kind == kUnion {
		b, err := w.branch(t, v)
		if err != nil {
			return nil, err
		}
		return w.walk(b, v, at)
	}
	return nil, broken(fmt.Errorf("%w: %w", errWalk, wrong(t, v)))
}

func (w *walker) record(t *typ, m map[string]any) (any, error) {
	out := maps.Clone(m)
	for _, f := range t.fields {
		v, given := m[f.name]
		if !given {
			continue
		}
		var err error
		if out[f.name], err = w.walk(f.typ, v, &schema.Field{FullName: f.fullName, Name: f.name, Tags: f.tags, Message: m}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (w *walker) mapping(t *typ, m map[string]any, at *schema.Field) (any, error) {
	out := make(map[string]any, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		var err error
		if out[key], err = w.walk(t.items, m[key], at); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (w *walker) array(t *typ, list []any, at *schema.Field) (any, error) {
	out := make([]any, len(list))
	for i, v := range list {
		var err error
		if out[i], err = w.walk(t.items, v, at); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// branch finds the branch of a union that a value would be written as.
func (w *walker) branch(t *typ, v any) (*typ, error) {
	var candidates []*typ
	for _, exact := range []bool{true, false} {
		for _, b := range t.branches {
			if compatible(b, v) && natural(b, v) == exact {
				candidates = append(candidates, b)
			}
		}
	}
	if len(candidates) == 1 {
		return candidates[0], nil
	}
	for _, b := range candidates {
		e := &encoder{left: w.left}
		err := e.encode(b, v)
		w.left = e.left
		if err == nil {
			return b, nil
		}
	}
	return nil, broken(fmt.Errorf("%w: %w", errWalk, wrong(t, v)))
}
