package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
)

func authenticator(t *testing.T, events *[]Event, set ...string) *Authenticator {
	t.Helper()
	users, err := OpenUsers(t.Context(), meta.NewMem(nil), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob"} {
		if _, err := users.AddUser(t.Context(), name, name+"-secret"); err != nil {
			t.Fatal(err)
		}
	}
	values := bearerValues(t, append([]string{"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256", "delegation.token.secret.key=k"}, set...)...)
	a, err := NewAuthenticator(AuthenticatorOptions{
		Listener: "X", Values: values, Users: users, Passwords: NewPasswords(users), Tokens: NewTokens(users, values, time.Now, slog.New(slog.DiscardHandler)),
		Metrics: NewMetrics(nil), Logger: slog.New(slog.DiscardHandler), Now: time.Now, Observe: func(e Event) { *events = append(*events, e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// plain logs a user in by PLAIN, as the requests of a client do.
func plain(t *testing.T, s *Session, user, password string) (time.Duration, error) {
	t.Helper()
	if !s.TakesHandshake() {
		return 0, errors.New("no handshake now")
	}
	if err := s.Handshake(Plain, 1); err != nil {
		return 0, err
	}
	_, lifetime, err := s.Authenticate(t.Context(), []byte("\x00"+user+"\x00"+password))
	return lifetime, err
}

func TestSessionsEndUnlessTheClientLogsInAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var events []Event
		a := authenticator(t, &events, "listener.name.x.plain.connections.max.reauth.ms=60000")
		s := a.NewSession("peer", time.Now)
		if ready, _ := s.Ready(); ready || s.LoggedIn() {
			t.Error("ready before the login")
		}
		lifetime, err := plain(t, s, "alice", "alice-secret")
		if err != nil || lifetime != time.Minute || !s.LoggedIn() {
			t.Fatalf("got %v, %v", lifetime, err)
		}
		time.Sleep(50 * time.Second) //nolint:forbidigo // time in a bubble
		if _, err := plain(t, s, "alice", "alice-secret"); err != nil {
			t.Fatal(err)
		}
		if s.TakesHandshake() {
			t.Error("a login again within a second")
		}
		time.Sleep(59 * time.Second) //nolint:forbidigo // time in a bubble
		if ready, expired := s.Ready(); !ready || expired {
			t.Error("the session ended before its time")
		}
		time.Sleep(time.Second) //nolint:forbidigo // time in a bubble
		if ready, expired := s.Ready(); ready || !expired || !s.Refused() {
			t.Error("the session did not end")
		}
		if len(events) != 2 || !events[0].Success || events[0].Again || !events[1].Again {
			t.Errorf("events %+v", events)
		}
	})
}

func TestALoginAgainKeepsPrincipalAndMechanism(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(*testing.T, *Session) error{
		"principal": func(t *testing.T, s *Session) error { _, err := plain(t, s, "bob", "bob-secret"); return err },
		"password":  func(t *testing.T, s *Session) error { _, err := plain(t, s, "alice", "bob-secret"); return err },
		"mechanism": func(_ *testing.T, s *Session) error {
			if !s.TakesHandshake() {
				return nil
			}
			return s.Handshake("SCRAM-SHA-256", 1)
		},
	} {
		var events []Event
		s := authenticator(t, &events, "connections.max.reauth.ms=60000").NewSession("peer", time.Now)
		if _, err := plain(t, s, "alice", "alice-secret"); err != nil {
			t.Fatal(err)
		}
		if err := again(t, s); err == nil || !s.Refused() || len(events) != 2 || events[1].Success {
			t.Errorf("another %s: %v, events %+v", name, err, events)
		}
	}
}

func TestSessionsWithoutEndTakeNoSecondLogin(t *testing.T) {
	t.Parallel()
	var events []Event
	s := authenticator(t, &events).NewSession("peer", time.Now)
	if lifetime, err := plain(t, s, "alice", "alice-secret"); err != nil || lifetime != 0 {
		t.Fatalf("got %v, %v", lifetime, err)
	}
	if s.TakesHandshake() || s.AwaitsHandshake() {
		t.Error("a second login")
	}
}

func TestFailuresTellNothing(t *testing.T) {
	t.Parallel()
	var events []Event
	a := authenticator(t, &events)
	texts := map[string]bool{}
	for _, c := range [][2]string{{"alice", "wrong-pw"}, {"nobody", "wrong-pw"}} {
		s := a.NewSession("peer", time.Now)
		_, err := plain(t, s, c[0], c[1])
		f, ok := errors.AsType[*Failure](err)
		if !ok || !s.Refused() || s.LoggedIn() {
			t.Fatalf("%s: %v", c[0], err)
		}
		texts[f.Text] = true
		if _, _, err := s.Authenticate(t.Context(), []byte("\x00alice\x00alice-secret")); err == nil {
			t.Error("a refused session goes on")
		}
	}
	if len(texts) != 1 {
		t.Errorf("the answers differ: %v", texts)
	}
	s := a.NewSession("peer", time.Now)
	if _, _, err := s.Authenticate(t.Context(), []byte("\x00alice\x00alice-secret")); err == nil {
		t.Error("a token without a handshake")
	}
	s = a.NewSession("peer", time.Now)
	if s.TakesHandshake(); !errors.Is(s.Handshake("GSSAPI", 1), ErrMechanism) || !s.Refused() {
		t.Error("GSSAPI was accepted")
	}
	if strings.Contains(fmt.Sprintf("%+v", events), "wrong-pw") {
		t.Errorf("an event tells a password: %+v", events)
	}
}

func TestTokensEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var events []Event
		a := authenticator(t, &events)
		tokens := a.o.Tokens
		alice, bob := user("alice"), user("bob")
		k, err := tokens.Create(t.Context(), alice, alice, []Principal{bob}, 2*time.Hour)
		if err != nil || k.Expires.Sub(k.Issued) != 2*time.Hour {
			t.Fatalf("%+v, %v", k, err)
		}
		proof := tokens.HMAC(k.ID)
		if at, err := tokens.Renew(t.Context(), proof, bob, time.Hour); err != nil || at.Sub(k.Issued) != time.Hour {
			t.Errorf("renewed to %v, %v", at, err)
		}
		if at, err := tokens.Renew(t.Context(), proof, alice, 100*time.Hour); err != nil || !at.Equal(k.Latest) {
			t.Errorf("renewed to %v beyond the latest %v, %v", at, k.Latest, err)
		}
		if _, err := tokens.Renew(t.Context(), proof, user("carol"), time.Hour); !errors.Is(err, kafka.DelegationTokenOwnerMismatch) {
			t.Errorf("a stranger renews: %v", err)
		}
		if _, err := tokens.Renew(t.Context(), proof[1:], alice, time.Hour); !errors.Is(err, kafka.DelegationTokenNotFound) {
			t.Errorf("half a proof: %v", err)
		}
		log := client{m: ScramSHA256, password: base64.StdEncoding.EncodeToString(proof), user: k.ID, nonce: "n", gs2: "n,,", extensions: ",tokenauth=true"}
		x, err := a.newExchange("SCRAM-SHA-256", zeros{})
		if err != nil {
			t.Fatal(err)
		}
		id, err := log.run(t.Context(), x)
		if err != nil || id.Principal != alice || !id.Token || !id.Expires.Equal(k.Latest) {
			t.Errorf("%+v, %v", id, err)
		}
		log.extensions = ""
		if x, _ = a.newExchange("SCRAM-SHA-256", zeros{}); true {
			if id, err := log.run(t.Context(), x); err == nil {
				t.Errorf("a token logs in as a user: %+v", id)
			}
		}
		time.Sleep(2 * time.Hour) //nolint:forbidigo // time in a bubble
		log.extensions = ",tokenauth=true"
		x, _ = a.newExchange("SCRAM-SHA-256", zeros{})
		if id, err := log.run(t.Context(), x); err == nil {
			t.Errorf("an expired token logs in: %+v", id)
		}
		if err := tokens.sweep(t.Context()); err != nil || len(tokens.users.view.Load().tokens) != 0 {
			t.Errorf("the expired token stays: %v", err)
		}
		if _, err := NewTokens(tokens.users, bearerValues(t), time.Now, slog.New(slog.DiscardHandler)).Create(t.Context(), alice, alice, nil, 0); !errors.Is(err, kafka.DelegationTokenAuthDisabled) {
			t.Errorf("without a secret: %v", err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
