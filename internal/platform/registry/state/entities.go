package state

import (
	"crypto/md5" //nolint:gosec // Confluent's GUIDs are MD5 sums; nothing rests on them
	"encoding/binary"
	"encoding/hex"
	"hash"
	"maps"
	"slices"

	"github.com/weir-stream/weir/internal/schema"
)

// Content is what a schema says, whoever uses it. Equal ones are kept once.
type Content struct {
	Type       schema.Type
	Text       Text
	References []schema.Reference
	Metadata   *schema.Metadata
	RuleSet    *schema.RuleSet
}

// Version is one version of a subject.
type Version struct {
	Subject string
	Version int
	ID      int
	*Content
	GUID    GUID
	Deleted bool
	// Time is when it was written last, in milliseconds.
	Time int64
	// told: the GUID comes from the record, as where the metadata is encrypted.
	told bool
}

// GUID names a content: the MD5 sum of its parts.
type GUID [16]byte

// String writes it as a UUID.
func (g GUID) String() string {
	var b [36]byte
	hex.Encode(b[:], g[:4])
	for i, at := range []int{9, 14, 19} {
		hex.Encode(b[at:], g[4+2*i:6+2*i])
		b[at-1] = '-'
	}
	b[23] = '-'
	hex.Encode(b[24:], g[10:])
	return string(b[:])
}

// ParseGUID reads a UUID, or 32 hexadecimal digits.
func ParseGUID(s string) (g GUID, ok bool) {
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		s = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	if len(s) != 32 {
		return g, false
	}
	_, err := hex.Decode(g[:], []byte(s))
	return g, err == nil
}

// GUIDOf is the name of a content. The format does not count, as with Confluent.
func GUIDOf(c *Content) GUID {
	h := md5.New() //nolint:gosec // see the import
	write(h, c.Text.String())
	for _, r := range c.References {
		write(h, r.Name, r.Subject)
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(r.Version))
		h.Write(n[:])
	}
	if m := c.Metadata; m != nil {
		h.Write([]byte{1}) // empty metadata is not none
		for _, k := range slices.Sorted(maps.Keys(m.Tags)) {
			write(h, k)
			write(h, slices.Sorted(slices.Values(m.Tags[k]))...)
		}
		for _, k := range slices.Sorted(maps.Keys(m.Properties)) {
			write(h, k, m.Properties[k])
		}
		write(h, slices.Sorted(slices.Values(m.Sensitive))...)
	}
	if s := c.RuleSet; s != nil {
		h.Write([]byte{1})
		for _, rules := range [][]schema.Rule{s.MigrationRules, s.DomainRules, s.EncodingRules} {
			for i := range rules {
				writeRule(h, &rules[i])
			}
		}
		write(h, s.EnableAt)
	}
	return GUID(h.Sum(nil))
}

func writeRule(h hash.Hash, r *schema.Rule) {
	write(h, r.Name, r.Doc, r.Kind, r.Mode, r.Type)
	write(h, slices.Sorted(slices.Values(r.Tags))...)
	for _, k := range slices.Sorted(maps.Keys(r.Params)) {
		write(h, k, r.Params[k])
	}
	write(h, r.Expr, r.OnSuccess, r.OnFailure)
	if r.Disabled {
		h.Write([]byte{1})
	}
}

func write(h hash.Hash, parts ...string) {
	for _, p := range parts {
		h.Write([]byte(p)) // a hash takes everything
	}
}

// Config is what can be set for a subject, a context or everything. A nil or empty field is not set.
type Config struct {
	Alias              string           `json:"alias,omitempty"`
	AliasForDeks       string           `json:"aliasForDeks,omitempty"`
	Normalize          *bool            `json:"normalize,omitempty"`
	ValidateFields     *bool            `json:"validateFields,omitempty"`
	ValidateNewSchemas *bool            `json:"validateNewSchemas,omitempty"`
	ValidateRules      *bool            `json:"validateRules,omitempty"`
	Level              Level            `json:"compatibilityLevel,omitempty"`
	Policy             schema.Policy    `json:"compatibilityPolicy,omitempty"`
	Group              string           `json:"compatibilityGroup,omitempty"`
	DefaultMetadata    *schema.Metadata `json:"defaultMetadata,omitempty"`
	OverrideMetadata   *schema.Metadata `json:"overrideMetadata,omitempty"`
	DefaultRuleSet     *schema.RuleSet  `json:"defaultRuleSet,omitempty"`
	OverrideRuleSet    *schema.RuleSet  `json:"overrideRuleSet,omitempty"`
}

// Level is which earlier versions a new one has to be compatible with, and in which direction.
type Level string

// Levels are all of them, the default one first.
func Levels() []Level {
	return []Level{"BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE", "NONE"}
}

// DefaultLevel is in force where nothing is set.
const DefaultLevel Level = "BACKWARD"

// Mode is what may be done to subjects.
type Mode string

// The modes.
const (
	ReadWrite        Mode = "READWRITE"
	ReadOnly         Mode = "READONLY"
	ReadOnlyOverride Mode = "READONLY_OVERRIDE"
	Import           Mode = "IMPORT"
	Forward          Mode = "FORWARD"
)

// Modes are all of them.
func Modes() []Mode { return []Mode{ReadWrite, ReadOnly, ReadOnlyOverride, Import, Forward} }

// Imports tells whether ids come from outside and nothing is checked.
func (m Mode) Imports() bool { return m == Import || m == Forward }

// ReadsOnly tells whether nothing may be changed.
func (m Mode) ReadsOnly() bool { return m == ReadOnly || m == ReadOnlyOverride }

// Association binds a subject to a resource: the values of a topic, say.
type Association struct {
	Subject           string `json:"subject"`
	GUID              string `json:"guid"`
	ResourceName      string `json:"resourceName,omitempty"`
	ResourceNamespace string `json:"resourceNamespace,omitempty"`
	ResourceID        string `json:"resourceId,omitempty"`
	ResourceType      string `json:"resourceType,omitempty"`
	AssociationType   string `json:"associationType,omitempty"`
	Lifecycle         string `json:"lifecycle,omitempty"`
	Frozen            bool   `json:"frozen"`
	// Time is when it was written last, in milliseconds.
	Time int64 `json:"-"`
}
