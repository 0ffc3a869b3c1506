package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

func binding(principal string, op Operation, name string) acl.Binding {
	return acl.Binding{Type: Topic, Pattern: acl.Literal, Name: name, Principal: principal, Host: "*", Operation: op, Permission: acl.Allow}
}

func open(t *testing.T, m meta.Store) *Authorizer {
	t.Helper()
	a, err := Open(t.Context(), Options{Meta: m})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newMeta(t *testing.T) meta.Store {
	t.Helper()
	m := meta.NewMem(nil)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (a *Authorizer) reads(who, topic string) bool {
	return a.Decide(acl.Request{Principal: Principal{Type: acl.UserType, Name: who}, Host: "10.0.0.1", Operation: Read, Type: Topic, Name: topic}).Allowed
}

func TestWhatIsCreatedDecidesAtOnceAndAfterARestart(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	a := open(t, m)
	out := a.Create(t.Context(), []acl.Binding{
		binding("User:alice", Read, "a"),
		{Type: Cluster, Pattern: acl.Literal, Name: "other", Principal: "User:alice", Host: "*", Operation: Alter, Permission: acl.Allow},
		binding("User:alice", Read, "b"), binding("alice", Read, "c"),
	})
	for i, want := range []error{nil, kafka.InvalidRequest, nil, kafka.InvalidRequest} {
		if !errors.Is(out[i], want) {
			t.Errorf("binding %d: got %v, want %v", i, out[i], want)
		}
	}
	for what, a := range map[string]*Authorizer{"at once": a, "after a restart": open(t, m)} {
		if !a.reads("alice", "a") || !a.reads("alice", "b") || a.reads("alice", "c") || a.reads("bob", "a") {
			t.Errorf("%s: wrong decisions of %v", what, a.Set().All())
		}
	}
	deleted, err := a.Delete(t.Context(), []acl.Filter{acl.AnyFilter(), {Type: Topic, Pattern: acl.Literal, Name: new("a"), Operation: AnyOperation, Permission: acl.AnyPermission}})
	if err != nil || len(deleted[0]) != 2 || len(deleted[1]) != 1 {
		t.Fatalf("got %v, %v", deleted, err)
	}
	for what, a := range map[string]*Authorizer{"at once": a, "after a restart": open(t, m)} {
		if a.reads("alice", "a") || len(a.Set().All()) != 0 {
			t.Errorf("%s: something is left: %v", what, a.Set().All())
		}
	}
}

func TestMoreBindingsThanATransactionTakesAreCreatedAndDeleted(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	a := open(t, m)
	var many []acl.Binding
	for i := range 3*bindingsPerTxn + 1 {
		many = append(many, binding("User:alice", Read, fmt.Sprint("t", i)))
	}
	many = append(many, many[0])
	for _, err := range a.Create(t.Context(), many) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := len(open(t, m).Set().All()); got != len(many)-1 {
		t.Fatalf("got %d bindings, want %d", got, len(many)-1)
	}
	if _, err := a.Delete(t.Context(), []acl.Filter{acl.AnyFilter()}); err != nil || len(open(t, m).Set().All()) != 0 {
		t.Fatalf("after the deletion: %v, %d bindings", err, len(open(t, m).Set().All()))
	}
}

func TestChangesOfAnotherBrokerDecideHereToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMeta(t)
		here, there := open(t, m), open(t, m)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- here.Run(ctx, func() {}) }()
		synctest.Wait()
		if out := there.Create(ctx, []acl.Binding{binding("User:alice", Read, "a")}); out[0] != nil {
			t.Fatal(out[0])
		}
		synctest.Wait()
		if !here.reads("alice", "a") {
			t.Error("the other broker's binding does not decide")
		}
		if _, err := there.Delete(ctx, []acl.Filter{acl.AnyFilter()}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if here.reads("alice", "a") {
			t.Error("the binding that the other broker deleted still decides")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAFailedWriteLeavesOldDecisionsAndIsMadeUpFor(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	broken := &failing{Store: m}
	a := open(t, broken)
	broken.fails = true
	if out := a.Create(t.Context(), []acl.Binding{binding("User:alice", Read, "a")}); out[0] == nil || a.reads("alice", "a") {
		t.Fatalf("got %v, and it decides: %v", out[0], a.reads("alice", "a"))
	}
	broken.fails = false
	// The write may have been made after all: the next change begins with a look.
	if out := open(t, m).Create(t.Context(), []acl.Binding{binding("User:alice", Read, "a")}); out[0] != nil {
		t.Fatal(out[0])
	}
	if out := a.Create(t.Context(), []acl.Binding{binding("User:alice", Read, "b")}); out[0] != nil || !a.reads("alice", "a") || !a.reads("alice", "b") {
		t.Errorf("got %v and %v", out[0], a.Set().All())
	}
}

// failing is a store whose transactions fail when they are told to.
type failing struct {
	meta.Store
	fails bool
}

func (f *failing) Txn(ctx context.Context, c []meta.Compare, ops []meta.Op) (meta.Result, error) {
	if f.fails {
		return meta.Result{}, errors.New("disk on fire")
	}
	return f.Store.Txn(ctx, c, ops)
}

func TestOnlyKnownAuthorizersAndPrincipalsAreTaken(t *testing.T) {
	t.Parallel()
	schema, err := config.NewSchema(Settings()...)
	if err != nil {
		t.Fatal(err)
	}
	for set, want := range map[string]bool{
		"authorizer.class.name=": true, "authorizer.class.name=weir": true, "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer": true,
		"authorizer.class.name=com.example.Mine": false, "super.users=User:a;User:CN=b,O=c": true, "super.users=alice": false, "super.users=;": true,
	} {
		v, err := schema.Load(config.Sources{Set: []string{set}})
		if (err == nil) != want {
			t.Errorf("%s: got %v", set, err)
		}
		if err != nil {
			continue
		}
		if _, _, err := RulesOf(v); err != nil {
			t.Errorf("%s: %v", set, err)
		}
	}
	v, err := schema.Load(config.Sources{Set: []string{"super.users=User:a; User:CN=b,O=c", "authorizer.class.name=weir", "allow.everyone.if.no.acl.found=true"}})
	if err != nil {
		t.Fatal(err)
	}
	rules, on, err := RulesOf(v)
	if err != nil || !on || !rules.AllowIfNone || !slices.Equal(rules.SuperUsers, []Principal{{Type: "User", Name: "a"}, {Type: "User", Name: "CN=b,O=c"}}) {
		t.Errorf("got %+v, %v, %v", rules, on, err)
	}
}

func TestBindingsSurviveEncoding(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := acl.Binding{
			Type: rapid.SampledFrom([]ResourceType{Topic, Group, TransactionalID, DelegationToken, User}).Draw(t, "type"), Pattern: rapid.SampledFrom([]acl.PatternType{acl.Literal, acl.Prefixed}).Draw(t, "pattern"),
			Name: rapid.StringN(1, -1, maxNameBytes).Draw(t, "name"), Principal: "User:" + rapid.StringN(0, -1, 100).Draw(t, "principal"), Host: rapid.StringN(0, -1, maxHostBytes).Draw(t, "host"),
			Operation: Operation(rapid.IntRange(int(All), int(TwoPhaseCommit)).Draw(t, "op")), Permission: rapid.SampledFrom([]acl.Permission{acl.Allow, acl.Deny}).Draw(t, "permission"),
		}
		key, value := encodeBinding(want)
		got, err := DecodeBinding(value)
		if err != nil || got != want || !IsBindingKey(key) {
			t.Fatalf("%s: got %+v, %v, want %+v", key, got, err, want)
		}
		value[rapid.IntRange(0, len(value)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if got, err := DecodeBinding(value); err == nil {
			t.Fatalf("damage passed as %+v", got)
		}
	})
}

// FuzzBinding: no stored bytes make the decoder fall over, and what it accepts encodes to the same value.
func FuzzBinding(f *testing.F) {
	_, value := encodeBinding(binding("User:alice", Read, "orders"))
	f.Add(value)
	f.Add(value[:len(value)-1])
	f.Add([]byte{bindingVersion, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := DecodeBinding(in)
		if err != nil {
			return
		}
		// Lengths may be written in more bytes than they need, so the bytes are not compared but what they mean.
		_, value := encodeBinding(b)
		if again, err := DecodeBinding(value); err != nil || again != b || (len(value) == len(in) && !bytes.Equal(value, in)) {
			t.Fatalf("got %+v, %v, want %+v", again, err, b)
		}
	})
}
