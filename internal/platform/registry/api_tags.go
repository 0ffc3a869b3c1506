package registry

import (
	"net/http"
	"slices"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema"
)

// Tagging is what a registration does to the tags in the text of its schema.
type Tagging struct {
	Add, Remove []schema.EntityTags
	Inherit     bool // the tags of the version before are added
}

func (t *Tagging) changes() bool { return len(t.Add)+len(t.Remove) > 0 }

// retag changes the tags in the text of a schema that stands, or is to stand, under a subject.
func (r *Registry) retag(s *state.State, subject string, c *state.Content, t Tagging) error {
	if !t.changes() {
		return nil
	}
	p, err := r.parse(s, subject, c, false)
	if err != nil {
		return err
	}
	tagger, ok := p.(schema.Tagger)
	if !ok {
		return errInvalidSchema("Schemas of type %s have no tags", p.Type())
	}
	text, err := tagger.Tagged(t.Add, t.Remove)
	if err != nil {
		return err
	}
	c.Text = state.TextOf(text)
	return nil
}

// inheritTags adds the tags of the version before, if that is asked for. What was tagged there must still be there.
func (r *Registry) inheritTags(s *state.State, subject string, c *state.Content, t Tagging, live []*state.Version) error {
	if !t.Inherit || len(live) == 0 {
		return nil
	}
	tags, err := r.tagsOf(s, live[len(live)-1])
	if err != nil {
		return err
	}
	return r.retag(s, subject, c, Tagging{Add: tags})
}

// tagsOf lists the places in the text of a version that have tags.
func (r *Registry) tagsOf(s *state.State, v *state.Version) ([]schema.EntityTags, error) {
	p, err := r.parse(s, v.Subject, v.Content, false)
	if err != nil {
		return nil, err
	}
	if tagger, ok := p.(schema.Tagger); ok {
		return tagger.Tags(), nil
	}
	return nil, nil
}

// findTags lists the places in a version that have any of some tags; * is all.
func (a *API) findTags(r *http.Request, v *state.Version, wanted []string) ([]schema.EntityTags, error) {
	all, err := read(r.Context(), a.registry, func(s *state.State) ([]schema.EntityTags, error) { return a.registry.tagsOf(s, v) })
	return slices.DeleteFunc(all, func(e schema.EntityTags) bool {
		return !slices.Contains(wanted, "*") && !slices.ContainsFunc(e.Tags, func(t string) bool { return slices.Contains(wanted, t) })
	}), err
}

// content is the schema of a request that registers nothing, with the tags that a registration would give it.
func (a *API) content(r *http.Request, subject string, q *RegisterRequest) (state.Content, error) {
	c := q.candidate()
	if !c.Tags.changes() {
		return c.Content, nil
	}
	return read(r.Context(), a.registry, func(s *state.State) (state.Content, error) {
		content := c.Content
		return content, a.registry.retag(s, subject, &content, c.Tags)
	})
}

func (a *API) modifyTags(w http.ResponseWriter, r *http.Request) error {
	v, err := a.find(r, acl.Write, state.Live)
	if err != nil {
		return err
	}
	var q TagRequest
	if err := gate.ReadJSON(r, &q, false); err != nil {
		return err
	}
	c := Candidate{Content: *v.Content, Version: -1, Tags: Tagging{Add: q.TagsToAdd, Remove: q.TagsToRemove}}
	if q.NewVersion != nil && *q.NewVersion > 0 {
		c.Version = *q.NewVersion
	}
	if q.Metadata != nil {
		c.Metadata = q.Metadata
	}
	if q.RuleSet != nil {
		c.RuleSet = q.RuleSet
	}
	if q.RulesToMerge != nil {
		c.RuleSet = state.MergeRuleSets(c.RuleSet, q.RulesToMerge)
	}
	c.RuleSet = withoutRules(c.RuleSet, q.RulesToRemove)
	// The version's number in the metadata is that of the new version.
	if c.Metadata == nil {
		c.Metadata = &schema.Metadata{}
	}
	if c.Metadata = withoutVersion(c.Metadata); c.Metadata == nil {
		c.Metadata = &schema.Metadata{}
	}
	out, err := a.registry.Register(r.Context(), v.Subject, c, RegisterOptions{})
	if err != nil {
		return err
	}
	return a.registered(w, r, out, "")
}

func withoutRules(s *schema.RuleSet, names []string) *schema.RuleSet {
	if s == nil || len(names) == 0 {
		return s
	}
	gone := func(r schema.Rule) bool { return slices.Contains(names, r.Name) }
	out := *s
	out.MigrationRules = slices.DeleteFunc(slices.Clone(s.MigrationRules), gone)
	out.DomainRules = slices.DeleteFunc(slices.Clone(s.DomainRules), gone)
	out.EncodingRules = slices.DeleteFunc(slices.Clone(s.EncodingRules), gone)
	return &out
}
