package state

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/s2"
)

// Text is the text of a schema. A registry holds many and shows few, so a State keeps them packed; String unpacks one in about a
// microsecond for each kilobyte. The zero Text is empty. Texts are compared by Equal.
type Text struct {
	plain  string
	packed []byte // if it is not nil, plain is empty; it also keeps == away, by which equal texts may differ
}

// TextOf is a text as it stands.
func TextOf(s string) Text { return Text{plain: s} }

// String is the text.
func (t Text) String() string {
	if t.packed == nil {
		return t.plain
	}
	out, err := dictionary.Decode(nil, t.packed)
	if err != nil {
		panic(fmt.Sprintf("registry state: a text that was packed here cannot be unpacked: %v", err))
	}
	return string(out)
}

// Equal tells whether two texts are the same.
func (t Text) Equal(u Text) bool {
	return t.packed != nil && bytes.Equal(t.packed, u.packed) || t.String() == u.String()
}

// packMin is from how many bytes on texts are packed.
const packMin = 64

// pack is the text in the form in which it is kept.
func (t Text) pack() Text {
	if t.packed != nil || len(t.plain) < packMin {
		return t
	}
	out := dictionary.Encode(nil, []byte(t.plain)) // the better ways clear half a megabyte for each text
	if len(out) >= len(t.plain)-len(t.plain)/8 {
		return t
	}
	return Text{packed: bytes.Clone(out)}
}

// dictionary holds what schemas have in common, so that short ones become shorter, too. It lives as long as the process: what is packed
// by it is never written anywhere.
var dictionary = s2.MakeDict([]byte(`message enum package import option java_package syntax = "proto3"; optional repeated string int32 int64 bool bytes double = 1;`+
	`{"$schema":"http://json-schema.org/draft-07/schema#","title":"","description":"","type":"object","additionalProperties":false,"properties":{"id":{"type":"string"},"":{"type":"integer"},"":{"oneOf":[{"type":"null"},{"type":"number"}]},`+
	`"":{"type":"array","items":{"type":"boolean"}}},"required":["format":"date-time","minimum":0,"maxLength":"enum":["pattern":"^","$ref":"#/definitions/`+
	`{"type":"record","name":"Envelope","namespace":"com.example.","doc":"","fields":[{"name":"id","type":"long"},{"name":"","type":{"type":"enum","name":"","symbols":["`+
	`{"name":"created_at","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},`+
	`{"name":"","type":{"type":"array","items":"string"}},{"name":"","type":{"type":"map","values":"string"}},{"name":"","type":["null","int"],"default":null},`+
	`{"name":"","type":["null","string"],"default":null},{"name":"","type":"string"},{"name":"","type":"int"},{"name":"","type":"boolean"},{"name":"","type":"double","connect.name":"`), nil)
