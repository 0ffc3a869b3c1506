package avro

import (
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

// Tags lists the records and fields of the text that have confluent:tags. A record comes before its fields, and a field before the
// records within it.
func (s *Schema) Tags() []schema.EntityTags {
	var out []schema.EntityTags
	add := func(path, kind string, tags []string) {
		if len(tags) > 0 {
			out = append(out, schema.EntityTags{Entity: schema.Entity{Path: path, Type: kind}, Tags: tags})
		}
	}
	seen := map[*typ]bool{}
	var visit func(t *typ)
	visit = func(t *typ) {
		if t.kind != kRecord {
			t.edges(visit)
			return
		}
		if seen[t] || t.foreign {
			return
		}
		seen[t] = true
		add(t.name.String(), schema.RecordEntity, tagsIn(t.props))
		for _, f := range t.fields {
			add(f.fullName, schema.FieldEntity, tagsIn(f.props))
			visit(f.typ)
		}
	}
	visit(s.root)
	return out
}

// Tagged is the canonical text with other tags. A record may be named without its namespace: then the one nearest to the top is meant.
func (s *Schema) Tagged(add, remove []schema.EntityTags) (string, error) {
	changes, err := schema.Retags(add, remove)
	if err != nil {
		return "", err
	}
	records := s.recordsByName()
	w := &writer{seen: map[*typ]bool{}, tags: map[any][]string{}}
	for i := range changes {
		c := &changes[i]
		var owner any
		var props []prop
		switch path := c.Path; c.Type {
		case schema.RecordEntity:
			t := records[path]
			if t == nil {
				return "", c.Missing()
			}
			owner, props = t, t.props
		default:
			dot := strings.LastIndexByte(path, '.')
			t := records[path[:max(dot, 0)]]
			if t == nil {
				return "", c.Missing()
			}
			at, ok := t.fieldIndex[path[dot+1:]]
			if !ok {
				return "", c.Missing()
			}
			owner, props = t.fields[at], t.fields[at].props
		}
		tags, changed := w.tags[owner] // by another of its names
		if !changed {
			tags = tagsIn(props)
		}
		w.tags[owner] = c.Of(tags)
	}
	w.typ(s.root, "")
	return string(w.out), nil
}

// recordsByName finds the records that the text defines, by their full names, and by their short ones what is nearest to the top.
func (s *Schema) recordsByName() map[string]*typ {
	out, short := map[string]*typ{}, map[string]*typ{}
	seen := map[*typ]bool{s.root: true}
	for next := []*typ{s.root}; len(next) > 0; next = next[1:] {
		t := next[0]
		if t.foreign {
			continue
		}
		if t.kind == kRecord {
			out[t.name.String()] = t
			if short[t.name.name] == nil {
				short[t.name.name] = t
			}
		}
		t.edges(func(inner *typ) {
			if !seen[inner] {
				seen[inner] = true
				next = append(next, inner)
			}
		})
	}
	for name, t := range short {
		if out[name] == nil {
			out[name] = t
		}
	}
	return out
}

// tagsIn reads confluent:tags.
func tagsIn(props []prop) []string {
	var out []string
	for _, p := range props {
		if p.key == tagsAttribute {
			for _, tag := range p.value.items {
				if tag.kind == isString {
					out = append(out, tag.text)
				}
			}
		}
	}
	return out
}

// tagged returns the properties of a type or field with the tags that the writer has for it.
func (w *writer) tagged(owner any, props []prop) []prop {
	tags, ok := w.tags[owner]
	if !ok {
		return props
	}
	list := &node{kind: isArray}
	for _, tag := range tags {
		list.items = append(list.items, &node{kind: isString, text: tag})
	}
	props = slices.Clone(props)
	i := slices.IndexFunc(props, func(p prop) bool { return p.key == tagsAttribute })
	switch {
	case i >= 0 && len(tags) == 0:
		return slices.Delete(props, i, i+1)
	case i >= 0:
		props[i].value = list
	case len(tags) > 0:
		props = append(props, prop{tagsAttribute, list})
	}
	return props
}
