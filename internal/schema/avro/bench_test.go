package avro

import (
	"testing"

	"github.com/twmb/avro"
)

// BenchmarkPayload measures a record of ten fields in about 90 bytes; lib is twmb/avro, decoding into the same plain values.
func BenchmarkPayload(b *testing.B) {
	text := `{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"customer","type":"string"},{"name":"note","type":["null","string"],"default":null},
		{"name":"amount","type":"double"},{"name":"paid","type":"boolean"},{"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","DONE"]}},
		{"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[{"name":"sku","type":"string"},{"name":"n","type":"int"}]}}},
		{"name":"labels","type":{"type":"map","values":"string"}},{"name":"at","type":"long"},{"name":"hash","type":{"type":"fixed","name":"Hash","size":16}}]}`
	s := mustParse(b, text)
	payload, err := s.FromJSON([]byte(`{"id":123456789,"customer":"c-000123","note":"leave it","amount":12.5,"paid":true,"state":"DONE","lines":[{"sku":"a-1","n":1},{"sku":"b-2","n":20}],
		"labels":{"region":"eu"},"at":1700000000000,"hash":"0123456789abcdef"}`), nil)
	if err != nil {
		b.Fatal(err)
	}
	value, err := s.Decode(payload, nil)
	if err != nil {
		b.Fatal(err)
	}
	lib := avro.MustParse(text)
	for name, run := range map[string]func() error{
		"Validate": func() error { return s.Validate(payload, nil) },
		"Decode":   func() error { _, err := s.Decode(payload, nil); return err },
		"Encode":   func() error { _, err := s.Encode(value, nil); return err },
		"ToJSON":   func() error { _, err := s.ToJSON(payload, nil); return err },
		"lib=Decode": func() error {
			var v any
			_, err := lib.Decode(payload, &v)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if err := run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
