package jsonschema

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/weir-stream/weir/internal/schema"
)

// Walk visits the scalar members of objects, and the scalar items of lists that are members: strings, numbers and booleans, but
// not null. Full names are paths from $, as upstream's clients have them: $.customer.email, $.items[0].sku. Members that no
// schema speaks of are left alone. Where schemas are alternatives, those that allow the value count.
func (p *parsed) Walk(v any, _ []int, visit func(schema.Field, any) (any, error)) (any, error) {
	w := &walker{visit: visit, check: checker{left: 4 * maxSteps}}
	return w.value([]*node{p.root}, schema.Field{FullName: "$"}, v, 0)
}

type walker struct {
	check checker
	visit func(schema.Field, any) (any, error)
}

// value walks one value, about which all schemas of the list speak. At is the field it belongs to: its Message is nil at the top,
// where nothing is visited.
func (w *walker) value(list []*node, at schema.Field, v any, depth int) (any, error) {
	if depth > schema.MaxDepth {
		return nil, fmt.Errorf("%w: %s: nested deeper than %d", schema.ErrPayload, at.FullName, schema.MaxDepth)
	}
	list = w.flatten(list, v)
	if w.check.stopped != nil {
		return nil, fmt.Errorf("%w: %s: %w", schema.ErrPayload, at.FullName, w.check.stopped)
	}
	switch x := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return w.object(list, at, x, depth)
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			item := at
			item.FullName += "[" + strconv.Itoa(i) + "]"
			item.Tags = tagsOf(at.Tags, list)
			var err error
			if out[i], err = w.value(itemsAt(list, i), item, e, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	if at.Message == nil {
		return v, nil
	}
	at.Type, at.Tags = scalarType(list, v), tagsOf(at.Tags, list)
	return w.visit(at, v)
}

func (w *walker) object(list []*node, at schema.Field, m map[string]any, depth int) (any, error) {
	out := make(map[string]any, len(m))
	var names []string
	for _, n := range list {
		for _, name := range n.order {
			if _, ok := m[name]; ok && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, name := range sortedKeys(m) {
		out[name] = m[name]
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		about := membersOf(list, name)
		if about == nil {
			continue
		}
		v, err := w.value(about, schema.Field{FullName: at.FullName + "." + name, Name: name, Message: m}, m[name], depth+1)
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	return out, nil
}

// flatten follows references and takes in the schemas that speak of the same value: all of allOf, those of anyOf and oneOf that
// allow it, and the branch of a condition.
func (w *walker) flatten(list []*node, v any) []*node {
	var out []*node
	var add func(*node)
	add = func(n *node) {
		if n == nil || n.always || n.never || slices.Contains(out, n) || w.check.stopped != nil {
			return
		}
		out = append(out, n)
		add(n.ref)
		if n.refOnly {
			return
		}
		add(n.dynamic)
		for _, s := range n.allOf {
			add(s)
		}
		for _, alternatives := range [][]*node{n.anyOf, n.oneOf} {
			for _, s := range alternatives {
				if w.check.matches(s, v) {
					add(s)
				}
			}
		}
		if n.cond != nil {
			branch := n.otherwise
			if w.check.matches(n.cond, v) {
				add(n.cond)
				branch = n.then
			}
			add(branch)
		}
		if m, ok := v.(map[string]any); ok {
			for _, name := range sortedKeys(n.depSchemas) {
				if _, ok := m[name]; ok {
					add(n.depSchemas[name])
				}
			}
		}
	}
	for _, n := range list {
		add(n)
	}
	return out
}

// membersOf are the schemas that speak of a member.
func membersOf(list []*node, name string) []*node {
	var out []*node
	for _, n := range list {
		if n.refOnly {
			continue
		}
		p, known := n.properties[name]
		if known {
			out = append(out, p)
		}
		for _, k := range n.patterns {
			if k.re.has(name) {
				known = true
				out = append(out, k.n)
			}
		}
		if !known && n.additional != nil && n.additional.src != nil {
			out = append(out, n.additional)
		}
	}
	return out
}

func itemsAt(list []*node, i int) []*node {
	var out []*node
	for _, n := range list {
		switch {
		case n.refOnly:
		case i < len(n.prefix):
			out = append(out, n.prefix[i])
		case n.items != nil:
			out = append(out, n.items)
		}
	}
	return out
}

// scalarType names the type as upstream's clients do: an integer is an INT, however large.
func scalarType(list []*node, v any) string {
	for _, n := range list {
		if n.enum != nil && !n.refOnly {
			return "ENUM"
		}
	}
	switch v.(type) {
	case string:
		return "STRING"
	case bool:
		return "BOOLEAN"
	case []byte:
		return "BYTES"
	case int64, uint64:
		for _, n := range list {
			if !n.refOnly && n.types&typeNumber != 0 && n.types&typeInteger == 0 {
				return "DOUBLE"
			}
		}
		return "INT"
	}
	return "DOUBLE"
}

// tagsOf adds the confluent:tags of the schemas, each once.
func tagsOf(tags []string, list []*node) []string {
	for _, n := range list {
		t := n.text.get("confluent:tags")
		if t == nil {
			continue
		}
		for _, e := range t.list {
			if e.kind == '"' && !slices.Contains(tags, e.text) {
				tags = append(slices.Clip(tags), e.text)
			}
		}
	}
	return tags
}
