// Package protobuf is the Protobuf format of the Schema Registry: it reads .proto files of proto2, proto3 and edition 2023, writes
// them in one canonical form, compares them, and converts messages.
//
//	text or base64 ──read──► descriptor as written ──print──► Canonical
//	                               │ link (imports from Source.Resolved, or built in)
//	                               ▼
//	                         linked descriptor ──print──► Normalized, Serialized
//	                               │
//	                               └──► codec, JSON mapping, Walk, Compare
//
// A schema may be given as the base64 of a serialized FileDescriptorProto, as some clients do; it is printed and then read like any
// other text, so that there is one way in. Imports are found in Source.Resolved by their path; Google's well-known files, those of
// google/type and those of confluent/ need not be referred to.
//
// The parser and linker are protocompile's, the JSON mapping is protojson's. The printer and the wire codec are our own: the first
// because a registry has to keep one form of a text for ever, the second because it builds plain values within a budget and checks a
// payload without building any.
//
// What comes in is bounded before it is parsed: the text with all it imports by schema.MaxTextBytes, the nesting of its brackets by
// schema.MaxDepth, its tokens by maxTokens; payloads by their depth and by the number of values that they unfold into. Nothing here
// keeps state between calls; a Schema is immutable but for what it computes once.
package protobuf

import (
	"fmt"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

// Format returns the format. It has no state: two of them are the same.
func Format() schema.Format { return format{} }

type format struct{}

func (format) Type() schema.Type { return schema.Protobuf }

// Parse reads a text, or the base64 of a FileDescriptorProto. There is nothing that an old schema may have and a fresh one may not:
// a text that does not link cannot be used at all.
func (format) Parse(s schema.Source, _ bool) (parsed schema.Schema, err error) {
	defer func() {
		// The parser is somebody else's, and texts come from strangers: a hole in it must not cost the process.
		if r := recover(); r != nil {
			parsed, err = nil, fmt.Errorf("%w: the parser gave up: %v", schema.ErrInvalid, r)
		}
	}()
	p, err := parse(s)
	if err != nil {
		// Where the text itself is wrong, line and column say enough.
		return nil, fmt.Errorf("%w: %s", schema.ErrInvalid, strings.TrimSpace(strings.TrimPrefix(err.Error(), mainPath+":")))
	}
	return p, nil
}

// Compare lists the incompatible differences. Policies make no difference here: Confluent's rules for Protobuf know but one.
func (format) Compare(reader, writer schema.Schema, _ schema.Policy) []schema.Difference {
	var bad []schema.Difference
	for _, d := range Differences(reader.(*Schema), writer.(*Schema)) {
		if !Compatible(d.Type) {
			bad = append(bad, d)
		}
	}
	return bad
}
