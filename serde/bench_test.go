package serde_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weir-stream/weir/serde"
)

// benchmark writes and reads one value by one schema.
func benchmark[T any](b *testing.B, s serde.Schema, v T) {
	b.Helper()
	f := newFake(b)
	w := writer(b, f.client(b, withKMS(b)), serde.SerializerOptions{Schema: &s})
	r := reader(b, f.client(b, withKMS(b)), serde.DeserializerOptions{})
	data, _, err := w.Serialize(b.Context(), "t", v)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("op=write", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, _, err := w.Serialize(b.Context(), "t", v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("op=read", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			into := new(T)
			var dest any = into
			if m, ok := any(v).(proto.Message); ok {
				dest = m.ProtoReflect().New().Interface()
			}
			if err := r.Deserialize(b.Context(), "t", data, nil, dest); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSerde(b *testing.B) {
	cel := &serde.RuleSet{DomainRules: []serde.Rule{{Name: "c", Kind: "CONDITION", Type: "CEL", Mode: "WRITEREAD", Expr: "message.age >= 18"}}}
	field := &serde.RuleSet{DomainRules: []serde.Rule{{Name: "f", Kind: "TRANSFORM", Type: "CEL_FIELD", Mode: "WRITEREAD", Expr: "name == 'name' ; value + '!'"}}}
	for name, rules := range map[string]*serde.RuleSet{"none": nil, "CEL": cel, "CEL_FIELD": field, "ENCRYPT": encrypting()} {
		b.Run("format=avro/rules="+name, func(b *testing.B) { benchmark(b, serde.Schema{Text: personSchema, RuleSet: rules}, person()) })
	}
	b.Run("format=avro/rules=none/value=order", func(b *testing.B) { benchmark(b, serde.Schema{Text: orderSchema}, order()) })
	b.Run("format=json/rules=none", func(b *testing.B) {
		text := `{"type":"object","properties":{"Name":{"type":"string"},"SSN":{"type":["string","null"]},"Photo":{"type":"string"},"Age":{"type":"integer"}}}`
		benchmark(b, serde.Schema{Text: text, Type: serde.JSON}, struct {
			Name, SSN string
			Age       int
		}{"Ada", "123-45", 36})
	})
	b.Run("format=protobuf/rules=none", func(b *testing.B) {
		text := `syntax = "proto3"; package google.protobuf; message Timestamp { int64 seconds = 1; int32 nanos = 2; }`
		benchmark(b, serde.Schema{Text: text, Type: serde.Protobuf}, timestamppb.New(time.Unix(5, 6)))
	})
}
