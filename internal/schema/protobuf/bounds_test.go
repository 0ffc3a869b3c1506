package protobuf

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/weir-stream/weir/internal/schema"
)

func TestTextsBeyondTheBoundsAreRefusedBeforeTheyAreParsed(t *testing.T) {
	t.Parallel()
	head := "syntax = \"proto3\";\n"
	chain := map[string]string{}
	for i := range schema.MaxDepth + 10 {
		chain[fmt.Sprintf("f%d.proto", i)] = fmt.Sprintf("%simport \"f%d.proto\";", head, i+1)
	}
	var fields strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&fields, "optional int32 f%d = %d;", i, 20_000+i)
	}
	for name, c := range map[string]struct {
		text     string
		resolved map[string]string
		want     string
	}{
		"too long":                {head + "//" + strings.Repeat("x", schema.MaxTextBytes), nil, "bytes"},
		"too long with imports":   {head + `import "a.proto";`, map[string]string{"a.proto": head + strings.Repeat(" ", schema.MaxTextBytes)}, "bytes"},
		"too many signs":          {head + strings.Repeat(";", schema.MaxTextBytes-100), nil, "words and signs"},
		"too many comments":       {head + strings.Repeat("//\n", maxTokens), nil, "words and signs"},
		"too many with imports":   {head + `import "a.proto";` + strings.Repeat(";", maxTokens/2), map[string]string{"a.proto": strings.Repeat(";", maxTokens/2)}, "words and signs"},
		"messages too deep":       {head + strings.Repeat("message M {", 40) + strings.Repeat("}", 40), nil, "nesting depth"},
		"brackets too deep":       {head + strings.Repeat("message M {", 1<<20), nil, "more than 200 deep"},
		"literal too deep":        {head + "option (x) = " + strings.Repeat("{a:", 1<<20), nil, "more than 200 deep"},
		"list too deep":           {head + "option (x) = {a:" + strings.Repeat("[", 1<<20), nil, "more than 200 deep"},
		"imports too deep":        {head + `import "f0.proto";`, chain, "within each other"},
		"too many optional":       {head + "message M {" + fields.String() + "}", nil, "too many oneofs"},
		"a string without an end": {head + "option java_package = \"" + strings.Repeat("x", 1<<20), nil, ""},
		"a comment without end":   {head + "/*" + strings.Repeat("x", 1<<20), nil, ""},
	} {
		_, err := Format().Parse(schema.Source{Text: c.text, Resolved: c.resolved}, true)
		if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %.200v, want %q in it", name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		everything, old, "", "message A {}", "syntax = \"proto3\"; import \"a.proto\"; message B { A a = 1; }",
		"edition = \"2023\"; message A { string a = 1 [features.field_presence = IMPLICIT, (x.y).z = { a: [1, -2.5e-7, inf] b < c: 'd' \"e\" > [f.g]: {} }]; }",
		"message A { option map_entry = true; repeated BEntry b = 1; message BEntry { option map_entry = true; string key = 1; A value = 2; } }",
		"message A { extensions 4 to max; reserved 1, 2 to 3; reserved \"x\"; oneof o { group G = 5 { } } } extend A { optional A a = 4; }",
		"service S { rpc A(stream X) returns (stream Y) { option deprecated = true; } } message X {} message Y {} enum E { option allow_alias = true; A = 0; B = 0; }",
	} {
		f.Add(text)
		if s, err := Format().Parse(schema.Source{Text: text}, true); err == nil {
			f.Add(s.(*Schema).Serialized())
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		imports := map[string]string{"a.proto": "syntax = \"proto3\"; message A { int32 a = 1; }", "loop.proto": "import \"loop.proto\";"}
		parsed, err := Format().Parse(schema.Source{Text: text, Resolved: imports}, true)
		if err != nil {
			if !errors.Is(err, schema.ErrInvalid) {
				t.Fatalf("got %v", err)
			}
			return
		}
		forms := []string{parsed.Canonical(), parsed.Normalized(), parsed.(*Schema).Serialized()}
		if tagged, err := parsed.(*Schema).Tagged(nil, parsed.(*Schema).Tags()); err == nil { // an option written by a relative name is not found
			if _, err := Format().Parse(schema.Source{Text: tagged, Resolved: imports}, true); err != nil {
				t.Fatalf("%q without tags is\n%s\nwhich cannot be read: %v", text, tagged, err)
			}
		}
		for _, form := range forms {
			again, err := Format().Parse(schema.Source{Text: form, Resolved: imports}, true)
			if err != nil {
				t.Fatalf("%q is printed as\n%s\nwhich cannot be read: %v", text, form, err)
			}
			if again.Normalized() != parsed.Normalized() {
				t.Fatalf("%q is normalized as\n%s\nand its form\n%s\nas\n%s", text, parsed.Normalized(), form, again.Normalized())
			}
			if form == parsed.Canonical() && again.Canonical() != form {
				t.Fatalf("%q: canonical\n%s\nis printed as\n%s", text, form, again.Canonical())
			}
			if ds := Differences(parsed.(*Schema), again.(*Schema)); len(ds) > 0 && form == parsed.Canonical() {
				t.Fatalf("%q: canonical differs: %v", text, ds)
			}
			sameMessages(t, parsed.(*Schema), again.(*Schema))
		}
	})
}

func FuzzScan(f *testing.F) {
	f.Add("a /* b */ \"c\\\"\" { // d\n }", "a: 1 b { c: 'x' \"y\" } [d.e]: [1, -2]")
	f.Fuzz(func(t *testing.T, text, literal string) {
		if n, err := scan(text); err == nil && n > len(text) {
			t.Fatalf("%d tokens in %d bytes", n, len(text))
		}
		if _, err := scan(literal); err == nil {
			_ = readLiteral(literal).String()
		}
		_, _ = fromBase64(text)
	})
}

// What the library reads we read, and what we refuse it refuses, but for the depth.
func FuzzDecode(f *testing.F) {
	schemas := make([]*Schema, 0, 2)
	for _, text := range []string{everything, old} {
		s, err := Format().Parse(schema.Source{Text: text}, true)
		if err != nil {
			f.Fatal(err)
		}
		schemas = append(schemas, s.(*Schema))
	}
	f.Add([]byte{8, 1, 0x72, 2, 'h', 'i'}, false)
	f.Add([]byte{8, 1, 0x23, 0x10, 1, 0x24}, true)
	f.Add([]byte{8, 1, 0x32, 4, 0x0a, 1, 'x', 0x10}, true)
	f.Add(protowire.AppendTag([]byte{0x72}, 26, protowire.BytesType), false)
	f.Add([]byte{0x72, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, false)
	f.Add(bytes.Repeat([]byte{0xd2, 0x01, 0x7e}, 50), false)
	f.Fuzz(func(t *testing.T, payload []byte, older bool) {
		s := schemas[0]
		if older {
			s = schemas[1]
		}
		value, err := s.Decode(payload, nil)
		if valid := s.Validate(payload, nil); (valid == nil) != (err == nil) {
			t.Fatalf("decode says %v, validate %v", err, valid)
		}
		theirs := dynamicpb.NewMessage(s.messages.Get(0))
		theirErr := proto.UnmarshalOptions{Resolver: s.resolver, RecursionLimit: schema.MaxDepth / 2}.Unmarshal(payload, theirs)
		if err != nil {
			if theirErr == nil {
				t.Fatalf("%x: %v, and the library reads %v", payload, err, theirs)
			}
			return
		}
		again, err := s.Encode(value, nil)
		if err != nil {
			t.Fatalf("%x: %v cannot be written: %v", payload, value, err)
		}
		if _, err := s.Walk(value, nil, func(_ schema.Field, v any) (any, error) { return v, nil }); err != nil {
			t.Fatal(err)
		}
		if theirErr != nil {
			return // what is deep, and what is beyond its notion of a group
		}
		ours := dynamicpb.NewMessage(s.messages.Get(0))
		if err := (proto.UnmarshalOptions{Resolver: s.resolver}).Unmarshal(again, ours); err != nil {
			t.Fatalf("%x: the library does not read %x: %v", payload, again, err)
		}
		dropUnknown(theirs)
		a, err := proto.MarshalOptions{Deterministic: true}.Marshal(theirs)
		if err != nil {
			t.Fatal(err)
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(ours)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Fatalf("%s: read as\n%v\nwhere the library reads\n%v", base64.StdEncoding.EncodeToString(payload), ours, theirs)
		}
	})
}

func dropUnknown(m *dynamicpb.Message) { dropCustomOptions(m) }
