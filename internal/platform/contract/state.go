package contract

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// state is what the records of _schemas have come to: the default context of the registry, as far as contracts ask for it. It knows
// the forms that Confluent's registry writes, in any of its versions, and passes over what it does not know.
type state struct {
	mu       sync.RWMutex
	subjects map[string]map[int]*version
	byID     map[int32]*entry
	byGUID   map[[16]byte]*entry
}

// entry is a schema with its id. Several versions, of several subjects, may share it.
type entry struct {
	id         int32
	kind       schema.Type
	text       string
	references []schema.Reference
	metadata   *schema.Metadata
	rules      *schema.RuleSet
	versions   int // how many hold it, deleted ones too
}

type version struct {
	entry   *entry
	deleted bool
}

func newState() *state {
	return &state{subjects: map[string]map[int]*version{}, byID: map[int32]*entry{}, byGUID: map[[16]byte]*entry{}}
}

// schemasKey and schemasValue are the JSON of a record of _schemas, of all kinds of keys.
type schemasKey struct {
	Kind    string `json:"keytype"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

type schemasValue struct {
	Version    int                `json:"version"`
	ID         int32              `json:"id"`
	GUID       string             `json:"guid"`
	Type       schema.Type        `json:"schemaType"`
	References []schema.Reference `json:"references"`
	Metadata   *schema.Metadata   `json:"metadata"`
	Rules      *schema.RuleSet    `json:"ruleSet"`
	Text       string             `json:"schema"`
	Deleted    bool               `json:"deleted"`
}

// apply takes one record over. A record that cannot be understood is an error and changes nothing.
func (s *state) apply(key, value []byte) error {
	var k schemasKey
	if err := json.Unmarshal(key, &k); err != nil {
		return fmt.Errorf("key of a record of _schemas: %w", err)
	}
	subject, ok := defaultContext(k.Subject)
	if !ok {
		return nil
	}
	var v schemasValue
	if value != nil {
		if err := json.Unmarshal(value, &v); err != nil {
			return fmt.Errorf("value of a record of _schemas, %s of %s: %w", k.Kind, k.Subject, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch k.Kind {
	case "SCHEMA":
		s.remove(subject, k.Version)
		if value != nil {
			s.add(subject, k.Version, &v)
		}
	case "DELETE_SUBJECT":
		for n, x := range s.subjects[subject] {
			x.deleted = x.deleted || value != nil && n <= v.Version
		}
	case "CLEAR_SUBJECT":
		for n, x := range s.subjects[subject] {
			if x.deleted {
				s.remove(subject, n)
			}
		}
	}
	return nil
}

// defaultContext returns a subject without the name of the default context; false for one of another.
func defaultContext(subject string) (string, bool) {
	if !strings.HasPrefix(subject, ":.") {
		return subject, true
	}
	return strings.CutPrefix(subject, ":.:")
}

func (s *state) add(subject string, n int, v *schemasValue) {
	e := s.byID[v.ID]
	if e == nil {
		e = &entry{id: v.ID, kind: v.Type, text: v.Text, references: v.References, metadata: v.Metadata, rules: v.Rules}
		if e.kind == "" {
			e.kind = schema.Avro
		}
		s.byID[v.ID] = e
	}
	if g, err := wireformat.ParseGUID(v.GUID); err == nil {
		s.byGUID[g] = e
	}
	e.versions++
	if s.subjects[subject] == nil {
		s.subjects[subject] = map[int]*version{}
	}
	s.subjects[subject][n] = &version{entry: e, deleted: v.Deleted}
}

func (s *state) remove(subject string, n int) {
	x := s.subjects[subject][n]
	if x == nil {
		return
	}
	delete(s.subjects[subject], n)
	if len(s.subjects[subject]) == 0 {
		delete(s.subjects, subject)
	}
	if x.entry.versions--; x.entry.versions > 0 {
		return
	}
	delete(s.byID, x.entry.id)
	for g, e := range s.byGUID {
		if e == x.entry {
			delete(s.byGUID, g)
		}
	}
}

func (s *state) find(look func() *entry) (Registered, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := look()
	if e == nil {
		return Registered{}, false
	}
	r := Registered{
		ID: e.id, Type: e.kind, Metadata: e.metadata, Rules: e.rules,
		Source: schema.Source{Text: e.text, References: e.references, Resolved: map[string]string{}},
	}
	s.resolve(e.references, r.Source.Resolved, 0)
	for name, versions := range s.subjects {
		for _, x := range versions {
			if x.entry == e && !x.deleted && !slices.Contains(r.Subjects, name) {
				r.Subjects = append(r.Subjects, name)
			}
		}
	}
	slices.Sort(r.Subjects)
	return r, true
}

// resolve gathers the texts of references and of theirs. One that is missing is left to the parser, which names it.
func (s *state) resolve(references []schema.Reference, into map[string]string, depth int) {
	for _, r := range references {
		if _, done := into[r.Name]; done || depth > schema.MaxDepth {
			continue
		}
		subject, ok := defaultContext(r.Subject)
		if !ok {
			continue
		}
		if x := s.subjects[subject][r.Version]; x != nil {
			into[r.Name] = x.entry.text
			s.resolve(x.entry.references, into, depth+1)
		}
	}
}
