package jsonschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	js "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weir-stream/weir/internal/schema"
)

// The schemas and the payloads that TestVerdictsOfTheLibrary takes each with each.
var (
	checkSchemas = []string{
		`true`, `false`, `{}`, `{"type":"integer"}`, `{"type":["number","null"]}`, `{"type":"string","minLength":2,"maxLength":3}`,
		`{"enum":[1,"a",null,{"a":[1.0]}]}`, `{"const":1.0}`, `{"const":[1,"a"]}`, `{"minimum":1,"maximum":2}`, `{"exclusiveMinimum":1,"exclusiveMaximum":2.5}`,
		`{"multipleOf":0.1}`, `{"multipleOf":2}`, `{"pattern":"^a+$"}`, `{"format":"date"}`, `{"format":"ipv4"}`, `{"format":"email"}`, `{"format":"nobody knows it"}`,
		`{"required":["a"]}`, `{"properties":{"a":{"type":"integer"}}}`, `{"properties":{"a":true,"b":false},"additionalProperties":false}`,
		`{"patternProperties":{"^a":{"type":"string"},"b$":{"type":"number"}},"additionalProperties":{"type":"null"}}`, `{"propertyNames":{"maxLength":1}}`,
		`{"minProperties":1,"maxProperties":2}`, `{"dependencies":{"a":["b"],"b":{"minProperties":2}}}`,
		`{"items":{"type":"integer"}}`, `{"items":[{"type":"integer"},{"type":"string"}],"additionalItems":false}`, `{"items":[true],"additionalItems":{"type":"null"}}`,
		`{"minItems":1,"maxItems":2}`, `{"uniqueItems":true}`, `{"contains":{"type":"string"}}`,
		`{"allOf":[{"minimum":1},{"maximum":2}]}`, `{"anyOf":[{"type":"string"},{"minimum":2}]}`, `{"oneOf":[{"type":"number"},{"minimum":2}]}`, `{"not":{"type":"object"}}`,
		`{"if":{"type":"integer"},"then":{"minimum":2},"else":{"type":"object"}}`, `{"if":true,"then":{"type":"string"}}`,
		`{"definitions":{"t":{"properties":{"a":{"$ref":"#/definitions/t"}},"not":{"type":"string"}}},"$ref":"#/definitions/t"}`,
		`{"$ref":"#/definitions/x","definitions":{"x":{"type":"number"}},"minimum":100}`,
		`{"$schema":"http://json-schema.org/draft-04/schema#","minimum":1,"exclusiveMinimum":true}`,
		`{"$schema":"http://json-schema.org/draft-04/schema#","type":"integer"}`,
		`{"$schema":"http://json-schema.org/draft-06/schema#","contains":{"const":1},"propertyNames":{"enum":["a"]}}`,
		`{"$schema":"https://json-schema.org/draft/2019-09/schema","dependentRequired":{"a":["b"]},"dependentSchemas":{"b":{"maxProperties":1}}}`,
		`{"$schema":"https://json-schema.org/draft/2019-09/schema","contains":{"type":"string"},"minContains":2,"maxContains":2}`,
		`{"$schema":"https://json-schema.org/draft/2019-09/schema","properties":{"a":true},"anyOf":[{"properties":{"b":{"type":"string"}},"required":["b"]},true],"unevaluatedProperties":false}`,
		`{"$schema":"https://json-schema.org/draft/2019-09/schema","$ref":"#/$defs/x","$defs":{"x":{"type":"number"}},"minimum":2}`,
		`{"$schema":"https://json-schema.org/draft/2019-09/schema","properties":{"a":{"$recursiveRef":"#"}},"not":{"type":"string"}}`,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","prefixItems":[{"type":"integer"}],"items":{"type":"string"}}`,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","prefixItems":[true],"contains":{"type":"string"},"unevaluatedItems":false}`,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","allOf":[{"prefixItems":[true]}],"unevaluatedItems":{"type":"string"}}`,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","patternProperties":{"^a":true},"if":{"required":["b"]},"then":{"properties":{"b":true}},"unevaluatedProperties":{"type":"null"}}`,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","$dynamicAnchor":"n","properties":{"a":{"$dynamicRef":"#n"}},"not":{"type":"string"}}`,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#x","$defs":{"x":{"$anchor":"x","minContains":0,"contains":{"type":"null"}}}}`,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","format":"date","dependentSchemas":{"a":{"properties":{"c":true}}},"unevaluatedProperties":false}`,
	}
	checkPayloads = []string{
		`null`, `true`, `0`, `1`, `1.0`, `1e0`, `1.5`, `2`, `2.5`, `0.3`, `-7`, `18446744073709551615`, `1e300`, `123456789012345678901234567890`,
		`""`, `"a"`, `"aa"`, `"ä€"`, `"aaaa"`, `"2024-02-29"`, `"2023-02-29"`, `"1.2.3.4"`, `"a@b.co"`,
		`[]`, `[1]`, `[1,"a"]`, `[1,"a",null]`, `["a","b"]`, `["a","a"]`, `[1,1.0]`, `[{"a":1},{"a":1.0}]`, `[[1,2],[2,1]]`, `["x","y","z"]`, `[null]`,
		`{}`, `{"a":1}`, `{"a":"x"}`, `{"b":1}`, `{"a":1,"b":2}`, `{"a":1,"b":"x"}`, `{"a":"x","c":null}`, `{"ab":1}`, `{"ab":"x"}`, `{"zz":null}`, `{"a":{"a":{"a":1}}}`,
		`{"a":{"a":"no"}}`, `{"a":[1.0]}`, `{"a":1,"b":2,"c":3}`, `{"b":null,"c":null}`,
	}
)

// TestVerdictsOfTheLibrary: what runs per record says the same as the validator of the library, which passes the official suite.
func TestVerdictsOfTheLibrary(t *testing.T) {
	t.Parallel()
	valid := 0
	for _, text := range checkSchemas {
		p := mustParse(t, text)
		c := js.NewCompiler()
		c.DefaultDraft(js.Draft7)
		doc, err := js.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("mem:///a.json", doc); err != nil {
			t.Fatal(err)
		}
		library := c.MustCompile("mem:///a.json")
		for _, payload := range checkPayloads {
			v, err := js.UnmarshalJSON(strings.NewReader(payload))
			if err != nil {
				t.Fatal(err)
			}
			want, got := library.Validate(v), p.Validate([]byte(payload), nil)
			if (want == nil) != (got == nil) {
				t.Errorf("%s\n%s\n got %v\nwant %v", text, payload, got, want)
			}
			if got == nil {
				valid++
			} else if !errors.Is(got, schema.ErrPayload) {
				t.Errorf("%s, %s: error %v is no ErrPayload", text, payload, got)
			}
		}
	}
	if all := len(checkSchemas) * len(checkPayloads); valid < all/4 || valid > all*3/4 {
		t.Errorf("%d of %d are valid: the cases do not tell much", valid, all)
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	t.Parallel()
	const order = `{"type":"object","properties":{"id":{"type":"integer"},"lines":{"type":"array","items":{"required":["sku"],"properties":{"sku":{"minLength":3}}}},
		"pay":{"oneOf":[{"type":"string"},{"type":"object","required":["iban"]}]},"a/b":{"enum":["x"]}},"additionalProperties":false}`
	p := mustParse(t, order)
	for payload, want := range map[string]string{
		`{"id":"x"}`:             `#/id: type: got string, want integer`,
		`{"lines":[{}]}`:         `#/lines/0: required: the member "sku" is missing`,
		`{"lines":[{"sku":""}]}`: `#/lines/0/sku: minLength: 0 characters, at least 3 are needed`,
		`{"pay":{}}`:             `#/pay: oneOf: none of the schemas allows the value, the first because type: got object, want string`,
		`{"a/b":1}`:              `#/a~1b: enum: the value is none of those allowed`,
		`{"z":1,"y":2}`:          `#/y: additionalProperties: this member is not allowed`,
		`{"id":1`:                `no JSON: line 1, column 8: unexpected end`,
	} {
		if err := p.Validate([]byte(payload), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", payload, err, want)
		}
	}
}

// TestHostileSchemasEnd: validation ends, whatever schema and payload ask for. Without the limits the first of these take ages.
func TestHostileSchemasEnd(t *testing.T) {
	t.Parallel()
	doubled := map[string]any{"a40": map[string]any{"type": "string"}}
	for i := range 40 {
		ref := map[string]any{"$ref": fmt.Sprintf("#/definitions/a%d", i+1)}
		doubled[fmt.Sprintf("a%d", i)] = map[string]any{"anyOf": []any{ref, ref, map[string]any{"allOf": []any{ref, ref}}}}
	}
	all, err := json.Marshal(map[string]any{"definitions": doubled, "$ref": "#/definitions/a0"})
	if err != nil {
		t.Fatal(err)
	}
	deep := strings.Repeat(`{"a":`, 190) + `1` + strings.Repeat(`}`, 190)
	for name, tt := range map[string]struct{ schema, payload, want string }{
		"doubled references":   {string(all), `1`, "too many steps"},
		"doubled by depth":     {`{"definitions":{"n":{"type":"object","anyOf":[{"properties":{"a":{"$ref":"#/definitions/n"}}},{"properties":{"a":{"$ref":"#/definitions/n"}}}]}},"$ref":"#/definitions/n"}`, deep, "too many steps"},
		"doubled by patterns":  {`{"definitions":{"n":{"not":{"not":{"patternProperties":{"a":{"$ref":"#/definitions/n"},"a|b":{"$ref":"#/definitions/n"}}}}}},"$ref":"#/definitions/n"}`, deep, "too many steps"},
		"itself":               {`{"$ref":"#"}`, `1`, "refers to itself without end"},
		"itself by allOf":      {`{"allOf":[{"$ref":"#"}]}`, `1`, "refers to itself without end"},
		"itself under not":     {`{"not":{"$ref":"#"}}`, `1`, "refers to itself without end"},
		"slow pattern":         {`{"pattern":"^(a+)+$"}`, `"` + strings.Repeat("a", 100_000) + `b"`, "does not match"},
		"large exponent":       {`{"multipleOf":3}`, `1e999999999`, "exponent"},
		"large number":         {`{}`, strings.Repeat("9", 100_000), "more than 400 characters"},
		"deep payload":         {`{}`, strings.Repeat("[", 1_000_000), "nested deeper than 200"},
		"many equal items":     {`{"uniqueItems":true}`, "[" + strings.Repeat(`[1,2,"x"],`, 50_000) + `1]`, "are the same"},
		"many different items": {`{"uniqueItems":true,"maxItems":1}`, "[" + strings.Repeat(`1,`, 50_000) + `1]`, "at most 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := mustParse(t, tt.schema)
			if err := p.Validate([]byte(tt.payload), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			Format().Compare(p, p, schema.Strict)
		})
	}
}

func TestPatternsThatRE2CannotRun(t *testing.T) {
	t.Parallel()
	for pattern, c := range map[string]struct {
		parts     bool // RE2 runs it in parts
		good, bad []string
	}{
		`^(?=.*[0-9])(?=.*[a-z]).{8,}$`:    {true, []string{"abcdefg1", "1234567a"}, []string{"abcdefgh", "12345678", "abc1", ""}},
		`^(?!x).*$`:                        {true, []string{"y", ""}, []string{"x", "xy"}},
		`^(?!.*(\\.\\.|^-|[(]$))[a-z.-]+$`: {true, []string{"a.b-"}, []string{"a..b", "-a", "A"}},
		`^(?=a|b)[a-c]$`:                   {true, []string{"a", "b"}, []string{"c", "aa"}},
		`^(?=a)(b|a)`:                      {true, []string{"ab"}, []string{"ba"}},
		`^(?=a)a|b`:                        {false, []string{"ax", "xb"}, []string{"xa"}},
		`^(?=a)?b`:                         {false, []string{"b", "ab"[1:]}, []string{"x"}},
		`^(a)\\1$`:                         {false, []string{"aa"}, []string{"a", "ab"}},
		`(?<=a)b`:                          {false, []string{"ab"}, []string{"b", "ba"}},
		`(?<!a)b$`:                         {false, []string{"b", "bb"}, []string{"ab"}},
		`^a{1,5000}$`:                      {false, []string{"a", strings.Repeat("a", 5000)}, []string{"", strings.Repeat("a", 5001)}},
		`^[a-z](?!.*--).*[a-z]$`:           {false, []string{"a-b"}, []string{"a--b"}},
		`^(?<y>\\d{4})-\\k<y>$`:            {false, []string{"2026-2026"}, []string{"2026-2025"}},
	} {
		p := mustParse(t, `{"pattern":"`+pattern+`"}`)
		if got := p.root.pattern.parts != nil; got != c.parts {
			t.Errorf("%s: in parts is %v", pattern, got)
		}
		for want, texts := range map[bool][]string{true: c.good, false: c.bad} {
			for _, text := range texts {
				if err := p.Validate([]byte(`"`+text+`"`), nil); (err == nil) != want {
					t.Errorf("%s on %.20s: %v", pattern, text, err)
				}
			}
		}
	}
	p := mustParse(t, `{"patternProperties":{"^(?!x)":{"type":"integer"}},"additionalProperties":false}`)
	for text, want := range map[string]bool{`{"y":1}`: true, `{"y":"no integer"}`: false, `{"x":1}`: false} {
		if err := p.Validate([]byte(text), nil); (err == nil) != want {
			t.Errorf("key pattern on %s: %v", text, err)
		}
	}
	p = mustParse(t, `{"pattern":"^\\u00e4\\cA\\u{1F600}$"}`)
	if err := p.Validate([]byte(`"ä\u0001😀"`), nil); err != nil {
		t.Errorf("escapes of ECMA 262: %v", err)
	}
	if err := p.Validate([]byte(`"a"`), nil); err == nil {
		t.Error("pattern with escapes matched another text")
	}
	if _, err := parse(schema.Source{Text: `{"pattern":"("}`}); err == nil {
		t.Error("a pattern that is none was taken")
	}
}

// A text that would keep the engine busy for years does not match, after a moment; then its pattern rests, and costs nothing.
func TestPatternsThatGoBackAreBounded(t *testing.T) {
	t.Parallel()
	text := `"` + strings.Repeat("a", 60) + `!"`
	for _, pattern := range []string{`^(a+)+\\1b$`, `^(?=b)?(a|aa)+$`, `(x+x+)+\\1y`} {
		p := mustParse(t, `{"pattern":"`+pattern+`"}`)
		for _, payload := range []string{text, strings.ReplaceAll(text, "a", "x")} {
			if err := p.Validate([]byte(payload), nil); err == nil && p.root.pattern.owes.Load() == 0 {
				t.Errorf("%s matches %s", pattern, payload)
			}
		}
	}
	p := &pattern{text: "slow", slow: compileSlow(`^(a+)+\1b$`)}
	now := time.Now()
	if matches, known := p.goBack(strings.Repeat("a", 60), now); matches || !known {
		t.Errorf("a text that takes years: %v, %v", matches, known)
	}
	for _, c := range []struct { // in the order of time: who has rested rests no longer
		after time.Duration
		want  bool
	}{{0, false}, {slowRest - time.Second, false}, {slowRest + time.Second, true}} {
		if matches, known := p.goBack("aab", now.Add(c.after)); matches != c.want || known != c.want {
			t.Errorf("%v later: %v, %v", c.after, matches, known)
		}
	}
	p.owes.Store(math.MaxInt64)
	if matches, known := p.match("aab"); matches || known || !p.MatchString("aab") || p.has("aab") {
		t.Errorf("a pattern that rests knows %v, %v", matches, known)
	}
	// What takes little is run as long as there is time left, and that comes back.
	p.owes.Store(now.Add(slowShare*slowBurst - time.Millisecond).UnixNano())
	if _, known := p.goBack("aab", now); !known {
		t.Error("a pattern with time left rests")
	}
	p.owes.Store(now.Add(slowShare*slowBurst + time.Millisecond).UnixNano())
	if _, known := p.goBack("aab", now); known {
		t.Error("a pattern without time left does not rest")
	}
	p.owes.Store(0)
	if matches, known := p.match(strings.Repeat("a", slowTextBytes+1)); matches || !known {
		t.Errorf("a text that is too long: %v, %v", matches, known)
	}
	for _, text := range []string{strings.Repeat("(", 5000) + "(?<=a)" + strings.Repeat(")", 5000), `(?<=a)` + strings.Repeat("b", slowPattern)} {
		if compileSlow(text) != nil {
			t.Errorf("a pattern of %d bytes is run", len(text))
		}
	}
}

// FuzzPattern: whatever stands in a schema, it compiles or is refused, and a match ends.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{`^(?=.*[0-9]).{8,}$`, `(?<!a)b\\1`, `^(?!a|b)[^]]`, `(a+)+\\1`, `\\u{1F600}\\cA`, `[\\d-z](?=x)`, `^(?=(?!a)b)`, `(?<n>a)\\k<n>`, `a{2,3000}`} {
		f.Add(seed, "aab")
	}
	f.Fuzz(func(_ *testing.T, pattern, text string) {
		if re, err := compilePattern(pattern); err == nil {
			re.MatchString(text)
		}
	})
}
