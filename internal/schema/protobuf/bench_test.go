package protobuf

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/weir-stream/weir/internal/schema"
)

const benchText = `syntax = "proto3";
package bench;
import "google/protobuf/timestamp.proto";
message Order {
  string id = 1; int64 amount = 2; double price = 3; bool paid = 4; google.protobuf.Timestamp at = 5;
  repeated Item items = 6; map<string, string> labels = 7;
  message Item { string sku = 1; int32 count = 2; }
}
`

const benchJSON = `{"id":"order-123456","amount":"4200","price":19.99,"paid":true,"at":"2026-01-02T03:04:05Z",
	"items":[{"sku":"a-1","count":1},{"sku":"b-2","count":2},{"sku":"c-3","count":3}],"labels":{"region":"eu","tier":"gold"}}`

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Format().Parse(schema.Source{Text: benchText}, true); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPayload reads and writes a message of about 150 bytes.
func BenchmarkPayload(b *testing.B) {
	parsed, err := Format().Parse(schema.Source{Text: benchText}, true)
	if err != nil {
		b.Fatal(err)
	}
	s := parsed.(*Schema)
	payload, err := s.FromJSON([]byte(benchJSON), nil)
	if err != nil {
		b.Fatal(err)
	}
	value, err := s.Decode(payload, nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"op=validate": func() error { return s.Validate(payload, nil) },
		"op=decode":   func() error { _, err := s.Decode(payload, nil); return err },
		"op=encode":   func() error { _, err := s.Encode(value, nil); return err },
		"op=json":     func() error { _, err := s.ToJSON(payload, nil); return err },
		"op=library":  func() error { return proto.Unmarshal(payload, dynamicpb.NewMessage(s.messages.Get(0))) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(payload)))
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
