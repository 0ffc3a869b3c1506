package jsonschema

import (
	"crypto/sha256"
	"slices"
	"strings"
)

// kind is what a schema is for the comparison: Confluent's checker gives each schema exactly one, and makes a product of those
// that would be several.
type kind int

const (
	kindEmpty kind = iota // allows everything
	kindNever             // allows nothing
	kindString
	kindNumber
	kindBoolean
	kindNull
	kindArray
	kindObject
	kindEnum
	kindConst
	kindNot
	kindConditional
	kindCombined
)

// Criteria of combined shapes, as they stand in paths.
const (
	allOf = "allOf"
	anyOf = "anyOf"
	oneOf = "oneOf"
)

// shape is one schema as the comparison sees it. A type with an enum, say, is the product of two shapes; a list of types is a
// sum; a type that is not named is told from the keywords.
type shape struct {
	kind      kind
	n         *node // whose keywords count
	integer   bool  // a number that must be an integer
	criterion string
	subs      []*shape
}

// shaper makes the shapes of one side, each once.
type shaper struct {
	made map[*node]*shape
}

// of returns the shape of a node, nil for nil.
func (k *shaper) of(n *node) *shape {
	if n == nil {
		return nil
	}
	if s := k.made[n]; s != nil {
		return s
	}
	target := n
	for hops := 0; target.refOnly && target.ref != nil; hops++ {
		if target = target.ref; hops > maxRecursion {
			return &shape{kind: kindEmpty, n: n}
		}
	}
	if target != n {
		s := k.of(target)
		k.made[n] = s
		return s
	}
	s := &shape{n: n}
	k.made[n] = s
	switch {
	case n.always:
		s.kind = kindEmpty
	case n.never:
		s.kind = kindNever
	default:
		k.fill(s, n)
	}
	return s
}

// fill finds what a node is. Sub-shapes are made when they are needed: see the memo, which ends cycles.
func (k *shaper) fill(s *shape, n *node) {
	var parts []*shape
	add := func(p shape) { p.n = n; parts = append(parts, &p) }
	if n.enum != nil {
		add(shape{kind: kindEnum})
	}
	if n.constant != nil {
		add(shape{kind: kindConst})
	}
	if n.not != nil {
		add(shape{kind: kindNot})
	}
	for _, c := range []struct {
		criterion string
		list      []*node
	}{{allOf, n.allOf}, {anyOf, n.anyOf}, {oneOf, n.oneOf}} {
		if c.list != nil {
			add(shape{kind: kindCombined, criterion: c.criterion, subs: k.all(c.list)})
		}
	}
	if n.cond != nil {
		add(shape{kind: kindConditional})
	}
	for _, ref := range []*node{n.ref, n.dynamic} {
		if ref != nil {
			parts = append(parts, k.of(ref))
		}
	}
	parts = append(parts, typed(n)...)
	switch len(parts) {
	case 0:
		s.kind = kindEmpty
	case 1:
		only := *parts[0]
		if parts[0].n == n || only.kind != kindEmpty {
			*s = only
		}
		if parts[0].n != n && parts[0] == s {
			s.kind = kindEmpty // a reference to itself says nothing
		}
	default:
		s.kind, s.criterion, s.subs = kindCombined, allOf, parts
	}
}

func (k *shaper) all(list []*node) []*shape {
	out := make([]*shape, len(list))
	for i, n := range list {
		out[i] = k.of(n)
	}
	return out
}

// typed are the shapes that the type of a node makes, or its keywords where it names none.
func typed(n *node) []*shape {
	kinds := map[string]shape{
		"string": {kind: kindString}, "integer": {kind: kindNumber, integer: true}, "number": {kind: kindNumber},
		"boolean": {kind: kindBoolean}, "null": {kind: kindNull}, "array": {kind: kindArray}, "object": {kind: kindObject},
	}
	var out []*shape
	for _, t := range n.typeList {
		s := kinds[t]
		s.n = n
		out = append(out, &s)
	}
	if len(out) > 1 {
		return []*shape{{kind: kindCombined, n: n, criterion: anyOf, subs: out}}
	}
	if len(out) == 1 {
		return out
	}
	for _, sniffed := range []struct {
		kind kind
		is   bool
	}{
		{kindArray, n.prefix != nil || n.items != nil || n.contains != nil || n.unevaluatedItems != nil || n.minItems >= 0 || n.maxItems >= 0 || n.unique},
		{kindObject, n.properties != nil || n.additional != nil || n.patterns != nil || n.propertyNames != nil || n.unevaluatedProps != nil || n.required != nil || n.minProperties >= 0 || n.maxProperties >= 0 || len(n.depArrays)+len(n.depSchemas) > 0},
		{kindNumber, n.maximum != nil || n.minimum != nil || n.exclusiveMaximum != nil || n.exclusiveMinimum != nil || n.multipleOf != nil},
		{kindString, n.minLength >= 0 || n.maxLength >= 0 || n.pattern != nil},
	} {
		if sniffed.is {
			out = append(out, &shape{kind: sniffed.kind, n: n})
		}
	}
	return out
}

// key is equal for shapes that say the same: they count once in a combination.
type key struct {
	kind      kind
	criterion string
	integer   bool
	text      digest
	shape     *shape // of one without a text
}

func (s *shape) key(d digests) key {
	if s.n == nil || s.n.text == nil {
		return key{shape: s}
	}
	return key{kind: s.kind, criterion: s.criterion, integer: s.integer, text: d.of(s.n.text)}
}

// digest stands for a text, whatever the order of its members. Digests are made from those below, so that each piece of a text is
// looked at once, however deep it lies.
type digest [sha256.Size]byte

type digests map[*value]digest

func (d digests) of(v *value) digest {
	if sum, done := d[v]; done {
		return sum
	}
	b := []byte{v.kind}
	switch v.kind {
	case '{':
		for _, m := range slices.SortedFunc(slices.Values(v.members), func(a, b member) int { return strings.Compare(a.name, b.name) }) {
			sum := d.of(m.v)
			b = append(appendString(b, m.name), sum[:]...)
		}
	case '[':
		for _, e := range v.list {
			sum := d.of(e)
			b = append(b, sum[:]...)
		}
	default:
		b = append(b, v.text...)
	}
	sum := digest(sha256.Sum256(b))
	d[v] = sum
	return sum
}

// connectType is what Kafka Connect notes of the type that a schema was made from.
func (s *shape) connectType() string {
	if s.n == nil {
		return ""
	}
	if t := s.n.text.get("connect.type"); t != nil {
		return t.text
	}
	return ""
}
