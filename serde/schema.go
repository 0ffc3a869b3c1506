package serde

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

// Type is a format of schemas, as the registry spells it.
type Type string

// The formats.
const (
	Avro     Type = "AVRO"
	Protobuf Type = "PROTOBUF"
	JSON     Type = "JSON"
)

// Schema is a schema as it is given to, or comes from, a registry.
type Schema struct {
	Text string
	Type Type // empty means Avro
	// References are the schemas that Text uses, each registered on its own.
	References []Reference
	Metadata   *Metadata
	RuleSet    *RuleSet
}

// Reference names a schema that another uses: by Avro's full name, Protobuf's import path or JSON Schema's URI.
type Reference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// Metadata says what a schema is about.
type Metadata struct {
	Tags       map[string][]string `json:"tags,omitempty"`
	Properties map[string]string   `json:"properties,omitempty"`
	Sensitive  []string            `json:"sensitive,omitempty"`
}

// RuleSet is what a schema demands of the records written with it.
type RuleSet struct {
	MigrationRules []Rule `json:"migrationRules,omitempty"`
	DomainRules    []Rule `json:"domainRules,omitempty"`
	EncodingRules  []Rule `json:"encodingRules,omitempty"`
	EnableAt       string `json:"enableAt,omitempty"`
}

// Rule is one rule of a RuleSet, with the names of Confluent's API.
type Rule struct {
	Name      string            `json:"name"`
	Doc       string            `json:"doc,omitempty"`
	Kind      string            `json:"kind,omitempty"` // TRANSFORM or CONDITION
	Mode      string            `json:"mode,omitempty"` // WRITE, READ, WRITEREAD, UPGRADE, DOWNGRADE or UPDOWN
	Type      string            `json:"type,omitempty"` // CEL, CEL_FIELD, ENCRYPT, ENCRYPT_PAYLOAD
	Tags      []string          `json:"tags,omitempty"`
	Params    map[string]string `json:"params,omitempty"`
	Expr      string            `json:"expr,omitempty"`
	OnSuccess string            `json:"onSuccess,omitempty"`
	OnFailure string            `json:"onFailure,omitempty"` // ERROR, NONE or DLQ
	Disabled  bool              `json:"disabled,omitempty"`
}

// Registered is a schema in a registry.
type Registered struct {
	Schema
	// ID is the number of the schema, GUID its name by content, which old registries do not have.
	ID   int
	GUID string
	// Subject and Version are where it was found: empty and 0 if it was looked up by its id.
	Subject string
	Version int
}

// wire is the JSON form of both.
type wire struct {
	ID         int         `json:"id,omitempty"`
	Version    int         `json:"version,omitempty"`
	GUID       string      `json:"guid,omitempty"`
	Subject    string      `json:"subject,omitempty"`
	Schema     string      `json:"schema"`
	Type       Type        `json:"schemaType,omitempty"`
	References []Reference `json:"references,omitempty"`
	Metadata   *Metadata   `json:"metadata,omitempty"`
	RuleSet    *RuleSet    `json:"ruleSet,omitempty"`
}

func (s Schema) wire() wire {
	w := wire{Schema: s.Text, Type: s.Type, References: s.References, Metadata: s.Metadata, RuleSet: s.RuleSet}
	if w.Type == Avro {
		w.Type = "" // older registries know no name for it
	}
	return w
}

func (w wire) registered() Registered {
	s := Schema{Text: w.Schema, Type: w.Type, References: w.References, Metadata: w.Metadata, RuleSet: w.RuleSet}
	if s.Type == "" {
		s.Type = Avro
	}
	return Registered{Schema: s, ID: w.ID, GUID: w.GUID, Subject: w.Subject, Version: w.Version}
}

func (s Schema) typ() Type {
	if s.Type == "" {
		return Avro
	}
	return s.Type
}

// key is equal for schemas that a registry answers alike.
func (s Schema) key() (string, error) {
	b, err := json.Marshal(s.wire())
	if err != nil {
		return "", fmt.Errorf("encode schema: %w", err)
	}
	return string(b), nil
}

func (m *Metadata) plain() *schema.Metadata {
	if m == nil {
		return nil
	}
	return &schema.Metadata{Tags: m.Tags, Properties: m.Properties, Sensitive: m.Sensitive}
}

func (r *RuleSet) plain() *schema.RuleSet {
	if r == nil {
		return nil
	}
	list := func(rules []Rule) []schema.Rule {
		out := make([]schema.Rule, len(rules))
		for i, r := range rules {
			out[i] = schema.Rule(r)
		}
		return out
	}
	return &schema.RuleSet{MigrationRules: list(r.MigrationRules), DomainRules: list(r.DomainRules), EncodingRules: list(r.EncodingRules), EnableAt: r.EnableAt}
}

// recordName is the full name of what a schema describes: the record, the title of a JSON Schema. Protobuf has no one name.
func (s Schema) recordName() (string, error) {
	if s.typ() == Protobuf {
		return "", errors.New("a Protobuf schema names many messages: the name of a subject needs a proto.Message")
	}
	var top struct{ Name, Namespace, Title string }
	if err := json.Unmarshal([]byte(s.Text), &top); err != nil {
		return "", fmt.Errorf("the schema has no name: %w", err)
	}
	switch {
	case s.Type == JSON && top.Title != "":
		return top.Title, nil
	case s.Type != JSON && strings.Contains(top.Name, "."):
		return top.Name, nil
	case s.Type != JSON && top.Name != "" && top.Namespace != "":
		return top.Namespace + "." + top.Name, nil
	case s.Type != JSON && top.Name != "":
		return top.Name, nil
	}
	return "", errors.New("the schema has no name (a title, in JSON Schema), and the name of the subject is made of it")
}

// SubjectName makes the name of the subject under which a topic's schemas are. Record returns the full name of the record's type.
type SubjectName func(topic string, key bool, record func() (string, error)) (string, error)

// TopicName is TOPIC-key or TOPIC-value; it is used where nothing else is said.
func TopicName(topic string, key bool, _ func() (string, error)) (string, error) {
	if key {
		return topic + "-key", nil
	}
	return topic + "-value", nil
}

// RecordName is the full name of the record's type, whatever the topic.
func RecordName(_ string, _ bool, record func() (string, error)) (string, error) { return record() }

// TopicRecordName is TOPIC-NAME, with the full name of the record's type.
func TopicRecordName(topic string, _ bool, record func() (string, error)) (string, error) {
	name, err := record()
	return topic + "-" + name, err
}
