package app_test

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/kafka/auditevent"
)

// auditEvents reads the audit topic until it holds n events, and verifies the chain.
func auditEvents(t *testing.T, addr string, n int) []auditevent.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(auditevent.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var v auditevent.Verifier
	var out []auditevent.Event
	for len(out) < n {
		f := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			for i := range out {
				t.Logf("%s %+v", out[i].Type, out[i].Data.Authentication)
			}
			t.Fatalf("got %d events, want %d", len(out), n)
		}
		f.EachRecord(func(r *kgo.Record) {
			e, err := v.Check(r.Value)
			if err != nil {
				t.Fatalf("event at offset %d: %v", r.Offset, err)
			}
			out = append(out, e)
		})
	}
	return out
}

func TestTheAuditLogOfAServerIsOneChainOverItsRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for run := range 3 {
		srv := mustStart(t, dir, "audit.enable=true", "authorizer.class.name=weir", "super.users=User:ANONYMOUS")
		addr := srv.Addresses()["kafka"]
		cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
		if err != nil {
			t.Fatal(err)
		}
		adm := kadm.NewClient(cl)
		if _, err := adm.CreateTopic(t.Context(), 1, -1, nil, "orders"); (err != nil) != (run > 0) {
			t.Errorf("create the topic: %v", err)
		}
		if _, err := adm.CreateACLs(t.Context(), kadm.NewACLs().Topics("orders").Allow("User:alice").AllowHosts("*").Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral)); err != nil {
			t.Error(err)
		}
		events := auditEvents(t, addr, 2*(run+1))
		if last := events[len(events)-1]; last.Data.MethodName != "kafka.CreateACLs" || !last.Data.Authorization.SuperUser {
			b, _ := json.Marshal(last)
			t.Errorf("the last event is %s", b)
		}
		created := events[len(events)-2].Data
		if want := (auditevent.Result{Status: auditevent.Success}); run == 0 && !reflect.DeepEqual(created.Result, &want) {
			t.Errorf("the result of %s is %+v", created.MethodName, created.Result)
		}
		if want := (auditevent.Result{Status: auditevent.Failure, Errors: []string{"TOPIC_ALREADY_EXISTS"}}); run > 0 && !reflect.DeepEqual(created.Result, &want) {
			t.Errorf("the result of %s again is %+v", created.MethodName, created.Result)
		}
		cl.ProduceSync(t.Context(), &kgo.Record{Topic: auditevent.Topic, Value: []byte("x")})
		if got := auditEvents(t, addr, 2*(run+1)); len(got) != 2*(run+1) {
			t.Errorf("a client could write into the audit log: %d events", len(got))
		}
		cl.Close()
		srv.end(t)
	}
}
