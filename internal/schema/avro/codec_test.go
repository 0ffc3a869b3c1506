package avro

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/avro"

	"github.com/weir-stream/weir/internal/schema"
)

const allTypes = `{"type":"record","name":"com.x.All","fields":[
	{"name":"n","type":"null"},{"name":"b","type":"boolean"},{"name":"i","type":"int"},{"name":"l","type":"long"},
	{"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"s","type":"string"},{"name":"y","type":"bytes"},
	{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},{"name":"x","type":{"type":"fixed","name":"X","size":3}},
	{"name":"a","type":{"type":"array","items":["null","long","com.x.E"]}},{"name":"m","type":{"type":"map","values":"int"}},
	{"name":"u","type":["null","string",{"type":"record","name":"In","fields":[{"name":"v","type":["null","In"],"default":null}]},{"type":"map","values":"long"}]}]}`

func TestValuesGoThereAndBack(t *testing.T) {
	t.Parallel()
	s := mustParse(t, allTypes)
	value := map[string]any{
		"n": nil, "b": true, "i": int64(-7), "l": int64(1 << 40), "f": 1.5, "d": math.Pi, "s": "größe", "y": []byte{0, 0xff, 'a'},
		"e": "B", "x": []byte{1, 2, 3}, "a": []any{nil, int64(5), "A"}, "m": map[string]any{"k": int64(1), "j": int64(2)},
		"u": map[string]any{"v": map[string]any{"v": nil}},
	}
	payload, err := s.Encode(value, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(payload, nil); err != nil {
		t.Error(err)
	}
	got, err := s.Decode(payload, nil)
	if err != nil || !reflect.DeepEqual(got, value) {
		t.Errorf("got %v %v, want %v", got, err, value)
	}
	text, err := s.ToJSON(payload, nil)
	want := `{"n":null,"b":true,"i":-7,"l":1099511627776,"f":1.5,"d":3.141592653589793,"s":"größe","y":"\u0000ÿa","e":"B","x":"\u0001\u0002\u0003",` +
		`"a":[null,{"long":5},{"com.x.E":"A"}],"m":{"j":2,"k":1},"u":{"com.x.In":{"v":{"com.x.In":{"v":null}}}}}`
	if err != nil || string(text) != want {
		t.Errorf("got  %s %v\nwant %s", text, err, want)
	}
	if again, err := s.FromJSON(text, nil); err != nil || !bytes.Equal(again, payload) {
		t.Errorf("from JSON: got %x %v, want %x", again, err, payload)
	}
	for n := range payload {
		if _, err := s.Decode(payload[:n], nil); !errors.Is(err, schema.ErrPayload) {
			t.Fatalf("the first %d of %d bytes: got %v, want an error", n, len(payload), err)
		}
		if err := s.Validate(payload[:n], nil); !errors.Is(err, schema.ErrPayload) {
			t.Fatalf("the first %d of %d bytes are valid: %v", n, len(payload), err)
		}
	}
}

func TestFromJSON(t *testing.T) {
	t.Parallel()
	record := `{"type":"record","name":"A","fields":[{"name":"a","type":["null","string"],"default":null},{"name":"b","type":"int","default":3}]}`
	for _, c := range []struct{ schema, json, want string }{
		{`"int"`, `5`, "0a"},
		{`"int"`, `5.0`, "0a"},
		{`"int"`, `5e0`, "0a"},
		{`"int"`, `5.5`, "5.5 is no int"},
		{`"int"`, `2147483648`, "2147483648 is no int"},
		{`"int"`, `2147483648.0`, "is no int"},
		{`"int"`, `-2147483648.0`, "ffffffff0f"},
		{`"long"`, `9223372036854775807`, "feffffffffffffffff01"},
		{`"long"`, `9223372036854775808`, "is no long"},
		{`"long"`, `"5"`, "want long, got a string"},
		{`"double"`, `"NaN"`, "010000000000f87f"},
		{`"double"`, `"nan"`, "want double, got a string"},
		{`"float"`, `1`, "0000803f"},
		{`"bytes"`, `"\u00ff\u0000"`, "04ff00"},
		{`"bytes"`, `"\u0100"`, "stands for no byte"},
		{`{"type":"fixed","name":"F","size":2}`, `"abc"`, "F has 2 bytes, got 3"},
		{`{"type":"enum","name":"E","symbols":["A"]}`, `"B"`, `"B" is no symbol of enum E`},
		{`["null","string"]`, `{"string":"x"}`, "020278"},
		{`["null","string"]`, `"x"`, "020278"},
		{`["null","string"]`, `null`, "00"},
		{`["null","string"]`, `{"string":5}`, "as string: want string, got a number"},
		{`["null","string"]`, `5`, "as string: want string, got a number"},
		{`["null","string","long"]`, `true`, "no branch of [null string long] takes true"},
		{`["null",{"type":"map","values":"string"}]`, `{"map":{"a":"b"}}`, "020202610262" + "00"},
		{`["null",{"type":"map","values":"string"}]`, `{"a":"b"}`, "020202610262" + "00"},
		{`["null","com.x.A"]`, ``, ""},
		{record, `{}`, "0006"},
		{record, `{"b":1,"a":"x"}`, "02027802"},
		{record, `{"a":{"string":"x"},"c":1}`, `A has no field "c"`},
		{record, `{"a":5}`, "a: as string: want string, got a number"},
		{`{"type":"record","name":"A","fields":[{"name":"a","type":"int"}]}`, `{}`, "a: is missing, and has no default"},
		{`{"type":"record","name":"A","fields":[{"name":"a","type":"int","default":"x"}]}`, `{}`, "a: its default: want int, got a string"},
		{`{"type":"record","name":"A","fields":[{"name":"a","type":"A","default":{}}]}`, `{}`, "the default contains itself"},
		{`{"type":"array","items":"int"}`, `[1,2]`, "04020400"},
		{`{"type":"array","items":"int"}`, `[]`, "00"},
		{`{"type":"array","items":"int"}`, `[1,"x"]`, "1: want int, got a string"},
		{`"null"`, `null`, ""},
		{`"int"`, `{`, "no JSON: line 1, column 2"},
	} {
		if c.json == "" {
			continue
		}
		got, err := mustParse(t, c.schema).FromJSON([]byte(c.json), nil)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) || c.want == "" || !errors.Is(err, schema.ErrPayload) {
				t.Errorf("%s %s: got %v, want %s", c.schema, c.json, err, c.want)
			}
			continue
		}
		if h := hex.EncodeToString(got); h != c.want || got == nil {
			t.Errorf("%s %s: got %s, want %s", c.schema, c.json, h, c.want)
		}
	}
}

func TestEncodeChoosesTheBranchOfAUnion(t *testing.T) {
	t.Parallel()
	union := `["null","double","int","long","string",{"type":"enum","name":"E","symbols":["A"]},"bytes",
		{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]},{"type":"record","name":"S","fields":[{"name":"b","type":"int"},{"name":"c","type":"int","default":1}]},
		{"type":"map","values":"boolean"}]`
	for _, c := range []struct {
		schema string
		value  any
		want   string
	}{
		{union, nil, "00"},
		{union, int64(1), "0402"},
		{union, int64(1 << 40), "0680808080" + "8040"},
		{union, uint64(1), "0402"},
		{union, 1.5, "02000000000000f83f"},
		{union, "A", "080241"},
		{`[{"type":"enum","name":"E","symbols":["A"]},"string"]`, "A", "0000"},
		{`[{"type":"enum","name":"E","symbols":["A"]},"string"]`, "B", "020242"},
		{union, []byte{1}, "0c0201"},
		{union, map[string]any{"a": int64(1)}, "0e02"},
		{union, map[string]any{"b": int64(1)}, "100202"},
		{union, map[string]any{"z": true}, "1202027a0100"},
		{union, map[string]any{"map": map[string]any{"z": true}}, "1202027a0100"},
		{union, map[string]any{"string": "x"}, "080278"},
		{`["null","float"]`, int64(2), "0200000040"},
		{`["null","long"]`, 2.0, "0204"},
		{`["null","long"]`, 2.5, "error"},
		{`["null","long"]`, "x", "error"},
		{`"int"`, int64(1 << 31), "error"},
		{`"int"`, 7, "0e"},
		{`"string"`, []byte("x"), "error"},
		{`{"type":"array","items":"int"}`, []any{}, "00"},
		{`{"type":"record","name":"A","fields":[]}`, map[string]any{"x": nil}, "error"},
		{`"string"`, struct{}{}, "error"},
	} {
		got, err := mustParse(t, c.schema).Encode(c.value, nil)
		if h := hex.EncodeToString(got); h != c.want && (err == nil || c.want != "error") {
			t.Errorf("%s %v: got %s %v, want %s", c.schema, c.value, h, err, c.want)
		}
	}
}

func TestDecodeRefusesTheImpossible(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schema, payload, want string }{
		{`"boolean"`, "02", "0x02 is no boolean"},
		{`"int"`, "8080808080" + "8001", "out of the range of an int"},
		{`"long"`, "ffffffffffffffffffff01", "longer than 64 bits"},
		{`"long"`, "02ff", "1 bytes too many"},
		{`"string"`, "80808080808040", "a length of"},
		{`"string"`, "01", "a length of -1"},
		{`["null","int"]`, "04", "branch 2 of a union with 2"},
		{`["null","int"]`, "01", "branch -1 of a union with 2"},
		{`{"type":"enum","name":"E","symbols":["A"]}`, "02", "symbol 1 of enum E with 1"},
		{`{"type":"array","items":"long"}`, "80808080808040", "items with 0 bytes left"}, // 2^40
		{`{"type":"array","items":"null"}`, "80808080808040", "items with 0 bytes left"},
		{`{"type":"map","values":"null"}`, "80808080808040", "items with 0 bytes left"},
		{`{"type":"array","items":{"type":"record","name":"A","fields":[]}}`, "80808080808040", "items with 0 bytes left"},
		{`{"type":"array","items":"int"}`, "01ffffffffffffffffff01" + "00", "a block of"},
		{`{"type":"array","items":"int"}`, "ffffffffffffffffff01" + "0000", "a block of"},
		{`{"type":"record","name":"A","fields":[{"name":"a","type":"A"}]}`, "00", "nested deeper than"},
		{`{"type":"record","name":"A","fields":[{"name":"a","type":["null","A"]}]}`, strings.Repeat("02", 300) + "00", "nested deeper than"},
	} {
		s := mustParse(t, c.schema)
		payload, err := hex.DecodeString(c.payload)
		if err != nil {
			t.Fatal(err)
		}
		_, decode := s.Decode(payload, nil)
		_, text := s.ToJSON(payload, nil)
		for name, err := range map[string]error{"decode": decode, "validate": s.Validate(payload, nil), "JSON": text} {
			if !errors.Is(err, schema.ErrPayload) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s %s %s: got %v, want %q", name, c.schema, c.payload, err, c.want)
			}
		}
	}
}

// A block may say how many bytes it has.
func TestDecodeTakesBlocksWithTheirSize(t *testing.T) {
	t.Parallel()
	payload, _ := hex.DecodeString("0304020401" + "0406" + "00") //nolint:errcheck // a constant
	s := mustParse(t, `{"type":"array","items":"int"}`)
	if got, err := s.Decode(payload[:0:0], nil); err == nil {
		t.Errorf("got %v of nothing", got)
	}
	payload, _ = hex.DecodeString("03040204" + "0206" + "00") //nolint:errcheck // a constant
	got, err := s.Decode(payload, nil)
	if want := []any{int64(1), int64(2), int64(3)}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v %v, want %v", got, err, want)
	}
}

// A record of records doubles at each level: its values are counted, not only its bytes.
func TestDecodeCountsValuesThatTakeNoBytes(t *testing.T) {
	t.Parallel()
	text := `{"type":"record","name":"R0","fields":[]}`
	for i := 1; i <= 60; i++ {
		text = fmt.Sprintf(`{"type":"record","name":"R%d","fields":[{"name":"a","type":%s,"default":{}},{"name":"b","type":"R%d","default":{}}]}`, i, text, i-1)
	}
	s := mustParse(t, text)
	if _, err := s.Decode(nil, nil); !errors.Is(err, errMany) {
		t.Errorf("got %v, want %v", err, errMany)
	}
	if err := s.Validate(nil, nil); !errors.Is(err, errMany) {
		t.Errorf("got %v, want %v", err, errMany)
	}
	if got, err := s.FromJSON([]byte("{}"), nil); err != nil || len(got) != 0 {
		t.Errorf("got %x %v, want nothing: defaults are made once", got, err)
	}
	if d := compare(s.root, mustParse(t, text).root); d != nil {
		t.Errorf("got %v", d)
	}
}

// The library writes and reads the same bytes.
func TestPayloadsAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := generator{Rand: r}
		text := g.schema(0)
		ours := mustParse(t, text)
		theirs, err := avro.Parse(text)
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, text, err)
		}
		value := g.value(ours.root, 0)
		payload, err := ours.Encode(value, nil)
		if err != nil {
			t.Fatalf("seed %d: encode %v by %s: %v", seed, value, text, err)
		}
		if err := ours.Validate(payload, nil); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		back, err := ours.Decode(payload, nil)
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if again, err := ours.Encode(back, nil); err != nil || !bytes.Equal(again, payload) {
			t.Errorf("seed %d: %s\ngot  %x %v\nwant %x", seed, text, again, err, payload)
		}
		var decoded any
		rest, err := theirs.Decode(payload, &decoded, avro.TaggedUnions())
		if err != nil || len(rest) > 0 {
			t.Fatalf("seed %d: %s\nthe library cannot read %x: %v", seed, text, payload, err)
		}
		json1, err := ours.ToJSON(payload, nil)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		json2, err := theirs.EncodeJSON(decoded, avro.TaggedUnions())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !sameJSON(t, json1, json2) {
			t.Errorf("seed %d: %s\ngot  %s\nwant %s", seed, text, json1, json2)
		}
		if again, err := ours.FromJSON(json1, nil); err != nil || !bytes.Equal(again, payload) {
			t.Errorf("seed %d: %s\n%s\ngot  %x %v\nwant %x", seed, text, json1, again, err, payload)
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		t.Errorf("%s\n%s\n%v", a, b, err)
	}
	return reflect.DeepEqual(x, y)
}

// generator makes schemas and values by them.
type generator struct {
	*rand.Rand

	names int
}

func (g *generator) name() string {
	g.names++
	return fmt.Sprintf("N%d", g.names)
}

func (g *generator) schema(depth int) string {
	n := 14
	if depth > 4 {
		n = 8
	}
	switch k := g.IntN(n); {
	case k < 8:
		return `"` + kindNames[kNull+kind(k)] + `"` //nolint:gosec // 0 to 7
	case k == 8:
		return fmt.Sprintf(`{"type":"enum","name":"%s","symbols":["A","B","C"]}`, g.name())
	case k == 9:
		return fmt.Sprintf(`{"type":"fixed","name":"%s","size":%d}`, g.name(), g.IntN(5))
	case k == 10:
		return fmt.Sprintf(`{"type":"array","items":%s}`, g.schema(depth+1))
	case k == 11:
		return fmt.Sprintf(`{"type":"map","values":%s}`, g.schema(depth+1))
	case k == 12:
		// Of each sort one, so that the plain value tells the branch.
		return fmt.Sprintf(`["null",%q,{"type":"record","name":%q,"fields":[{"name":"x","type":%s}]}]`, []string{"string", "long", "boolean", "bytes"}[g.IntN(4)], g.name(), g.schema(depth+1))
	}
	var fields []string
	name := g.name()
	for i := range g.IntN(4) {
		fields = append(fields, fmt.Sprintf(`{"name":"f%d","type":%s}`, i, g.schema(depth+1)))
	}
	return fmt.Sprintf(`{"type":"record","name":%q,"fields":[%s]}`, name, strings.Join(fields, ","))
}

func (g *generator) value(t *typ, depth int) any {
	switch t.kind {
	case kBoolean:
		return g.IntN(2) == 0
	case kInt:
		return int64(int32(g.Uint32())) //nolint:gosec // any bits
	case kLong:
		return int64(g.Uint64()) //nolint:gosec // any bits
	case kFloat:
		return float64(float32(g.NormFloat64()))
	case kDouble:
		return g.NormFloat64() * 1e9
	case kString:
		return []string{"", "x", "größe \"\\\n", "😀\u0000"}[g.IntN(4)]
	case kBytes:
		return []byte{0, 255, byte(g.IntN(256))}[:g.IntN(4)] //nolint:gosec // a byte
	case kFixed:
		return bytes.Repeat([]byte{200}, t.size)
	case kEnum:
		return t.symbols[g.IntN(3)]
	case kArray:
		list := []any{}
		for range g.IntN(4) {
			list = append(list, g.value(t.items, depth+1))
		}
		return list
	case kMap:
		m := map[string]any{}
		for i := range g.IntN(3) {
			m[fmt.Sprint("k", i)] = g.value(t.items, depth+1)
		}
		return m
	case kUnion:
		return g.value(t.branches[g.IntN(len(t.branches))], depth+1)
	case kRecord:
		m := map[string]any{}
		for _, f := range t.fields {
			m[f.name] = g.value(f.typ, depth+1)
		}
		return m
	}
	return nil
}
