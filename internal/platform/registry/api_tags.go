package registry

import (
	"maps"
	"net/http"
	"slices"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema"
)

// Tags that the API adds to places of a schema are kept in its metadata, where clients look for them as well as in the text: the text
// stays as its author wrote it, whatever the format.

// withTags returns metadata with tags added and removed; nil stays nil where there is nothing to do.
func withTags(m *schema.Metadata, add, remove []EntityTags) *schema.Metadata {
	if len(add)+len(remove) == 0 {
		return m
	}
	out := &schema.Metadata{}
	if m != nil {
		*out = *m
	}
	out.Tags = maps.Clone(out.Tags)
	if out.Tags == nil {
		out.Tags = map[string][]string{}
	}
	for _, e := range add {
		path := tagPath(e.Entity.Path)
		tags := slices.Concat(out.Tags[path], e.Tags)
		slices.Sort(tags)
		out.Tags[path] = slices.Compact(tags)
	}
	for _, e := range remove {
		path := tagPath(e.Entity.Path)
		out.Tags[path] = slices.DeleteFunc(slices.Clone(out.Tags[path]), func(tag string) bool { return slices.Contains(e.Tags, tag) })
		if len(out.Tags[path]) == 0 {
			delete(out.Tags, path)
		}
	}
	return out
}

// tagsOf lists the places with any of some tags; * is all.
func tagsOf(v *state.Version, wanted []string) []EntityTags {
	if v.Metadata == nil {
		return nil
	}
	var out []EntityTags
	for _, path := range slices.Sorted(maps.Keys(v.Metadata.Tags)) {
		tags := v.Metadata.Tags[path]
		if slices.Contains(wanted, "*") || slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(wanted, t) }) {
			out = append(out, EntityTags{Entity{"." + path, "sr_field"}, tags})
		}
	}
	return out
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
	c := Candidate{Content: *v.Content, Version: -1}
	if q.NewVersion != nil && *q.NewVersion > 0 {
		c.Version = *q.NewVersion
	}
	if q.Metadata != nil {
		c.Metadata = q.Metadata
	}
	c.Metadata = withTags(c.Metadata, q.TagsToAdd, q.TagsToRemove)
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
