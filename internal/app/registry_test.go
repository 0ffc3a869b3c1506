package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/weir-stream/weir/internal/app"
)

// ask makes a request of the registry, as user:password if that is not empty.
func (s *server) ask(t *testing.T, login, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addresses()["registry"]+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
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

func register(t *testing.T, s *server, login, subject, text string) (status, id int) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"schema": text})
	if err != nil {
		t.Fatal(err)
	}
	status, answer := s.ask(t, login, "POST", "/subjects/"+subject+"/versions", string(body))
	var out struct{ ID int }
	if err := json.Unmarshal([]byte(answer), &out); err != nil {
		t.Fatal(err)
	}
	return status, out.ID
}

func TestRegistryKeepsSchemasOverAStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustStart(t, dir)
	topics, err := kadm.NewClient(s.client(t)).ListTopicsWithInternal(t.Context())
	if err != nil || topics.Has("_schemas") {
		t.Errorf("a registry that nobody writes to has a topic: %v, %v", topics.Names(), err)
	}
	for i := range 5 {
		if status, id := register(t, s, "", "s", fmt.Sprintf(`{"type":"record","name":"R%d","fields":[{"name":"x","type":"int"}]}`, i)); i == 0 && (status != 200 || id != 1) {
			t.Errorf("got %d, id %d", status, id)
		}
		if status, id := register(t, s, "", fmt.Sprintf("t%d", i), fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, i+1)); status != 200 || id != i+2 {
			t.Errorf("got %d, id %d", status, id)
		}
	}
	s.end(t)
	s = mustStart(t, dir)
	if status, body := s.ask(t, "", "GET", "/subjects", ""); status != 200 || body != `["s","t0","t1","t2","t3","t4"]` {
		t.Errorf("got %d %s", status, body)
	}
	if status, id := register(t, s, "", "u", `"string"`); status != 200 || id != 7 {
		t.Errorf("after a start: got %d, id %d, want 7", status, id)
	}
	if took := s.end(t); took > stopLimit {
		t.Errorf("the stop took %s", took)
	}
}

// locked starts a server whose clients log in, with alice, who may everything, and bob.
func locked(t *testing.T) *server {
	t.Helper()
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("alice:secret\nbob:secret2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return mustStart(t, t.TempDir(), "listeners=SASL_PLAINTEXT://127.0.0.1:0", "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256", "bootstrap.users.file="+users,
		"authorizer.class.name=weir", "super.users=User:alice", "registry.listen=127.0.0.1:0")
}

func TestRegistryIsAsLockedAsTheBroker(t *testing.T) {
	t.Parallel()
	s := locked(t)
	for login, want := range map[string]int{"": 401, "alice:wrong": 401, "nobody:secret": 401, "bob:secret2": 403, "alice:secret": 200} {
		if status, _ := register(t, s, login, "orders-value", `"int"`); status != want {
			t.Errorf("%q: got %d, want %d", login, status, want)
		}
	}
	alice := s.client(t, kgo.SASL(plain.Auth{User: "alice", Pass: "secret"}.AsMechanism()))
	req := kmsg.NewPtrCreateACLsRequest()
	c := kmsg.NewCreateACLsRequestCreation()
	c.ResourceType, c.ResourceName, c.ResourcePatternType = 101, "orders-", kmsg.ACLResourcePatternTypePrefixed
	c.Principal, c.Host, c.Operation, c.PermissionType = "User:bob", "*", kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow
	req.Creations = append(req.Creations, c)
	res, err := req.RequestWith(t.Context(), alice)
	if err != nil || len(res.Results) != 1 || res.Results[0].ErrorCode != 0 {
		t.Fatalf("create the entry: %+v, %v", res, err)
	}
	if status, body := s.ask(t, "bob:secret2", "GET", "/subjects/orders-value/versions/1/schema", ""); status != 200 || body != `"int"` {
		t.Errorf("bob reads %d %s", status, body)
	}
	if status, _ := register(t, s, "bob:secret2", "orders-value", `"long"`); status != 403 {
		t.Errorf("bob writes: %d", status)
	}
	// Programs that ask for all entries do not know the kind.
	for kind, want := range map[kmsg.ACLResourceType]int{kmsg.ACLResourceTypeAny: 0, 101: 1} {
		req := kmsg.NewPtrDescribeACLsRequest()
		req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = kind, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		res, err := req.RequestWith(t.Context(), alice)
		if err != nil || len(res.Resources) != want {
			t.Errorf("kind %d: got %+v, %v, want %d", kind, res, err, want)
		}
	}
}

func TestRegistryRunsAloneOnAnotherCluster(t *testing.T) {
	t.Parallel()
	s := locked(t)
	properties := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(properties, []byte("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.username=alice\nsasl.password=secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	alone := mustStart(t, t.TempDir(), "roles=registry", "bootstrap.servers="+s.Addresses()["kafka"], "client.properties.file="+properties)
	if _, ok := alone.Addresses()["kafka"]; ok {
		t.Error("a process without a broker has an address for Kafka")
	}
	for login, want := range map[string]int{"": 401, "alice:wrong": 401, "bob:secret2": 403, "alice:secret": 200} {
		if status, _ := register(t, alone, login, "a", `"int"`); status != want {
			t.Errorf("%q: got %d, want %d", login, status, want)
		}
	}
	// Both instances write to one topic, in turns.
	for i := range 6 {
		on := []*server{s, alone}[i%2]
		if status, id := register(t, on, "alice:secret", fmt.Sprintf("s%d", i), fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, i+1)); status != 200 || id != i+2 {
			t.Errorf("round %d: got %d, id %d", i, status, id)
		}
	}
	if status, body := alone.ask(t, "alice:secret", "GET", "/schemas/ids/6/subjects", ""); status != 200 || body != `["s4"]` {
		t.Errorf("the other instance's schema: %d %s", status, body)
	}
}

// TestClientsActAsTheCaller asks the bridge's clients what the broker takes them for.
func TestClientsActAsTheCaller(t *testing.T) {
	t.Parallel()
	s := locked(t)
	for name, may := range map[string]bool{"alice": true, "bob": false} {
		ctx, cancel := context.WithCancel(t.Context())
		client, err := app.ClientOf(ctx, s.App, name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, "t-"+name)
		if (err == nil) != may {
			t.Errorf("%s creates a topic: %v", name, err)
		}
		cancel()
	}
}
