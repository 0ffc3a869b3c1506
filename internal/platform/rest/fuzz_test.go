package rest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest/embedded"
)

// isRefusal says whether an error is one that the client is told of, and not a failure of ours.
func isRefusal(err error) bool {
	e, ok := errors.AsType[*gate.Error](err)
	return ok && e.Status >= 400 && e.Status < 500
}

func FuzzProduceV2(f *testing.F) {
	for _, seed := range []string{`{"records":[{"key":"a2V5","value":"dmFsdWU=","partition":1}]}`, `{"records":[{"value":{"a":[1,null]}}],"value_schema_id":1}`, `{"records":null}`, `[]`, ``, `{"records":[{"partition":99999999999}]}`} {
		f.Add([]byte(seed))
	}
	codec := embedded.New(embedded.Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := decodeV2Produce(body, 10)
		if err != nil {
			if !isRefusal(err) {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		if len(in.Records) == 0 || len(in.Records) > 10 {
			t.Fatalf("%d records", len(in.Records))
		}
		for _, r := range in.Records {
			for _, format := range []embedded.Format{embedded.Binary, embedded.JSON, embedded.String} {
				b, err := codec.Encode(format, nil, false, r.Value)
				if err != nil {
					continue
				}
				// What was taken comes back.
				shown, _, err := codec.Decode(t.Context(), format, nil, b)
				if err != nil {
					t.Fatalf("%s: %s became %x, which is not: %v", format, r.Value, b, err)
				}
				again, err := codec.Encode(format, nil, false, shown)
				if err != nil || !bytes.Equal(again, b) && format != embedded.String {
					t.Fatalf("%s: %s became %x, then %s, then %x, %v", format, r.Value, b, shown, again, err)
				}
			}
		}
	})
}

func FuzzProduceV3(f *testing.F) {
	f.Add([]byte(`{"value":{"type":"JSON","data":1}} {"partition_id":1}`))
	f.Add([]byte(`{"headers":[{"name":"n","value":"AA=="}],"timestamp":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`[{}]`))
	f.Add([]byte(`{"entries":[{"id":"1","value":{}}]}`))
	s := &Server{codec: embedded.New(embedded.Options{})}
	f.Fuzz(func(t *testing.T, body []byte) {
		in := newValues(bytes.NewReader(body), 1<<10)
		for {
			value, err := in.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				if !isRefusal(valueError(err)) {
					t.Fatalf("%v is no refusal", err)
				}
				break
			}
			if len(value) > 1<<10+512 {
				t.Fatalf("a value has %d bytes", len(value))
			}
			var p ProduceRequest
			if err := decodeJSON(value, &p); err != nil {
				if !isRefusal(err) {
					t.Fatalf("%v is no refusal", err)
				}
				continue
			}
			if _, err := s.prepare(t.Context(), "t", &p); err != nil {
				if e := Translate(err); e == nil || e.Status >= 500 {
					t.Fatalf("%v becomes %v", err, e)
				}
			}
		}
		if _, _, err := decodeBatch(body, 10); err != nil && !isRefusal(err) {
			t.Fatalf("%v is no refusal", err)
		}
	})
}

func FuzzEventID(f *testing.F) {
	for _, seed := range []string{"0:1", "0:1,1:-1,7:9223372036854775806", ":", "0:1,", "a:b", "0:-2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		next, err := parseEventID(id)
		if err != nil || len(next) == 0 {
			return
		}
		p := newPositions(next)
		again, err := parseEventID(string(p.append(nil)))
		if err != nil || len(again) != len(next) {
			t.Fatalf("%q: %v becomes %v, %v", id, next, again, err)
		}
		for n, at := range next {
			if at < 0 || again[n] != at {
				t.Fatalf("%q: partition %d at %d, then %d", id, n, at, again[n])
			}
		}
	})
}

func FuzzCloudEvents(f *testing.F) {
	f.Add("application/cloudevents+json", []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1},"n":1}`))
	f.Add("application/cloudevents-batch+json", []byte(`[{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"AA=="}]`))
	f.Add("text/plain", []byte(`x`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		r := &http.Request{Header: http.Header{"Content-Type": {contentType}, "Ce-Id": {"1"}, "Ce-Specversion": {"1.0"}, "Ce-Source": {"s"}, "Ce-Type": {"%20"}}}
		events, _, err := eventsIn(r, body, 10)
		if err != nil {
			if !isRefusal(err) {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		for _, e := range events {
			for _, structured := range []bool{true, false} {
				record := e.record("t", structured)
				got := eventOfRecord(&kgo.Record{Topic: "t", Value: record.Value, Headers: record.Headers})
				for name, v := range e.attributes {
					if got.attributes[name] != v {
						t.Fatalf("structured %v: attribute %s is %q, was %q", structured, name, got.attributes[name], v)
					}
				}
			}
		}
	})
}
