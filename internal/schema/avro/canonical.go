package avro

import (
	"slices"
	"strconv"
	"strings"
)

// writer writes a schema as Avro's Java library does, on whose text Confluent's registry compares schemas: a type with a name is
// spelled out where it is first met and named from then on, by its short name within its own namespace. Types that come from
// schemas it refers to are always named.
//
//	record  type name [namespace] [doc] fields properties [aliases]
//	field   name type [doc] [default] [order] [aliases] properties
//	enum    type name [namespace] [doc] symbols [default] properties [aliases]
//	fixed   type name [namespace] [doc] size properties [aliases]
//
// A normalized text also has properties and aliases in order, no empty doc, and defaults in the form of their type.
type writer struct {
	out        []byte
	normalized bool
	inlined    bool // spell out also what comes from other schemas
	seen       map[*typ]bool
	tags       map[any][]string // of types and fields whose tags change
}

func write(t *typ, normalized, inlined bool) string {
	w := &writer{normalized: normalized, inlined: inlined, seen: map[*typ]bool{}}
	w.typ(t, "")
	return string(w.out)
}

func (w *writer) raw(s string)    { w.out = append(w.out, s...) }
func (w *writer) str(s string)    { w.out = appendString(w.out, s) }
func (w *writer) key(name string) { w.raw(","); w.str(name); w.raw(":") }

func (w *writer) typ(t *typ, space string) {
	switch {
	case t.kind == kUnion:
		w.raw("[")
		for i, b := range t.branches {
			if i > 0 {
				w.raw(",")
			}
			w.typ(b, space)
		}
		w.raw("]")
	case t.kind.primitive() && len(t.props) == 0:
		w.str(t.kind.String())
	case t.kind.named():
		w.named(t, space)
	default:
		w.raw(`{"type":`)
		w.str(t.kind.String())
		switch t.kind {
		case kArray:
			w.key("items")
			w.typ(t.items, space)
		case kMap:
			w.key("values")
			w.typ(t.items, space)
		}
		w.props(t.props, t)
		w.raw("}")
	}
}

func (w *writer) named(t *typ, space string) {
	if w.seen[t] || t.foreign && !w.inlined {
		w.str(within(t.name, space))
		return
	}
	w.seen[t] = true
	w.raw(`{"type":`)
	if t.isError && !w.normalized {
		w.str("error")
	} else {
		w.str(t.kind.String())
	}
	w.key("name")
	w.str(t.name.name)
	if t.name.space != space {
		w.key("namespace")
		w.str(t.name.space)
	}
	if t.doc != nil && (*t.doc != "" || !w.normalized) {
		w.key("doc")
		w.str(*t.doc)
	}
	switch t.kind {
	case kRecord:
		w.key("fields")
		w.raw("[")
		for i, f := range t.fields {
			if i > 0 {
				w.raw(",")
			}
			w.field(f, t.name.space)
		}
		w.raw("]")
	case kEnum:
		w.key("symbols")
		w.strings(t.symbols)
		if t.otherwise != nil {
			w.key("default")
			w.str(*t.otherwise)
		}
	case kFixed:
		w.key("size")
		w.out = strconv.AppendInt(w.out, int64(t.size), 10)
	}
	w.props(w.tagged(t, t.props), t)
	if len(t.aliases) > 0 {
		names := w.order(t.aliases)
		for i, a := range names {
			names[i] = within(split(a), t.name.space)
		}
		w.key("aliases")
		w.strings(names)
	}
	w.raw("}")
}

func (w *writer) field(f *field, space string) {
	w.raw(`{"name":`)
	w.str(f.name)
	w.key("type")
	w.typ(f.typ, space)
	if f.doc != nil {
		w.key("doc")
		w.str(*f.doc)
	}
	if f.def != nil {
		w.key("default")
		if w.normalized {
			w.out = appendDefault(w.out, f.typ, f.def)
		} else {
			w.out = appendNode(w.out, f.def, false)
		}
	}
	if f.order != "ascending" {
		w.key("order")
		w.str(f.order)
	}
	if len(f.aliases) > 0 {
		w.key("aliases")
		w.strings(w.order(f.aliases))
	}
	w.props(w.tagged(f, f.props), nil)
	w.raw("}")
}

func (w *writer) strings(list []string) {
	w.raw("[")
	for i, s := range list {
		if i > 0 {
			w.raw(",")
		}
		w.str(s)
	}
	w.raw("]")
}

// order returns a copy of a list, sorted in a normalized text.
func (w *writer) order(list []string) []string {
	list = slices.Clone(list)
	if w.normalized {
		slices.Sort(list)
	}
	return list
}

// props writes properties; t is the type that has them, nil for those of a field. In a normalized text a logical type of Avro's
// own comes first, with its parameters, then all others by name.
func (w *writer) props(list []prop, t *typ) {
	if w.normalized {
		list = slices.Clone(list)
		rank := func(p prop) int {
			if i := slices.Index(logicalAttributes, p.key); i >= 0 && t != nil && t.logical() {
				return i
			}
			return len(logicalAttributes)
		}
		slices.SortStableFunc(list, func(a, b prop) int {
			if d := rank(a) - rank(b); d != 0 {
				return d
			}
			return strings.Compare(a.key, b.key)
		})
	}
	for _, p := range list {
		w.key(p.key)
		w.out = appendNode(w.out, p.value, w.normalized)
	}
}

var logicalAttributes = []string{"logicalType", "precision", "scale"}

// logicalTypes are Avro's own with the types beneath.
var logicalTypes = map[string][]kind{
	"decimal": {kBytes, kFixed}, "big-decimal": {kBytes}, "uuid": {kString, kFixed}, "date": {kInt}, "time-millis": {kInt}, "time-micros": {kLong},
	"timestamp-millis": {kLong}, "timestamp-micros": {kLong}, "timestamp-nanos": {kLong},
	"local-timestamp-millis": {kLong}, "local-timestamp-micros": {kLong}, "local-timestamp-nanos": {kLong}, "duration": {kFixed},
}

// logical tells whether a primitive type or a fixed carries a logical type of Avro's own that may stand there.
func (t *typ) logical() bool {
	for _, p := range t.props {
		if p.key == "logicalType" && p.value.kind == isString {
			return slices.Contains(logicalTypes[p.value.text], t.kind)
		}
	}
	return false
}

// within returns a name as it is written inside a namespace.
func within(n fullName, space string) string {
	if n.space == "" || n.space == space && !reservedWord(n.name) {
		return n.name
	}
	return n.String()
}

// reservedWord tells whether a short name would be taken for a type of Avro's own.
func reservedWord(s string) bool { return slices.Contains(kindNames[kNull:], s) }

func split(full string) fullName {
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		return fullName{full[:i], full[i+1:]}
	}
	return fullName{"", full}
}

// appendDefault writes a default with its numbers in the form of their type, so that 1 and 1.0 are the same double. In a union
// it is taken for a value of the first branch.
func appendDefault(dst []byte, t *typ, n *node) []byte {
	for t.kind == kUnion && len(t.branches) > 0 {
		t = t.branches[0]
	}
	switch {
	case n.kind == isNumber && (t.kind == kFloat || t.kind == kDouble):
		f, _ := strconv.ParseFloat(n.text, 64) //nolint:errcheck // out of range gives an infinity, as in Java
		if t.kind == kFloat {
			return appendFloat(dst, float64(float32(f)), 32)
		}
		return appendFloat(dst, f, 64)
	case n.kind == isArray && t.kind == kArray:
		dst = append(dst, '[')
		for i, m := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendDefault(dst, t.items, m)
		}
		return append(dst, ']')
	case n.kind == isObject && (t.kind == kMap || t.kind == kRecord):
		return appendObjectDefault(dst, t, n)
	}
	return appendNode(dst, n, true)
}

func appendObjectDefault(dst []byte, t *typ, n *node) []byte {
	order := make([]int, len(n.keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(n.keys[a], n.keys[b]) })
	dst = append(dst, '{')
	for i, at := range order {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, n.keys[at]), ':')
		inner, known := t.items, true
		if t.kind == kRecord {
			var j int
			if j, known = t.fieldIndex[n.keys[at]]; known {
				inner = t.fields[j].typ
			}
		}
		if known {
			dst = appendDefault(dst, inner, n.items[at])
		} else {
			dst = appendNode(dst, n.items[at], true)
		}
	}
	return append(dst, '}')
}
