package avro

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

// Bounds of a schema together with all it refers to. What is beyond them is refused before much is built.
const (
	maxTextBytes  = 8 << 20
	maxTextValues = 500_000 // JSON values
	maxTextDepth  = 4 * schema.MaxDepth
	maxNamed      = 10_000 // types with a name
)

// The attributes that Avro itself defines; all others are properties, which are kept as they are.
var (
	reservedOfTypes  = []string{"doc", "fields", "items", "name", "namespace", "size", "symbols", "values", "type", "aliases"}
	reservedOfEnums  = append(slices.Clone(reservedOfTypes), "default")
	reservedOfFields = []string{"default", "doc", "name", "order", "type", "aliases"}
)

const tagsAttribute = "confluent:tags"

// parser makes types of texts. A name may be used before it is defined: its type is made when it is first met and filled in
// where it is defined, in this text or in one that the schema refers to.
type parser struct {
	fresh bool
	text  []byte // the one being read
	depth int

	types   map[fullName]*typ
	named   int
	open    []waiting
	unions  []placedType
	fields  []placedField
	foreign bool // reading a text that the schema refers to

	trees map[string]tree     // texts that are referred to, by name
	index map[fullName]string // which of them defines a type
}

type tree struct {
	root *node
	text []byte
}

// waiting is a name that was used before its definition.
type waiting struct {
	typ   *typ
	error error // if no definition comes
}

type placedType struct {
	typ *typ
	at  string
}

type placedField struct {
	field   *field
	at      string
	foreign bool
}

// parse reads a schema and what it refers to.
func parse(s schema.Source, fresh bool) (*typ, error) {
	p := &parser{fresh: fresh, types: map[fullName]*typ{}, trees: map[string]tree{}, index: map[fullName]string{}}
	size := len(s.Text)
	for _, text := range s.Resolved {
		size += len(text)
	}
	if size > maxTextBytes {
		return nil, fmt.Errorf("%d bytes with all it refers to, at most %d are taken", size, maxTextBytes)
	}
	left := maxTextValues
	for name, text := range s.Resolved {
		root, err := parseJSON([]byte(text), maxTextDepth, &left)
		if err != nil {
			return nil, fmt.Errorf("reference %s: %w", name, err)
		}
		p.trees[name] = tree{root, []byte(text)}
	}
	p.indexTrees()
	p.text = []byte(s.Text)
	root, err := parseJSON(p.text, maxTextDepth, &left)
	if err != nil {
		return nil, err
	}
	t, err := p.typeOf(root, "")
	if err == nil {
		err = p.resolve()
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return nil, err
	}
	measure(t, map[*typ]bool{})
	fillDefaults(p.fields)
	return t, nil
}

// indexTrees notes which text defines which names. Of several the first in the order of names counts.
func (p *parser) indexTrees() {
	names := make([]string, 0, len(p.trees))
	for name := range p.trees {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		definitions(p.trees[name].root, "", func(n fullName) {
			if _, taken := p.index[n]; !taken {
				p.index[n] = name
			}
		})
	}
}

// definitions calls found for each named type that a text defines.
func definitions(n *node, space string, found func(fullName)) {
	switch n.kind {
	case isArray:
		for _, m := range n.items {
			definitions(m, space, found)
		}
	case isObject:
		switch kind, _ := n.string("type"); kind {
		case "record", "error", "enum", "fixed":
			name, err := nameOf(n, space)
			if err != nil {
				return
			}
			found(name)
			if fields := n.get("fields"); fields != nil {
				for _, f := range fields.items {
					if t := f.get("type"); t != nil {
						definitions(t, name.space, found)
					}
				}
			}
		case "array", "map":
			for _, key := range []string{"items", "values"} {
				if t := n.get(key); t != nil {
					definitions(t, space, found)
				}
			}
		}
	}
}

// resolve reads the texts that define what is still unknown.
func (p *parser) resolve() error {
	p.foreign = true
	for len(p.open) > 0 {
		w := p.open[len(p.open)-1]
		p.open = p.open[:len(p.open)-1]
		if w.typ.kind != unresolved {
			continue
		}
		name, ok := p.index[w.typ.name]
		if !ok {
			return w.error
		}
		from := p.trees[name]
		p.text = from.text
		if _, err := p.typeOf(from.root, ""); err != nil {
			return fmt.Errorf("reference %s: %w", name, err)
		}
		if w.typ.kind == unresolved {
			return w.error
		}
	}
	return nil
}

// check is about what can be judged only once all names are known.
func (p *parser) check() error {
	for _, u := range p.unions {
		seen := map[string]bool{}
		for _, b := range u.typ.branches {
			switch name := b.branchName(); {
			case b.kind == kUnion:
				return fmt.Errorf("%s: a union within a union", u.at)
			case seen[name]:
				return fmt.Errorf("%s: %s is twice in the union", u.at, name)
			default:
				seen[name] = true
			}
		}
	}
	if !p.fresh {
		return nil
	}
	for _, f := range p.fields {
		if !f.foreign && !fits(f.field.typ, f.field.def) {
			return fmt.Errorf("%s: the default of field %s, %s, does not fit its type %s", f.at, f.field.name, shorten(string(appendNode(nil, f.field.def, false))), f.field.typ.branchName())
		}
	}
	return nil
}

func (p *parser) errorf(n *node, format string, args ...any) error {
	return fmt.Errorf("%s: %s", place(p.text, n.at), fmt.Sprintf(format, args...))
}

func (p *parser) typeOf(n *node, space string) (*typ, error) {
	if p.depth++; p.depth > schema.MaxDepth {
		return nil, p.errorf(n, "types are nested deeper than %d", schema.MaxDepth)
	}
	defer func() { p.depth-- }()
	switch n.kind {
	case isString:
		return p.lookup(n, n.text, space)
	case isArray:
		t := &typ{kind: kUnion, branches: make([]*typ, len(n.items))}
		p.unions = append(p.unions, placedType{t, place(p.text, n.at)})
		for i, m := range n.items {
			var err error
			if t.branches[i], err = p.typeOf(m, space); err != nil {
				return nil, err
			}
		}
		return t, nil
	case isObject:
		return p.object(n, space)
	}
	return nil, p.errorf(n, "want a type, not %s", n.kind)
}

func (p *parser) object(n *node, space string) (*typ, error) {
	name, ok := n.string("type")
	if !ok {
		return nil, p.errorf(n, "a type needs the attribute type, a string")
	}
	switch name {
	case "record", "error":
		return p.record(n, space, name == "error")
	case "enum":
		return p.enum(n, space)
	case "fixed":
		return p.fixed(n, space)
	case "array", "map":
		t, of := &typ{kind: kArray}, "items"
		if name == "map" {
			t, of = &typ{kind: kMap}, "values"
		}
		inner := n.get(of)
		if inner == nil {
			return nil, p.errorf(n, "the %s has no %s", name, of)
		}
		var err error
		t.items, err = p.typeOf(inner, space)
		t.props = properties(n, reservedOfTypes)
		return t, err
	}
	if plain := primitives[name]; plain != nil {
		props := properties(n, reservedOfTypes)
		if len(props) == 0 {
			return plain, nil
		}
		return &typ{kind: plain.kind, minBytes: plain.minBytes, props: props}, nil
	}
	return p.lookup(n, name, space)
}

// lookup finds a type by its name. A name without a dot is looked for in the namespace around it, then outside of all.
func (p *parser) lookup(n *node, name, space string) (*typ, error) {
	if t := primitives[name]; t != nil {
		return t, nil
	}
	full := fullName{space, name}
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		full = fullName{name[:i], name[i+1:]}
	} else if bare := (fullName{"", name}); space != "" && !p.knows(full) && p.knows(bare) {
		full = bare
	}
	t := p.types[full]
	if t == nil {
		if err := p.count(n); err != nil {
			return nil, err
		}
		t = &typ{name: full}
		p.types[full] = t
		p.open = append(p.open, waiting{t, p.errorf(n, "%s is not defined, neither here nor in what the schema refers to", shorten(full.String()))})
	}
	return t, nil
}

func (p *parser) knows(n fullName) bool {
	return p.types[n] != nil && p.types[n].kind != unresolved || p.index[n] != ""
}

func (p *parser) count(n *node) error {
	if p.named++; p.named > maxNamed {
		return p.errorf(n, "more than %d types with a name", maxNamed)
	}
	return nil
}

// measure sets how many bytes a value takes at least. A type within itself counts nothing, so the bound stays one.
func measure(t *typ, seen map[*typ]bool) {
	if seen[t] || t.kind.primitive() {
		return
	}
	seen[t] = true
	t.edges(func(inner *typ) { measure(inner, seen) })
	const enough = math.MaxInt32
	switch t.kind {
	case kRecord:
		for _, f := range t.fields {
			t.minBytes = min(t.minBytes+f.typ.minBytes, enough)
		}
	case kFixed:
		t.minBytes = t.size
	case kUnion:
		least := enough
		for _, b := range t.branches {
			least = min(least, b.minBytes)
		}
		t.minBytes = min(1+least, enough)
	default:
		t.minBytes = 1
	}
}

// shorten bounds what a stranger wrote within a message.
func shorten(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
