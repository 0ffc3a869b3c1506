package jsonschema

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"

	js "github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/weir-stream/weir/internal/schema"
)

func printer() *message.Printer { return message.NewPrinter(language.English) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// types is a set of JSON types. An integer is also a number.
type types uint8

const (
	typeNull types = 1 << iota
	typeBoolean
	typeInteger
	typeNumber
	typeString
	typeArray
	typeObject
)

var typeNames = map[string]types{
	"null": typeNull, "boolean": typeBoolean, "integer": typeInteger, "number": typeNumber, "string": typeString, "array": typeArray, "object": typeObject,
}

// node is one schema of the graph, as validation wants it. What is absent is nil, but for lengths, which are -1.
type node struct {
	src  *js.Schema
	text *value // the piece of text it comes from, nil in a meta-schema

	always, never bool // true, or {}; false
	types         types
	typeList      []string // in the order of the text
	enum          []any
	constant      *any
	ref           *node // with refOnly all else is ignored, as before 2019-09
	refOnly       bool
	dynamic       *node // target of $recursiveRef or $dynamicRef

	allOf, anyOf, oneOf []*node
	not, cond           *node // cond is if
	then, otherwise     *node

	required                     []string
	properties                   map[string]*node
	order                        []string // names of properties as in the text
	patterns                     []keyPattern
	additional                   *node
	propertyNames                *node
	depArrays                    map[string][]string
	depSchemas                   map[string]*node
	minProperties, maxProperties int
	unevaluatedProps             *node

	prefix             []*node // items of a tuple
	items              *node   // of all items, or of those after prefix
	additionalItems    bool    // items stands in the text as additionalItems
	contains           *node
	minContains        int
	maxContains        int
	minItems, maxItems int
	unique             bool
	unevaluatedItems   *node

	minLength, maxLength int
	pattern              *pattern
	format               *js.Format

	maximum, minimum, exclusiveMaximum, exclusiveMinimum, multipleOf *bound
}

type keyPattern struct {
	re *pattern
	n  *node
}

// bound is a number to compare with, exact, as the nearest float, and as int64 if it is one.
type bound struct {
	rat  *big.Rat
	f    float64
	i    int64
	isI  bool
	text string
}

// graph makes nodes of what the compiler made, each once.
type graph struct {
	texts *texts
	nodes map[*js.Schema]*node
	names map[string]string // of all properties, and the texts of enums
}

func (g *graph) node(s *js.Schema) (*node, error) {
	if s == nil {
		return nil, nil
	}
	if n := g.nodes[s]; n != nil {
		return n, nil
	}
	n := &node{src: s, text: g.texts.at(s.Location)}
	g.nodes[s] = n
	if s.Bool != nil {
		n.always, n.never = *s.Bool, !*s.Bool
		return n, nil
	}
	return n, g.fill(n, s)
}

func (g *graph) fill(n *node, s *js.Schema) (err error) {
	one := func(s *js.Schema) *node {
		if err != nil || s == nil {
			return nil
		}
		var child *node
		child, err = g.node(s)
		return child
	}
	many := func(list []*js.Schema) []*node {
		var out []*node
		for _, s := range list {
			out = append(out, one(s))
		}
		return out
	}
	n.ref, n.refOnly = one(s.Ref), s.Ref != nil && s.DraftVersion < 2019
	if n.dynamic = one(s.RecursiveRef); s.DynamicRef != nil {
		n.dynamic = one(s.DynamicRef.Ref)
	}
	n.allOf, n.anyOf, n.oneOf = many(s.AllOf), many(s.AnyOf), many(s.OneOf)
	n.not, n.cond, n.then, n.otherwise = one(s.Not), one(s.If), one(s.Then), one(s.Else)
	g.object(n, s, one)
	g.array(n, s, one, many)
	if err != nil {
		return err
	}
	return g.scalar(n, s)
}

func (g *graph) object(n *node, s *js.Schema, one func(*js.Schema) *node) {
	n.required = s.Required
	n.minProperties, n.maxProperties = length(s.MinProperties), length(s.MaxProperties)
	n.propertyNames, n.unevaluatedProps = one(s.PropertyNames), one(s.UnevaluatedProperties)
	if len(s.Properties) > 0 {
		n.properties = make(map[string]*node, len(s.Properties))
		for name, p := range s.Properties {
			n.properties[name] = one(p)
			g.names[name] = name
		}
		n.order = inOrder(n.text.get("properties"), n.properties)
	}
	patterns := map[string]keyPattern{}
	for re, p := range s.PatternProperties {
		patterns[re.String()] = keyPattern{asPattern(re), one(p)}
	}
	for _, text := range inOrder(n.text.get("patternProperties"), patterns) {
		n.patterns = append(n.patterns, patterns[text])
	}
	n.additional = oneOrBool(s.AdditionalProperties, one)
	n.depArrays, n.depSchemas = maps.Clone(s.DependentRequired), map[string]*node{}
	for name, d := range s.DependentSchemas {
		n.depSchemas[name] = one(d)
	}
	for name, d := range s.Dependencies {
		switch d := d.(type) {
		case []string:
			if n.depArrays == nil {
				n.depArrays = map[string][]string{}
			}
			n.depArrays[name] = d
		case *js.Schema:
			n.depSchemas[name] = one(d)
		}
	}
}

func (g *graph) array(n *node, s *js.Schema, one func(*js.Schema) *node, many func([]*js.Schema) []*node) {
	n.minItems, n.maxItems, n.unique = length(s.MinItems), length(s.MaxItems), s.UniqueItems
	n.contains, n.minContains, n.maxContains = one(s.Contains), length(s.MinContains), length(s.MaxContains)
	n.unevaluatedItems = one(s.UnevaluatedItems)
	switch items := s.Items.(type) {
	case *js.Schema:
		n.items = one(items)
	case []*js.Schema:
		n.prefix = many(items)
		n.items, n.additionalItems = oneOrBool(s.AdditionalItems, one), true
	}
	if s.PrefixItems != nil {
		n.prefix = many(s.PrefixItems)
	}
	if s.Items2020 != nil {
		n.items = one(s.Items2020)
	}
}

func (g *graph) scalar(n *node, s *js.Schema) (err error) {
	if s.Types != nil {
		for _, name := range s.Types.ToStrings() {
			n.types |= typeNames[name]
			n.typeList = append(n.typeList, name)
		}
		if list := n.text.get("type"); list != nil && list.kind == '[' {
			n.typeList = nil
			for _, t := range list.list {
				n.typeList = append(n.typeList, t.text)
			}
		}
	}
	if s.Enum != nil {
		n.enum = make([]any, len(s.Enum.Values))
		for i, v := range s.Enum.Values {
			if n.enum[i], err = fromDocument(v); err != nil {
				return fmt.Errorf("%s: enum: %w", s.Location, err)
			}
			if text, ok := n.enum[i].(string); ok {
				g.names[text] = text
			}
		}
	}
	if s.Const != nil {
		c, err := fromDocument(*s.Const)
		if err != nil {
			return fmt.Errorf("%s: const: %w", s.Location, err)
		}
		n.constant = &c
	}
	n.minLength, n.maxLength, n.format = length(s.MinLength), length(s.MaxLength), s.Format
	if s.Pattern != nil {
		n.pattern = asPattern(s.Pattern)
	}
	n.maximum, n.minimum, n.multipleOf = newBound(s.Maximum), newBound(s.Minimum), newBound(s.MultipleOf)
	n.exclusiveMaximum, n.exclusiveMinimum = newBound(s.ExclusiveMaximum), newBound(s.ExclusiveMinimum)
	return nil
}

func asPattern(re js.Regexp) *pattern {
	if p, ok := re.(*pattern); ok {
		return p
	}
	return &pattern{text: re.String()}
}

func length(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}

func oneOrBool(v any, one func(*js.Schema) *node) *node {
	switch v := v.(type) {
	case bool:
		return &node{always: v, never: !v}
	case *js.Schema:
		return one(v)
	}
	return nil
}

func newBound(r *big.Rat) *bound {
	if r == nil {
		return nil
	}
	b := &bound{rat: r, text: r.RatString()}
	b.f, _ = r.Float64()
	if !r.IsInt() {
		if f, exact := r.Float64(); exact || len(b.text) > 40 {
			b.text = fmt.Sprint(f)
		}
	}
	if r.IsInt() && r.Num().IsInt64() {
		b.i, b.isI = r.Num().Int64(), true
	}
	return b
}

// inOrder are the names of the map in the order of the text, those that the text does not have sorted behind.
func inOrder[V any](text *value, m map[string]V) []string {
	var out []string
	if text != nil {
		for _, e := range text.members {
			if _, ok := m[e.name]; ok {
				out = append(out, e.name)
			}
		}
	}
	if len(out) < len(m) {
		for _, name := range sortedKeys(m) {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// fromDocument turns a value of the compiler into the plain model.
func fromDocument(v any) (any, error) {
	switch x := v.(type) {
	case json.Number:
		return plainNumber([]byte(x))
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			var err error
			if out[i], err = fromDocument(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			var err error
			if out[k], err = fromDocument(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

var _ schema.Schema = (*parsed)(nil)
