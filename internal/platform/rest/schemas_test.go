package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/weir-stream/weir/internal/platform/rest"
	"github.com/weir-stream/weir/internal/platform/rest/embedded"
	"github.com/weir-stream/weir/internal/schema/formats"
	"github.com/weir-stream/weir/weirtest"
)

// withRegistry runs a proxy with a registry.
func withRegistry(t *testing.T, opts ...weirtest.Option) *proxy {
	t.Helper()
	registry := srfake.New()
	t.Cleanup(registry.Close)
	return start(t, func(o *rest.Options) {
		o.Formats = formats.Of
		o.Registry = &embedded.HTTP{URL: registry.URL(), Client: http.DefaultClient}
	}, opts...)
}

const (
	avroSchema  = `{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"int"},{"name":"b","type":["null","string"],"default":null}]}`
	protoSchema = `syntax = "proto3"; message M { int32 a = 1; string b = 2; }`
)

func quoted(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Records that are written by a schema come back as they went in, from v2's consumers and from streams.
func TestRecordsWithSchemasComeBackAsTheyWentIn(t *testing.T) {
	t.Parallel()
	for format, c := range map[string]struct{ schema, value, want, wrong string }{
		"avro":     {avroSchema, `{"a":1,"b":{"string":"x"}}`, `{"a":1,"b":{"string":"x"}}`, `{"a":"x"}`},
		"protobuf": {protoSchema, `{"a":1,"b":"x"}`, `{"a":1,"b":"x"}`, `{"a":"x"}`},
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			if _, ok := formats.Of(map[string]embedded.Format{"avro": embedded.Avro, "protobuf": embedded.Protobuf}[format].Type()); !ok {
				t.Fatalf("no format %s", format)
			}
			p := withRegistry(t, weirtest.Topic("t", 1))
			contentType := "application/vnd.kafka." + format + ".v2+json"
			produce := func(body string) (int, string) {
				status, _, answer := p.send(t, "POST", "/topics/t", body, "Content-Type", contentType)
				return status, answer
			}
			status, answer := produce(`{"value_schema":` + quoted(t, c.schema) + `,"records":[{"value":` + c.value + `},{"value":null}]}`)
			var said rest.V2Produced
			if err := json.Unmarshal([]byte(answer), &said); err != nil || status != 200 || said.ValueSchemaID == nil || len(said.Offsets) != 2 {
				t.Fatalf("%d %s", status, answer)
			}
			// By id, and in v3 by id, by version and by the latest.
			if status, answer = produce(fmt.Sprintf(`{"value_schema_id":%d,"records":[{"value":%s}]}`, *said.ValueSchemaID, c.value)); status != 200 {
				t.Fatalf("by id: %d %s", status, answer)
			}
			for _, how := range []string{fmt.Sprintf(`"schema_id":%d,`, *said.ValueSchemaID), `"schema_version":1,`, ``, `"subject":"t-value",`} {
				_, _, answer := p.send(t, "POST", "/v3/clusters/"+p.cluster+"/topics/t/records", `{"value":{`+how+`"data":`+c.value+`}}`, "Content-Type", "application/json")
				if !strings.Contains(answer, `"error_code":200`) || !strings.Contains(answer, `"type":"`+strings.ToUpper(format)+`"`) || !strings.Contains(answer, `"subject":"t-value"`) {
					t.Errorf("v3 %s: %s", how, answer)
				}
			}
			for name, body := range map[string]string{
				`422 {"error_code":42203`:  fmt.Sprintf(`{"value_schema_id":%d,"records":[{"value":%s}]}`, *said.ValueSchemaID, c.wrong),
				`422 {"error_code":42207`:  `{"value_schema_id":999,"records":[{"value":1}]}`,
				`422 {"error_code":42205`:  `{"value_schema":"{{","records":[{"value":1}]}`,
				`422 {"error_code":42202,`: `{"records":[{"value":1}]}`,
			} {
				if status, answer := produce(body); !strings.HasPrefix(fmt.Sprintf("%d %s", status, answer), name) {
					t.Errorf("%s: %d %s, want %s", body, status, answer, name)
				}
			}
			p.send(t, "POST", "/consumers/g", `{"name":"i","format":"`+format+`","auto.offset.reset":"earliest"}`, "Content-Type", "application/vnd.kafka.v2+json")
			p.send(t, "POST", "/consumers/g/instances/i/assignments", `{"partitions":[{"topic":"t","partition":0}]}`, "Content-Type", "application/vnd.kafka.v2+json")
			status, _, answer = p.send(t, "GET", "/consumers/g/instances/i/records?timeout=10000", "", "Accept", contentType)
			if status != 200 || !strings.HasPrefix(answer, `[{"topic":"t","key":null,"value":`+c.want+`,"partition":0,"offset":0},{"topic":"t","key":null,"value":null,`) {
				t.Errorf("consumed: %d %s", status, answer)
			}
			s := p.follow(t, "/topics/t/stream?from=earliest")
			if r := s.record(); string(r.Value) != c.want || r.ValueFormat != format {
				t.Errorf("streamed: %s (%s)", r.Value, r.ValueFormat)
			}
		})
	}
}

// What is no payload of a schema is the writer's doing: a consumer is told where it is, a stream shows it as it is.
func TestRecordsWithoutASchemaAreSaidToHaveNone(t *testing.T) {
	t.Parallel()
	p := withRegistry(t, weirtest.Topic("t", 1))
	p.produce(t, "t", 0, 1)
	p.send(t, "POST", "/consumers/g", `{"name":"i","format":"avro","auto.offset.reset":"earliest"}`, "Content-Type", "application/vnd.kafka.v2+json")
	p.send(t, "POST", "/consumers/g/instances/i/assignments", `{"partitions":[{"topic":"t","partition":0}]}`, "Content-Type", "application/vnd.kafka.v2+json")
	status, _, answer := p.send(t, "GET", "/consumers/g/instances/i/records?timeout=10000", "")
	if status != 422 || !strings.Contains(answer, `"error_code":42207`) || !strings.Contains(answer, "t-0 at offset 0") {
		t.Errorf("%d %s", status, answer)
	}
	if r := p.follow(t, "/topics/t/stream?from=earliest&value_format=avro").record(); string(r.Value) != `"eyJuIjowfQ=="` || r.ValueFormat != "binary" {
		t.Errorf("streamed: %s (%s)", r.Value, r.ValueFormat)
	}
}
