package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/terms"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// fakeSchemas is a registry in memory. What is in late is known after the next CatchUp.
type fakeSchemas struct {
	mu       sync.Mutex
	now      map[int32]Registered
	late     map[int32]Registered
	guids    map[[16]byte]int32
	revision int64
	looks    int
	fail     error
}

func (f *fakeSchemas) ByID(id int32) (Registered, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.now[id]
	return r, ok
}

func (f *fakeSchemas) ByGUID(g [16]byte) (Registered, bool) {
	f.mu.Lock()
	id, ok := f.guids[g]
	f.mu.Unlock()
	if !ok {
		return Registered{}, false
	}
	return f.ByID(id)
}

func (f *fakeSchemas) Revision() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revision
}

func (f *fakeSchemas) CatchUp(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	if f.fail != nil {
		return f.fail
	}
	for id, r := range f.late {
		f.now[id] = r
		f.revision++
	}
	f.late = nil
	f.revision = max(f.revision, 0)
	return nil
}

// words is a format whose schemas are texts, and whose payloads obey if they begin with the text.
type words struct{}

type word struct {
	schema.Schema
	kind schema.Type
	text string
}

func (words) Type() schema.Type { return schema.Avro }

func (words) Parse(s schema.Source, _ bool) (schema.Schema, error) {
	if s.Text == "" {
		return nil, schema.ErrInvalid
	}
	return word{text: s.Text, kind: schema.Avro}, nil
}

func (words) Compare(schema.Schema, schema.Schema, schema.Policy) []schema.Difference { return nil }

func (w word) Type() schema.Type { return w.kind }

func (w word) Canonical() string {
	return fmt.Sprintf(`{"type":"record","name":"%s","namespace":"acme"}`, w.text)
}

func (w word) Validate(p []byte, _ []int) error {
	if !bytes.HasPrefix(p, []byte(w.text)) {
		return fmt.Errorf("it does not begin with %s: %w", w.text, schema.ErrPayload)
	}
	return nil
}

func (w word) Decode(p []byte, at []int) (any, error) {
	return map[string]any{"text": string(p)}, w.Validate(p, at)
}

func formatsOf(t schema.Type) (schema.Format, bool) { return words{}, t == schema.Avro }

func newValidator(t testing.TB, s Schemas) *Validator {
	t.Helper()
	return New(Options{Schemas: s, Formats: formatsOf, Rules: NewRules()})
}

func framed(id int, payload string) []byte {
	return append(wireformat.Append(nil, wireformat.ID{Number: id}), payload...)
}

var errDown = errors.New("no broker answers")

func registered(id int32, text string, subjects ...string) Registered {
	return Registered{ID: id, Type: schema.Avro, Source: schema.Source{Text: text}, Subjects: subjects}
}

func judgeOne(t testing.TB, v *Validator, tm terms.Terms, r record.Record) string {
	t.Helper()
	got, obeys, err := v.Judge("t", &tm).Record(t.Context(), &r)
	switch {
	case err != nil:
		return "error: " + err.Error()
	case obeys:
		return "obeys"
	}
	return got.String()
}
