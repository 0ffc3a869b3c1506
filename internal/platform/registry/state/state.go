package state

import (
	"cmp"
	"fmt"
	"slices"
)

// State is what all records so far add up to.
type State struct {
	subjects map[string][]*Version // by name, versions ascending
	// byID, byGUID and maxID are by the prefix of a context.
	byID     map[idKey][]*Version
	byGUID   map[guidKey]int
	maxID    map[string]int
	contents map[GUID][]*shared
	refs     map[schemaRef]map[idKey]int // who refers to a version, and in how many versions of his
	configs  map[string]*Config
	modes    map[string]Mode
	contexts map[string]bool
	assocs   map[assocKey]*Association
	versions int
}

type idKey struct {
	context string
	id      int
}

type guidKey struct {
	context string
	guid    GUID
}

type schemaRef struct {
	subject string
	version int
}

// shared is a content and how many versions hold it.
type shared struct {
	content *Content
	users   int
}

// New returns the state of an empty topic.
func New() *State {
	return &State{
		subjects: map[string][]*Version{}, byID: map[idKey][]*Version{}, byGUID: map[guidKey]int{}, maxID: map[string]int{}, contents: map[GUID][]*shared{},
		refs: map[schemaRef]map[idKey]int{}, configs: map[string]*Config{}, modes: map[string]Mode{}, contexts: map[string]bool{}, assocs: map[assocKey]*Association{},
	}
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
	v := &Version{Subject: subject, Version: version, ID: in.ID, Deleted: in.Deleted, Time: timeMs, md5: in.MD5}
	content := &Content{Type: cmp.Or(in.Type, "AVRO"), Text: in.Text, References: in.References, Metadata: in.Metadata, RuleSet: in.RuleSet}
	if v.GUID = GUIDOf(content); len(in.MD5) == len(v.GUID) {
		v.GUID = GUID(in.MD5)
	}
	context := ContextOf(subject)
	if other := s.byID[idKey{context, v.ID}]; len(other) > 0 && other[0].Text != content.Text && other[0].schemaRef() != (schemaRef{subject, version}) {
		// Two schemas must never share an id: the first stays, as on every other instance that reads this.
		return fmt.Errorf("%s version %d has the id %d of another schema: %w", subject, version, v.ID, ErrRecord)
	}
	s.remove(subject, version)
	s.add(v, content)
	return nil
}

func (v *Version) schemaRef() schemaRef { return schemaRef{v.Subject, v.Version} }

// add enters a version that is not there.
func (s *State) add(v *Version, content *Content) {
	context := ContextOf(v.Subject)
	v.Content = s.share(v.GUID, content)
	list := s.subjects[v.Subject]
	at, _ := slices.BinarySearchFunc(list, v.Version, func(x *Version, n int) int { return cmp.Compare(x.Version, n) })
	s.subjects[v.Subject] = slices.Insert(list, at, v)
	id := idKey{context, v.ID}
	s.byID[id] = append(s.byID[id], v)
	if guid := (guidKey{context, v.GUID}); s.byGUID[guid] == 0 || s.byGUID[guid] > v.ID {
		s.byGUID[guid] = v.ID
	}
	s.maxID[context] = max(s.maxID[context], v.ID)
	for _, r := range v.References {
		ref := schemaRef{Qualify(v.Subject, r.Subject), r.Version}
		if s.refs[ref] == nil {
			s.refs[ref] = map[idKey]int{}
		}
		s.refs[ref][id]++
	}
	s.versions++
}

// share returns the content that is kept already, if there is one.
func (s *State) share(guid GUID, c *Content) *Content {
	for _, x := range s.contents[guid] {
		if x.content.Type == c.Type && x.content.Text == c.Text {
			x.users++
			return x.content
		}
	}
	s.contents[guid] = append(s.contents[guid], &shared{c, 1})
	return c
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
	id := idKey{context, v.ID}
	left := slices.DeleteFunc(s.byID[id], func(x *Version) bool { return x == v })
	if len(left) == 0 {
		delete(s.byID, id)
	} else {
		s.byID[id] = left
	}
	guid := guidKey{context, v.GUID}
	if s.byGUID[guid] == v.ID && !slices.ContainsFunc(left, func(x *Version) bool { return x.GUID == v.GUID }) {
		delete(s.byGUID, guid)
	}
	for _, r := range v.References {
		ref := schemaRef{Qualify(subject, r.Subject), r.Version}
		if s.refs[ref][id]--; s.refs[ref][id] <= 0 {
			delete(s.refs[ref], id)
		}
		if len(s.refs[ref]) == 0 {
			delete(s.refs, ref)
		}
	}
	users := s.contents[v.GUID]
	for i, x := range users {
		if x.content != v.Content {
			continue
		}
		if x.users--; x.users == 0 {
			users = slices.Delete(users, i, i+1)
		}
		break
	}
	if len(users) == 0 {
		delete(s.contents, v.GUID)
	} else {
		s.contents[v.GUID] = users
	}
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
	list := s.byID[idKey{ContextOf(old.Subject), old.ID}]
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
