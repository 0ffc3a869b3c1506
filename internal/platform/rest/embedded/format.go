package embedded

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/weir-stream/weir/internal/schema"
)

// Format is how a key or value is written in JSON.
type Format string

// The formats, as v3 of the API spells them; v2 writes them in lower case. Auto is for reading alone: what the bytes look like.
const (
	Binary     Format = "BINARY"
	JSON       Format = "JSON"
	String     Format = "STRING"
	Avro       Format = "AVRO"
	JSONSchema Format = "JSONSCHEMA"
	Protobuf   Format = "PROTOBUF"
	Auto       Format = "AUTO"
)

// ParseFormat reads the name of a format, in any case. Auto is not among them.
func ParseFormat(name string) (Format, bool) {
	switch f := Format(strings.ToUpper(name)); f {
	case Binary, JSON, String, Avro, JSONSchema, Protobuf:
		return f, true
	}
	return "", false
}

// NeedsSchema tells whether data of this format is written by a schema.
func (f Format) NeedsSchema() bool { return f == Avro || f == JSONSchema || f == Protobuf }

// Type returns the format of the schemas of f, empty if it has none.
func (f Format) Type() schema.Type {
	switch f {
	case Avro:
		return schema.Avro
	case JSONSchema:
		return schema.JSON
	case Protobuf:
		return schema.Protobuf
	}
	return ""
}

// formatOf returns the format for schemas of a type.
func formatOf(t schema.Type) Format {
	switch t {
	case schema.JSON:
		return JSONSchema
	case schema.Protobuf:
		return Protobuf
	}
	return Avro
}

// isNull says whether the data of a field was left out, or null.
func isNull(data json.RawMessage) bool {
	return len(data) == 0 || string(bytes.TrimSpace(data)) == "null"
}

// encodePlain makes the bytes of data in a format without a schema; nil for null.
func encodePlain(f Format, data json.RawMessage) ([]byte, error) {
	if isNull(data) {
		return nil, nil
	}
	switch f {
	case JSON:
		var b bytes.Buffer
		b.Grow(len(data))
		if err := json.Compact(&b, data); err != nil {
			return nil, &Error{Kind: Payload, Message: fmt.Sprintf("the data is not JSON: %v", err)}
		}
		return b.Bytes(), nil
	case String:
		s, ok := text(data)
		if !ok {
			return nil, &Error{Kind: Payload, Message: "data=" + excerpt(data) + " is not a string."}
		}
		return []byte(s), nil
	}
	s, ok := text(data)
	if !ok {
		return nil, &Error{Kind: Payload, Message: "data=" + excerpt(data) + " is not a base64 string."}
	}
	b, err := base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(s))), []byte(s))
	if err != nil {
		return nil, &Error{Kind: Payload, Message: "data=" + excerpt(data) + " is not a base64 string."}
	}
	return b, nil
}

// text reads a JSON string. Most have no escapes and are taken as they are.
func text(data json.RawMessage) (string, bool) {
	data = bytes.TrimSpace(data)
	if len(data) < 2 || data[0] != '"' || data[len(data)-1] != '"' {
		return "", false
	}
	inner := data[1 : len(data)-1]
	if bytes.IndexByte(inner, '\\') < 0 && bytes.IndexByte(inner, '"') < 0 {
		return string(inner), true
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return "", false
	}
	return s, true
}

// excerptBytes bounds what of wrong data is shown in an error.
const excerptBytes = 100

func excerpt(data []byte) string {
	if len(data) > excerptBytes {
		return strings.ToValidUTF8(string(data[:excerptBytes]), "") + "…"
	}
	return strings.ToValidUTF8(string(data), "\uFFFD")
}

var null = json.RawMessage("null")

// decodePlain shows bytes in a format without a schema; absent bytes are null.
func decodePlain(f Format, b []byte) (json.RawMessage, error) {
	if b == nil {
		return null, nil
	}
	switch f {
	case JSON:
		if !json.Valid(b) {
			return nil, &Error{Kind: Unreadable, Message: "the bytes are not JSON"}
		}
		var out bytes.Buffer
		if err := json.Compact(&out, b); err != nil { // so that a line of a stream is one line
			return nil, &Error{Kind: Unreadable, Message: "the bytes are not JSON"}
		}
		return out.Bytes(), nil
	case String:
		return quote(strings.ToValidUTF8(string(b), "\uFFFD")), nil
	}
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(b))+2)
	out = append(out, '"')
	out = base64.StdEncoding.AppendEncode(out, b)
	return append(out, '"'), nil
}

// Guess shows bytes as what they look like: JSON, else text, else base64; and says which it was.
func Guess(b []byte) (json.RawMessage, Format) {
	if b == nil {
		return null, JSON
	}
	if out, err := decodePlain(JSON, b); err == nil {
		return out, JSON
	}
	if utf8.Valid(b) && !bytes.ContainsFunc(b, isControl) {
		return quote(string(b)), String
	}
	out, _ := decodePlain(Binary, b) //nolint:errcheck // base64 of anything works
	return out, Binary
}

// isControl says whether a character does not occur in texts.
func isControl(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f }

// quote writes a JSON string; characters of HTML stay as they are.
func quote(s string) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always can be encoded
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
