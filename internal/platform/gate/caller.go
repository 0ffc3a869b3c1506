package gate

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/base/secret"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

// Caller is who sent a request: the principal that Kafka's ACLs know, and the address that he calls from.
type Caller struct {
	Principal acl.Principal
	Host      string // as netip writes it
	// credential is what he showed, for a bridge that has to show it again.
	credential *Credentials
	service    bool
}

// Anonymous is a caller who showed nothing, on a listener that asks for nothing.
func Anonymous(host string) Caller { return Caller{Principal: acl.Anonymous, Host: host} }

// Service is the platform itself, which does for all callers what none of them may do alone: the registry that writes its topic.
// Handlers use it only for what is theirs and after they have asked what the caller may.
func Service(name string) Caller {
	return Caller{Principal: acl.Principal{Type: acl.UserType, Name: "__weir_" + name}, Host: "127.0.0.1", service: true}
}

// IsService tells whether the caller is the platform itself.
func (c Caller) IsService() bool { return c.service }

// With notes what the caller showed, for bridges that have to show it again.
func (c Caller) With(shown *Credentials) Caller {
	c.credential = shown
	return c
}

// Credentials are what a request shows of its caller. At most one of Basic and Bearer is set.
type Credentials struct {
	Service  string // that they are shown to
	Host     string
	User     string
	Password secret.Text
	Token    secret.Text
	Kind     CredentialKind
	// Certificate is whom the client's certificate names; zero without one.
	Certificate acl.Principal
}

// CredentialKind is how a caller shows who he is.
type CredentialKind uint8

// The kinds.
const (
	NoCredentials CredentialKind = iota
	BasicCredentials
	BearerCredentials
)

// Bridge joins a service to a cluster: it knows who may come in and what he may do, and how to act as him.
type Bridge interface {
	// Authenticate finds out who shows these credentials; one that is wrong yields ErrUnauthenticated, also if none was needed. With
	// none it returns the principal of the certificate, or ErrUnauthenticated where callers have to show something.
	Authenticate(ctx context.Context, shown *Credentials) (Caller, error)
	// Allowed says whether a caller may do op to a resource: nil, ErrForbidden, or why nobody knows.
	Allowed(ctx context.Context, c Caller, op acl.Operation, kind acl.ResourceType, name string) error
	// Options make a Kafka client that acts as the caller. The caller's rights are then checked by the cluster, request by request.
	Options(c Caller) ([]kgo.Opt, error)
}

// Witness is a Bridge that keeps a record of who was let in, or refused, what.
type Witness interface {
	// Attend begins a request: what Allowed is asked with the context that it returns belongs to it. done is called once, with the
	// code of the error that it ended with, 0 for none.
	Attend(ctx context.Context, request *Attended) (of context.Context, done func(code int))
}

// Attended is a request as records tell of it. Client is what the caller's program calls itself.
type Attended struct {
	Service, Operation, Client string
	Caller                     Caller
}

type filteringKey struct{}

// Filtering returns a context for questions whose no refuses nothing: something is left out of a list, or the handler asks for
// something else.
func Filtering(ctx context.Context) context.Context {
	return context.WithValue(ctx, filteringKey{}, true)
}

// IsFiltering tells whether a context is one of Filtering.
func IsFiltering(ctx context.Context) bool { return ctx.Value(filteringKey{}) != nil }

type callerKey struct{}

// CallerOf returns who sent the request whose context this is; outside of requests, somebody without any right.
func CallerOf(ctx context.Context) Caller {
	c, ok := ctx.Value(callerKey{}).(Caller)
	if !ok {
		return Anonymous("")
	}
	return c
}

// WithCaller returns a context in which c calls; for tests and for work that outlives its request.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// maxCredentialBytes bounds what a header of authorization may hold.
const maxCredentialBytes = 64 << 10

// credentialsOf reads what a request shows. ok is false for a header that cannot be understood.
func credentialsOf(r *http.Request) (shown *Credentials, ok bool) {
	shown = &Credentials{Host: hostOf(r.RemoteAddr)}
	header := r.Header.Get("Authorization")
	if header == "" {
		return shown, true
	}
	if len(header) > maxCredentialBytes {
		return nil, false
	}
	scheme, rest, _ := strings.Cut(header, " ")
	switch {
	case strings.EqualFold(scheme, "Basic"):
		user, password, ok := r.BasicAuth()
		if !ok || user == "" {
			return nil, false
		}
		shown.Kind, shown.User, shown.Password = BasicCredentials, user, secret.New(password)
	case strings.EqualFold(scheme, "Bearer") && strings.TrimSpace(rest) != "":
		shown.Kind, shown.Token = BearerCredentials, secret.New(strings.TrimSpace(rest))
	default:
		return nil, false
	}
	return shown, true
}

func hostOf(remote string) string {
	if at, err := netip.ParseAddrPort(remote); err == nil {
		return at.Addr().Unmap().WithZone("").String()
	}
	return remote
}

// digester makes keys of credentials for maps in memory: a heap dump of them tells no password, and nobody can make two that
// collide.
type digester [32]byte

func newDigester() digester {
	var d digester
	rand.Read(d[:]) //nolint:errcheck // crypto/rand.Read never fails
	return d
}

func (d digester) of(c *Credentials) string {
	h := hmac.New(sha256.New, d[:])
	h.Write([]byte{byte(c.Kind)})
	for _, part := range []string{c.User, c.Password.Reveal(), c.Token.Reveal()} {
		sum := sha256.Sum256([]byte(part))
		h.Write(sum[:])
	}
	return string(h.Sum(nil))
}
