package rest_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-stream/weir/weirtest"
)

// Every request is judged by the cluster as that of its caller, and refusals have the codes of the proxy.
func TestTheClusterDecidesWhatACallerMay(t *testing.T) {
	t.Parallel()
	broker := weirtest.Start(t,
		weirtest.Setting("listeners", "SASL_PLAINTEXT://127.0.0.1:0"), weirtest.Setting("sasl.enabled.mechanisms", "PLAIN"),
		weirtest.Setting("listener.name.sasl_plaintext.plain.sasl.jaas.config", `org.apache.kafka.common.security.plain.PlainLoginModule required user_root="r" user_alice="a" user_bob="b";`),
		weirtest.Setting("authorizer.class.name", "weir"), weirtest.Setting("super.users", "User:root"), weirtest.Setting("connection.failed.authentication.delay.ms", "0"),
	)
	p := before(t, broker.Addr(), map[string]string{
		"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required username="root" password="r";`,
	}, nil)
	as := func(who, method, path, body string) string {
		t.Helper()
		headers := []string{"Content-Type", "application/json"}
		if strings.HasPrefix(path, "/topics") || strings.HasPrefix(path, "/consumers") {
			headers[1] = "application/vnd.kafka.json.v2+json"
		}
		if who != "" {
			headers = append(headers, "Authorization", basic(who))
		}
		status, _, answer := p.send(t, method, strings.ReplaceAll(path, "CLUSTER", p.cluster), body, headers...)
		return fmt.Sprintf("%d %s", status, answer)
	}
	const v3 = "/v3/clusters/CLUSTER"
	record := `{"records":[{"value":1}]}`
	for i, c := range []struct{ who, method, path, body, want string }{
		{"", "GET", "/topics", "", `401 {"error_code":40101`},
		{"alice:wrong", "GET", "/topics", "", `401 {"error_code":40101`},
		{"root:r", "POST", v3 + "/topics", `{"topic_name":"t","partitions_count":1}`, `201 `},
		{"root:r", "GET", "/topics", "", `200 ["t"]`},
		{"alice:a", "GET", "/topics", "", `200 []`},
		{"alice:a", "GET", v3 + "/topics/t", "", `403 {"error_code":40301`},
		{"alice:a", "POST", "/topics/t", record, `403 {"offsets":[{"partition":null,"offset":null,"error_code":40301`},
		{"alice:a", "POST", v3 + "/topics/t/records", `{"value":{"type":"JSON","data":1}}`, `200 {"error_code":40301`},
		{"alice:a", "GET", "/topics/t/stream", "", `403 {"error_code":40301`},
		{"alice:a", "POST", v3 + "/topics", `{"topic_name":"mine"}`, `403 {"error_code":40301`},
		{"alice:a", "DELETE", v3 + "/topics/t", "", `403 {"error_code":40301`},
		{"alice:a", "GET", v3 + "/acls", "", `403 {"error_code":40301`},
		{"alice:a", "GET", v3 + "/consumer-groups/g", "", `403 {"error_code":40301`},
		{"root:r", "POST", v3 + "/acls", `{"resource_type":"TOPIC","resource_name":"t","pattern_type":"LITERAL","principal":"User:alice","host":"*","operation":"WRITE","permission":"ALLOW"}`, `201 `},
		{"root:r", "GET", v3 + "/acls?principal=User:alice", "", `200 {"kind":"KafkaAclList"`},
		{"alice:a", "POST", "/topics/t", record, `200 {"offsets":[{"partition":0,"offset":0,`},
		{"alice:a", "GET", "/topics", "", `200 ["t"]`},
		{"bob:b", "POST", "/topics/t", record, `403 `},
		// Whoever may write may not read, by no way.
		{"alice:a", "GET", "/topics/t/stream?from=earliest&limit=1", "", `403 {"error_code":40301`},
		{"alice:a", "POST", "/consumers/g", `{"name":"i"}`, `200 `},
		{"bob:b", "DELETE", "/consumers/g/instances/i", "", `404 {"error_code":40403`},
		{"alice:a", "POST", "/consumers/g/instances/i/assignments", `{"partitions":[{"topic":"t","partition":0}]}`, `403 {"error_code":40301`},
		{"alice:a", "GET", "/topics/t/cloudevents/0/0", "", `403 {"error_code":40301`},
		{"root:r", "GET", "/topics/t/stream?from=earliest&limit=1", "", `200 retry`},
		{"root:r", "DELETE", v3 + "/acls?resource_type=TOPIC&resource_name=t&pattern_type=LITERAL&operation=WRITE&permission=ALLOW", "", `200 {"data":[{"kind":"KafkaAcl"`},
		{"alice:a", "POST", "/topics/t", record, `403 `},
	} {
		if got := as(c.who, c.method, c.path, c.body); !strings.HasPrefix(got, c.want) {
			t.Errorf("%d: %s %s %s: got %.300s, want %s", i, c.who, c.method, c.path, got, c.want)
		}
	}
}

func basic(credentials string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}
