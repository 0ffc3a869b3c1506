package state

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

// Filter says which versions are meant.
type Filter uint8

// The filters.
const (
	Live    Filter = iota // not deleted
	All                   // deleted ones too
	Deleted               // only those
)

func (f Filter) takes(v *Version) bool {
	return f == All || v.Deleted == (f == Deleted)
}

// Versions of a subject, ascending.
func (s *State) Versions(subject string, f Filter) []*Version {
	var out []*Version
	for _, v := range s.subjects[subject] {
		if f.takes(v) {
			out = append(out, v)
		}
	}
	return out
}

// Get finds a version; -1 is the latest that is not deleted. nil: there is none.
func (s *State) Get(subject string, version int, f Filter) *Version {
	list := s.subjects[subject]
	if version == -1 {
		for _, v := range slices.Backward(list) {
			if !v.Deleted {
				return v
			}
		}
		return nil
	}
	at, ok := slices.BinarySearchFunc(list, version, func(x *Version, n int) int { return cmp.Compare(x.Version, n) })
	if !ok || !f.takes(list[at]) {
		return nil
	}
	return list[at]
}

// Has tells whether there is anything under a name: a subject, a context, or the global one.
func (s *State) Has(name string, f Filter) bool {
	if !IsContext(name) {
		return slices.ContainsFunc(s.subjects[name], f.takes)
	}
	for subject, list := range s.subjects {
		if matches(subject, name) && slices.ContainsFunc(list, f.takes) {
			return true
		}
	}
	return false
}

// Subjects whose names begin with a prefix, sorted; Wildcard before it looks in all contexts. With Deleted those are listed that have
// no other versions.
func (s *State) Subjects(prefix string, f Filter) []string {
	context, begin := Split(prefix)
	var out []string
	for name, list := range s.subjects {
		in, subject := Split(name)
		if context != wildcardName && in != context || !strings.HasPrefix(subject, begin) {
			continue
		}
		live := slices.ContainsFunc(list, Live.takes)
		if f == All || live == (f == Live) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// ByID lists the versions with an id in a context, sorted by subject and version.
func (s *State) ByID(contextPrefix string, id int, f Filter) []*Version {
	var out []*Version
	for _, v := range s.index(contextPrefix).byID[id] {
		if f.takes(v) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b *Version) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Version, b.Version))
	})
	return out
}

// First finds any version with an id, a live one if there is one. It is what lookups by id need, and allocates nothing.
func (s *State) First(contextPrefix string, id int) *Version {
	list := s.index(contextPrefix).byID[id]
	for _, v := range list {
		if !v.Deleted {
			return v
		}
	}
	if len(list) > 0 {
		return list[0]
	}
	return nil
}

// MaxID is the highest id that was ever seen in a context; 0 for none.
func (s *State) MaxID(contextPrefix string) int { return s.index(contextPrefix).maxID }

// IDByGUID finds the id of a content in a context.
func (s *State) IDByGUID(contextPrefix string, g GUID) (int, bool) {
	id, ok := s.index(contextPrefix).byGUID[g]
	return id, ok
}

// Find looks for a content in a subject: the newest version that has it, or nil.
func (s *State) Find(subject string, g GUID, t schema.Type, f Filter) *Version {
	for _, v := range slices.Backward(s.subjects[subject]) {
		if v.GUID == g && v.Type == t && f.takes(v) {
			return v
		}
	}
	return nil
}

// Contexts are those that there are, the default one first.
func (s *State) Contexts() []string {
	return append([]string{DefaultContext}, slices.Sorted(maps.Keys(s.contexts))...)
}

// HasContext tells whether a context was noted.
func (s *State) HasContext(context string) bool {
	return context == DefaultContext || s.contexts[context]
}

// ContextID is an id with its context, as the API calls that.
type ContextID struct {
	Context string `json:"context"`
	ID      int    `json:"id"`
}

// ReferencedBy lists who refers to a version; with Live only those who are not deleted.
func (s *State) ReferencedBy(subject string, version int, f Filter) []ContextID {
	var out []ContextID
	for id := range s.refs[schemaRef{subject, version}] {
		if f == Live && len(s.ByID(id.context, id.id, Live)) == 0 {
			continue
		}
		context, _ := Split(id.context)
		out = append(out, ContextID{context, id.id})
	}
	slices.SortFunc(out, func(a, b ContextID) int { return cmp.Or(cmp.Compare(a.Context, b.Context), cmp.Compare(a.ID, b.ID)) })
	return out
}

// Config is what is set for a name itself, nil if nothing is; "" is everything.
func (s *State) Config(name string) *Config { return s.configs[name] }

// Mode is what is set for a name itself, "" if nothing is.
func (s *State) Mode(name string) Mode { return s.modes[name] }

// above are the names whose settings hold for a name, the nearest first.
func above(name string) []string {
	context, _ := Split(name)
	return []string{name, Prefix(context), globalPrefix}
}

// ConfigFor is what holds for a name: its own settings, else its context's, else the global ones. Where it has its own, what those
// leave out comes from the default context's.
func (s *State) ConfigFor(name string) Config {
	var out Config
	for i, at := range above(name) {
		c := s.configs[at]
		if c == nil {
			continue
		}
		out = *c
		if top := s.configs[""]; i == 0 && name != "" && top != nil {
			out = merge(*top, out)
		}
		break
	}
	out.Level = cmp.Or(out.Level, DefaultLevel)
	return out
}

func merge(under, over Config) Config {
	over.Normalize = cmp.Or(over.Normalize, under.Normalize)
	over.ValidateFields = cmp.Or(over.ValidateFields, under.ValidateFields)
	over.ValidateNewSchemas = cmp.Or(over.ValidateNewSchemas, under.ValidateNewSchemas)
	over.ValidateRules = cmp.Or(over.ValidateRules, under.ValidateRules)
	over.Policy = cmp.Or(over.Policy, under.Policy)
	over.Group = cmp.Or(over.Group, under.Group)
	over.DefaultMetadata = MergeMetadata(under.DefaultMetadata, over.DefaultMetadata)
	over.OverrideMetadata = MergeMetadata(under.OverrideMetadata, over.OverrideMetadata)
	over.DefaultRuleSet = MergeRuleSets(under.DefaultRuleSet, over.DefaultRuleSet)
	over.OverrideRuleSet = MergeRuleSets(under.OverrideRuleSet, over.OverrideRuleSet)
	return over
}

// ModeFor is the mode that holds for a name.
func (s *State) ModeFor(name string) Mode {
	for _, at := range above(name) {
		if m := s.modes[at]; m != "" {
			return m
		}
	}
	return ReadWrite
}

// ModesUnder are the names in a context that have a mode of their own.
func (s *State) ModesUnder(contextPrefix string) []string {
	var out []string
	for name := range s.modes {
		if name != contextPrefix && ContextOf(name) == contextPrefix && !IsContext(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Aliases are the names whose settings call them another name for this one.
func (s *State) Aliases(subject string) []string {
	var out []string
	for name, c := range s.configs {
		if c.Alias != "" && Qualify(name, c.Alias) == subject {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Associations that are wanted, sorted by resource and type.
func (s *State) Associations(wanted func(*Association) bool) []*Association {
	var out []*Association
	for _, a := range s.assocs {
		if wanted(a) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b *Association) int {
		return cmp.Or(cmp.Compare(a.ResourceNamespace, b.ResourceNamespace), cmp.Compare(a.ResourceName, b.ResourceName), cmp.Compare(a.ResourceType, b.ResourceType),
			cmp.Compare(a.AssociationType, b.AssociationType), cmp.Compare(a.Subject, b.Subject))
	})
	return out
}

// Counts of subjects and of versions, deleted ones too.
func (s *State) Counts() (subjects, versions int) { return len(s.subjects), s.versions }
