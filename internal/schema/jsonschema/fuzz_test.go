package jsonschema

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

// FuzzParse: no pair of texts and no payload make the process fall; a schema is compatible with itself, and its canonical text
// says the same as the text.
func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("testdata/compat.txt")
	if err != nil {
		f.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	for i := 1; i+1 < len(lines); i++ {
		if strings.HasPrefix(lines[i], "{") && strings.HasPrefix(lines[i+1], "{") {
			f.Add(lines[i], lines[i+1], `{"a":[1,"x",null]}`)
		}
	}
	for _, s := range checkSchemas {
		f.Add(s, `{"$ref":"a.json"}`, `{"a":1,"b":["x"]}`)
	}
	f.Fuzz(func(t *testing.T, a, b, payload string) {
		p, err := parse(schema.Source{Text: a, Resolved: map[string]string{"a.json": b}})
		if err != nil {
			return
		}
		if again, err := parse(schema.Source{Text: p.Canonical(), Resolved: map[string]string{"a.json": b}}); err != nil || again.Canonical() != p.Canonical() || again.Normalized() != p.Normalized() {
			t.Errorf("canonical text of %s is another schema: %v", a, err)
		}
		if tagged, err := p.Tagged(nil, p.Tags()); err != nil {
			t.Errorf("the tags of %s cannot be taken away: %v", a, err)
		} else if _, err := parse(schema.Source{Text: tagged, Resolved: map[string]string{"a.json": b}}); err != nil {
			t.Errorf("without tags it is %s: %v", tagged, err)
		}
		if d := Format().Compare(p, p, schema.Strict); len(d) > 0 && d[0].Type != tooLarge {
			t.Errorf("%s is not compatible with itself: %+v", a, d)
		}
		q, err := parse(schema.Source{Text: b})
		if err == nil {
			strict, lenient := Format().Compare(q, p, schema.Strict), Format().Compare(q, p, schema.Lenient)
			if len(strict) == 0 && len(lenient) > 0 {
				t.Errorf("%s to %s passes strictly and not leniently: %+v", a, b, lenient)
			}
		}
		_ = p.Validate([]byte(payload), nil) // must end, with whatever verdict
		if v, err := p.Decode([]byte(payload), nil); err == nil {
			out, err := p.Walk(v, nil, func(_ schema.Field, v any) (any, error) { return v, nil })
			if err == nil && !reflect.DeepEqual(out, v) {
				t.Errorf("a walk changed %s", payload)
			}
		}
	})
}

// FuzzPayload: the scanner takes what the standard library takes, but for bounds and invalid UTF-8, and what it reads can be
// written and read again.
func FuzzPayload(f *testing.F) {
	for _, s := range checkPayloads {
		f.Add([]byte(s))
	}
	for _, s := range []string{`"\ud83d\ude00\ud83d"`, `{"a":1,"a":2}`, ` [ ] `, `-0`, `1E+5`, `"\u00"`, "\"\x7f\"", `{"":{"":[[]]}}`, `truefalse`, `[1,]`, `{"a"}`} {
		f.Add([]byte(s))
	}
	p := mustParse(f, `true`)
	f.Fuzz(func(t *testing.T, payload []byte) {
		v, err := p.Decode(payload, nil)
		if err != nil {
			return
		}
		if !json.Valid(payload) {
			t.Fatalf("took %q, which is no JSON", payload)
		}
		b, err := p.Encode(v, nil)
		if err != nil {
			t.Fatalf("cannot write what was read from %q: %v", payload, err)
		}
		if again, err := p.Decode(b, nil); err != nil || !reflect.DeepEqual(v, again) {
			t.Errorf("%q was written as %q, which is another value: %v", payload, b, err)
		}
	})
}
