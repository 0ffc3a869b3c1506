package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/weir-stream/weir/internal/base/secret"
)

// The mechanisms that a listener can offer.
const (
	Plain       = "PLAIN"
	OAuthBearer = "OAUTHBEARER"
	gssapi      = "GSSAPI"
)

// Mechanisms are the names of all of them.
func Mechanisms() []string {
	return []string{Plain, ScramSHA256.String(), ScramSHA512.String(), OAuthBearer}
}

// Identity is who has logged in.
type Identity struct {
	Principal Principal
	// Token: with a delegation token. Such a client can ask for no others.
	Token bool
	// Expires is when what was shown loses its force; zero: never.
	Expires time.Time
	// Host, if not empty, is the address of the client that a broker, or a service beside it, speaks for.
	Host string
}

// exchange is the server's side of one login.
type exchange interface {
	// Next takes what the client sent and returns what to answer, and who the client is once that is proved. An error ends the
	// login; it says why, for the log. If it is a *Failure, its text is for the client as well.
	Next(ctx context.Context, message []byte) (reply []byte, done *Identity, err error)
	// User is the name that the client gave, for the log; "" before it gave one.
	User() string
}

// Failure is a failed login whose reason the client may know. Cause, for the log, holds nothing secret either.
type Failure struct {
	Text  string
	Cause error
}

// Error is the cause.
func (f *Failure) Error() string { return f.Cause.Error() }

// Unwrap is the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// plainExchange is RFC 4616: one message, authzid NUL user NUL password.
type plainExchange struct {
	check func(ctx context.Context, user, password string) (bool, error)
	user  string
	over  bool
}

// maxPlainBytes bounds name and password together.
const maxPlainBytes = 8 << 10

func (x *plainExchange) User() string { return x.user }

func (x *plainExchange) Next(ctx context.Context, message []byte) ([]byte, *Identity, error) {
	if x.over {
		return nil, nil, errors.New("the exchange has ended")
	}
	x.over = true
	parts := bytes.Split(message, []byte{0})
	if len(message) > maxPlainBytes || len(parts) != 3 || !utf8.Valid(message) {
		return nil, nil, &Failure{Text: "Authentication failed: Invalid SASL/PLAIN response", Cause: errors.New("the message is not of the form of RFC 4616")}
	}
	authzid, user, password := string(parts[0]), string(parts[1]), string(parts[2])
	x.user = user
	switch {
	case user == "":
		return nil, nil, &Failure{Text: "Authentication failed: username not specified", Cause: errors.New("no user name")}
	case password == "":
		return nil, nil, &Failure{Text: "Authentication failed: password not specified", Cause: errors.New("no password")}
	}
	ok, err := x.check(ctx, user, password)
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		return nil, nil, &Failure{Text: "Authentication failed: Invalid username or password", Cause: errors.New("wrong password, or no such user")}
	}
	if authzid != "" && authzid != user {
		return nil, nil, &Failure{Text: "Authentication failed: Client requested an authorization id that is different from username", Cause: errors.New("another authorization id")}
	}
	return nil, &Identity{Principal: Principal{Type: "User", Name: user}}, nil
}

// Passwords checks passwords against the stored credentials, with as much work for a user who does not exist as for one who
// does. Salting a password is work by design, so only as many are salted at once as leave processors for others, and
// a password that was right is remembered, as its keyed hash, until its credential changes.
type Passwords struct {
	users *Users
	key   [32]byte
	turns chan struct{}

	mu    sync.Mutex
	right map[string]rightPassword // by user
}

type rightPassword struct {
	credential Credential
	digest     []byte
}

// maxRemembered bounds the passwords that are remembered.
const maxRemembered = 10_000

// NewPasswords returns a checker of the passwords of users.
func NewPasswords(users *Users) *Passwords {
	p := &Passwords{users: users, turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), right: map[string]rightPassword{}}
	rand.Read(p.key[:]) //nolint:errcheck // crypto/rand.Read never fails
	return p
}

// Check tells whether a user has a password. The error is that of ctx.
func (p *Passwords) Check(ctx context.Context, user, password string) (bool, error) {
	m := ScramSHA512
	c, known := p.users.credentialOf(user, m)
	if !known {
		if other, ok := p.users.credentialOf(user, ScramSHA256); ok {
			m, c, known = ScramSHA256, other, true
		}
	}
	h := hmac.New(sha256.New, p.key[:])
	fmt.Fprintf(h, "%d %s%s", len(user), user, password)
	digest := h.Sum(nil)
	p.mu.Lock()
	r, ok := p.right[user]
	p.mu.Unlock()
	if ok && known && bytes.Equal(r.credential.Salt, c.Salt) && hmac.Equal(r.credential.StoredKey, c.StoredKey) && hmac.Equal(r.digest, digest) {
		return true, nil
	}
	select {
	case p.turns <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	matches := c.matches(m, password)
	<-p.turns
	if !matches || !known {
		return false, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.right) >= maxRemembered {
		clear(p.right)
	}
	p.right[user] = rightPassword{c, digest}
	return true, nil
}

// plainCheck is how PLAIN logs in: with the users of the settings first, then those of the store.
func plainCheck(settings map[string]secret.Text, stored *Passwords) func(context.Context, string, string) (bool, error) {
	return func(ctx context.Context, user, password string) (bool, error) {
		if want, ok := settings[user]; ok {
			return want.Equal(secret.New(password)), nil
		}
		return stored.Check(ctx, user, password)
	}
}

// newExchange begins a login. Its errors are for programs: the mechanism was found in the listener's list.
func (a *Authenticator) newExchange(mechanism string, random io.Reader) (exchange, error) {
	switch {
	case mechanism == Plain:
		return &plainExchange{check: plainCheck(a.plainUsers, a.o.Passwords)}, nil
	case strings.HasPrefix(mechanism, "SCRAM-"):
		m, _ := ScramMechanismOf(mechanism)
		return &scramExchange{m: m, rand: random, lookup: a.scramIdentity}, nil
	case mechanism == OAuthBearer:
		return &oauthExchange{check: a.bearer.check}, nil
	}
	return nil, fmt.Errorf("mechanism %s is not served", mechanism)
}

// scramIdentity finds whom a name stands for: a user, or the owner of a delegation token.
func (a *Authenticator) scramIdentity(name string, token bool, m ScramMechanism) (Credential, *Identity) {
	c, known := a.o.Users.credentialOf(name, m)
	if a.broker != nil {
		if name == BrokerUser && !token {
			return *a.broker, &Identity{Principal: Broker}
		}
		if id, ok := onBehalf(name); ok && !token {
			return *a.broker, id
		}
		return c, nil
	}
	if token {
		if tc, t, ok := a.o.Tokens.login(name, m); ok {
			return tc, &Identity{Principal: t.Owner, Token: true, Expires: t.Expires}
		}
		return c, nil
	}
	if !known {
		return c, nil
	}
	return c, &Identity{Principal: Principal{Type: "User", Name: name}}
}
