package formats

import (
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

func TestEveryTypeHasItsFormat(t *testing.T) {
	t.Parallel()
	texts := map[schema.Type]string{schema.Avro: `"int"`, schema.JSON: `{"type":"integer"}`, schema.Protobuf: `syntax = "proto3"; message A { int32 a = 1; }`}
	for _, typ := range Types() {
		f, ok := Of(typ)
		if !ok || f.Type() != typ {
			t.Errorf("%s: got %v, %v", typ, f, ok)
			continue
		}
		if s, err := f.Parse(schema.Source{Text: texts[typ]}, true); err != nil || s.Type() != typ {
			t.Errorf("%s: parse: %v", typ, err)
		}
	}
	if f, ok := Of(""); !ok || f.Type() != schema.Avro {
		t.Errorf("no type: got %v, %v, want Avro", f, ok)
	}
	if _, ok := Of("XML"); ok {
		t.Error("XML has a format")
	}
}
