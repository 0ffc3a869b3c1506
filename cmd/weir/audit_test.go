package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/kafka/auditevent"
	"github.com/weir-stream/weir/weirtest"
)

func TestTheAuditLogIsShownAndVerified(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t, weirtest.Setting("audit.enable", "true"), weirtest.Setting("authorizer.class.name", "weir"), weirtest.Setting("super.users", "User:ANONYMOUS"))
	command := func(line string) (string, int) {
		s, out, errOut := brokerSession(server, "")
		code := run(t.Context(), s, words(t, line))
		return out.String() + errOut.String(), code
	}
	if out, code := command("acl create --allow alice --operation read --topic orders"); code != exitDone {
		t.Fatal(out)
	}
	// The log is written beside the request.
	var verdict auditVerdict
	for deadline := time.Now().Add(time.Minute); verdict.Events < 1; {
		out, code := command("audit verify -o json")
		if code == exitDone {
			if err := json.Unmarshal([]byte(out), &verdict); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no event: %s", out)
		}
	}
	if out, code := command("audit tail -o table"); code != exitDone || !strings.Contains(out, "granted") || !strings.Contains(out, "CreateACLs ALTER CLUSTER:kafka-cluster") {
		t.Errorf("tail: %d: %s", code, out)
	}
	if out, code := command("audit verify --has " + verdict.LastHash); code != exitDone || !verdict.Whole {
		t.Errorf("verify: %d: %s", code, out)
	}
	if out, code := command("audit verify --has 00"); code != exitFailed || !strings.Contains(out, "is not in the log") {
		t.Errorf("verify with a hash that is gone: %d: %s", code, out)
	}
	out, _ := command("audit tail -n 1")
	if event := []byte(strings.TrimSpace(out)); auditevent.Hash(event) != verdict.LastHash {
		t.Errorf("in a pipe an event is not written as it is: %s", event)
	}
}

func TestAuditEventsAreALineForPeople(t *testing.T) {
	t.Parallel()
	yes := true
	for want, e := range map[string]auditevent.Event{
		"denied   User:bob  Produce WRITE TOPIC:orders  10.0.0.1": {Data: auditevent.Data{
			MethodName: "kafka.Produce", Authentication: &auditevent.Authentication{Principal: "User:bob"}, Client: &auditevent.Client{Address: "10.0.0.1"},
			Authorization: &auditevent.Authorization{Operation: "WRITE", ResourceType: "TOPIC", ResourceName: "orders"},
		}},
		"granted  User:bob  authenticated by PLAIN": {Data: auditevent.Data{Authentication: &auditevent.Authentication{Principal: "User:bob", Mechanism: "PLAIN", Granted: &yes}}},
	} {
		value, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := writeAuditLine(&out, value); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("got %q, %v, want %q", out.String(), err, want)
		}
	}
}
