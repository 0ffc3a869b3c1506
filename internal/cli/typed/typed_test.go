package typed

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/registryclient"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

const (
	avroText  = `{"type":"record","name":"A","fields":[{"name":"n","type":"int"},{"name":"s","type":["null","string"],"default":null}]}`
	protoText = "syntax = \"proto3\";\npackage x;\nmessage A { int32 n = 1; }\nmessage B { message C { string s = 1; } }\n"
)

// registry knows schema 7, Avro, and 8, Protobuf; the first also by its GUID.
func registry(t *testing.T) (*Schemas, wireformat.GUID, *atomic.Int64) {
	t.Helper()
	guid := wireformat.GUID{1, 2, 3}
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answer := map[string]any{"schema": avroText}
		switch r.URL.Path {
		case "/schemas/ids/7", "/schemas/guids/" + guid.String():
		case "/schemas/ids/8":
			answer = map[string]any{"schema": protoText, "schemaType": "PROTOBUF"}
		case "/schemas/ids/9":
			answer = map[string]any{"schema": "{"}
		default:
			w.WriteHeader(http.StatusNotFound)
			answer = map[string]any{"error_code": 40403, "message": "Schema not found"}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	client, err := registryclient.New(registryclient.Options{URLs: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	return NewSchemas(client), guid, &asked
}

func TestTextBecomesBytesAndTextAgain(t *testing.T) {
	t.Parallel()
	schemas, guid, _ := registry(t)
	for _, c := range []struct {
		name            string
		side            Side
		id              wireformat.ID
		message         string
		text, json, hex string
		header          string
	}{
		{"Avro", Value, wireformat.ID{Number: 7}, "", `{"n":1,"s":"x"}`, `{"n":1,"s":{"string":"x"}}`, "\x00\x00\x00\x00\x07\x02\x02\x02x", ""},
		{"a key", Key, wireformat.ID{Number: 7}, "", `{"n":1}`, `{"n":1,"s":null}`, "\x00\x00\x00\x00\x07\x02\x00", ""},
		{"a GUID", Value, wireformat.ID{GUID: guid}, "", `{"n":1}`, `{"n":1,"s":null}`, "\x02\x00", "\x01" + string(guid[:])},
		{"Protobuf", Value, wireformat.ID{Number: 8}, "", `{"n":1}`, `{"n":1}`, "\x00\x00\x00\x00\x08\x00\x08\x01", ""},
		{"a message within", Value, wireformat.ID{Number: 8}, "x.B.C", `{"s":"x"}`, `{"s":"x"}`, "\x00\x00\x00\x00\x08\x04\x02\x00\x0a\x01x", ""},
	} {
		s, err := schemas.ByID(t.Context(), c.id)
		if err != nil {
			t.Fatal(err)
		}
		at, err := s.At(c.message)
		if err != nil {
			t.Fatal(err)
		}
		e := NewEncoder(c.side, s, at)
		r := &kgo.Record{Key: []byte(c.text), Value: []byte(c.text)}
		if err := e.Encode(r); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := string(c.side.Of(r)); got != c.hex {
			t.Errorf("%s: got %x, want %x", c.name, got, c.hex)
		}
		if got := string(c.side.headerOf(r)); got != c.header {
			t.Errorf("%s: got header %x, want %x", c.name, got, c.header)
		}
		text, ok, err := NewDecoder(c.side, schemas, DecoderOptions{}).Decode(t.Context(), r)
		var compact bytes.Buffer
		if err == nil && ok {
			err = json.Compact(&compact, text.JSON)
		}
		if err != nil || !ok || compact.String() != c.json || text.ID != c.id || !slices.Equal(text.At, at) {
			t.Errorf("%s: got %s %v %v %v, want %s", c.name, text.JSON, text.ID, ok, err, c.json)
		}
	}
}

func TestEncodeLeavesNullAndRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	schemas, _, _ := registry(t)
	s, err := schemas.ByID(t.Context(), wireformat.ID{Number: 7})
	if err != nil {
		t.Fatal(err)
	}
	e := NewEncoder(Value, s, nil)
	r := &kgo.Record{}
	if err := e.Encode(r); err != nil || r.Value != nil {
		t.Errorf("null: got %x %v", r.Value, err)
	}
	r.Value = []byte(`{"n":"x"}`)
	if err := e.Encode(r); !errors.Is(err, schema.ErrPayload) || !strings.Contains(err.Error(), "id 7") {
		t.Errorf("got %v, want an error about the payload", err)
	}
	if _, err := s.At("x.A"); err == nil {
		t.Error("an Avro schema has a message")
	}
}

func TestDecodeLeavesWhatIsNotOfASchema(t *testing.T) {
	t.Parallel()
	schemas, _, _ := registry(t)
	for name, c := range map[string]struct{ value, want string }{
		"plain text":         {"hello", "no schema id in front"},
		"an unknown id":      {"\x00\x00\x00\x00\x63x", "Schema not found"},
		"a broken schema":    {"\x00\x00\x00\x00\x09x", "no usable schema"},
		"bytes of no schema": {"\x00\x00\x00\x00\x07x", "payload does not obey its schema"},
		"another format":     {"\x00\x00\x00\x00\x08\x00", "of type PROTOBUF, not AVRO"},
	} {
		r := &kgo.Record{Value: []byte(c.value)}
		if text, ok, err := NewDecoder(Value, schemas, DecoderOptions{Want: schema.Avro}).Decode(t.Context(), r); ok || err != nil {
			t.Errorf("%s: got %s %v", name, text.JSON, err)
		}
		if _, _, err := NewDecoder(Value, schemas, DecoderOptions{Want: schema.Avro, Strict: true}).Decode(t.Context(), r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, strict: got %v, want %s", name, err, c.want)
		}
	}
	if _, ok, err := NewDecoder(Value, schemas, DecoderOptions{Strict: true}).Decode(t.Context(), &kgo.Record{}); ok || err != nil {
		t.Errorf("null: got %v %v", ok, err)
	}
}

func TestDecodeTakesBareBytesByTheSchemaGiven(t *testing.T) {
	t.Parallel()
	bare, err := Parse(schema.Avro, schema.Source{Text: `"long"`}, true)
	if err != nil {
		t.Fatal(err)
	}
	text, ok, err := NewDecoder(Value, nil, DecoderOptions{Strict: true, Bare: &bare}).Decode(t.Context(), &kgo.Record{Value: []byte{4}})
	if err != nil || !ok || string(text.JSON) != "2" {
		t.Errorf("got %s %v %v, want 2", text.JSON, ok, err)
	}
}

func TestDecodeGivesUpOnWhatOnlyLooksLikeIDs(t *testing.T) {
	t.Parallel()
	schemas, _, asked := registry(t)
	d := NewDecoder(Value, schemas, DecoderOptions{})
	for i := range 3 * maxStrangers {
		if _, ok, err := d.Decode(t.Context(), &kgo.Record{Value: wireformat.Append(nil, wireformat.ID{Number: 1000 + i})}); ok || err != nil {
			t.Fatalf("record %s: %v %v", strconv.Itoa(i), ok, err)
		}
	}
	if got := asked.Load(); got != maxStrangers {
		t.Errorf("the registry was asked %d times, want %d", got, maxStrangers)
	}
}

func TestDecodeNotesOnceThatNoRegistryAnswers(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	client, err := registryclient.New(registryclient.Options{URLs: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	notes := 0
	d := NewDecoder(Value, NewSchemas(client), DecoderOptions{Note: func(err error) {
		notes++
		if !errors.Is(err, ErrUnreachable) {
			t.Errorf("got %v", err)
		}
	}})
	for i := range 3 {
		if _, ok, err := d.Decode(t.Context(), &kgo.Record{Value: wireformat.Append(nil, wireformat.ID{Number: i})}); ok || err != nil {
			t.Errorf("got %v %v", ok, err)
		}
	}
	if notes != 1 {
		t.Errorf("%d notes, want 1", notes)
	}
}
