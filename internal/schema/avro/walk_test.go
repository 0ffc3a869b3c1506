package avro

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

const walked = `{"type":"record","name":"com.x.Order","fields":[
	{"name":"id","type":"long"},
	{"name":"note","type":["null","string"],"default":null,"confluent:tags":["PII"]},
	{"name":"customer","type":{"type":"record","name":"Customer","fields":[{"name":"email","type":"string","confluent:tags":["PII","GDPR"]}]}},
	{"name":"lines","type":{"type":"array","items":["null",{"type":"record","name":"Line","fields":[{"name":"n","type":"int"}]},{"type":"record","name":"Gift","fields":[{"name":"to","type":"string"}]}]}},
	{"name":"labels","type":{"type":"map","values":"string"},"confluent:tags":["PUBLIC"]},
	{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A"]}},{"name":"hash","type":{"type":"fixed","name":"Hash","size":1}}]}`

func TestWalkVisitsScalarsInOrderAndChangesACopy(t *testing.T) {
	t.Parallel()
	s := mustParse(t, walked)
	value := func() any {
		return map[string]any{
			"id": int64(1), "note": "n", "customer": map[string]any{"email": "a@b"}, "lines": []any{map[string]any{"n": int64(2)}, map[string]any{"to": "x"}, nil},
			"labels": map[string]any{"k": "v", "a": "b"}, "kind": "A", "hash": []byte{1},
		}
	}
	given := value()
	var visits []string
	got, err := s.Walk(given, nil, func(f schema.Field, v any) (any, error) {
		visits = append(visits, fmt.Sprintf("%s %s %s %v %v %d", f.FullName, f.Name, f.Type, f.Tags, v, len(f.Message.(map[string]any))))
		if slices.Contains(f.Tags, "PII") {
			return "***", nil
		}
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"com.x.Order.id id LONG [] 1 7", "com.x.Order.note note STRING [PII] n 7", "com.x.Customer.email email STRING [PII GDPR] a@b 1",
		"com.x.Line.n n INT [] 2 1", "com.x.Gift.to to STRING [] x 1", "com.x.Order.labels labels STRING [PUBLIC] b 7", "com.x.Order.labels labels STRING [PUBLIC] v 7",
		"com.x.Order.kind kind ENUM [] A 7", "com.x.Order.hash hash FIXED [] [1] 7",
	}
	if !slices.Equal(visits, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(visits, "\n"), strings.Join(want, "\n"))
	}
	changed := value().(map[string]any)
	changed["note"], changed["customer"] = "***", map[string]any{"email": "***"}
	if !reflect.DeepEqual(got, any(changed)) {
		t.Errorf("got %v, want %v", got, changed)
	}
	if !reflect.DeepEqual(given, value()) {
		t.Errorf("the value itself was changed: %v", given)
	}
}

func TestWalkEndsWithTheErrorOfAVisit(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	if _, err := mustParse(t, walked).Walk(map[string]any{"id": int64(1)}, nil, func(schema.Field, any) (any, error) { return nil, stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
	if _, err := mustParse(t, walked).Walk([]any{}, nil, nil); !errors.Is(err, schema.ErrPayload) {
		t.Errorf("got %v, want an error about the value", err)
	}
}

func TestWalkPassesOverAScalarAtTheTop(t *testing.T) {
	t.Parallel()
	if v, err := mustParse(t, `"string"`).Walk("x", nil, nil); v != "x" || err != nil {
		t.Errorf("got %v %v", v, err)
	}
}
