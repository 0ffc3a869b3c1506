package avro

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

func TestParseRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	many.WriteString(`["null"`)
	for i := range maxNamed + 1 {
		fmt.Fprintf(&many, `,{"type":"fixed","name":"F%d","size":1}`, i)
	}
	many.WriteString("]")
	nested := `"int"`
	for range schema.MaxDepth + 1 {
		nested = `{"type":"array","items":` + nested + `}`
	}
	for name, text := range map[string]string{
		"10 MB":            `{"type":"int","x":"` + strings.Repeat("x", 10<<20) + `"}`,
		"depth 10,000":     strings.Repeat(`{"type":"array","items":`, 10_000) + `"int"` + strings.Repeat("}", 10_000),
		"brackets alone":   strings.Repeat("[", 1<<20),
		"types within":     nested,
		"a million values": `[` + strings.Repeat("1,", 1_000_000) + `1]`,
		"names":            many.String(),
		"no UTF-8":         "{\"type\":\"int\",\"x\":\"\xff\"}",
		"a long number":    `{"type":"int","x":` + strings.Repeat("1", 2000) + `}`,
	} {
		if _, err := Format().Parse(schema.Source{Text: text}, true); !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
	if _, err := Format().Parse(schema.Source{Text: `"int"`, Resolved: map[string]string{"x": `{"type":"int","x":"` + strings.Repeat("x", 10<<20) + `"}`}}, true); !errors.Is(err, schema.ErrInvalid) {
		t.Errorf("a large reference: got %v, want an error", err)
	}
}

// Unions of unions of records with equal fields leave many ways to try a value; the search has to end soon.
func TestSearchingForABranchIsBounded(t *testing.T) {
	t.Parallel()
	text := `{"type":"record","name":"Top","fields":[{"name":"f","type":["null",
		{"type":"record","name":"A","fields":[{"name":"f","type":["null","A",{"type":"record","name":"B","fields":[{"name":"f","type":["null","A","B"]},{"name":"g","type":"int","default":0}]}]}]},"B"]}]}`
	s := mustParse(t, text)
	var value any = map[string]any{"wrong": int64(1)}
	json := `{"wrong":1}`
	for range 60 {
		value = map[string]any{"f": value}
		json = `{"f":` + json + `}`
	}
	if _, err := s.Encode(value, nil); !errors.Is(err, schema.ErrPayload) {
		t.Errorf("encode: got %v, want an error", err)
	}
	if _, err := s.FromJSON([]byte(json), nil); !errors.Is(err, schema.ErrPayload) {
		t.Errorf("JSON: got %v, want an error", err)
	}
	if _, err := s.Walk(value, nil, func(_ schema.Field, v any) (any, error) { return v, nil }); !errors.Is(err, schema.ErrPayload) {
		t.Errorf("walk: got %v, want an error", err)
	}
	withDefault := strings.Replace(text, `"B"]}]}`, `"B"],"default":`+json+`}]}`, 1)
	if _, err := Format().Parse(schema.Source{Text: withDefault}, true); !errors.Is(err, schema.ErrInvalid) {
		t.Errorf("default: got %v, want an error", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{allTypes, walked, `"int"`, `["null",{"type":"A"}]`, `{"type":"record","name":"A","fields":[{"name":"a","type":"A","default":{"a":1}}]}`, `/**/{"type":"fixed","name":"a.b","size":3,"aliases":["c"]}`} {
		f.Add(s, `{"type":"record","name":"com.x.R","fields":[]}`)
	}
	f.Fuzz(func(t *testing.T, text, ref string) {
		source := schema.Source{Text: text, Resolved: map[string]string{"R": ref}}
		s, err := Format().Parse(source, true)
		if err != nil {
			s, err = Format().Parse(source, false)
		}
		if err != nil {
			if !errors.Is(err, schema.ErrInvalid) {
				t.Fatalf("%v does not wrap ErrInvalid", err)
			}
			return
		}
		checkTexts(t, source, s)
		if tagged, err := s.(*Schema).Tagged(nil, s.(*Schema).Tags()); err != nil {
			t.Errorf("its own tags cannot be taken away: %v", err)
		} else if _, err := Format().Parse(schema.Source{Text: tagged, Resolved: source.Resolved}, false); err != nil {
			t.Errorf("without tags it is %s: %v", tagged, err)
		}
		if d := Format().Compare(s, s, schema.Strict); d != nil {
			t.Errorf("does not read itself: %v", d)
		}
	})
}

func FuzzDecode(f *testing.F) {
	s := mustParse(f, allTypes)
	texts := []string{allTypes, `{"type":"array","items":["null","long",{"type":"map","values":"bytes"}]}`, `{"type":"record","name":"L","fields":[{"name":"n","type":["null","L"]},{"name":"z","type":{"type":"array","items":"null"}}]}`}
	payload, err := s.FromJSON([]byte(`{"n":null,"b":true,"i":-7,"l":1,"f":1.5,"d":3,"s":"x","y":"a","e":"B","x":"abc","a":[null,{"long":5}],"m":{"j":2},"u":{"com.x.In":{"v":null}}}`), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(0, payload)
	f.Add(1, []byte("\x04\x02\x04\x04\x02\x02a\x02b\x00\x00"))
	f.Add(2, []byte("\x02\x00\x80\x80\x80\x80\x40"))
	f.Fuzz(func(t *testing.T, which int, payload []byte) {
		s := mustParse(t, texts[uint(which)%uint(len(texts))]) //nolint:gosec // any number does
		v, err := s.Decode(payload, nil)
		if valid := s.Validate(payload, nil); (valid == nil) != (err == nil) {
			t.Fatalf("decode says %v, validate %v", err, valid)
		}
		text, jerr := s.ToJSON(payload, nil)
		if (jerr == nil) != (err == nil) {
			t.Fatalf("decode says %v, JSON %v", err, jerr)
		}
		if err != nil {
			if !errors.Is(err, schema.ErrPayload) {
				t.Fatalf("%v does not wrap ErrPayload", err)
			}
			return
		}
		if _, err := s.Encode(v, nil); err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		if _, err := s.FromJSON(text, nil); err != nil {
			t.Fatalf("what was written as JSON cannot be read: %v\n%s", err, text)
		}
	})
}
