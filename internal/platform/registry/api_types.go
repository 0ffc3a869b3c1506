package registry

import (
	"errors"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema"
)

func isForbidden(err error) bool { return errors.Is(err, gate.ErrForbidden) }

// RegisterRequest is the body of the requests that bring a schema. Fields that are not known are passed over.
type RegisterRequest struct {
	Schema             string              `json:"schema"`
	SchemaType         schema.Type         `json:"schemaType,omitempty"`
	References         []schema.Reference  `json:"references,omitempty"`
	Metadata           *schema.Metadata    `json:"metadata,omitempty"`
	RuleSet            *schema.RuleSet     `json:"ruleSet,omitempty"`
	Version            *int                `json:"version,omitempty"`
	ID                 *int                `json:"id,omitempty"`
	SchemaTagsToAdd    []schema.EntityTags `json:"schemaTagsToAdd,omitempty"`
	SchemaTagsToRemove []schema.EntityTags `json:"schemaTagsToRemove,omitempty"`
	PropagateTags      *bool               `json:"propagateSchemaTags,omitempty"`
}

func (q *RegisterRequest) content() state.Content {
	c := state.Content{Type: q.SchemaType, Text: state.TextOf(q.Schema), References: q.References, Metadata: q.Metadata, RuleSet: q.RuleSet}
	if c.Type == "" {
		c.Type = schema.Avro
	}
	return c
}

func (q *RegisterRequest) candidate() Candidate {
	c := Candidate{Content: q.content()}
	if q.Version != nil {
		c.Version = *q.Version
	}
	if q.ID != nil && *q.ID >= 0 {
		c.ID, c.HasID = *q.ID, true
	}
	c.Tags = Tagging{Add: q.SchemaTagsToAdd, Remove: q.SchemaTagsToRemove, Inherit: q.PropagateTags != nil && *q.PropagateTags}
	if c.Tags.changes() && c.Version == 0 {
		c.Version = -1 // as upstream, which notes the number in the metadata then
	}
	return c
}

// SchemaAnswer is a schema as most answers have it. The type is left out for Avro.
type SchemaAnswer struct {
	Subject    string              `json:"subject,omitempty"`
	Version    int                 `json:"version,omitempty"`
	ID         *int                `json:"id,omitempty"`
	GUID       string              `json:"guid,omitempty"`
	SchemaType schema.Type         `json:"schemaType,omitempty"`
	References []schema.Reference  `json:"references,omitempty"`
	Metadata   *schema.Metadata    `json:"metadata,omitempty"`
	RuleSet    *schema.RuleSet     `json:"ruleSet,omitempty"`
	Schema     string              `json:"schema,omitempty"`
	SchemaTags []schema.EntityTags `json:"schemaTags,omitempty"`
	MaxID      *int                `json:"maxId,omitempty"`
	Time       int64               `json:"ts,omitempty"`
	Deleted    *bool               `json:"deleted,omitempty"`
	Aliases    []string            `json:"aliases,omitempty"`
	// Associations of the subject, where the list was asked for them.
	Associations []AssociationAnswer `json:"associations,omitempty"`
}

// answerOf is all that there is to say of a version.
func answerOf(v *state.Version) *SchemaAnswer {
	out := &SchemaAnswer{
		Subject: v.Subject, Version: v.Version, ID: &v.ID, GUID: v.GUID.String(), SchemaType: v.Type, References: v.References, Metadata: v.Metadata, RuleSet: v.RuleSet, Schema: v.Text.String(), Time: v.Time,
	}
	if v.Type == schema.Avro {
		out.SchemaType = ""
	}
	if v.Deleted {
		out.Deleted = &v.Deleted
	}
	return out
}

// CompatibilityAnswer says whether a schema is compatible.
type CompatibilityAnswer struct {
	Compatible bool     `json:"is_compatible"`
	Messages   []string `json:"messages,omitzero"` // empty and there, if it was asked why and there is nothing
}

// SubjectVersion names a version.
type SubjectVersion struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// ModeBody is a mode.
type ModeBody struct {
	Mode state.Mode `json:"mode,omitempty"`
}

// ConfigRequest has the settings as they are written, where the level is called compatibility.
type ConfigRequest struct {
	Alias              string           `json:"alias,omitempty"`
	AliasForDeks       string           `json:"aliasForDeks,omitempty"`
	Normalize          *bool            `json:"normalize,omitempty"`
	ValidateFields     *bool            `json:"validateFields,omitempty"`
	ValidateNewSchemas *bool            `json:"validateNewSchemas,omitempty"`
	ValidateRules      *bool            `json:"validateRules,omitempty"`
	Level              state.Level      `json:"compatibility,omitempty"`
	Policy             schema.Policy    `json:"compatibilityPolicy,omitempty"`
	Group              string           `json:"compatibilityGroup,omitempty"`
	DefaultMetadata    *schema.Metadata `json:"defaultMetadata,omitempty"`
	OverrideMetadata   *schema.Metadata `json:"overrideMetadata,omitempty"`
	DefaultRuleSet     *schema.RuleSet  `json:"defaultRuleSet,omitempty"`
	OverrideRuleSet    *schema.RuleSet  `json:"overrideRuleSet,omitempty"`
}

// TagRequest makes a new version of a schema with other tags, metadata or rules.
type TagRequest struct {
	NewVersion    *int                `json:"newVersion,omitempty"`
	TagsToAdd     []schema.EntityTags `json:"tagsToAdd,omitempty"`
	TagsToRemove  []schema.EntityTags `json:"tagsToRemove,omitempty"`
	Metadata      *schema.Metadata    `json:"metadata,omitempty"`
	RuleSet       *schema.RuleSet     `json:"ruleSet,omitempty"`
	RulesToMerge  *schema.RuleSet     `json:"rulesToMerge,omitempty"`
	RulesToRemove []string            `json:"rulesToRemove,omitempty"`
}
