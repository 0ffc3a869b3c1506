package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weir-stream/weir/internal/schema"
)

// Record is one record of the topic. A nil Value is a tombstone.
type Record struct{ Key, Value []byte }

// Kinds of keys.
const (
	kindSchema  = "SCHEMA"
	kindConfig  = "CONFIG"
	kindMode    = "MODE"
	kindDelete  = "DELETE_SUBJECT"
	kindClear   = "CLEAR_SUBJECT"
	kindNoop    = "NOOP"
	kindContext = "CONTEXT"
	kindAssoc   = "ASSOC"
)

// key has the fields of all kinds. Its bytes decide what compaction keeps, so each kind is written with its own fields in
// Confluent's order: keyBytes.
type key struct {
	Kind              string  `json:"keytype"`
	Tenant            string  `json:"tenant"`
	Context           string  `json:"context"`
	ResourceName      string  `json:"resourceName"`
	ResourceNamespace string  `json:"resourceNamespace"`
	ResourceType      string  `json:"resourceType"`
	AssociationType   string  `json:"associationType"`
	Subject           *string `json:"subject"`
	Version           int     `json:"version"`
	Magic             int     `json:"magic"`
}

const tenant = "default"

type schemaKey struct {
	Kind    string `json:"keytype"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
	Magic   int    `json:"magic"`
}

type subjectKey struct {
	Kind    string `json:"keytype"`
	Subject string `json:"subject,omitempty"`
	Magic   int    `json:"magic"`
}

type contextKey struct {
	Kind    string `json:"keytype"`
	Tenant  string `json:"tenant"`
	Context string `json:"context"`
	Magic   int    `json:"magic"`
}

type assocKey struct {
	Kind              string `json:"keytype"`
	Tenant            string `json:"tenant"`
	ResourceName      string `json:"resourceName,omitempty"`
	ResourceNamespace string `json:"resourceNamespace,omitempty"`
	ResourceType      string `json:"resourceType,omitempty"`
	AssociationType   string `json:"associationType,omitempty"`
	Subject           string `json:"subject,omitempty"`
	Magic             int    `json:"magic"`
}

// schemaValue is the value of a version. Metadata with sensitive properties that Confluent has encrypted is kept as it is.
type schemaValue struct {
	Subject    string             `json:"subject"`
	Version    int                `json:"version"`
	ID         int                `json:"id"`
	MD5        []byte             `json:"md5,omitempty"`
	Type       schema.Type        `json:"schemaType,omitempty"`
	References []schema.Reference `json:"references,omitempty"`
	Metadata   *schema.Metadata   `json:"metadata,omitempty"`
	RuleSet    *schema.RuleSet    `json:"ruleSet,omitempty"`
	Text       string             `json:"schema"`
	Deleted    bool               `json:"deleted"`
}

type configValue struct {
	Subject string `json:"subject,omitempty"`
	Config
}

type modeValue struct {
	Subject string `json:"subject,omitempty"`
	Mode    Mode   `json:"mode"`
}

type deleteValue struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

type clearValue struct {
	Subject string `json:"subject,omitempty"`
}

type contextValue struct {
	Tenant  string `json:"tenant"`
	Context string `json:"context"`
}

type assocValue struct {
	Association
	Tenant string `json:"tenant"`
}

// encode writes JSON as Jackson does: without the escapes that Go adds for HTML.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("registry state: plain structs cannot be encoded: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func tombstone(k any) Record { return Record{Key: encode(k)} }

func put(k, v any) Record { return Record{Key: encode(k), Value: encode(v)} }

// PutVersion is the record of a version.
func PutVersion(v *Version) Record {
	value := schemaValue{
		Subject: v.Subject, Version: v.Version, ID: v.ID, Type: v.Type, References: v.References, Metadata: v.Metadata, RuleSet: v.RuleSet, Text: v.Text.String(), Deleted: v.Deleted,
	}
	if v.told {
		value.MD5 = v.GUID[:]
	}
	return put(schemaKey{kindSchema, v.Subject, v.Version, 1}, value)
}

// RemoveVersion is the record that deletes a version for good.
func RemoveVersion(subject string, version int) Record {
	return tombstone(schemaKey{kindSchema, subject, version, 1})
}

// DeleteSubject is the record that marks the versions of a subject up to one as deleted.
func DeleteSubject(subject string, upTo int) Record {
	return put(subjectKey{kindDelete, subject, 0}, deleteValue{subject, upTo})
}

// ClearSubject is the record that forgets what was deleted under a name.
func ClearSubject(subject string) Record {
	return put(subjectKey{kindClear, subject, 0}, clearValue{subject})
}

// PutConfig and RemoveConfig are the records of settings; "" is the subject of those that hold for everything.
func PutConfig(subject string, c *Config) Record {
	return put(subjectKey{kindConfig, subject, 0}, configValue{subject, *c})
}

// RemoveConfig is PutConfig's opposite.
func RemoveConfig(subject string) Record { return tombstone(subjectKey{kindConfig, subject, 0}) }

// PutMode and RemoveMode are the records of modes.
func PutMode(subject string, m Mode) Record {
	return put(subjectKey{kindMode, subject, 0}, modeValue{subject, m})
}

// RemoveMode is PutMode's opposite.
func RemoveMode(subject string) Record { return tombstone(subjectKey{kindMode, subject, 0}) }

// PutContext and RemoveContext are the records of a context, as the API calls it.
func PutContext(context string) Record {
	return put(contextKey{kindContext, tenant, context, 0}, contextValue{tenant, context})
}

// RemoveContext is PutContext's opposite.
func RemoveContext(context string) Record {
	return tombstone(contextKey{kindContext, tenant, context, 0})
}

// PutAssociation and RemoveAssociation are the records of an association.
func PutAssociation(a *Association) Record {
	return put(a.key(), assocValue{*a, tenant})
}

// RemoveAssociation is PutAssociation's opposite.
func RemoveAssociation(a *Association) Record { return tombstone(a.key()) }

func (a *Association) key() assocKey {
	return assocKey{kindAssoc, tenant, a.ResourceName, a.ResourceNamespace, a.ResourceType, a.AssociationType, a.Subject, 0}
}

// Noop is the record that changes nothing.
func Noop() Record {
	return tombstone(struct {
		Kind  string `json:"keytype"`
		Magic int    `json:"magic"`
	}{kindNoop, 0})
}

// ErrRecord is wrapped by what Apply returns for a record that is none of the registry's. It changes nothing.
var ErrRecord = errors.New("not a record of a schema registry")

// maxRecordBytes bounds what is decoded; a schema has at most schema.MaxTextBytes.
const maxRecordBytes = 4 * schema.MaxTextBytes

func decode(b []byte, v any) error {
	if len(b) > maxRecordBytes {
		return fmt.Errorf("%d bytes: %w", len(b), ErrRecord)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return nil
}
