package registry

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema"
)

// Candidate is a schema that somebody brings. Version 0 and ID 0 leave them to the registry; Version -1 asks for the next one, noted
// in the metadata.
type Candidate struct {
	state.Content
	Version int
	ID      int
	HasID   bool
	Tags    Tagging
}

// RegisterOptions change how a schema is registered.
type RegisterOptions struct {
	Normalize bool
	Force     bool // leaves out the check of compatibility
	// pending are versions that are registered by the same change, before this one.
	pending []*state.Version
}

// versionProperty is the property of the metadata that holds a version's number, where it was asked for.
const versionProperty = "confluent:version"

// Register registers a schema under a subject and returns the version that has it: a new one, or the one that had it before.
func (r *Registry) Register(ctx context.Context, subject string, c Candidate, o RegisterOptions) (*state.Version, error) {
	if !state.ValidSubject(subject, false) {
		return nil, errInvalidSubject(subject)
	}
	if err := validateRuleSet(c.RuleSet); err != nil {
		return nil, err
	}
	var out *state.Version
	err := r.change(ctx, func(s *state.State) (records []state.Record, err error) {
		out, records, err = r.decideRegister(s, subject, c, o)
		return records, err
	})
	if err != nil {
		return nil, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if v := r.state.Get(subject, out.Version, state.All); v != nil {
		return v, nil // with its time
	}
	return out, nil
}

// decideRegister is pure but for the cache: it says which version has the schema, and what must be written for that.
func (r *Registry) decideRegister(s *state.State, subject string, c Candidate, o RegisterOptions) (*state.Version, []state.Record, error) {
	if err := r.retag(s, subject, &c.Content, c.Tags); err != nil {
		return nil, nil, err
	}
	config, mode := s.ConfigFor(subject), s.ModeFor(subject)
	o.Normalize = o.Normalize || config.Normalize != nil && *config.Normalize
	if c.Version <= 0 && !c.HasID && !hasDefaults(&config) {
		if v, err := r.find(s, subject, &c.Content, o.Normalize, state.Live, c.Version == -1); err == nil && v != nil {
			return v, nil, nil
		}
	}
	if err := mayRegister(subject, mode, c.HasID); err != nil {
		return nil, nil, err
	}
	all := s.Versions(subject, state.All)
	live := s.Versions(subject, state.Live)
	next := 1
	if len(all) > 0 {
		next = all[len(all)-1].Version + 1
	}
	content := c.Content
	if !mode.Imports() {
		if err := populate(&content, &config, live, c.Version, next); err != nil {
			return nil, nil, err
		}
		if err := r.inheritTags(s, subject, &content, c.Tags, live); err != nil {
			return nil, nil, err
		}
	}
	if strings.TrimSpace(content.Text.String()) == "" {
		return nil, nil, errInvalidSchema("Empty schema")
	}
	fresh := !c.HasID && (config.ValidateNewSchemas == nil || *config.ValidateNewSchemas)
	p, err := r.canonical(s, subject, &content, fresh, o.Normalize && !mode.Imports())
	if err != nil {
		return nil, nil, err
	}
	if !mode.Imports() {
		if err := restrictedFields(&config, p); err != nil {
			return nil, nil, err
		}
	}
	if err := strongReference(s, subject, content.References); err != nil {
		return nil, nil, err
	}
	guid := state.GUIDOf(&content)
	context := state.ContextOf(subject)
	id, known := s.IDByGUID(context, guid)
	if v := s.First(context, id); known && v != nil && v.Type != content.Type {
		known = false
	}
	if c.HasID && (!known || id != c.ID) {
		id, known = c.ID, true
		if other := s.First(context, id); other != nil && (!other.Text.Equal(content.Text) || other.Type != content.Type || !sameReferences(other.References, content.References)) {
			return nil, nil, errNotPermitted("Overwrite new schema with id %d in context %s is not permitted.", id, contextName(subject))
		}
	}
	if c.Version == 0 {
		if v := s.Find(subject, guid, content.Type, state.Live); v != nil && (!c.HasID || v.ID == c.ID) {
			return v, nil, nil
		}
	}
	if !mode.Imports() && !o.Force {
		if messages := r.incompatibilities(s, subject, &config, p, &content, live); len(messages) > 0 {
			return nil, nil, errIncompatible(subject, "["+strings.Join(messages, ", ")+"]")
		}
	}
	version := c.Version
	switch {
	case version <= 0:
		version = next
	case version != next && !mode.Imports():
		return nil, nil, errInvalidSchema("Version is not one more than previous version")
	}
	if !known {
		id = nextID(s, context, guid, o.pending)
	}
	v := &state.Version{Subject: subject, Version: version, ID: id, Content: &content, GUID: guid}
	return v, recordsOf(s, v, all), nil
}

// nextID is the id of a content that has none yet: that which the same change gives it, else the next one.
func nextID(s *state.State, context string, guid state.GUID, pending []*state.Version) int {
	id := s.MaxID(context) + 1
	for _, v := range pending {
		if state.ContextOf(v.Subject) != context {
			continue
		}
		if v.GUID == guid {
			return v.ID
		}
		id = max(id, v.ID+1)
	}
	return id
}

// recordsOf are what makes a version: its context, the end of deleted versions with the same id, and itself.
func recordsOf(s *state.State, v *state.Version, all []*state.Version) []state.Record {
	var out []state.Record
	if context, _ := state.Split(v.Subject); !s.HasContext(context) {
		out = append(out, state.PutContext(context))
	}
	for _, old := range all {
		if old.Deleted && old.ID == v.ID && old.Version < v.Version && len(s.ReferencedBy(old.Subject, old.Version, state.All)) == 0 {
			out = append(out, state.RemoveVersion(old.Subject, old.Version))
		}
	}
	return append(out, state.PutVersion(v))
}

func contextName(subject string) string {
	context, _ := state.Split(subject)
	return context
}

func mayRegister(subject string, mode state.Mode, hasID bool) error {
	switch {
	case mode.ReadsOnly():
		return errReadOnly(subject)
	case hasID && !mode.Imports():
		return errNotPermitted("Subject %s in context %s is not in import mode", subject, contextName(subject))
	case !hasID && mode != state.ReadWrite:
		return errNotPermitted("Subject %s in context %s is not in read-write mode", subject, contextName(subject))
	}
	return nil
}

func errReadOnly(subject string) error {
	return errNotPermitted("Subject %s in context %s is in read-only mode", subject, contextName(subject))
}

func hasDefaults(c *state.Config) bool {
	return c.DefaultMetadata != nil || c.OverrideMetadata != nil || c.DefaultRuleSet != nil || c.OverrideRuleSet != nil
}

// populate fills in what a new version takes over: from the one before it, from the defaults, and what is forced on it.
func populate(c *state.Content, config *state.Config, live []*state.Version, asked, next int) error {
	var previous *state.Version
	if len(live) > 0 {
		previous = live[len(live)-1]
	}
	if strings.TrimSpace(c.Text.String()) == "" {
		if previous == nil {
			return errInvalidSchema("Empty schema")
		}
		c.Text, c.Type, c.References = previous.Text, previous.Type, previous.References
	}
	setRules(c, config, previous)
	if asked != 0 || c.Metadata != nil && c.Metadata.Properties[versionProperty] != "" {
		c.Metadata = withVersion(c.Metadata, next)
	}
	return nil
}

// setRules gives a schema its metadata and rules: its own, else those of the version before, between defaults and overrides.
func setRules(c *state.Content, config *state.Config, previous *state.Version) {
	if previous != nil {
		if c.Metadata == nil {
			c.Metadata = previous.Metadata
		}
		if c.RuleSet == nil {
			c.RuleSet = previous.RuleSet
		}
	}
	c.Metadata = state.MergeMetadata(state.MergeMetadata(config.DefaultMetadata, c.Metadata), config.OverrideMetadata)
	c.RuleSet = state.MergeRuleSets(state.MergeRuleSets(config.DefaultRuleSet, c.RuleSet), config.OverrideRuleSet)
}

func withVersion(m *schema.Metadata, version int) *schema.Metadata {
	out := &schema.Metadata{}
	if m != nil {
		*out = *m
	}
	out.Properties = maps.Clone(out.Properties)
	if out.Properties == nil {
		out.Properties = map[string]string{}
	}
	out.Properties[versionProperty] = strconv.Itoa(version)
	return out
}

func withoutVersion(m *schema.Metadata) *schema.Metadata {
	if m == nil || m.Properties[versionProperty] == "" {
		return m
	}
	out := *m
	out.Properties = maps.Clone(m.Properties)
	delete(out.Properties, versionProperty)
	if len(out.Properties)+len(out.Tags)+len(out.Sensitive) == 0 {
		return nil
	}
	return &out
}

// canonical parses a schema and puts its text into the form in which it is kept.
func (r *Registry) canonical(s *state.State, subject string, c *state.Content, fresh, normalize bool) (schema.Schema, error) {
	c.References = pinned(s, subject, c.References)
	p, err := r.parse(s, subject, c, fresh)
	if err != nil {
		return nil, err
	}
	c.Type, c.Text = p.Type(), state.TextOf(p.Canonical())
	if normalize {
		c.Text = state.TextOf(p.Normalized())
		c.References = slices.Clone(c.References)
		slices.SortFunc(c.References, func(a, b schema.Reference) int { return strings.Compare(a.Name, b.Name) })
		c.References = slices.Compact(c.References)
	}
	if len(c.References) == 0 {
		c.References = nil
	}
	return p, nil
}

// pinned replaces -1 as the version of a reference, the latest, by what that is now.
func pinned(s *state.State, subject string, refs []schema.Reference) []schema.Reference {
	if !slices.ContainsFunc(refs, func(r schema.Reference) bool { return r.Version == -1 }) {
		return refs
	}
	refs = slices.Clone(refs)
	for i := range refs {
		if v := s.Get(state.Qualify(subject, refs[i].Subject), -1, state.Live); refs[i].Version == -1 && v != nil {
			refs[i].Version = v.Version
		}
	}
	return refs
}

// find looks for a schema in a subject: nil if it is not there. Latest looks at the last version only.
func (r *Registry) find(s *state.State, subject string, content *state.Content, normalize bool, f state.Filter, latest bool) (*state.Version, error) {
	c := *content
	if strings.TrimSpace(c.Text.String()) == "" {
		return nil, nil
	}
	if _, err := r.canonical(s, subject, &c, false, normalize); err != nil {
		return nil, err
	}
	if !latest {
		if v := s.Find(subject, state.GUIDOf(&c), c.Type, f); v != nil {
			return v, nil
		}
	}
	versions := s.Versions(subject, f)
	if latest {
		versions = nil
		if v := s.Get(subject, -1, state.Live); v != nil {
			versions = []*state.Version{v}
		}
	}
	for _, v := range slices.Backward(versions) {
		if sameContent(&c, v.Content) {
			return v, nil
		}
	}
	return nil, nil
}

// sameContent tells whether a schema that is looked for is one that is there. A version's number in the metadata does not count
// where it was not given.
func sameContent(c, there *state.Content) bool {
	metadata := there.Metadata
	if c.Metadata == nil || c.Metadata.Properties[versionProperty] == "" {
		metadata = withoutVersion(metadata)
	}
	return c.Type == there.Type && c.Text.Equal(there.Text) && slices.Equal(c.References, there.References) &&
		reflect.DeepEqual(c.Metadata, metadata) && reflect.DeepEqual(c.RuleSet, there.RuleSet)
}

// Lookup finds the version of a subject that has a schema.
func (r *Registry) Lookup(ctx context.Context, subject string, content state.Content, normalize, deleted bool) (*state.Version, error) {
	f := state.Live
	if deleted {
		f = state.All
	}
	return read(ctx, r, func(s *state.State) (*state.Version, error) {
		names := []string{subject}
		if state.ContextOf(subject) == "" { // a bare name is looked for in all contexts
			for _, context := range s.Contexts()[1:] {
				names = append(names, state.Prefix(context)+subject)
			}
		}
		found := s.Has(subject, f)
		for i, name := range names {
			v, err := r.lookup(s, name, &content, normalize, f)
			if err != nil && i == 0 && found {
				return nil, err
			}
			if v != nil {
				return v, nil
			}
		}
		if !found {
			return nil, errSubject(subject)
		}
		return nil, errSchema()
	})
}

func (r *Registry) lookup(s *state.State, subject string, content *state.Content, normalize bool, f state.Filter) (*state.Version, error) {
	config := s.ConfigFor(subject)
	normalize = normalize || config.Normalize != nil && *config.Normalize
	v, err := r.find(s, subject, content, normalize, f, false)
	if v != nil || err != nil {
		return v, err
	}
	latest := s.Get(subject, -1, state.Live)
	if latest == nil {
		return nil, nil
	}
	next := *content
	if setRules(&next, &config, latest); reflect.DeepEqual(&next, content) {
		return nil, nil
	}
	return r.find(s, subject, &next, normalize, f, false)
}
