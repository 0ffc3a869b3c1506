package state

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/weir-stream/weir/internal/schema"
)

// State is what all records so far add up to.
type State struct {
	subjects map[string][]*Version // by name, versions ascending
	indexes  map[string]*index     // by the prefix of a context
	contents map[GUID]*shared
	refs     map[schemaRef]map[idKey]int // who refers to a version, and in how many versions of his
	configs  map[string]*Config
	modes    map[string]Mode
	contexts map[string]bool
	assocs   map[assocKey]*Association
	versions int
}

// index finds what a context holds. It stays when nothing is left, for the highest id.
type index struct {
	byID   map[int][]*Version
	byGUID map[GUID]int
	maxID  int
}

type idKey struct {
	context string
	id      int
}

type schemaRef struct {
	subject string
	version int
}

// shared is a content and how many versions hold it.
type shared struct {
	Content
	users int
	next  *shared // another one with the same GUID: of another format
}

// New returns the state of an empty topic.
func New() *State {
	return &State{
		subjects: map[string][]*Version{}, indexes: map[string]*index{}, contents: map[GUID]*shared{},
		refs: map[schemaRef]map[idKey]int{}, configs: map[string]*Config{}, modes: map[string]Mode{}, contexts: map[string]bool{}, assocs: map[assocKey]*Association{},
	}
}

// none is the index of a context that has held nothing.
var none = &index{}

func (s *State) index(contextPrefix string) *index {
	if x := s.indexes[contextPrefix]; x != nil {
		return x
	}
	return none
}

// Apply takes in the next record, written at a time in milliseconds. An error says that it is none of the registry's; it is passed
// over then.
func (s *State) Apply(r Record, timeMs int64) error {
	var k key
	if err := decode(r.Key, &k); err != nil {
		return err
	}
	subject := ""
	if k.Subject != nil {
		subject = *k.Subject
	}
	switch k.Kind {
	case kindNoop:
		return nil
	case kindSchema:
		return s.applySchema(subject, k.Version, r.Value, timeMs)
	case kindConfig:
		return s.applyConfig(subject, r.Value)
	case kindMode:
		return s.applyMode(subject, r.Value)
	case kindDelete:
		return s.applyDelete(r.Value)
	case kindClear:
		return s.applyClear(r.Value)
	case kindContext:
		if r.Value == nil {
			delete(s.contexts, k.Context)
		} else {
			s.contexts[k.Context] = true
		}
		return nil
	case kindAssoc:
		return s.applyAssociation(&k, r.Value, timeMs)
	}
	return fmt.Errorf("kind %q: %w", k.Kind, ErrRecord)
}

func (s *State) applySchema(subject string, version int, value []byte, timeMs int64) error {
	if value == nil {
		s.remove(subject, version)
		return nil
	}
	var in schemaValue
	if err := decode(value, &in); err != nil {
		return err
	}
	if version <= 0 || in.ID < 0 {
		return fmt.Errorf("version %d, id %d: %w", version, in.ID, ErrRecord)
	}
	v := &Version{Subject: subject, Version: version, ID: in.ID, Deleted: in.Deleted, Time: timeMs}
	content := &Content{Type: typeOf(in.Type), Text: TextOf(in.Text), References: in.References, Metadata: in.Metadata, RuleSet: in.RuleSet}
	if v.GUID = GUIDOf(content); len(in.MD5) == len(v.GUID) {
		v.GUID, v.told = GUID(in.MD5), true
	}
	if other := s.index(ContextOf(subject)).byID[v.ID]; len(other) > 0 && !other[0].Text.Equal(content.Text) && other[0].schemaRef() != (schemaRef{subject, version}) {
		// Two schemas must never share an id: the first stays, as on every other instance that reads this.
		return fmt.Errorf("%s version %d has the id %d of another schema: %w", subject, version, v.ID, ErrRecord)
	}
	s.remove(subject, version)
	s.add(v, content)
	return nil
}

// typeOf is a format without a string of its own.
func typeOf(t schema.Type) schema.Type {
	switch t {
	case schema.Avro, "":
		return schema.Avro
	case schema.JSON:
		return schema.JSON
	case schema.Protobuf:
		return schema.Protobuf
	}
	return t
}

func (v *Version) schemaRef() schemaRef { return schemaRef{v.Subject, v.Version} }

// add enters a version that is not there.
func (s *State) add(v *Version, content *Content) {
	context := ContextOf(v.Subject)
	v.Content = s.share(v.GUID, content)
	list := s.subjects[v.Subject]
	at, _ := slices.BinarySearchFunc(list, v.Version, func(x *Version, n int) int { return cmp.Compare(x.Version, n) })
	s.subjects[v.Subject] = slices.Insert(list, at, v)
	x := s.indexes[context]
	if x == nil {
		x = &index{byID: map[int][]*Version{}, byGUID: map[GUID]int{}}
		s.indexes[context] = x
	}
	x.byID[v.ID] = append(x.byID[v.ID], v)
	if x.byGUID[v.GUID] == 0 || x.byGUID[v.GUID] > v.ID {
		x.byGUID[v.GUID] = v.ID
	}
	x.maxID = max(x.maxID, v.ID)
	for _, r := range v.References {
		ref := schemaRef{Qualify(v.Subject, r.Subject), r.Version}
		if s.refs[ref] == nil {
			s.refs[ref] = map[idKey]int{}
		}
		s.refs[ref][idKey{context, v.ID}]++
	}
	s.versions++
}

// share returns the content that is kept already, if there is one; else it keeps this one.
func (s *State) share(guid GUID, c *Content) *Content {
	for x := s.contents[guid]; x != nil; x = x.next {
		if x.Type == c.Type && x.Text.Equal(c.Text) {
			x.users++
			return &x.Content
		}
	}
	made := &shared{Content: *c, users: 1, next: s.contents[guid]}
	made.Text = made.Text.pack()
	s.contents[guid] = made
	return &made.Content
}

// unshare forgets a content that no other version holds.
func (s *State) unshare(guid GUID, c *Content) {
	var before *shared
	for x := s.contents[guid]; x != nil; before, x = x, x.next {
		if &x.Content != c {
			continue
		}
		if x.users--; x.users > 0 {
			return
		}
		switch {
		case before != nil:
			before.next = x.next
		case x.next != nil:
			s.contents[guid] = x.next
		default:
			delete(s.contents, guid)
		}
		return
	}
}

// remove forgets a version. Its id is not given again while the process lives, and after that only if it was the highest.
func (s *State) remove(subject string, version int) {
	list := s.subjects[subject]
	at, ok := slices.BinarySearchFunc(list, version, func(x *Version, n int) int { return cmp.Compare(x.Version, n) })
	if !ok {
		return
	}
	v := list[at]
	if list = slices.Delete(list, at, at+1); len(list) == 0 {
		delete(s.subjects, subject)
	} else {
		s.subjects[subject] = list
	}
	s.versions--
	context := ContextOf(subject)
	x := s.indexes[context]
	left := slices.DeleteFunc(x.byID[v.ID], func(y *Version) bool { return y == v })
	if len(left) == 0 {
		delete(x.byID, v.ID)
	} else {
		x.byID[v.ID] = left
	}
	if x.byGUID[v.GUID] == v.ID && !slices.ContainsFunc(left, func(y *Version) bool { return y.GUID == v.GUID }) {
		delete(x.byGUID, v.GUID)
	}
	for _, r := range v.References {
		ref, id := schemaRef{Qualify(subject, r.Subject), r.Version}, idKey{context, v.ID}
		if s.refs[ref][id]--; s.refs[ref][id] <= 0 {
			delete(s.refs[ref], id)
		}
		if len(s.refs[ref]) == 0 {
			delete(s.refs, ref)
		}
	}
	s.unshare(v.GUID, v.Content)
}

func (s *State) applyConfig(subject string, value []byte) error {
	if value == nil {
		delete(s.configs, subject)
		return nil
	}
	var in configValue
	if err := decode(value, &in); err != nil {
		return err
	}
	s.configs[subject] = &in.Config
	return nil
}

func (s *State) applyMode(subject string, value []byte) error {
	if value == nil {
		delete(s.modes, subject)
		return nil
	}
	var in modeValue
	if err := decode(value, &in); err != nil {
		return err
	}
	if !slices.Contains(Modes(), in.Mode) {
		return fmt.Errorf("mode %q: %w", in.Mode, ErrRecord)
	}
	s.modes[subject] = in.Mode
	return nil
}

func (s *State) applyDelete(value []byte) error {
	if value == nil {
		return nil
	}
	var in deleteValue
	if err := decode(value, &in); err != nil {
		return err
	}
	list := slices.Clone(s.subjects[in.Subject])
	for i, v := range list {
		if v.Version <= in.Version && !v.Deleted {
			gone := *v
			gone.Deleted = true
			list[i] = &gone
			s.replace(v, &gone)
		}
	}
	if len(list) > 0 {
		s.subjects[in.Subject] = list
	}
	return nil
}

// replace puts another Version in the place of one with the same id; who has read the old one keeps what he saw.
func (s *State) replace(old, next *Version) {
	list := s.index(ContextOf(old.Subject)).byID[old.ID]
	for i, v := range list {
		if v == old {
			list[i] = next
		}
	}
}

func (s *State) applyClear(value []byte) error {
	if value == nil {
		return nil
	}
	var in clearValue
	if err := decode(value, &in); err != nil {
		return err
	}
	var gone []schemaRef
	for name, list := range s.subjects {
		for _, v := range list {
			if v.Deleted && matches(name, in.Subject) {
				gone = append(gone, v.schemaRef())
			}
		}
	}
	for _, g := range gone {
		s.remove(g.subject, g.version)
	}
	return nil
}

func (s *State) applyAssociation(k *key, value []byte, timeMs int64) error {
	subject := ""
	if k.Subject != nil {
		subject = *k.Subject
	}
	at := assocKey{kindAssoc, tenant, k.ResourceName, k.ResourceNamespace, k.ResourceType, k.AssociationType, subject, 0}
	if value == nil {
		delete(s.assocs, at)
		return nil
	}
	var in assocValue
	if err := decode(value, &in); err != nil {
		return err
	}
	in.Time = timeMs
	s.assocs[at] = &in.Association
	return nil
}
