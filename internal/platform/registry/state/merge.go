package state

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weir-stream/weir/internal/schema"
)

// MergeMetadata lays one over another: tags and properties of over win, sensitive names add up. nil is nothing.
func MergeMetadata(under, over *schema.Metadata) *schema.Metadata {
	switch {
	case under == nil:
		return over
	case over == nil:
		return under
	}
	out := &schema.Metadata{Tags: maps.Clone(under.Tags), Properties: maps.Clone(under.Properties)}
	for path, tags := range over.Tags {
		if out.Tags == nil {
			out.Tags = map[string][]string{}
		}
		out.Tags[path] = union(out.Tags[path], tags)
	}
	for name, value := range over.Properties {
		if out.Properties == nil {
			out.Properties = map[string]string{}
		}
		out.Properties[name] = value
	}
	out.Sensitive = union(under.Sensitive, over.Sensitive)
	return out
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// MergeRuleSets lays one over another: a rule of over takes the place of one with its name. nil is nothing.
func MergeRuleSets(under, over *schema.RuleSet) *schema.RuleSet {
	switch {
	case under == nil:
		return over
	case over == nil:
		return under
	}
	return &schema.RuleSet{
		MigrationRules: mergeRules(under.MigrationRules, over.MigrationRules),
		DomainRules:    mergeRules(under.DomainRules, over.DomainRules),
		EncodingRules:  mergeRules(under.EncodingRules, over.EncodingRules),
		EnableAt:       cmp.Or(over.EnableAt, under.EnableAt),
	}
}

func mergeRules(under, over []schema.Rule) []schema.Rule {
	var out []schema.Rule
	for _, r := range under {
		if !slices.ContainsFunc(over, func(x schema.Rule) bool { return x.Name == r.Name }) {
			out = append(out, r)
		}
	}
	return append(out, over...)
}
