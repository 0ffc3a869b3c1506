package serde

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/weir-stream/weir/internal/schema/rules"
)

type pathKey struct {
	subject        string
	writer, reader int
}

// step is one version that a record passes on its way to another.
type step struct {
	*compiled
	mode rules.Mode
}

// maxSteps bounds how many versions may lie between a writer and a reader.
const maxSteps = 1000

// migrate brings a value from the writer's version to the reader's, by the rules of each version between that has some.
func (d *Deserializer) migrate(ctx context.Context, way *pass, writer, reader *compiled, value any, at []int) (any, error) {
	steps, err := d.c.steps(ctx, way.subject, writer, reader)
	if err != nil {
		return nil, err
	}
	for _, s := range steps {
		if value, err = way.run(ctx, s.compiled, rules.Migration, s.mode, value, at); err != nil {
			return nil, err
		}
	}
	if reader.Type == Avro {
		return resolve(reader, value)
	}
	return value, nil
}

// steps are the versions whose rules take a record from one version to another: going up those above the writer's up to the reader's, going down
// those from the writer's down to the one above the reader's.
func (c *Client) steps(ctx context.Context, subject string, writer, reader *compiled) ([]step, error) {
	key := pathKey{subject, writer.ID, reader.ID}
	if s, ok := c.caches.paths.get(key); ok {
		return s, nil
	}
	from, err := c.versionOf(ctx, subject, writer)
	if err != nil {
		return nil, err
	}
	to, err := c.versionOf(ctx, subject, reader)
	if err != nil {
		return nil, err
	}
	low, high, mode := from, to, rules.Upgrade
	if from > to {
		low, high, mode = to, from, rules.Downgrade
	}
	var versions []int
	if err := c.do(ctx, http.MethodGet, subjectPath(subject)+"/versions", map[string][]string{"deleted": {"true"}}, nil, &versions); err != nil {
		return nil, fmt.Errorf("versions of %s: %w", subject, err)
	}
	slices.Sort(versions)
	steps := []step{}
	for _, v := range versions {
		if v <= low || v > high {
			continue
		}
		if len(steps) >= maxSteps {
			return nil, fmt.Errorf("%s has more than %d versions with rules between %d and %d", subject, maxSteps, from, to)
		}
		r, err := c.Version(ctx, subject, v)
		if err != nil {
			return nil, err
		}
		s, err := c.use(ctx, r)
		if err != nil {
			return nil, err
		}
		if s.rules.Has(rules.Migration, mode) {
			steps = append(steps, step{s, mode})
		}
	}
	if mode == rules.Downgrade {
		slices.Reverse(steps)
	}
	c.caches.paths.put(c.caches.bound, key, steps)
	return steps, nil
}

// versionOf finds which version of a subject a schema is.
func (c *Client) versionOf(ctx context.Context, subject string, s *compiled) (int, error) {
	if s.Subject == subject && s.Version > 0 {
		return s.Version, nil
	}
	var w wire
	if err := c.do(ctx, http.MethodPost, subjectPath(subject), map[string][]string{"deleted": {"true"}}, s.Schema.wire(), &w); err != nil {
		return 0, fmt.Errorf("version of schema %d under %s: %w", s.ID, subject, err)
	}
	return w.Version, nil
}
