package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// rest makes a request of the proxy, as user:password if that is not empty.
func (s *server) rest(t *testing.T, login, method, path, contentType, accept, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addresses()["rest"]+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if user, password, ok := strings.Cut(login, ":"); ok {
		req.SetBasicAuth(user, password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

const (
	avroType     = "application/vnd.kafka.avro.v2+json"
	v2Type       = "application/vnd.kafka.v2+json"
	avroProduced = `{"value_schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"n\",\"type\":\"int\"}]}","records":[{"value":{"n":7}}]}`
)

// TestProxyAndRegistryWorkTogether writes by schema and reads in each of the ways that there are, on one server with all roles.
func TestProxyAndRegistryWorkTogether(t *testing.T) {
	t.Parallel()
	s := mustStart(t, t.TempDir(), "group.initial.rebalance.delay.ms=0")
	expect := func(method, path, contentType, accept, body string, status int, part string) {
		t.Helper()
		if got, text := s.rest(t, "", method, path, contentType, accept, body); got != status || !strings.Contains(text, part) {
			t.Errorf("%s %s: got %d %s, want %d with %s", method, path, got, text, status, part)
		}
	}
	expect("POST", "/topics/orders", avroType, "", avroProduced, 200, `"value_schema_id":1`)
	if status, text := s.ask(t, "", "GET", "/subjects/orders-value/versions/1", ""); status != 200 || !strings.Contains(text, `"id":1`) {
		t.Errorf("the schema that the proxy registered: %d %s", status, text)
	}
	expect("GET", "/topics/orders/stream?from=earliest&limit=1", "", "application/x-ndjson", "", 200, `"value":{"n":7}`)
	expect("POST", "/consumers/g", v2Type, "", `{"name":"one","format":"avro","auto.offset.reset":"earliest"}`, 200, `"instance_id":"one"`)
	expect("POST", "/consumers/g/instances/one/subscription", v2Type, "", `{"topics":["orders"]}`, 204, "")
	expect("GET", "/consumers/g/instances/one/records?timeout=20000", "", avroType, "", 200, `"value":{"n":7}`)
	// A schema that a header names by its GUID is found, too.
	var version struct{ GUID string }
	_, text := s.ask(t, "", "GET", "/subjects/orders-value/versions/1", "")
	if err := json.Unmarshal([]byte(text), &version); err != nil {
		t.Fatal(err)
	}
	guid, err := wireformat.ParseGUID(version.GUID)
	if err != nil {
		t.Fatal(err)
	}
	headers := []kgo.RecordHeader{{Key: wireformat.ValueHeader, Value: append([]byte{1}, guid[:]...)}}
	if err := s.client(t).ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte{16}, Headers: headers}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	expect("GET", "/consumers/g/instances/one/records?timeout=20000", "", avroType, "", 200, `"value":{"n":8}`)
	expect("GET", "/topics/orders/stream?from=earliest&limit=2", "", "application/x-ndjson", "", 200, `"value":{"n":8}`)
	expect("DELETE", "/consumers/g/instances/one", "", "", "", 204, "")
	for name, address := range map[string]string{"registry": s.Addresses()["registry"], "rest": s.Addresses()["rest"]} {
		if status, text := get(t, "http://"+address+"/openapi.json"); status != 200 || !strings.Contains(text, `"openapi":"3.1.0"`) {
			t.Errorf("the document of the %s: %d", name, status)
		}
	}
	_, scrape := get(t, "http://"+s.Addresses()["admin"]+"/metrics")
	for _, line := range []string{
		`weir_http_requests_total{route="registerSchema",service="registry",status="200"} 1`, `weir_rest_records_produced_total{by="v2"} 1`, `weir_rest_records_failed_total{by="v2"} 0`,
		`weir_rest_records_delivered_total{by="consumer"} 2`, `weir_rest_records_delivered_total{by="stream"} 3`, `weir_rest_consumers 0`,
	} {
		if !strings.Contains(scrape, "\n"+line+"\n") {
			t.Errorf("no metric %s", line)
		}
	}
}

// TestProxyRunsAloneOnAnotherCluster has callers pass through a proxy that has no broker: the cluster decides who they are and what they may.
func TestProxyRunsAloneOnAnotherCluster(t *testing.T) {
	t.Parallel()
	s := locked(t)
	if _, err := kadm.NewClient(s.client(t, kgo.SASL(plain.Auth{User: "alice", Pass: "secret"}.AsMechanism()))).CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	properties := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(properties, []byte("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.username=alice\nsasl.password=secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	alone := mustStart(t, t.TempDir(), "roles=rest", "bootstrap.servers="+s.Addresses()["kafka"], "client.properties.file="+properties,
		"schema.registry.url=http://"+s.Addresses()["registry"], "schema.registry.basic.auth.user.info=alice:secret")
	for login, want := range map[string]int{"": 401, "alice:wrong": 401, "nobody:secret": 401, "bob:secret2": 403, "alice:secret": 200} {
		if status, text := alone.rest(t, login, "POST", "/topics/orders", recordsType, "", oneRecord); status != want {
			t.Errorf("%q: got %d %s, want %d", login, status, text, want)
		}
	}
	if status, text := alone.rest(t, "alice:secret", "POST", "/topics/orders", avroType, "", avroProduced); status != 200 || !strings.Contains(text, `"value_schema_id":1`) {
		t.Errorf("by a schema of the other process: %d %s", status, text)
	}
	if status, text := alone.rest(t, "alice:secret", "GET", "/topics/orders/stream?from=earliest&limit=2", "", "application/x-ndjson", ""); status != 200 || !strings.Contains(text, `"value":{"n":7}`) {
		t.Errorf("a stream: %d %s", status, text)
	}
}
