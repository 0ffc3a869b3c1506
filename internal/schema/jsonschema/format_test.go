package jsonschema

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                             "line 1, column 1: unexpected end",
		`{`:                            "want the name of a member",
		"{\n \"a\":1,}":                "line 2, column 8",
		`{} {}`:                        "something follows the value",
		`1`:                            "is an object, true or false",
		`"x"`:                          "is an object, true or false",
		`{"type":"text"}`:              "#/type",
		`{"type":7}`:                   "#/type",
		`{"minLength":-1}`:             "#/minLength",
		`{"properties":[]}`:            "#/properties",
		`{"required":["a","a"]}`:       "#/required",
		`{"$ref":"#/definitions/x"}`:   "/definitions/x",
		`{"$ref":"other.json"}`:        "other.json is not among the references",
		`{"$ref":"http://a.b/c"}`:      "http://a.b/c is not among the references of the schema: nothing is fetched",
		`{"$ref":"file:///etc/hosts"}`: "file:///etc/hosts is not among the references",
		`{"multipleOf":1e999999999}`:   "exponent",
		`{"multipleOf":0}`:             "#/multipleOf",
		strings.Repeat(`{"not":`, 300) + `true` + strings.Repeat(`}`, 300): "nested deeper than 200",
		`{"allOf":[` + strings.Repeat(`{},`, maxSubschemas) + `{}]}`:       "more than 10000 objects",
		"{\"a\":\"\xff\"}": "not UTF-8",
		"{\"a\":\"\x01\"}": "control character",
		`{"a":01}`:         "want a value",
		`{"a":1.}`:         "want a digit",
		`{"a":nul}`:        "want null",
		`{"a":"\x"}`:       "unknown escape",
		`{"a" 1}`:          "want a colon",
		`[1 2]`:            "want a comma",
	} {
		_, err := Format().Parse(schema.Source{Text: text}, true)
		if err == nil || !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v, want %q", text, err, want)
		}
	}
}

func TestCanonicalAndNormalized(t *testing.T) {
	t.Parallel()
	p := mustParse(t, " {\n\t\"type\" : \"object\", \"properties\": {\"b\":{}, \"a\": {\"enum\": [2, 1.0, -0.50e+1, \"\\u00e4\\/\\u0001\\n\\\"\", null, true]}},\r\n \"title\": \"x\" }")
	if got, want := p.Canonical(), `{"type":"object","properties":{"b":{},"a":{"enum":[2,1.0,-0.50e+1,"ä/\u0001\n\"",null,true]}},"title":"x"}`; got != want {
		t.Errorf("canonical\n got %s\nwant %s", got, want)
	}
	if got, want := p.Normalized(), `{"properties":{"a":{"enum":[2,1.0,-0.50e+1,"ä/\u0001\n\"",null,true]},"b":{}},"title":"x","type":"object"}`; got != want {
		t.Errorf("normalized\n got %s\nwant %s", got, want)
	}
	if again := mustParse(t, p.Canonical()).Canonical(); again != p.Canonical() {
		t.Errorf("canonical is not stable: %s", again)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	address := `{"type":"object","required":["zip"]}`
	for name, src := range map[string]schema.Source{
		"by name":                {Text: `{"properties":{"a":{"$ref":"address.json"}}}`, Resolved: map[string]string{"address.json": address}},
		"by name with fragment":  {Text: `{"properties":{"a":{"$ref":"types.json#/definitions/address"}}}`, Resolved: map[string]string{"types.json": `{"definitions":{"address":` + address + `}}`}},
		"by URI":                 {Text: `{"properties":{"a":{"$ref":"http://acme.com/address.json"}}}`, Resolved: map[string]string{"http://acme.com/address.json": address}},
		"relative to the id":     {Text: `{"$id":"http://acme.com/order.json","properties":{"a":{"$ref":"address.json"}}}`, Resolved: map[string]string{"http://acme.com/address.json": address}},
		"name is the end of URI": {Text: `{"$id":"http://acme.com/order.json","properties":{"a":{"$ref":"address.json"}}}`, Resolved: map[string]string{"address.json": address}},
		"by the id of the text":  {Text: `{"properties":{"a":{"$ref":"http://acme.com/a"}}}`, Resolved: map[string]string{"address": `{"$id":"http://acme.com/a","type":"object","required":["zip"]}`}},
		"name that is no URI":    {Text: `{"properties":{"a":{"$ref":"com.acme.Address"}}}`, Resolved: map[string]string{"com.acme.Address": address}},
		"through another":        {Text: `{"properties":{"a":{"$ref":"party.json#/properties/home"}}}`, Resolved: map[string]string{"party.json": `{"properties":{"home":{"$ref":"address.json"}}}`, "address.json": address}},
		"in a circle":            {Text: `{"properties":{"a":{"$ref":"address.json"},"next":{"$ref":"other.json"}}}`, Resolved: map[string]string{"other.json": `{"properties":{"back":{"$ref":"root.json"}}}`, "address.json": address}},
		"of another draft":       {Text: `{"$schema":"https://json-schema.org/draft/2020-12/schema","properties":{"a":{"$ref":"address.json"}}}`, Resolved: map[string]string{"address.json": `{"$schema":"http://json-schema.org/draft-04/schema#","type":"object","required":["zip"]}`}},
	} {
		p, err := parse(src)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := p.Validate([]byte(`{"a":{"zip":"1"}}`), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := p.Validate([]byte(`{"a":{}}`), nil); err == nil || !strings.Contains(err.Error(), `#/a: required`) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestUnknownDialectIsDraft7(t *testing.T) {
	t.Parallel()
	p := mustParse(t, `{"$schema":"http://acme.com/own","if":{"type":"string"},"then":{"minLength":2}}`)
	if p.Validate([]byte(`"a"`), nil) == nil {
		t.Error("if is not known")
	}
}

func TestCompareAcrossReferences(t *testing.T) {
	t.Parallel()
	at := func(address string) schema.Schema {
		s, err := Format().Parse(schema.Source{Text: `{"properties":{"a":{"$ref":"address.json"}}}`, Resolved: map[string]string{"address.json": address}}, true)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	d := Format().Compare(at(`{"type":"string"}`), at(`{"type":"integer"}`), schema.Strict)
	if len(d) != 1 || d[0].Type != "TYPE_CHANGED" || d[0].Path != "#/properties/a" || d[0].Message == "" || d[0].Advice == "" {
		t.Errorf("differences %+v", d)
	}
}

func TestOpenModelIsExplained(t *testing.T) {
	t.Parallel()
	d := Format().Compare(mustParse(t, `{"properties":{"a":{},"b":{"type":"string"}}}`), mustParse(t, `{"properties":{"a":{}}}`), schema.Strict)
	if len(d) != 1 || !strings.Contains(d[0].Advice, "open content model") || !strings.Contains(d[0].Advice, "LENIENT") {
		t.Errorf("differences %+v", d)
	}
	d = Format().Compare(mustParse(t, `{"oneOf":[{"type":"string"},{"enum":["a"]}]}`), mustParse(t, `{"oneOf":[{"type":"string"},{"enum":["a","b"]}]}`), schema.Strict)
	if len(d) != 1 || !strings.Contains(d[0].Message, "for oneOf/1: ENUM_ARRAY_NARROWED at #/enum") {
		t.Errorf("differences %+v", d)
	}
}

// TestHostileComparisonsEnd: comparing combinations takes each with each, and references make them deep.
func TestHostileComparisonsEnd(t *testing.T) {
	t.Parallel()
	wide := func(typ string) string {
		var b strings.Builder
		for i := range 150 {
			fmt.Fprintf(&b, `{"type":"object","properties":{"p%d":{"type":%q}},"additionalProperties":false},`, i, typ)
		}
		return `{"oneOf":[` + b.String() + `true]}`
	}
	chain := func(typ string) string {
		var b strings.Builder
		for i := range 60 {
			fmt.Fprintf(&b, `"d%d":{"properties":{"a":{"$ref":"#/definitions/d%d"},"b":{"$ref":"#/definitions/d%d"}}},`, i, i+1, i+1)
		}
		return `{"definitions":{` + b.String() + `"d60":{"type":"` + typ + `"}},"$ref":"#/definitions/d0"}`
	}
	for name, make := range map[string]func(string) string{"wide": wide, "doubled": chain} {
		d := Format().Compare(mustParse(t, make("string")), mustParse(t, make("integer")), schema.Strict)
		if len(d) == 0 || len(d) > maxDifferences+1 {
			t.Errorf("%s: %d differences", name, len(d))
		}
	}
}

func TestNumbersKeepTheirKind(t *testing.T) {
	t.Parallel()
	p := mustParse(t, `true`)
	const text = `[0,-1,9223372036854775807,18446744073709551615,1.0,0.1,1e3,-2.5e-7,123456789012345678901234567890]`
	v, err := p.Decode([]byte(text), nil)
	want := []any{int64(0), int64(-1), int64(9223372036854775807), uint64(18446744073709551615), 1.0, 0.1, 1000.0, -2.5e-7, 123456789012345678901234567890.0}
	if err != nil || !reflect.DeepEqual(v, want) {
		t.Fatalf("decoded %#v, %v", v, err)
	}
	b, err := p.Encode(v, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := p.Decode(b, nil); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("encoded %s, which is %#v, %v", b, again, err)
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	p := mustParse(t, `{"type":"object","properties":{"n":{"type":"integer"}}}`)
	b, err := p.Encode(map[string]any{"z": []byte{1, 2}, "n": int64(1), "s": "\u2028<&", "l": []any{nil, true, 2.0}}, nil)
	if want := `{"l":[null,true,2.0],"n":1,"s":"` + "\u2028" + `<&","z":"AQI="}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v; want %s", b, err, want)
	}
	for _, v := range []any{map[string]any{"n": "x"}, "x", map[string]any{"x": struct{}{}}, map[string]any{"x": "\xff"}} {
		if _, err := p.Encode(v, nil); !errors.Is(err, schema.ErrPayload) {
			t.Errorf("%v: error %v", v, err)
		}
	}
	if _, err := p.FromJSON([]byte(`{"n":"x"}`), nil); !errors.Is(err, schema.ErrPayload) {
		t.Errorf("FromJSON: error %v", err)
	}
	if text, err := p.ToJSON([]byte(` {"n":"x"} `), nil); err != nil || string(text) != ` {"n":"x"} ` {
		t.Errorf("ToJSON: %s, %v", text, err)
	}
	if at, ok := p.Message("x"); at != nil || !ok {
		t.Errorf("Message: %v, %v", at, ok)
	}
}
