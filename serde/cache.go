package serde

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/formats"
	"github.com/weir-stream/weir/internal/schema/rules"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// cache is a bounded map: what does not fit drops all. Values are immutable.
type cache[K comparable, V any] struct {
	mu sync.RWMutex
	m  map[K]V
}

func (c *cache[K, V]) get(k K) (V, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, ok := c.m[k]
	return v, ok
}

func (c *cache[K, V]) put(bound int, k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= bound {
		c.m = map[K]V{}
	}
	c.m[k] = v
}

type caches struct {
	bound    int
	placed   cache[string, Registered] // by subject and schema, or path of a version
	latest   cache[string, seen]
	compiled cache[wireformat.ID, *compiled]
	paths    cache[pathKey, []step] // of migrations
}

type seen struct {
	Registered
	since time.Time
}

// compiled is a schema that can be used.
type compiled struct {
	Registered
	parsed schema.Schema
	rules  *rules.Set
}

// schemaOf finds the schema that a record names.
func (c *Client) schemaOf(ctx context.Context, id wireformat.ID) (*compiled, error) {
	if s, ok := c.caches.compiled.get(id); ok {
		return s, nil
	}
	var r Registered
	var err error
	if id.ByGUID() {
		r, err = c.ByGUID(ctx, id.GUID.String())
	} else {
		r, err = c.ByID(ctx, id.Number)
	}
	if err != nil {
		return nil, err
	}
	return c.compile(ctx, id, r)
}

// compile parses a schema and all that it refers to, and keeps it under id.
func (c *Client) compile(ctx context.Context, id wireformat.ID, r Registered) (*compiled, error) {
	format, ok := formats.Of(schema.Type(r.typ()))
	if !ok {
		return nil, fmt.Errorf("schema with %s is of type %q, which is not known here", id, r.Type)
	}
	source := schema.Source{Text: r.Text, Resolved: map[string]string{}}
	for _, ref := range r.References {
		source.References = append(source.References, schema.Reference(ref))
	}
	if err := c.resolve(ctx, r.References, source.Resolved, 0); err != nil {
		return nil, fmt.Errorf("schema with %s: %w", id, err)
	}
	parsed, err := format.Parse(source, false)
	if err != nil {
		return nil, fmt.Errorf("schema with %s: %w", id, err)
	}
	s := &compiled{Registered: r, parsed: parsed, rules: c.rules.Prepare(r.RuleSet.plain(), r.Metadata.plain())}
	c.caches.compiled.put(c.caches.bound, id, s)
	return s, nil
}

// maxReferences bounds what one schema may refer to, directly or not.
const maxReferences = 1000

func (c *Client) resolve(ctx context.Context, refs []Reference, into map[string]string, depth int) error {
	if depth > schema.MaxDepth {
		return fmt.Errorf("references are nested more than %d deep", schema.MaxDepth)
	}
	for _, ref := range refs {
		if _, ok := into[ref.Name]; ok {
			continue
		}
		if len(into) >= maxReferences {
			return fmt.Errorf("more than %d references", maxReferences)
		}
		r, err := c.Version(ctx, ref.Subject, ref.Version)
		if err != nil {
			return fmt.Errorf("reference %s: %w", ref.Name, err)
		}
		into[ref.Name] = r.Text
		if err := c.resolve(ctx, r.References, into, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// use returns a registered schema compiled.
func (c *Client) use(ctx context.Context, r Registered) (*compiled, error) {
	id := wireformat.ID{Number: r.ID}
	if s, ok := c.caches.compiled.get(id); ok {
		return s, nil
	}
	return c.compile(ctx, id, r)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
