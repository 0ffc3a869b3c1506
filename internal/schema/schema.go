// Package schema holds the nouns that the Schema Registry, the serializers, the REST proxy and the contracts of topics share:
// what a schema is, what it refers to, which rules it carries, how two of them differ, and how bytes become values by it.
//
// The three formats are the packages below: avro, protobuf and jsonschema; formats is the table of them. All of it is pure:
// texts and bytes come in, nothing is fetched, nothing is kept between calls. Texts and payloads come from strangers: every
// parser bounds the depth and the size of what it builds, and no input makes it panic.
//
// The vocabulary and the JSON names are those of Confluent's Schema Registry API 8.x.
package schema

import "errors"

// Type is the format of a schema, as the API spells it.
type Type string

// The formats. An API answer leaves out the type of an Avro schema.
const (
	Avro     Type = "AVRO"
	Protobuf Type = "PROTOBUF"
	JSON     Type = "JSON"
)

// Reference names another schema that a schema uses: Avro's full name of a type, Protobuf's import path, JSON Schema's URI.
type Reference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// Metadata says what a schema is about. Tags hang on paths of fields; Sensitive names the properties whose values are not shown.
type Metadata struct {
	Tags       map[string][]string `json:"tags,omitempty"`
	Properties map[string]string   `json:"properties,omitempty"`
	Sensitive  []string            `json:"sensitive,omitempty"`
}

// RuleSet is what a schema demands of the records that are written with it.
type RuleSet struct {
	MigrationRules []Rule `json:"migrationRules,omitempty"`
	DomainRules    []Rule `json:"domainRules,omitempty"`
	EncodingRules  []Rule `json:"encodingRules,omitempty"`
	EnableAt       string `json:"enableAt,omitempty"`
}

// Rule is one rule: a condition that has to hold, or a change that is made. Kind is TRANSFORM or CONDITION; Mode one of UPGRADE,
// DOWNGRADE, UPDOWN, WRITE, READ and WRITEREAD; Type names who carries it out: CEL, CEL_FIELD, ENCRYPT and so on.
type Rule struct {
	Name      string            `json:"name"`
	Doc       string            `json:"doc,omitempty"`
	Kind      string            `json:"kind,omitempty"`
	Mode      string            `json:"mode,omitempty"`
	Type      string            `json:"type,omitempty"`
	Tags      []string          `json:"tags,omitempty"`
	Params    map[string]string `json:"params,omitempty"`
	Expr      string            `json:"expr,omitempty"`
	OnSuccess string            `json:"onSuccess,omitempty"`
	OnFailure string            `json:"onFailure,omitempty"`
	Disabled  bool              `json:"disabled,omitempty"`
}

// Source is a schema as somebody wrote it, with the texts of all it refers to.
type Source struct {
	Text       string
	References []Reference
	// Resolved holds the texts of References and of theirs, by the name that the reference gives them.
	Resolved map[string]string
}

// ErrInvalid is wrapped by what Parse returns for a text that is no schema of the format.
var ErrInvalid = errors.New("invalid schema")

// ErrPayload is wrapped by what a Schema returns for bytes or a value that do not obey it.
var ErrPayload = errors.New("payload does not obey its schema")

// Limits of every parser and codec.
const (
	MaxTextBytes = 16 << 20 // of one schema
	MaxDepth     = 200      // of types within types, and of values within values
)

// Schema is a parsed one. It is immutable and safe for concurrent use.
//
// Values are in one plain model, whatever the format: nil, bool, int64, uint64, float64, string, []byte, []any and map[string]any
// with the names of fields as keys; an Avro union is the bare value of its branch, an Avro or Protobuf enum its symbol, a logical
// type the value beneath it.
type Schema interface {
	Type() Type
	// Canonical is the text under which the registry keeps the schema: two texts that differ in nothing but white space have the
	// same. Normalized also puts in order what has no order and writes names in one way.
	Canonical() string
	Normalized() string
	// Decode reads a payload that has no header left. At picks the message of a Protobuf file, by the indexes of the wire format;
	// nil stands for the first, and other formats ignore it.
	Decode(payload []byte, at []int) (any, error)
	Encode(value any, at []int) ([]byte, error)
	// ToJSON and FromJSON convert between a payload and the JSON form that the format defines: Avro's JSON encoding, Protobuf's
	// JSON mapping, JSON itself.
	ToJSON(payload []byte, at []int) ([]byte, error)
	FromJSON(text []byte, at []int) ([]byte, error)
	// Validate says whether the payload can be read by the schema to its last byte; it builds no value where it can do without.
	Validate(payload []byte, at []int) error
	// Walk visits the scalar fields of a value that Decode returned, in the order of the schema, and returns the value with what
	// visit put in the place of each. The value given is not changed.
	Walk(value any, at []int, visit func(Field, any) (any, error)) (any, error)
	// Message finds the indexes of the message with this full name; only Protobuf has any, others return nil, true.
	Message(name string) (at []int, ok bool)
}

// Formatter is a Schema that has further forms, which the API's parameter format asks for by name: "serialized" of Protobuf, the base64 of a
// descriptor. Any name that it does not know stands for the canonical text.
type Formatter interface{ Formatted(name string) string }

// TopLevel is a Schema that names the fields at its top: of a record, of the messages of a file, of an object. Other schemas have none.
type TopLevel interface{ TopLevelFields() []string }

// Field is a place in a schema that Walk visits.
type Field struct {
	FullName string // com.acme.Order.customer.email: the name of the record or message, a dot, the name of the field
	Name     string
	Type     string   // STRING, BYTES, INT, LONG, FLOAT, DOUBLE, BOOLEAN, ENUM or FIXED
	Tags     []string // written in the schema itself (confluent:tags); those of the metadata are added by the caller
	Message  any      // the record, message or object that the field belongs to, as it was before Walk changed anything; read only
}

// Difference is one way in which data written with one schema might not be read with another.
type Difference struct {
	// Type is the format's name of it: READER_FIELD_MISSING_DEFAULT_VALUE, FIELD_SCALAR_KIND_CHANGED, PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL.
	Type string
	// Path leads to the place: /fields/3/type in Avro, #/Order/2 in Protobuf, #/properties/name in JSON Schema.
	Path string
	// Message says what differs, and Advice what its author can do about it.
	Message, Advice string
}

// Policy is how strict a comparison is.
type Policy string

// The policies. Lenient lets more pass, where the format has such rules.
const (
	Strict  Policy = "STRICT"
	Lenient Policy = "LENIENT"
)

// Format is one of the three.
type Format interface {
	Type() Type
	// Parse reads a schema; its error wraps ErrInvalid and says where the text is wrong. Fresh also refuses what a new schema must
	// not have but an old one that is kept already may (a default that does not fit its type, say).
	Parse(s Source, fresh bool) (Schema, error)
	// Compare lists what keeps a reader with one schema from reading what a writer with the other wrote: empty if nothing does.
	// Both are of this format. The order is that of the reader's text.
	Compare(reader, writer Schema, p Policy) []Difference
}
