package protobuf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/weir-stream/weir/internal/schema"
)

// everything has fields of all kinds.
const everything = `syntax = "proto3";
package t;
import "google/protobuf/timestamp.proto";
import "google/protobuf/any.proto";
import "confluent/meta.proto";
message All {
  int32 i32 = 1; int64 i64 = 2; uint32 u32 = 3; uint64 u64 = 4; sint32 s32 = 5; sint64 s64 = 6;
  fixed32 f32 = 7; fixed64 f64 = 8; sfixed32 sf32 = 9; sfixed64 sf64 = 10; float fl = 11; double db = 12;
  bool on = 13; string text = 14 [(confluent.field_meta).tags = "PII"]; bytes raw = 15; Colour colour = 16;
  repeated int32 many = 17; repeated string words = 18 [(confluent.field_meta) = {tags: ["A", "B"]}]; repeated All inner = 19; repeated sint64 loose = 20 [packed = false];
  map<string, int64> counts = 21; map<int32, All> parts = 22; map<bool, Colour> flags = 23; map<uint64, bytes> blobs = 24;
  optional int32 maybe = 25; All self = 26;
  oneof which { string a = 27; int64 b = 28; All c = 29; }
  google.protobuf.Timestamp at = 30;
  google.protobuf.Any any_thing = 31;
}
enum Colour { NONE = 0; RED = 1; BLUE = 5; BLEU = -3; }
message Second { message In { string x = 1; } In in = 1; }
`

const old = `syntax = "proto2";
message Old {
  required int32 id = 1;
  optional Kind kind = 2 [default = B];
  repeated Kind kinds = 3 [packed = true];
  optional group Part = 4 { optional string s = 1; required bool b = 2; }
  repeated group Parts = 5 { optional Old old = 1; }
  map<string, Zero> by = 6;
  extensions 100 to 199;
  optional string name = 7 [default = "x"];
}
enum Kind { A = 1; B = 2; }
enum Zero { Z = 0; Y = 9; }
extend Old { optional Old more = 100; repeated int32 numbers = 101; }
`

// What Decode makes of a payload is what the library makes of it, and Encode makes the payload of it again.
func TestValuesAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"proto3": everything, "proto2": old} {
		s := mustParse(t, text, nil)
		md := s.messages.Get(0)
		for seed := range uint64(120) {
			random := rand.New(rand.NewPCG(seed, 7))
			want := dynamicpb.NewMessage(md)
			fill(random, want, 3)
			payload, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			value, err := s.Decode(payload, nil)
			if err != nil {
				t.Fatalf("%s, seed %d: decode: %v", name, seed, err)
			}
			if err := s.Validate(payload, nil); err != nil {
				t.Fatalf("%s, seed %d: validate: %v", name, seed, err)
			}
			again, err := s.Encode(value, nil)
			if err != nil {
				t.Fatalf("%s, seed %d: encode: %v", name, seed, err)
			}
			got := dynamicpb.NewMessage(md)
			if err := (proto.UnmarshalOptions{Resolver: s.resolver}).Unmarshal(again, got); err != nil {
				t.Fatalf("%s, seed %d: the library reads: %v", name, seed, err)
			}
			if !proto.Equal(got, want) {
				t.Fatalf("%s, seed %d: got %v, want %v", name, seed, got, want)
			}
			text, err := s.ToJSON(payload, nil)
			if err != nil {
				t.Fatalf("%s, seed %d: to JSON: %v", name, seed, err)
			}
			back, err := s.FromJSON(text, nil)
			if err != nil {
				t.Fatalf("%s, seed %d: from JSON %s: %v", name, seed, text, err)
			}
			if !bytes.Equal(back, payload) {
				t.Fatalf("%s, seed %d: JSON %s makes %x, want %x", name, seed, text, back, payload)
			}
		}
	}
}

// fill sets some of the fields of a message, and all that are required.
func fill(random *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	if m.Descriptor().FullName() == "google.protobuf.Timestamp" {
		m.Set(fields.ByName("seconds"), protoreflect.ValueOfInt64(random.Int64N(1e10)))
		return
	}
	for i := range fields.Len() {
		fd := fields.Get(i)
		deeper := fd.Message() != nil && !fd.IsMap() || fd.IsMap() && fd.MapValue().Message() != nil
		if fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Any" {
			continue
		}
		if fd.Cardinality() != protoreflect.Required && (random.IntN(3) > 0 || deeper && depth == 0) {
			continue
		}
		switch {
		case fd.IsMap():
			entries := m.Mutable(fd).Map()
			for range random.IntN(4) {
				v := entries.NewValue()
				if fd.MapValue().Message() != nil {
					fill(random, v.Message(), depth-1)
				} else {
					v = scalar(random, fd.MapValue())
				}
				entries.Set(scalar(random, fd.MapKey()).MapKey(), v)
			}
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range random.IntN(4) {
				if fd.Message() != nil {
					v := list.NewElement()
					fill(random, v.Message(), depth-1)
					list.Append(v)
				} else {
					list.Append(scalar(random, fd))
				}
			}
		case fd.Message() != nil:
			fill(random, m.Mutable(fd).Message(), depth-1)
		default:
			m.Set(fd, scalar(random, fd))
		}
	}
}

func scalar(random *rand.Rand, fd protoreflect.FieldDescriptor) protoreflect.Value {
	n := random.Uint64() >> random.IntN(64)
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n&1 == 0)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(n))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(n)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(n) / 3)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) / 7)
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(int(n % uint64(values.Len()))).Number())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(strings.Repeat("é", int(n%5)))
	default:
		return protoreflect.ValueOfBytes([]byte(fmt.Sprint(n)))
	}
}

func TestDecodeShowsPlainValues(t *testing.T) {
	t.Parallel()
	s := mustParse(t, everything, nil)
	payload, err := s.FromJSON([]byte(`{"i32":-5,"u64":"18446744073709551615","fl":1.5,"text":"hi","raw":"AQI=","colour":"BLUE","many":[1,2],"counts":{"a":"7"},
		"parts":{"3":{"text":"in"}},"maybe":0,"c":{"on":true},"at":"2026-01-02T03:04:05Z"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Decode(payload, []int{0})
	if err != nil {
		t.Fatal(err)
	}
	v := got.(map[string]any)
	want := map[string]any{
		"i32": int64(-5), "u64": uint64(18446744073709551615), "fl": 1.5, "text": "hi", "raw": []byte{1, 2}, "colour": "BLUE", "many": []any{int64(1), int64(2)},
		"counts": map[string]any{"a": int64(7)}, "maybe": int64(0), "i64": int64(0), "on": false, "words": []any{}, "flags": map[string]any{}, "db": float64(0),
	}
	for k, w := range want {
		if !reflect.DeepEqual(v[k], w) {
			t.Errorf("%s: got %#v, want %#v", k, v[k], w)
		}
	}
	if in := v["parts"].(map[string]any)["3"].(map[string]any)["text"]; in != "in" {
		t.Errorf("parts: got %v", v["parts"])
	}
	for _, k := range []string{"a", "b", "self"} {
		if _, ok := v[k]; ok {
			t.Errorf("%s is not set, and is %v", k, v[k])
		}
	}
	if at := v["at"].(map[string]any); at["seconds"] != int64(1767323045) {
		t.Errorf("at: got %v", at)
	}
}

func TestPayloadsThatDisobeyAreRefused(t *testing.T) {
	t.Parallel()
	new3, old2 := mustParse(t, everything, nil), mustParse(t, old, nil)
	deep := []byte{}
	for range schema.MaxDepth + 2 {
		deep = protowire.AppendBytes(protowire.AppendTag(nil, 26, protowire.BytesType), deep)
	}
	for name, c := range map[string]struct {
		s       *Schema
		payload []byte
		at      []int
	}{
		"a tag cut off":              {new3, []byte{0x80}, nil},
		"a length beyond the end":    {new3, []byte{0x72, 0xff, 0xff, 0xff, 0xff, 0x0f}, nil},
		"a length beyond all bounds": {new3, []byte{0x72, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, nil},
		"a string that is no UTF-8":  {new3, []byte{0x72, 1, 0xff}, nil},
		"a varint of eleven bytes":   {new3, append([]byte{8}, bytes.Repeat([]byte{0xff}, 11)...), nil},
		"too deep":                   {new3, deep, nil},
		"an end without a group":     {new3, []byte{0x0c}, nil},
		"a group without an end":     {old2, []byte{8, 1, 0x23}, nil},
		"no required field":          {old2, []byte{}, nil},
		"none in a group":            {old2, []byte{8, 1, 0x23, 0x24}, nil},
		"no such message":            {new3, []byte{}, []int{7}},
		"no such message within":     {new3, []byte{}, []int{1, 3}},
		"a negative index":           {new3, []byte{}, []int{-1}},
	} {
		if _, err := c.s.Decode(c.payload, c.at); !errors.Is(err, schema.ErrPayload) {
			t.Errorf("%s: decode: got %v", name, err)
		}
		if err := c.s.Validate(c.payload, c.at); !errors.Is(err, schema.ErrPayload) {
			t.Errorf("%s: validate: got %v", name, err)
		}
		if _, err := c.s.ToJSON(c.payload, c.at); !errors.Is(err, schema.ErrPayload) {
			t.Errorf("%s: to JSON: got %v", name, err)
		}
	}
}

// Two bytes stand for an empty message, whose fields have defaults: a megabyte of them must not become gigabytes.
func TestPayloadsThatUnfoldAreRefused(t *testing.T) {
	t.Parallel()
	s := mustParse(t, everything, nil)
	payload := bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, 19, protowire.BytesType), nil), 1<<18)
	m, err := s.root(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := decoder{left: 10_000}
	if err := d.whole(m, payload, map[string]any{}, 0); !errors.Is(err, errTooMany) {
		t.Errorf("got %v, want %v", err, errTooMany)
	}
	if err := s.Validate(payload, nil); err != nil {
		t.Errorf("validate builds nothing, and says %v", err)
	}
}

func TestValuesThatDisobeyAreRefused(t *testing.T) {
	t.Parallel()
	new3, old2 := mustParse(t, everything, nil), mustParse(t, old, nil)
	for name, c := range map[string]struct {
		s     *Schema
		value any
	}{
		"no message":         {new3, "text"},
		"an unknown field":   {new3, map[string]any{"nobody": 1}},
		"a text for a field": {new3, map[string]any{"i32": "1"}},
		"out of range":       {new3, map[string]any{"i32": int64(1) << 31}},
		"negative":           {new3, map[string]any{"u32": int64(-1)}},
		"a fraction":         {new3, map[string]any{"i64": 1.5}},
		"an unknown symbol":  {new3, map[string]any{"colour": "PINK"}},
		"no UTF-8":           {new3, map[string]any{"text": "\xff"}},
		"two of a oneof":     {new3, map[string]any{"a": "x", "b": int64(1)}},
		"two names":          {new3, map[string]any{"anyThing": map[string]any{}, "any_thing": map[string]any{}}},
		"no list":            {new3, map[string]any{"many": int64(1)}},
		"a bad key":          {new3, map[string]any{"parts": map[string]any{"x": map[string]any{}}}},
		"no value of a key":  {new3, map[string]any{"counts": map[string]any{"x": nil}}},
		"nothing required":   {old2, map[string]any{}},
		"too large a float":  {new3, map[string]any{"fl": 1e300}},
	} {
		if b, err := c.s.Encode(c.value, nil); !errors.Is(err, schema.ErrPayload) {
			t.Errorf("%s: got %x, %v", name, b, err)
		}
	}
	if _, err := new3.FromJSON([]byte(`{"nobody": 1}`), nil); !errors.Is(err, schema.ErrPayload) {
		t.Errorf("JSON with a field that is none: got %v", err)
	}
}

func TestWalkVisitsScalarsWithTheirTags(t *testing.T) {
	t.Parallel()
	s := mustParse(t, everything, nil)
	value := map[string]any{
		"text": "secret", "words": []any{"x", "y"}, "self": map[string]any{"text": "inner"}, "counts": map[string]any{"b": int64(2), "a": int64(1)}, "i32": int64(4),
	}
	var seen []string
	got, err := s.Walk(value, nil, func(f schema.Field, v any) (any, error) {
		seen = append(seen, fmt.Sprintf("%s %s %s %v %v", f.FullName, f.Name, f.Type, f.Tags, v))
		if len(f.Tags) > 0 {
			return strings.ToUpper(v.(string)), nil
		}
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"t.All.i32 i32 INT [] 4", "t.All.text text STRING [PII] secret", "t.All.words words STRING [A B] x", "t.All.words words STRING [A B] y",
		"t.All.counts counts LONG [] 1", "t.All.counts counts LONG [] 2", "t.All.text text STRING [PII] inner",
	}
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("visited\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != `{"counts":{"a":1,"b":2},"i32":4,"self":{"text":"INNER"},"text":"SECRET","words":["X","Y"]}` {
		t.Errorf("got %s", text)
	}
	if value["text"] != "secret" || value["words"].([]any)[0] != "x" || value["self"].(map[string]any)["text"] != "inner" {
		t.Errorf("the value given was changed: %v", value)
	}
}

func TestMessagesAreFoundByNameAndByIndex(t *testing.T) {
	t.Parallel()
	s := mustParse(t, everything, nil)
	for name, at := range map[string][]int{"t.All": {0}, "t.Second": {1}, "t.Second.In": {1, 0}, ".t.All": {0}} {
		if got, ok := s.Message(name); !ok || !reflect.DeepEqual(got, at) {
			t.Errorf("%s: got %v, %v, want %v", name, got, ok, at)
		}
		if got, ok := s.MessageName(at); !ok || got != strings.TrimPrefix(name, ".") {
			t.Errorf("%v: got %q, %v, want %q", at, got, ok, name)
		}
	}
	for _, name := range []string{"", "All", "t.Nobody", "t.Colour", "t.Second.x"} {
		if at, ok := s.Message(name); ok {
			t.Errorf("%q: got %v", name, at)
		}
	}
	if _, err := s.Encode(map[string]any{"x": "y"}, []int{1, 0}); err != nil {
		t.Error(err)
	}
	wrapper := mustParse(t, `syntax = "proto3"; import public "t.proto";`, map[string]string{"t.proto": everything})
	if at, ok := wrapper.Message("t.Second.In"); !ok || !reflect.DeepEqual(at, []int{1, 0}) {
		t.Errorf("behind a wrapper: got %v, %v", at, ok)
	}
}
