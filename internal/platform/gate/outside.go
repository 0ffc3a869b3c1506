package gate

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/kafka/client"
)

// OutsideOptions say how to reach the cluster.
type OutsideOptions struct {
	// Cluster is how the service itself connects: addresses, TLS, and its own login.
	Cluster client.Options
	// Mechanism is how a caller's user and password are passed on: PLAIN or one of SCRAM.
	Mechanism string
	// Authentication is the setting http.authentication.
	Authentication string
	Logger         *slog.Logger
}

// Outside is the Bridge of a service that runs alone, on any Kafka. A caller's user and password, or his token, are those of a
// client of his own, so the cluster knows him and decides. Callers who show nothing connect without a login where the service
// does so, too; where it has a login they are refused, unless nothing is asked (http.authentication=none): then everybody acts as
// the service. A certificate cannot be passed on: it opens the door and says nothing to the cluster.
//
// What a caller may is asked of the cluster (authorized operations, KIP-430) and remembered for rightsAge. Kafka knows no subjects:
// what a caller may do to the topic _schemas, he may do to all of them. Where that topic is not there yet, whoever may create topics
// may write the first schema.
type Outside struct {
	o       OutsideOptions
	secured bool // the service itself logs in
	digest  digester
	clients *Clients

	mu       sync.Mutex
	verified map[string]time.Time // credentials that the cluster took, and until when that is believed
	rights   map[rightsKey]rights
}

// How long answers of the cluster are believed, and how many are kept.
const (
	verifiedAge = 5 * time.Minute
	rightsAge   = 5 * time.Second
	maxKept     = 10_000
	askTimeout  = 10 * time.Second
)

// NewOutside checks the options; it connects to nobody.
func NewOutside(o OutsideOptions) (*Outside, error) {
	if _, err := o.Cluster.Kgo(); err != nil {
		return nil, err
	}
	protocol := strings.ToUpper(strings.TrimSpace(o.Cluster.Properties["security.protocol"]))
	b := &Outside{o: o, secured: strings.HasPrefix(protocol, "SASL"), digest: newDigester(), verified: map[string]time.Time{}, rights: map[rightsKey]rights{}}
	b.clients = NewClients(b)
	return b, nil
}

// Run keeps the clients by which the bridge asks. It is a service.Service.
func (b *Outside) Run(ctx context.Context, ready func()) error { return b.clients.Run(ctx, ready) }

// Authenticate implements Bridge.
func (b *Outside) Authenticate(ctx context.Context, shown *Credentials) (Caller, error) {
	if b.o.Authentication == "none" {
		return Anonymous(shown.Host), nil
	}
	switch {
	case shown.Kind == NoCredentials && (b.secured || b.o.Authentication == "required"):
		return Caller{}, ErrUnauthenticated
	case shown.Kind == NoCredentials:
		return Anonymous(shown.Host), nil
	}
	caller := Caller{Principal: acl.Principal{Type: acl.UserType, Name: nameIn(shown)}, Host: shown.Host}.With(shown)
	key := b.digest.of(shown)
	b.mu.Lock()
	until := b.verified[key]
	b.mu.Unlock()
	if time.Now().Before(until) {
		return caller, nil
	}
	if err := b.verify(ctx, caller); err != nil {
		return Caller{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.verified) >= maxKept {
		clear(b.verified)
	}
	b.verified[key] = time.Now().Add(verifiedAge)
	return caller, nil
}

// verify logs in at the cluster.
func (b *Outside) verify(ctx context.Context, caller Caller) error {
	c, err := b.clients.New(caller, kgo.RequestRetries(1), kgo.RetryTimeout(askTimeout))
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	switch err := c.Ping(ctx); {
	case err == nil:
		return nil
	case isLoginError(err):
		return fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	default:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

func isLoginError(err error) bool {
	return errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.IllegalSaslState) || errors.Is(err, kerr.UnsupportedSaslMechanism) ||
		strings.Contains(err.Error(), "SASL") || strings.Contains(err.Error(), "sasl")
}

// nameIn is who the caller says he is. Of a token it is the subject, which the cluster checks.
func nameIn(shown *Credentials) string {
	if shown.Kind == BasicCredentials {
		return shown.User
	}
	parts := strings.Split(shown.Token.Reveal(), ".")
	if len(parts) == 3 {
		var claims struct {
			Subject string `json:"sub"`
		}
		if b, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(b, &claims) == nil && claims.Subject != "" {
			return claims.Subject
		}
	}
	return "token"
}

// Options implements Bridge.
func (b *Outside) Options(c Caller) ([]kgo.Opt, error) {
	o := b.o.Cluster
	o.Logger = nil
	asService := c.IsService() || b.o.Authentication == "none"
	if asService {
		return o.Kgo()
	}
	o.Properties = maps.Clone(o.Properties)
	maps.DeleteFunc(o.Properties, func(name, _ string) bool { return strings.HasPrefix(name, "sasl.") })
	if p := strings.ToUpper(strings.TrimSpace(o.Properties["security.protocol"])); strings.HasPrefix(p, "SASL_") {
		o.Properties["security.protocol"] = map[string]string{"SASL_SSL": "SSL"}[p]
		if o.Properties["security.protocol"] == "" {
			delete(o.Properties, "security.protocol")
		}
	}
	opts, err := o.Kgo()
	if err != nil {
		return nil, err
	}
	if c.credential == nil || c.credential.Kind == NoCredentials {
		return opts, nil
	}
	return append(opts, kgo.SASL(b.mechanism(c.credential))), nil
}

// mechanism passes credentials on.
func (b *Outside) mechanism(shown *Credentials) sasl.Mechanism {
	switch {
	case shown.Kind == BearerCredentials:
		return oauth.Auth{Token: shown.Token.Reveal()}.AsMechanism()
	case b.o.Mechanism == "SCRAM-SHA-256":
		return scram.Auth{User: shown.User, Pass: shown.Password.Reveal()}.AsSha256Mechanism()
	case b.o.Mechanism == "SCRAM-SHA-512":
		return scram.Auth{User: shown.User, Pass: shown.Password.Reveal()}.AsSha512Mechanism()
	}
	return plain.Auth{User: shown.User, Pass: shown.Password.Reveal()}.AsMechanism()
}

// Required tells whether callers have to show who they are.
func (b *Outside) Required() bool {
	return b.o.Authentication == "required" || b.o.Authentication == "auto" && b.secured
}
