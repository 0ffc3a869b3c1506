package auth

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

// broker is what one of two brokers has of a shared store, which it reaches by a Fault of its own.
type broker struct {
	store  *meta.Fault
	users  *Users
	tokens *Tokens
	access *Authorizer
}

// newBrokers returns two brokers that follow the same store. It needs a synctest bubble.
func newBrokers(t *testing.T) (a, b *broker) {
	t.Helper()
	m := newMeta(t)
	values := bearerValues(t, "delegation.token.secret.key=k")
	start := func() *broker {
		x := &broker{store: meta.NewFault(m, nil)}
		var err error
		if x.users, err = OpenUsers(t.Context(), x.store, nil, nil); err != nil {
			t.Fatal(err)
		}
		x.tokens = NewTokens(x.users, values, time.Now, slog.New(slog.DiscardHandler))
		x.access = open(t, x.store)
		for _, run := range []func(context.Context, func()) error{x.users.Run, x.access.Run} {
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- run(ctx, func() {}) }()
			t.Cleanup(func() {
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		}
		return x
	}
	a, b = start(), start()
	synctest.Wait()
	return a, b
}

func TestCredentialsAndTokensOfAnotherBrokerAreKnownHere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newBrokers(t)
		if _, err := a.users.AddUser(t.Context(), "alice", "secret"); err != nil {
			t.Fatal(err)
		}
		alice := Principal{Type: acl.UserType, Name: "alice"}
		token, err := a.tokens.Create(t.Context(), alice, alice, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(b.users.Credentials("alice")) != 2 {
			t.Error("the credential is not known")
		}
		if got := b.tokens.List(func(Token) bool { return true }); len(got) != 1 || got[0].ID != token.ID {
			t.Errorf("tokens %+v", got)
		}
		if err := a.users.ChangeCredential(t.Context(), CredentialChange{User: "alice", Mechanism: ScramSHA256, Delete: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.tokens.Expire(t.Context(), a.tokens.HMAC(token.ID), alice, -1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(b.users.Credentials("alice")) != 1 || len(b.tokens.List(func(Token) bool { return true })) != 0 {
			t.Error("what was deleted is still known")
		}
	})
}

func TestATokenThatAnotherBrokerChangedIsChangedAsItIs(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	values := bearerValues(t, "delegation.token.secret.key=k")
	now := time.Now()
	open := func() *Tokens { // it does not follow, as if the other's changes were still on their way
		u, err := OpenUsers(t.Context(), m, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return NewTokens(u, values, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	}
	alice := Principal{Type: acl.UserType, Name: "alice"}
	a := open()
	token, err := a.Create(t.Context(), alice, alice, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := open()
	if _, err := a.Expire(t.Context(), a.HMAC(token.ID), alice, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Renew(t.Context(), b.HMAC(token.ID), alice, -1); !errors.Is(err, kafka.DelegationTokenNotFound) {
		t.Errorf("a token that has ended is renewed: %v", err)
	}
	if token, err = a.Create(t.Context(), alice, alice, nil, 0); err != nil {
		t.Fatal(err)
	}
	b = open()
	now = token.Expires.Add(-time.Second)
	if _, err := a.Renew(t.Context(), a.HMAC(token.ID), alice, -1); err != nil {
		t.Fatal(err)
	}
	now = token.Expires.Add(time.Second)
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := open().List(func(Token) bool { return true }); len(got) != 1 {
		t.Error("a token that was just renewed is swept away by a broker that has not heard of it")
	}
}

func TestBrokersFollowAgainAfterTheStoreWasAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newBrokers(t)
		away := errors.New("away")
		b.store.Inject(meta.FailFrom(1, away))
		if out := a.access.Create(t.Context(), []acl.Binding{binding("User:alice", Read, "a")}); out[0] != nil {
			t.Fatal(out[0])
		}
		if _, err := a.users.AddUser(t.Context(), "alice", "secret"); err != nil {
			t.Fatal(err)
		}
		<-time.After(30 * time.Second)
		b.store.Inject(nil)
		<-time.After(5 * time.Second)
		synctest.Wait()
		if !b.access.reads("alice", "a") || len(b.users.Credentials("alice")) != 2 {
			t.Error("changes that were made meanwhile are not known")
		}
	})
}

func TestABindingIsWrittenAlsoWhereItSeemsToBeThere(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	alice := []acl.Binding{binding("User:alice", Read, "a")}
	a := open(t, m)
	if out := a.Create(t.Context(), alice); out[0] != nil {
		t.Fatal(out[0])
	}
	b := open(t, m) // it does not follow
	if _, err := a.Delete(t.Context(), []acl.Filter{acl.AnyFilter()}); err != nil {
		t.Fatal(err)
	}
	if out := b.Create(t.Context(), alice); out[0] != nil || len(open(t, m).Set().All()) != 1 {
		t.Errorf("%v, and the store has %v", out, open(t, m).Set().All())
	}
}
