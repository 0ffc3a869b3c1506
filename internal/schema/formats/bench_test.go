package formats

import (
	"fmt"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// orders are one schema in three formats, and a record of it in JSON.
var orders = map[schema.Type]string{
	schema.Avro: `{"type":"record","name":"Order","namespace":"acme","fields":[
		{"name":"id","type":"long"},{"name":"customer","type":"string"},{"name":"email","type":["null","string"],"default":null},
		{"name":"paid","type":"boolean"},{"name":"total","type":"double"},{"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","SENT"]}},
		{"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[{"name":"sku","type":"string"},{"name":"count","type":"int"},{"name":"price","type":"double"}]}}}]}`,
	schema.Protobuf: `syntax = "proto3"; package acme;
		message Order { int64 id = 1; string customer = 2; optional string email = 3; bool paid = 4; double total = 5; State state = 6; repeated Line lines = 7; }
		enum State { NEW = 0; SENT = 1; } message Line { string sku = 1; int32 count = 2; double price = 3; }`,
	schema.JSON: `{"type":"object","required":["id","customer","lines"],"additionalProperties":false,"properties":{
		"id":{"type":"integer"},"customer":{"type":"string","minLength":1},"email":{"oneOf":[{"type":"null"},{"type":"string","pattern":"@"}]},
		"paid":{"type":"boolean"},"total":{"type":"number","minimum":0},"state":{"enum":["NEW","SENT"]},
		"lines":{"type":"array","items":{"$ref":"#/definitions/line"}}},
		"definitions":{"line":{"type":"object","required":["sku"],"properties":{"sku":{"type":"string"},"count":{"type":"integer","minimum":1},"price":{"type":"number"}}}}}`,
}

func orderText(t schema.Type) string {
	email := `"ada@example.com"`
	if t == schema.Avro {
		email = `{"string":"ada@example.com"}`
	}
	id := `123456789012`
	if t == schema.Protobuf {
		id = `"123456789012"`
	}
	return `{"id":` + id + `,"customer":"Ada Lovelace","email":` + email + `,"paid":true,"total":59.97,"state":"SENT","lines":[
		{"sku":"A-1001","count":1,"price":19.99},{"sku":"B-2002","count":2,"price":9.99},{"sku":"C-3003","count":3,"price":6.66}]}`
}

// frame puts the id 7, and for Protobuf the first message, before a payload.
func frame(payload []byte, t schema.Type) []byte {
	b := wireformat.Append(nil, wireformat.ID{Number: 7})
	if t == schema.Protobuf {
		b = wireformat.AppendIndexes(b, nil)
	}
	return append(b, payload...)
}

// open finds schema and payload of a record.
func open(data []byte, known map[int]schema.Schema) (schema.Schema, []int, []byte, error) {
	f, err := wireformat.Parse(nil, data)
	if err != nil {
		return nil, nil, nil, err
	}
	s, ok := known[f.ID.Number]
	if !ok {
		return nil, nil, nil, fmt.Errorf("%s is not known", f.ID)
	}
	if s.Type() == schema.Protobuf {
		at, payload, err := f.Message()
		return s, at, payload, err
	}
	return s, nil, f.Payload, nil
}

// BenchmarkRecord is what judging one record costs, by the depth of the look: the id in front of the payload, the payload to its
// last byte, and the values that rules need.
func BenchmarkRecord(b *testing.B) {
	for _, t := range Types() {
		f, _ := Of(t)
		s, err := f.Parse(schema.Source{Text: orders[t]}, true)
		if err != nil {
			b.Fatal(err)
		}
		payload, err := s.FromJSON([]byte(orderText(t)), nil)
		if err != nil {
			b.Fatal(err)
		}
		framed := frame(payload, t)
		known := map[int]schema.Schema{7: s}
		run := func(look string, f func() error) {
			b.Run("format="+string(t)+"/look="+look, func(b *testing.B) {
				b.SetBytes(int64(len(framed)))
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("id", func() error { _, _, _, err := open(framed, known); return err })
		run("payload", func() error {
			s, at, payload, err := open(framed, known)
			if err != nil {
				return err
			}
			return s.Validate(payload, at)
		})
		run("values", func() error {
			s, at, payload, err := open(framed, known)
			if err != nil {
				return err
			}
			_, err = s.Decode(payload, at)
			return err
		})
	}
}
