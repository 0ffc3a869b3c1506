package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/properties"
	"github.com/weir-stream/weir/internal/base/secret"
)

// Settings of logins. Each may be set for one listener, as listener.name.NAME.SETTING with the name in small letters.
var (
	EnabledMechanisms = config.List("sasl.enabled.mechanisms", []string{ScramSHA256.String(), ScramSHA512.String()}, config.Unique, config.Scoped, config.PerBroker,
		config.Check("of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", checkMechanisms),
		"SASL mechanisms that listeners of SASL_PLAINTEXT and SASL_SSL offer. Unlike in Kafka the default is not GSSAPI (Kerberos), which is not supported.")
	JAAS = config.Password("sasl.jaas.config", config.Scoped, config.PerBroker,
		"Users of PLAIN beside the stored ones, for one listener as listener.name.NAME.plain.sasl.jaas.config: a login module with options user_NAME=\"password\". What else stands in it is for other mechanisms and has no effect.")
	MaxReauth = config.Millis("connections.max.reauth.ms", 0, config.AtLeast(0), config.Scoped,
		"Time after which a client of SASL must log in again on its connection (KIP-368); 0: never. Also for one mechanism, as listener.name.NAME.MECHANISM.connections.max.reauth.ms.")
	FailureDelay = config.MillisInt("connection.failed.authentication.delay.ms", 100*time.Millisecond, config.AtLeast(0),
		"Time by which the answer to a failed login is held back.")
)

func checkMechanisms(v any) error {
	list, _ := v.([]string)
	for _, m := range list {
		if m == gssapi {
			return errors.New("GSSAPI (Kerberos) is not supported: choose of " + strings.Join(Mechanisms(), ", "))
		}
		if !slices.Contains(Mechanisms(), m) {
			return fmt.Errorf("%s is not supported: choose of %s", m, strings.Join(Mechanisms(), ", "))
		}
	}
	return nil
}

// ListenerPrefix is how the names of settings for one listener begin.
const ListenerPrefix = "listener.name."

// ScopeOf is what the names of settings of a listener begin with.
func ScopeOf(listener string) string { return ListenerPrefix + strings.ToLower(listener) + "." }

// Event is the end of a login, for who keeps an audit. It holds no secret.
type Event struct {
	Listener, Peer, Mechanism string
	// Principal is who logged in; after a failure, who the client said it was, which may be nobody or made up.
	Principal Principal
	Success   bool
	Reason    string // of a failure
	Again     bool   // the connection had logged in before
	Token     bool   // with a delegation token
}

// Observer is told of every login. It must not wait.
type Observer func(Event)

// AuthenticatorOptions are what a listener's authenticator needs. All but Observe are required.
type AuthenticatorOptions struct {
	Listener  string
	Values    *config.Values
	Users     *Users
	Passwords *Passwords
	Tokens    *Tokens
	Metrics   *Metrics
	Logger    *slog.Logger
	Now       func() time.Time
	Observe   Observer
	// Fetch gets the keys of an issuer of tokens; nil means over the network.
	Fetch Fetcher
}

// Authenticator logs in the clients of one listener. Its methods may be called from any goroutine.
type Authenticator struct {
	o          AuthenticatorOptions
	mechanisms []string
	plainUsers map[string]secret.Text
	reauth     map[string]time.Duration
	bearer     *bearerValidator
	broker     *Credential // of the other brokers, who alone may log in; nil on listeners for clients
}

// NewAuthenticator checks the settings of a listener. An error names what is wrong or missing.
func NewAuthenticator(o AuthenticatorOptions) (*Authenticator, error) {
	scope := ScopeOf(o.Listener)
	values := o.Values.Scope(scope)
	a := &Authenticator{o: o, mechanisms: EnabledMechanisms.Get(values), reauth: map[string]time.Duration{}}
	if len(a.mechanisms) == 0 {
		return nil, fmt.Errorf("listener %s: %s names no mechanism", o.Listener, EnabledMechanisms.Name())
	}
	for _, m := range a.mechanisms {
		own := values.Scope(scope + strings.ToLower(m) + ".")
		a.reauth[m] = MaxReauth.Get(own)
		var err error
		switch m {
		case Plain:
			a.plainUsers, err = plainUsers(own)
		case OAuthBearer:
			a.bearer, err = newBearerValidator(own, o.Now, o.Logger, o.Fetch)
		}
		if err != nil {
			return nil, fmt.Errorf("listener %s: %s: %w", o.Listener, m, err)
		}
	}
	return a, nil
}

// plainUsers reads the users of a login module.
func plainUsers(v *config.Values) (map[string]secret.Text, error) {
	text, ok := JAAS.Lookup(v)
	if !ok || strings.TrimSpace(text.Reveal()) == "" {
		return nil, nil
	}
	options, err := properties.ParseJAAS(text.Reveal())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", JAAS.Name(), err)
	}
	out := map[string]secret.Text{}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if user, ok := strings.CutPrefix(name, "user_"); ok {
			out[user] = secret.New(options[name])
		}
	}
	return out, nil
}

// Listener is the name of the listener.
func (a *Authenticator) Listener() string { return a.o.Listener }

// Mechanisms are those that the listener offers.
func (a *Authenticator) Mechanisms() []string { return a.mechanisms }

// Delay is how long the answer to a failed login is held back.
func (a *Authenticator) Delay() time.Duration { return FailureDelay.Get(a.o.Values) }

func (a *Authenticator) offers(mechanism string) bool {
	return slices.Contains(a.mechanisms, mechanism)
}

// lifetime is how long a session may last from now on: the shorter of what the listener allows and of what was shown.
func (a *Authenticator) lifetime(mechanism string, id *Identity, now time.Time) time.Duration {
	limit := a.reauth[mechanism]
	if id.Expires.IsZero() {
		return limit
	}
	left := max(id.Expires.Sub(now), 0)
	if limit > 0 {
		left = min(left, limit)
	}
	return left
}

// tell counts and logs a login, and hands it on.
func (a *Authenticator) tell(e Event) {
	count(e, a.o.Metrics, a.o.Logger)
	if a.o.Observe != nil {
		a.o.Observe(e)
	}
}

func count(e Event, m *Metrics, logger *slog.Logger) {
	outcome := "success"
	if !e.Success {
		outcome = "failure"
	}
	m.logins.WithLabelValues(e.Listener, e.Mechanism, outcome).Inc()
	// Debug: a client without the right password tries again and again. The metric is what to watch.
	logger.Debug("login", "listener", e.Listener, "peer", e.Peer, "mechanism", e.Mechanism, "principal", e.Principal, "outcome", outcome, "reason", e.Reason, "again", e.Again)
}

// Metrics of logins. Labels are the listeners of the settings and the mechanisms there are.
type Metrics struct {
	logins  *prometheus.CounterVec
	expired prometheus.Counter
	certs   *prometheus.GaugeVec
	reloads *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		logins:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_auth_logins_total", Help: "Logins that ended, by listener, mechanism (SSL: by certificate) and outcome."}, []string{"listener", "mechanism", "outcome"}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_auth_sessions_expired_total", Help: "Connections closed because their client did not log in again in time."}),
		certs:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "weir_tls_certificate_expiry_seconds", Help: "When the certificate of a listener ends, in seconds since 1970."}, []string{"listener"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_tls_reloads_total", Help: "Attempts to load a changed certificate of a listener, by outcome."}, []string{"listener", "outcome"}),
	}
	if r != nil {
		r.MustRegister(m.logins, m.expired, m.certs, m.reloads)
	}
	return m
}
