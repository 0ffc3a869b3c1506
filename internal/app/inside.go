package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/weir-stream/weir/internal/broker"
	"github.com/weir-stream/weir/internal/broker/audit"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/kafka/client"
	"github.com/weir-stream/weir/internal/platform/gate"
)

// inside is the gate.Bridge of a process with a broker in it. Its connections are those of a broker to a broker: a pipe to the own
// one, and the listener WEIR of others. On both it logs in with the secret that brokers have, and names the caller it speaks for.
type inside struct {
	app       *App
	access    *auth.Authorizer
	directory *cluster.Directory
	listener  broker.Listener
	pipe      *broker.Within
	secret    string
	audit     *audit.Log // nil: nothing is audited
	logins    *logins
}

// insideAddress is where the broker tells its clients inside the process that it is; it leads to the pipe.
const (
	insideHost    = "broker.inside"
	insidePort    = 9092
	insideAddress = "broker.inside:9092"
)

func (a *App) newInside(directory *cluster.Directory, access *auth.Authorizer, log *audit.Log) (*inside, error) {
	b := &inside{app: a, access: access, directory: directory, pipe: broker.NewWithin(), secret: a.peers.password(), audit: log, logins: &logins{now: a.o.Now, until: map[auth.Event]time.Time{}}}
	if a.peers.client == nil { // there are no other brokers, and nobody else has to know it
		var own [32]byte
		rand.Read(own[:]) //nolint:errcheck // crypto/rand.Read never fails
		b.secret = hex.EncodeToString(own[:])
	}
	login, err := auth.NewBrokerAuthenticator(auth.AuthenticatorOptions{
		Values: a.o.Values, Users: a.authn.users, Passwords: a.authn.passwords, Tokens: a.authn.tokens, Metrics: a.authn.metrics, Logger: a.o.Logger, Now: a.o.Now,
	}, b.secret)
	if err != nil {
		return nil, err
	}
	b.listener = broker.Listener{Name: auth.BrokerListener, Internal: true, Within: b.pipe, Unannounced: true, AdvertisedHost: insideHost, AdvertisedPort: insidePort, Login: func() *auth.Authenticator { return login }}
	return b, nil
}

// required tells whether callers have to show who they are.
func (b *inside) required() bool {
	switch gate.Authentication.Get(b.app.o.Values) {
	case "required":
		return true
	case "none":
		return false
	}
	return !slices.ContainsFunc(b.app.authn.listeners, func(l *securedListener) bool { return !b.app.authn.proves(l) })
}

// login finds the listener whose authenticator knows a kind of credentials; nil if none does.
func (b *inside) login(takes func(*auth.Authenticator) bool) *auth.Authenticator {
	for _, l := range b.app.authn.listeners {
		if login := l.login.Load(); login != nil && takes(login) {
			return login
		}
	}
	return nil
}

// Authenticate implements gate.Bridge. Where no listener of the broker has logins, and nothing is required, what a caller shows is
// compared with the stored users, and passed over if there is no such user: programs that are set up for a locked registry work with
// an open one.
func (b *inside) Authenticate(ctx context.Context, shown *gate.Credentials) (gate.Caller, error) {
	anonymous := gate.Anonymous(shown.Host)
	if gate.Authentication.Get(b.app.o.Values) == "none" {
		return anonymous, nil
	}
	var id *auth.Identity
	var err error
	switch {
	case shown.Kind == gate.BasicCredentials:
		id, err = b.checkPassword(ctx, shown)
	case shown.Kind == gate.BearerCredentials:
		if login := b.login((*auth.Authenticator).TakesTokens); login != nil {
			id, err = login.CheckToken(ctx, shown.Token.Reveal())
		} else {
			err = auth.ErrLogin
		}
	case shown.Certificate != acl.Principal{}:
		id = &auth.Identity{Principal: shown.Certificate}
	}
	switch {
	case id != nil && err == nil:
		b.tell(shown, id.Principal, nil)
	case err != nil:
		b.tell(shown, acl.Principal{}, err)
	}
	switch {
	case errors.Is(err, auth.ErrLogin):
		return gate.Caller{}, fmt.Errorf("%w: %w", gate.ErrUnauthenticated, err)
	case err != nil:
		return gate.Caller{}, err
	case id != nil:
		return gate.Caller{Principal: id.Principal, Host: shown.Host}, nil
	case b.required():
		return gate.Caller{}, gate.ErrUnauthenticated
	}
	return anonymous, nil
}

func (b *inside) checkPassword(ctx context.Context, shown *gate.Credentials) (*auth.Identity, error) {
	if login := b.login((*auth.Authenticator).TakesPasswords); login != nil {
		return login.CheckPassword(ctx, shown.User, shown.Password.Reveal())
	}
	if !b.required() && len(b.app.authn.users.Credentials(shown.User)) == 0 {
		return nil, nil //nolint:nilnil // nobody: not wrong, and not right
	}
	ok, err := b.app.authn.passwords.Check(ctx, shown.User, shown.Password.Reveal())
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, auth.ErrPassword
	}
	return &auth.Identity{Principal: auth.Principal{Type: acl.UserType, Name: shown.User}}, nil
}

// Allowed implements gate.Bridge.
func (b *inside) Allowed(ctx context.Context, c gate.Caller, op acl.Operation, kind acl.ResourceType, name string) error {
	if c.IsService() {
		return nil
	}
	d := acl.Decision{Allowed: true}
	if b.access != nil {
		d = b.access.Decide(acl.Request{Principal: c.Principal, Host: c.Host, Operation: op, Type: kind, Name: name})
	}
	noted(ctx, audit.Decision{Decision: d, Operation: op, Type: kind, Name: name})
	if !d.Allowed {
		return fmt.Errorf("%w: %s %s on %s %s", gate.ErrForbidden, c.Principal, op, kind, name)
	}
	return nil
}

// Options implements gate.Bridge.
func (b *inside) Options(c gate.Caller) ([]kgo.Opt, error) {
	opts, err := client.Options{Bootstrap: []string{insideAddress}, Dial: b.dial, SoftwareVersion: b.app.o.Version}.Kgo()
	if err != nil {
		return nil, err
	}
	login := scram.Auth{User: auth.BrokerUser, Pass: b.secret}
	if !c.IsService() {
		login.User = auth.OnBehalf(c.Principal, c.Host)
	}
	return append(opts, kgo.SASL(login.AsSha256Mechanism()), kgo.DisableClientMetrics()), nil
}

// dial connects to the broker of this process by the pipe, and to others at their listener for brokers.
func (b *inside) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address == insideAddress || b.isSelf(address) {
		return b.pipe.Dial(ctx)
	}
	if b.app.peers.tls != nil {
		return b.app.peers.dialTLS(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

func (b *inside) isSelf(address string) bool {
	view := b.directory.View()
	for i := range view.Brokers {
		if view.Brokers[i].ID != view.Self {
			continue
		}
		e, ok := view.Brokers[i].Endpoint(auth.BrokerListener)
		return ok && net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))) == address
	}
	return false
}
