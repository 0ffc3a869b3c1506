package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/base/certstore"
	"github.com/weir-stream/weir/internal/base/config"
)

// Settings of TLS, as Kafka has them. Each may be set for one listener, as listener.name.NAME.SETTING.
var (
	KeystoreType       = config.String("ssl.keystore.type", "JKS", config.Scoped, config.PerBroker, "Kind of the key store: PEM, PKCS12 or JKS. The last two are recognised by their content.")
	KeystoreLocation   = config.String("ssl.keystore.location", "", config.NoDefault, config.Scoped, config.PerBroker, "File with the private key and the certificates of a listener. When it changes it is read anew.")
	KeystorePassword   = config.Password("ssl.keystore.password", config.Scoped, config.PerBroker, "Password of the key store.")
	KeystoreKey        = config.Password("ssl.keystore.key", config.Scoped, config.PerBroker, "Private key as PEM text, in the place of a file.")
	KeystoreChain      = config.Password("ssl.keystore.certificate.chain", config.Scoped, config.PerBroker, "Certificates of the private key as PEM text, the own one first.")
	KeyPassword        = config.Password("ssl.key.password", config.Scoped, config.PerBroker, "Password of the private key.")
	TruststoreType     = config.String("ssl.truststore.type", "JKS", config.Scoped, config.PerBroker, "Kind of the trust store: PEM, PKCS12 or JKS.")
	TruststoreLocation = config.String("ssl.truststore.location", "", config.NoDefault, config.Scoped, config.PerBroker, "File with the certificates of the authorities that clients' certificates come from.")
	TruststorePassword = config.Password("ssl.truststore.password", config.Scoped, config.PerBroker, "Password of the trust store.")
	TruststoreTexts    = config.Password("ssl.truststore.certificates", config.Scoped, config.PerBroker, "Certificates of authorities as PEM text, in the place of a file.")
	ClientAuth         = config.String("ssl.client.auth", "none", config.OneOf("required", "requested", "none"), config.Scoped, config.PerBroker,
		"Whether clients must, may or need not show a certificate. On a listener of SASL_SSL only the listener's own setting counts.")
	EnabledProtocols = config.List("ssl.enabled.protocols", []string{"TLSv1.2", "TLSv1.3"}, config.Unique, config.OneOf("TLSv1.2", "TLSv1.3"), config.Scoped, config.PerBroker,
		"Versions of TLS that are spoken. Older ones are not.")
	CipherSuites = config.List("ssl.cipher.suites", nil, config.Unique, config.Check("names of cipher suites of TLS 1.2", checkCiphers), config.Scoped, config.PerBroker,
		"Cipher suites of TLS 1.2 that are spoken, in the place of the safe ones that Go chooses; those of TLS 1.3 are all safe and cannot be chosen.")
	MappingRules = config.String("ssl.principal.mapping.rules", "DEFAULT", config.Check("DEFAULT, or RULE:pattern/replacement/[LU], …", checkMapping), config.Scoped,
		"How the distinguished name of a client's certificate becomes the name of its principal: RULE:pattern/replacement/ with L or U behind it, the first that matches counts; DEFAULT takes the name as it is.")
	AllowDNChanges  = config.Bool("ssl.allow.dn.changes", false, config.Scoped, "Whether a certificate may be replaced, while the broker runs, by one for another distinguished name.")
	AllowSANChanges = config.Bool("ssl.allow.san.changes", false, config.Scoped, "Whether a certificate may be replaced, while the broker runs, by one that leaves out a name of the old one.")
)

// AuthenticationSettings are the settings of TLS and logins.
func AuthenticationSettings() []config.Declared {
	return []config.Declared{
		EnabledMechanisms, JAAS, MaxReauth, FailureDelay,
		JWKSURL, ExpectedIssuer, ExpectedAudience, ScopeClaim, SubClaim, ClockSkew, JWKSRefresh, JWKSRetry,
		TokenSecret, TokenMaxLifetime, TokenExpiry, TokenCheckInterval,
		KeystoreType, KeystoreLocation, KeystorePassword, KeystoreKey, KeystoreChain, KeyPassword, TruststoreType, TruststoreLocation, TruststorePassword, TruststoreTexts,
		ClientAuth, EnabledProtocols, CipherSuites, MappingRules, AllowDNChanges, AllowSANChanges,
	}
}

func checkCiphers(v any) error {
	list, _ := v.([]string)
	_, err := cipherIDs(list)
	return err
}

// cipherIDs leaves out the suites of TLS 1.3, which Kafka's list may name as well.
func cipherIDs(names []string) ([]uint16, error) {
	var out []uint16
	for _, n := range names {
		i := slices.IndexFunc(tls.CipherSuites(), func(c *tls.CipherSuite) bool { return c.Name == n })
		if i < 0 {
			return nil, fmt.Errorf("%s is no cipher suite that is safe and known here", n)
		}
		if c := tls.CipherSuites()[i]; slices.Contains(c.SupportedVersions, tls.VersionTLS12) {
			out = append(out, c.ID)
		}
	}
	return out, nil
}

// TLS is the identity of one listener, and whom it trusts. It is read again when its files change, and when its settings do.
type TLS struct {
	listener string
	sasl     bool // clients log in otherwise
	metrics  *Metrics
	logger   *slog.Logger

	state atomic.Pointer[tlsState]
}

// tlsState is one reading of the settings and files. It is immutable.
type tlsState struct {
	values   *config.Values // as the listener sees them
	keys     certstore.Store
	trust    certstore.Store
	stamp    string
	leaf     *x509.Certificate
	config   *tls.Config
	mapping  mapping
	required bool
}

// NewTLS reads the certificates of a listener. sasl tells that its clients log in, so that certificates of theirs are
// asked for only where the listener's own setting says so. Other brokers must show one that the trust store knows, if there is a trust store.
func NewTLS(listener string, sasl bool, values *config.Values, metrics *Metrics, logger *slog.Logger) (*TLS, error) {
	t := &TLS{listener: listener, sasl: sasl, metrics: metrics, logger: logger}
	s, err := t.read(values)
	if err != nil {
		return nil, err
	}
	t.set(s)
	return t, nil
}

func (t *TLS) set(s *tlsState) {
	t.state.Store(s)
	t.metrics.certs.WithLabelValues(t.listener).Set(float64(s.leaf.NotAfter.Unix()))
}

// read makes a state out of the broker's settings.
func (t *TLS) read(broker *config.Values) (*tlsState, error) {
	v := broker.Scope(ScopeOf(t.listener))
	s := &tlsState{
		values: broker,
		keys: certstore.Store{
			Type: KeystoreType.Get(v), Location: KeystoreLocation.Get(v), Password: KeystorePassword.Get(v),
			Key: KeystoreKey.Get(v), Chain: KeystoreChain.Get(v), KeyPassword: KeyPassword.Get(v),
		},
		trust: certstore.Store{Type: TruststoreType.Get(v), Location: TruststoreLocation.Get(v), Password: TruststorePassword.Get(v), Trusted: TruststoreTexts.Get(v)},
	}
	fail := func(err error) (*tlsState, error) { return nil, fmt.Errorf("listener %s: %w", t.listener, err) }
	if s.keys.IsZero() {
		return fail(fmt.Errorf("TLS needs a private key and a certificate: set %s with %s=PEM, or %s and %s", KeystoreLocation.Name(), KeystoreType.Name(), KeystoreKey.Name(), KeystoreChain.Name()))
	}
	s.stamp = s.keys.Stamp() + "|" + s.trust.Stamp()
	pair, err := s.keys.KeyPair()
	if err != nil {
		return fail(fmt.Errorf("key store (ssl.keystore.*): %w", err))
	}
	s.leaf = pair.Leaf
	s.config = &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}}
	switch protocols := EnabledProtocols.Get(v); {
	case len(protocols) == 0:
		return fail(fmt.Errorf("%s is empty", EnabledProtocols.Name()))
	case !slices.Contains(protocols, "TLSv1.2"):
		s.config.MinVersion = tls.VersionTLS13
	case !slices.Contains(protocols, "TLSv1.3"):
		s.config.MaxVersion = tls.VersionTLS12
	}
	if s.config.CipherSuites, err = cipherIDs(CipherSuites.Get(v)); err != nil {
		return fail(err)
	}
	if s.mapping, err = parseMapping(MappingRules.Get(v)); err != nil {
		return fail(err)
	}
	return s, t.readClients(s, v)
}

// readClients reads what is asked of clients.
func (t *TLS) readClients(s *tlsState, v *config.Values) error {
	want := ClientAuth.Get(v)
	if _, own := s.values.Explicit(ScopeOf(t.listener) + ClientAuth.Name()); t.sasl && !own {
		want = "none"
		if t.listener == BrokerListener && !s.trust.IsZero() { // each broker has one
			want = "required"
		}
	}
	if !s.trust.IsZero() {
		certs, err := s.trust.Trust()
		if err != nil {
			return fmt.Errorf("listener %s: trust store (ssl.truststore.*): %w", t.listener, err)
		}
		s.config.ClientCAs = x509.NewCertPool()
		for _, c := range certs {
			s.config.ClientCAs.AddCert(c)
		}
	}
	switch want {
	case "required":
		s.config.ClientAuth, s.required = tls.RequireAndVerifyClientCert, true
	case "requested":
		s.config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	if want != "none" && s.config.ClientCAs == nil {
		return fmt.Errorf("listener %s: %s=%s needs the certificates of those who issue clients' certificates: set ssl.truststore.*", t.listener, ClientAuth.Name(), want)
	}
	return nil
}

// Config is what connections are secured with now. It must not be changed.
func (t *TLS) Config() *tls.Config { return t.state.Load().config }

// ProvesClients tells whether no client gets in without a certificate.
func (t *TLS) ProvesClients() bool { return t.state.Load().required }

// Principal is who the client of a finished handshake is.
func (t *TLS) Principal(s tls.ConnectionState) (Principal, error) {
	if len(s.VerifiedChains) == 0 || len(s.PeerCertificates) == 0 {
		return Anonymous, nil
	}
	dn, err := distinguishedName(s.PeerCertificates[0].RawSubject)
	if err != nil {
		return Principal{}, fmt.Errorf("subject of the client's certificate: %w", err)
	}
	name, err := t.state.Load().mapping.name(dn)
	if err != nil {
		return Principal{}, err
	}
	return Principal{Type: "User", Name: name}, nil
}

// Check tells what is wrong with settings that Apply is to take. It reads the files.
func (t *TLS) Check(values *config.Values) error {
	s, err := t.read(values)
	if err != nil {
		return err
	}
	return t.state.Load().replaceable(s, values.Scope(ScopeOf(t.listener)))
}

// replaceable refuses a certificate that stands for another broker than the old one.
func (s *tlsState) replaceable(next *tlsState, v *config.Values) error {
	if !AllowDNChanges.Get(v) && !bytes.Equal(s.leaf.RawSubject, next.leaf.RawSubject) {
		return fmt.Errorf("the new certificate is for %s, not for %s; %s allows that", next.leaf.Subject, s.leaf.Subject, AllowDNChanges.Name())
	}
	if AllowSANChanges.Get(v) {
		return nil
	}
	names := alternativeNames(next.leaf)
	for _, n := range alternativeNames(s.leaf) {
		if !slices.Contains(names, n) {
			return fmt.Errorf("the new certificate does not name %s; %s allows that", n, AllowSANChanges.Name())
		}
	}
	return nil
}

func alternativeNames(c *x509.Certificate) []string {
	out := slices.Concat(c.DNSNames, c.EmailAddresses)
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	for _, u := range c.URIs {
		out = append(out, u.String())
	}
	return out
}

// Apply takes changed settings, or changed files. What cannot be read leaves all as it was, and is logged.
func (t *TLS) Apply(values *config.Values) {
	s, err := t.read(values)
	if err == nil {
		err = t.state.Load().replaceable(s, values.Scope(ScopeOf(t.listener)))
	}
	if err != nil {
		t.metrics.reloads.WithLabelValues(t.listener, "failure").Inc()
		t.logger.Error("new certificates are not taken, the old ones stay", "listener", t.listener, "err", err)
		return
	}
	t.metrics.reloads.WithLabelValues(t.listener, "success").Inc()
	t.set(s)
	t.logger.Info("certificates were loaded", "listener", t.listener, "subject", s.leaf.Subject.String(), "not_after", s.leaf.NotAfter)
}

// watchInterval is how often files are looked at.
const watchInterval = 10 * time.Second

// Follow reads files again when they change, until ctx ends.
func (t *TLS) Follow(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	seen := t.state.Load().stamp
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := t.state.Load()
		stamp := s.keys.Stamp() + "|" + s.trust.Stamp()
		// A file may be seen half written: what cannot be read is read again when it changes again.
		if stamp == seen || stamp == s.stamp || strings.HasPrefix(stamp, "|") && s.keys.Location != "" {
			seen = stamp
			continue
		}
		seen = stamp
		t.Apply(s.values)
	}
}

// Tell counts and logs who came in by certificate, or did not.
func (t *TLS) Tell(e Event) { count(e, t.metrics, t.logger) }

// errNoRule is for a certificate whose name no rule maps.
var errNoRule = errors.New("no rule of ssl.principal.mapping.rules matches the name of the certificate")
