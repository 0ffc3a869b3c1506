package avro

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// define gives a name its type.
func (p *parser) define(n *node, space string, k kind) (*typ, error) {
	name, err := nameOf(n, space)
	if err != nil {
		return nil, p.errorf(n, "%v", err)
	}
	if name.space == "" && primitives[name.name] != nil {
		return nil, p.errorf(n, "%s is the name of a type of Avro's own", name)
	}
	if p.fresh && !p.foreign {
		for part := range strings.SplitSeq(name.String(), ".") {
			if err := checkName(part); err != nil {
				return nil, p.errorf(n, "name %s: %v", shorten(name.String()), err)
			}
		}
	}
	if from, known := p.index[name]; known && !p.foreign {
		return nil, p.errorf(n, "%s is defined here and in the schema that reference %s names", name, from)
	}
	t := p.types[name]
	switch {
	case t == nil:
		if err := p.count(n); err != nil {
			return nil, err
		}
		t = &typ{}
		p.types[name] = t
	case t.kind != unresolved:
		return nil, p.errorf(n, "%s is defined twice", name)
	}
	t.kind, t.name, t.foreign = k, name, p.foreign
	if doc, ok := n.string("doc"); ok {
		t.doc = &doc
	}
	aliases, err := p.aliases(n)
	for _, a := range aliases {
		if !strings.Contains(a, ".") {
			a = fullName{name.space, a}.String()
		}
		t.aliases = append(t.aliases, strings.TrimPrefix(a, "."))
	}
	return t, err
}

// nameOf reads name and namespace. The part of the name before its last dot goes before the namespace.
func nameOf(n *node, space string) (fullName, error) {
	name, ok := n.string("name")
	if !ok {
		return fullName{}, errors.New("the type has no name")
	}
	if own, ok := n.string("namespace"); ok {
		space = own
	}
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		space, name = name[:i], name[i+1:]
	}
	return fullName{space, name}, nil
}

// checkName refuses what is no letter, digit or underscore, or begins with a digit. As in Java, letters are those of all scripts.
func checkName(s string) error {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return fmt.Errorf("%q may not stand in a name here", r)
		}
	}
	if s == "" {
		return errors.New("a part of it is empty")
	}
	return nil
}

func (p *parser) aliases(n *node) ([]string, error) {
	list := n.get("aliases")
	if list == nil {
		return nil, nil
	}
	if list.kind != isArray {
		return nil, p.errorf(list, "aliases are an array of strings")
	}
	var out []string
	seen := map[string]bool{}
	for _, a := range list.items {
		if a.kind != isString {
			return nil, p.errorf(a, "an alias is a string")
		}
		if !seen[a.text] {
			seen[a.text] = true
			out = append(out, a.text)
		}
	}
	return out, nil
}

func properties(n *node, reserved []string) []prop {
	var out []prop
	for i, key := range n.keys {
		if !slices.Contains(reserved, key) {
			out = append(out, prop{key, n.items[i]})
		}
	}
	return out
}

func (p *parser) record(n *node, space string, isError bool) (*typ, error) {
	t, err := p.define(n, space, kRecord)
	if err != nil {
		return nil, err
	}
	t.isError = isError
	fields := n.get("fields")
	if fields == nil || fields.kind != isArray {
		return nil, p.errorf(n, "record %s has no array of fields", t.name)
	}
	t.fieldIndex = make(map[string]int, len(fields.items))
	for i, m := range fields.items {
		f, err := p.field(m, t)
		if err != nil {
			return nil, err
		}
		if _, taken := t.fieldIndex[f.name]; taken {
			return nil, p.errorf(m, "record %s has two fields %s", t.name, f.name)
		}
		t.fieldIndex[f.name] = i
		t.fields = append(t.fields, f)
	}
	t.props = properties(n, reservedOfTypes)
	return t, nil
}

func (p *parser) field(n *node, record *typ) (*field, error) {
	name, ok := n.string("name")
	if !ok {
		return nil, p.errorf(n, "a field of %s has no name", record.name)
	}
	if p.fresh && !p.foreign {
		if err := checkName(name); err != nil {
			return nil, p.errorf(n, "field %q: %v", shorten(name), err)
		}
	}
	inner := n.get("type")
	if inner == nil {
		return nil, p.errorf(n, "field %s has no type", name)
	}
	f := &field{name: name, fullName: record.name.String() + "." + name, order: "ascending", props: properties(n, reservedOfFields)}
	var err error
	if f.typ, err = p.typeOf(inner, record.name.space); err != nil {
		return nil, err
	}
	if doc, ok := n.string("doc"); ok {
		f.doc = &doc
	}
	if order := n.get("order"); order != nil {
		f.order = strings.ToLower(order.text)
		if order.kind != isString || f.order != "ascending" && f.order != "descending" && f.order != "ignore" {
			return nil, p.errorf(order, "order of field %s: want ascending, descending or ignore", name)
		}
	}
	if f.def = n.get("default"); f.def != nil {
		if f.def, err = p.floatDefault(f); err != nil {
			return nil, err
		}
		p.fields = append(p.fields, placedField{f, place(p.text, n.at), p.foreign})
	}
	if f.aliases, err = p.aliases(n); err != nil {
		return nil, err
	}
	if tags := n.get(tagsAttribute); tags != nil {
		for _, tag := range tags.items {
			if tag.kind == isString {
				f.tags = append(f.tags, tag.text)
			}
		}
	}
	return f, nil
}

// floatDefault takes a number in quotes for a number, as Java does where a field is a float or double.
func (p *parser) floatDefault(f *field) (*node, error) {
	if f.def.kind != isString || f.typ.kind != kFloat && f.typ.kind != kDouble {
		return f.def, nil
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(f.def.text), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil, p.errorf(f.def, "the default of field %s is no number", f.name)
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return f.def, nil
	}
	return &node{kind: isNumber, text: string(appendFloat(nil, v, 64)), at: f.def.at}, nil
}

func (p *parser) enum(n *node, space string) (*typ, error) {
	t, err := p.define(n, space, kEnum)
	if err != nil {
		return nil, err
	}
	symbols := n.get("symbols")
	if symbols == nil || symbols.kind != isArray {
		return nil, p.errorf(n, "enum %s has no array of symbols", t.name)
	}
	t.symbolSet = make(map[string]int, len(symbols.items))
	for i, s := range symbols.items {
		if s.kind != isString {
			return nil, p.errorf(s, "a symbol of enum %s is no string", t.name)
		}
		if p.fresh && !p.foreign {
			if err := checkName(s.text); err != nil {
				return nil, p.errorf(s, "symbol %q: %v", shorten(s.text), err)
			}
		}
		if _, taken := t.symbolSet[s.text]; taken {
			return nil, p.errorf(s, "enum %s has the symbol %s twice", t.name, s.text)
		}
		t.symbolSet[s.text] = i
		t.symbols = append(t.symbols, s.text)
	}
	if def, ok := n.string("default"); ok {
		if _, known := t.symbolSet[def]; !known {
			return nil, p.errorf(n, "the default of enum %s, %s, is none of its symbols", t.name, shorten(def))
		}
		t.otherwise = &def
	}
	t.props = properties(n, reservedOfEnums)
	return t, nil
}

func (p *parser) fixed(n *node, space string) (*typ, error) {
	t, err := p.define(n, space, kFixed)
	if err != nil {
		return nil, err
	}
	size := n.get("size")
	if size == nil || !size.isInteger() {
		return nil, p.errorf(n, "fixed %s has no size", t.name)
	}
	v, err := strconv.ParseInt(size.text, 10, 32)
	if err != nil || v < 0 {
		return nil, p.errorf(size, "the size of fixed %s is out of range", t.name)
	}
	t.size = int(v)
	t.props = properties(n, reservedOfTypes)
	return t, nil
}
