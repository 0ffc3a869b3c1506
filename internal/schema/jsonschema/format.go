// Package jsonschema is the JSON format of schemas: JSON Schema of the drafts 4, 6, 7, 2019-09 and 2020-12 (7, where the text
// names none), and payloads that are JSON texts.
//
//	text ──scanner──> ordered value ──compiler──> node graph ──┬──> Validate (check.go)
//	                        │                                  ├──> Walk (walk.go)
//	              canonical, normalized                        └──> shapes ──> Compare (shape.go, compare.go)
//
// Compiling, with the checks against the meta-schemas and the resolution of references, is santhosh-tekuri's; so are the checks
// of formats. What runs per record is ours: it works on the plain model, counts its steps, and stops.
//
// Texts refer to others by URI. Those are found among the texts that came with the schema, by the name of the reference, by a
// name that is the end of the URI, or by the $id in the text; nothing is ever fetched from a network or a file.
//
// Patterns run on RE2, whose time is linear; so do those that begin by looking ahead from the start of the text. What is left (looking around elsewhere, back
// references, counts above a thousand) runs on an engine that goes back and tries again, within bounds: see pattern. A pattern that neither
// takes is not refused, since clients enforce it and schemas that exist have it: it matches every text, and a key pattern of patternProperties takes
// its keys without looking at their values.
//
// What else is not enforced: content keywords, as the drafts allow; formats from 2019-09 on, as the drafts demand. A
// $dynamicRef or $recursiveRef goes to the target that its text alone names, which differs from the standard only where several
// texts with anchors of one name extend each other.
//
// Numbers keep their kind: an integer of a payload is an int64, or a uint64 if only that holds it, all else is a float64.
//
// Comparison follows Confluent's checker (8.x) in its types of difference and in what they allow.
package jsonschema

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	js "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weir-stream/weir/internal/schema"
)

// maxSubschemas bounds the objects and arrays in a schema and all it refers to: the compiler looks for each object among all before it, which
// at this bound is half a second and at twice of it two. Schemas of whole industries in one text (FHIR) are larger, and refused.
const maxSubschemas = 10_000

// base is where a text lies that does not say it itself. Nothing is there: it only gives relative references something to lean on.
const base = "weir://schema/"

// Format returns the JSON format. It has no state.
func Format() schema.Format { return format{} }

type format struct{}

func (format) Type() schema.Type { return schema.JSON }

// Parse reads a schema. Fresh makes no difference: a text that the compiler refuses cannot be used at all.
func (format) Parse(s schema.Source, _ bool) (schema.Schema, error) {
	p, err := parse(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", schema.ErrInvalid, err)
	}
	return p, nil
}

// parsed is a schema: the text in order, and the graph of its nodes.
type parsed struct {
	text  *value
	root  *node
	names map[string]string // see scanner
}

func (p *parsed) Type() schema.Type                  { return schema.JSON }
func (p *parsed) Canonical() string                  { return string(p.text.append(nil, false)) }
func (p *parsed) Normalized() string                 { return string(p.text.append(nil, true)) }
func (p *parsed) Message(string) (at []int, ok bool) { return nil, true }

func parse(s schema.Source) (*parsed, error) {
	l := &texts{docs: map[string]*value{}, names: map[string]*value{}, ids: map[string]*value{}}
	root, err := l.read("schema", s.Text)
	if err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(s.Resolved) {
		v, err := l.read("reference "+name, s.Resolved[name])
		if err != nil {
			return nil, err
		}
		l.names[name] = v
		if id := idOf(v); id != "" {
			l.ids[id] = v
		}
	}
	c := js.NewCompiler()
	c.DefaultDraft(js.Draft7)
	c.UseLoader(l)
	c.UseRegexpEngine(compilePattern)
	at := base + "root.json"
	l.docs[at] = root
	if err := c.AddResource(at, compilable(root)); err != nil {
		return nil, err
	}
	compiled, err := c.Compile(at)
	if err != nil {
		return nil, readable(err)
	}
	g := &graph{texts: l, nodes: map[*js.Schema]*node{}, names: map[string]string{}}
	n, err := g.node(compiled)
	if err != nil {
		return nil, err
	}
	return &parsed{text: root, root: n, names: g.names}, nil
}

// texts are the documents of one schema, and the loader that finds them for the compiler.
type texts struct {
	docs  map[string]*value // by the URL under which the compiler knows them
	names map[string]*value // by the name of the reference
	ids   map[string]*value // by $id
	nodes int
}

func (l *texts) read(what, text string) (*value, error) {
	if len(text) > schema.MaxTextBytes {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are allowed", what, len(text), schema.MaxTextBytes)
	}
	s := &scanner{in: []byte(text)}
	v, err := s.ordered()
	if err == nil {
		err = s.finish()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if v.kind != '{' && v.kind != 't' && v.kind != 'f' {
		return nil, fmt.Errorf("%s: a JSON Schema is an object, true or false", what)
	}
	if l.nodes += s.nodes; l.nodes > maxSubschemas {
		return nil, fmt.Errorf("the schema, with all that it refers to, has more than %d objects and arrays, the most that is compiled: leave out definitions that nothing uses", maxSubschemas)
	}
	return v, nil
}

// Load finds the text for a URL.
func (l *texts) Load(at string) (any, error) {
	v := l.find(at)
	if v == nil {
		return nil, fmt.Errorf("%s is not among the references of the schema: nothing is fetched", strings.TrimPrefix(at, base))
	}
	l.docs[at] = v
	return compilable(v), nil
}

func (l *texts) find(at string) *value {
	if v := l.names[at]; v != nil {
		return v
	}
	if v := l.ids[at]; v != nil {
		return v
	}
	rest := strings.TrimPrefix(at, base)
	if plain, err := url.PathUnescape(rest); err == nil {
		rest = plain
	}
	if v := l.names[rest]; v != nil {
		return v
	}
	best := ""
	for _, name := range sortedKeys(l.names) {
		if strings.HasSuffix(rest, "/"+strings.TrimPrefix(name, "./")) && len(name) > len(best) {
			best = name
		}
	}
	return l.names[best]
}

// at finds the piece of text that a node was compiled from, nil if it is in no text of ours (a meta-schema).
func (l *texts) at(location string) *value {
	doc, pointer, _ := strings.Cut(location, "#")
	v := l.docs[doc]
	if pointer == "" {
		return v
	}
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if plain, err := url.PathUnescape(token); err == nil {
			token = plain
		}
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch {
		case v == nil:
			return nil
		case v.kind == '[':
			i := 0
			if _, err := fmt.Sscanf(token, "%d", &i); err != nil || i < 0 || i >= len(v.list) {
				return nil
			}
			v = v.list[i]
		default:
			v = v.get(token)
		}
	}
	return v
}

func idOf(v *value) string {
	for _, key := range []string{"$id", "id"} {
		if id := v.get(key); id != nil && id.kind == '"' {
			return strings.TrimSuffix(id.text, "#")
		}
	}
	return ""
}

// drafts are the meta-schemas that the compiler knows, without scheme and fragment.
var drafts = []string{
	"json-schema.org/schema", "json-schema.org/draft/2020-12/schema", "json-schema.org/draft/2019-09/schema",
	"json-schema.org/draft-07/schema", "json-schema.org/draft-06/schema", "json-schema.org/draft-04/schema",
}

// compilable is the text as the compiler takes it: a $schema that nobody knows is left out, as upstream does.
func compilable(v *value) any {
	doc := v.document()
	m, ok := doc.(map[string]any)
	if !ok {
		return doc
	}
	if draft, ok := m["$schema"].(string); ok {
		draft = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(draft, "https://"), "http://"), "#")
		if slices.Contains(drafts, draft) {
			return doc
		}
	}
	delete(m, "$schema")
	return doc
}

// readable takes the first cause of what the compiler found, which names a place, and not the whole tree of them.
func readable(err error) error {
	if e, ok := errors.AsType[*js.SchemaValidationError](err); ok {
		if v, ok := errors.AsType[*js.ValidationError](e.Err); ok {
			for len(v.Causes) > 0 {
				v = v.Causes[0]
			}
			return fmt.Errorf("#/%s: %s", strings.Join(v.InstanceLocation, "/"), v.ErrorKind.LocalizedString(printer()))
		}
	}
	return errors.New(strings.ReplaceAll(err.Error(), base+"root.json", ""))
}
