package registry

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema"
)

// parsed keeps schemas that were parsed lately, in two generations: when the young one is full, the old one goes.
type parsed struct {
	mu         sync.Mutex
	young, old map[parsedKey]schema.Schema
	bytes      int
}

// parsedKey names what a parse depends on: the text, and what it refers to by which names.
type parsedKey struct {
	guid  state.GUID
	kind  schema.Type
	fresh bool
}

// Bounds of a generation.
const (
	parsedMax      = 500
	parsedMaxBytes = 8 << 20 // of texts; what is built of them is larger
)

func newParsed() *parsed {
	return &parsed{young: map[parsedKey]schema.Schema{}, old: map[parsedKey]schema.Schema{}}
}

func (p *parsed) get(k parsedKey) (schema.Schema, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.young[k]; ok {
		return s, true
	}
	s, ok := p.old[k]
	if ok {
		p.young[k] = s
	}
	return s, ok
}

func (p *parsed) put(k parsedKey, s schema.Schema, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes += bytes; len(p.young) >= parsedMax || p.bytes > parsedMaxBytes {
		p.old, p.young, p.bytes = p.young, map[parsedKey]schema.Schema{}, bytes
	}
	p.young[k] = s
}

// parse makes a schema of a content that stands, or is to stand, under a subject.
func (r *Registry) parse(s *state.State, subject string, c *state.Content, fresh bool) (schema.Schema, error) {
	kind := cmp.Or(c.Type, schema.Avro)
	format, ok := r.o.Formats(kind)
	if !ok {
		return nil, errInvalidSchema("Invalid schema type %s", kind)
	}
	source := schema.Source{Text: c.Text.String(), References: c.References}
	if len(c.References) > 0 {
		source.Resolved = map[string]string{}
		if err := resolve(s, subject, c.References, source.Resolved, 0); err != nil {
			return nil, err
		}
	}
	// The name holds the texts that are referred to: a version may be deleted for good and registered anew with another text.
	k := parsedKey{state.GUIDOf(&state.Content{Text: state.TextOf(source.Text), References: c.References, Metadata: &schema.Metadata{Properties: source.Resolved}}), kind, fresh}
	if out, ok := r.cache.get(k); ok {
		return out, nil
	}
	if len(source.Text) > schema.MaxTextBytes {
		return nil, errTooLarge()
	}
	out, err := format.Parse(source, fresh)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalidSchema("Invalid schema of type %s, details: %v", kind, err), err)
	}
	r.cache.put(k, out, len(source.Text))
	return out, nil
}

// Bounds of what a schema may refer to, by whatever way.
const (
	maxReferenceDepth = 100
	maxReferences     = 10_000
)

// resolve collects the texts of references and of theirs, by the names that they are referred to by.
func resolve(s *state.State, subject string, refs []schema.Reference, into map[string]string, depth int) error {
	if depth > maxReferenceDepth || len(into) > maxReferences {
		return errInvalidSchema("The schema refers to too many others")
	}
	for _, ref := range refs {
		if ref.Name == "" || ref.Subject == "" || ref.Version == 0 {
			return errInvalidSchema("Invalid schema, details: a reference needs a name, a subject and a version: %+v", ref)
		}
		if _, ok := into[ref.Name]; ok {
			continue
		}
		name := state.Qualify(subject, ref.Subject)
		v := s.Get(name, ref.Version, state.All) // deleted ones too: who refers to them must stay readable
		if v == nil {
			return errInvalidSchema("No schema reference found for subject \"%s\" and version %d", ref.Subject, ref.Version)
		}
		into[ref.Name] = v.Text.String()
		if err := resolve(s, name, v.References, into, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// formatted is a schema in the form that the parameter format asks for.
func (r *Registry) formatted(s *state.State, v *state.Version, format string) (string, error) {
	if format == "" {
		return v.Text.String(), nil
	}
	p, err := r.parse(s, v.Subject, v.Content, false)
	if err != nil {
		return "", err
	}
	if f, ok := p.(schema.Formatter); ok {
		return f.Formatted(format), nil
	}
	return p.Canonical(), nil
}

// sameReferences tells whether two lists are alike.
func sameReferences(a, b []schema.Reference) bool { return slices.Equal(a, b) }
