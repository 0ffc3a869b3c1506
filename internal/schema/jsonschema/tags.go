package jsonschema

import (
	"slices"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

const tagsKeyword = "confluent:tags"

// place is an object of the text that can have tags. What is an object and the schema of a property has two paths.
type place struct {
	schema.Entity
	v *value
	// alias is the second path of a property: Tags leaves it out.
	alias bool
}

// places lists the places of a text. Paths are as Confluent has them, object.lines.array.object.price, but for two things: the parts of
// allOf, anyOf and oneOf are counted in the order of the text, and an object that may also be something else is an object.
func places(root *value) []place {
	var out []place
	var walk func(v *value, scope string, property bool)
	walk = func(v *value, scope string, property bool) {
		if v == nil || v.kind != '{' || len(scope) > schema.MaxEntityBytes {
			return
		}
		name := scope + "object"
		properties := v.get("properties")
		if properties != nil || isObject(v) {
			out = append(out, place{schema.Entity{Path: name, Type: schema.RecordEntity}, v, property})
		}
		if properties != nil {
			for _, m := range properties.members {
				if m.v.kind == '{' {
					out = append(out, place{Entity: schema.Entity{Path: name + "." + m.name, Type: schema.FieldEntity}, v: m.v})
					walk(m.v, name+"."+m.name+".", true)
				}
			}
		}
		for _, key := range []string{"definitions", "$defs"} {
			if defs := v.get(key); defs != nil {
				for _, m := range defs.members {
					walk(m.v, name+"."+key+"."+m.name+".", false)
				}
			}
		}
		walk(v.get("items"), scope+"array.", false)
		for _, key := range []string{"allOf", "anyOf", "oneOf"} {
			if list := v.get(key); list != nil {
				for i, part := range list.list {
					walk(part, scope+strings.ToLower(key)+"."+strconv.Itoa(i)+".", false)
				}
			}
		}
		for _, key := range []string{"if", "then", "else"} {
			walk(v.get(key), scope+"conditional."+key+".", false)
		}
		walk(v.get("not"), scope+"not.", false)
	}
	walk(root, "", false)
	return out
}

func isObject(v *value) bool {
	t := v.get("type")
	return t != nil && (t.text == "object" || slices.ContainsFunc(t.list, func(e *value) bool { return e.text == "object" }))
}

// Tags lists the objects and properties that have confluent:tags.
func (p *parsed) Tags() []schema.EntityTags {
	var out []schema.EntityTags
	for _, at := range places(p.text) {
		if tags := tagsIn(at.v); len(tags) > 0 && !at.alias {
			out = append(out, schema.EntityTags{Entity: at.Entity, Tags: tags})
		}
	}
	return out
}

// Tagged is the canonical text with other tags.
func (p *parsed) Tagged(add, remove []schema.EntityTags) (string, error) {
	changes, err := schema.Retags(add, remove)
	if err != nil {
		return "", err
	}
	text, err := (&scanner{in: []byte(p.Canonical())}).ordered() // the schema's own value is not to be changed
	if err != nil {
		return "", err
	}
	found := map[schema.Entity]*value{}
	for _, at := range places(text) {
		if found[at.Entity] == nil {
			found[at.Entity] = at.v
		}
	}
	for i := range changes {
		v := found[changes[i].Entity]
		if v == nil {
			return "", changes[i].Missing()
		}
		v.setTags(changes[i].Of(tagsIn(v)))
	}
	return string(text.append(nil, false)), nil
}

// tagsIn reads confluent:tags.
func tagsIn(v *value) []string {
	list := v.get(tagsKeyword)
	if list == nil {
		return nil
	}
	var out []string
	for _, tag := range list.list {
		if tag.kind == '"' {
			out = append(out, tag.text)
		}
	}
	return out
}

func (v *value) setTags(tags []string) {
	list := &value{kind: '['}
	for _, tag := range tags {
		list.list = append(list.list, &value{kind: '"', text: tag})
	}
	i := slices.IndexFunc(v.members, func(m member) bool { return m.name == tagsKeyword })
	switch {
	case i >= 0 && len(tags) == 0:
		v.members = slices.Delete(v.members, i, i+1)
	case i >= 0:
		v.members[i].v = list
	case len(tags) > 0:
		v.members = append(v.members, member{tagsKeyword, list})
	}
}

// TopLevelFields implements schema.TopLevel: the properties that the schema itself has, and none of those that it refers to.
func (p *parsed) TopLevelFields() []string {
	var out []string
	if v := p.text.get("properties"); v != nil {
		for _, m := range v.members {
			out = append(out, m.name)
		}
	}
	return out
}
