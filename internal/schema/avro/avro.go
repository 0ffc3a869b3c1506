// Package avro is Avro as the Schema Registry, the serializers and the contracts need it: schemas with all that was written in them,
// compared by what would go wrong, and payloads turned into plain values, into Avro's JSON, and back.
//
// The parser is its own. Confluent's registry compares schemas by the text that Avro's Java library writes, which keeps attributes
// that Avro does not define, docs and aliases and has an order of its own; and a registry has to name each difference of two
// schemas with its place. Libraries give neither (docs/design/0025). The codecs follow the same graph of types, which makes them short.
//
// A schema is read in one pass: names may be used before they are defined, in the text or in one that it refers to. What Java
// accepts is accepted, comments included. Nothing is kept between calls but the parsed schema, which is not changed any more.
//
// What comes from strangers is bounded: texts by size, number of values, types with a name and depth; payloads by depth, and by
// the values that so many bytes can stand for; defaults by what they grow to; and searching for the branch of a union by steps.
package avro

import (
	"errors"
	"fmt"
	"sync"

	"github.com/weir-stream/weir/internal/schema"
)

// Format is Avro.
func Format() schema.Format { return format{} }

type format struct{}

func (format) Type() schema.Type { return schema.Avro }

// Parse reads a schema, with the types that it refers to taken from s.Resolved: from whichever text defines them, whatever the name
// of the reference. Fresh refuses names that have other characters than letters, digits and underscores, and defaults that do
// not fit their type.
func (format) Parse(s schema.Source, fresh bool) (schema.Schema, error) {
	t, err := parse(s, fresh)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", schema.ErrInvalid, err)
	}
	return &Schema{root: t, canonical: write(t, false, false), normalized: sync.OnceValue(func() string { return write(t, true, false) })}, nil
}

// Compare lists what keeps reader from reading what writer wrote, by the rules of Avro's schema resolution: at most 100
// differences. Logical types do not matter. Avro has no rules that a policy could soften.
func (format) Compare(reader, writer schema.Schema, _ schema.Policy) []schema.Difference {
	r, ok := reader.(*Schema)
	w, also := writer.(*Schema)
	if !ok || !also {
		return []schema.Difference{{Type: TypeMismatch, Path: "/", Message: "the schemas are of different formats", Advice: "register the new format under another subject"}}
	}
	return compare(r.root, w.root)
}

// Schema is a parsed Avro schema.
type Schema struct {
	root       *typ
	canonical  string
	normalized func() string
}

// Type is schema.Avro.
func (s *Schema) Type() schema.Type { return schema.Avro }

// Canonical is the text that Avro's Java library writes: no white space, attributes in its order, doc, aliases, defaults and attributes
// unknown to Avro kept. Types of other schemas are named.
func (s *Schema) Canonical() string { return s.canonical }

// Normalized is the canonical text with unknown attributes and aliases in order, and defaults in the form of their type.
func (s *Schema) Normalized() string { return s.normalized() }

// Formatted gives the schema in a form that the API knows by name: resolved is the canonical text with the types of other schemas
// spelled out, so that it stands alone. Any other is the canonical text.
func (s *Schema) Formatted(name string) string {
	if name == "resolved" {
		return write(s.root, false, true)
	}
	return s.canonical
}

// Name is the full name of the type at the top, "" if it has none.
func (s *Schema) Name() string {
	if !s.root.kind.named() {
		return ""
	}
	return s.root.name.String()
}

// Message is for Protobuf: an Avro schema has one type at its top.
func (s *Schema) Message(string) ([]int, bool) { return nil, true }

func broken(err error) error { return fmt.Errorf("%w: %w", schema.ErrPayload, err) }

// Decode reads a payload, all of it. Values share no memory with it.
func (s *Schema) Decode(payload []byte, _ []int) (any, error) {
	r := newReader(payload)
	v, err := r.decode(s.root)
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, broken(err)
	}
	return v, nil
}

// Validate reads a payload, all of it, and builds nothing.
func (s *Schema) Validate(payload []byte, _ []int) error {
	r := newReader(payload)
	err := r.skip(s.root)
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return broken(err)
	}
	return nil
}

// Encode writes a value of the plain model. Fields that are missing are filled by their defaults; a member that is no field is an
// error. In a union the value goes to the first branch that takes it, whole numbers rather to int or long.
func (s *Schema) Encode(value any, _ []int) ([]byte, error) {
	e := &encoder{left: freeSteps + stepsPerValue*sizeOf(value, 0)}
	if err := e.encode(s.root, value); err != nil {
		return nil, broken(err)
	}
	return nonNil(e.out), nil
}

// ToJSON turns a payload into Avro's JSON encoding.
func (s *Schema) ToJSON(payload []byte, _ []int) ([]byte, error) {
	r := newReader(payload)
	out, err := r.appendJSON(make([]byte, 0, 2*len(payload)), s.root)
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, broken(err)
	}
	return out, nil
}

// FromJSON turns Avro's JSON encoding into a payload. Beyond the encoding it takes fields in any order, fills those that are missing
// by their defaults, and takes the value of a union without the name of its branch; a member that is no field is an error.
func (s *Schema) FromJSON(text []byte, _ []int) ([]byte, error) {
	left := maxJSONValues
	n, err := parseJSON(text, maxJSONDepth, &left)
	if err != nil {
		return nil, broken(fmt.Errorf("no JSON: %w", err))
	}
	e := &encoder{left: freeSteps + stepsPerValue*(maxJSONValues-left)}
	if err := e.json(s.root, n, asEncoding); err != nil {
		return nil, broken(err)
	}
	return nonNil(e.out), nil
}

// nonNil makes the empty payload of a null one that is there: nil would be a tombstone.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

var errWalk = errors.New("the value is not of this schema")

// TopLevelFields implements schema.TopLevel.
func (s *Schema) TopLevelFields() []string {
	var out []string
	if s.root.kind == kRecord {
		for _, f := range s.root.fields {
			out = append(out, f.name)
		}
	}
	return out
}
