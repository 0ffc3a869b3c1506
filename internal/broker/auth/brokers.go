package auth

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/kafka/acl"
)

// BrokerListener is the name of the listener on which the brokers of a cluster speak to each other. No other may have it.
const BrokerListener = "WEIR"

// BrokerUser is the name by which brokers log in there. No client can have it.
const BrokerUser = "__weir_broker"

// Broker is who another broker of the cluster is, on BrokerListener alone; there it may do everything.
var Broker = Principal{Type: "User", Name: BrokerUser}

// brokerCredential is what the listener for brokers checks logins against, of a password that is as good as random, so that
// salt and iterations add nothing.
func brokerCredential(password string) (Credential, error) {
	salt := []byte("weir brokers")
	salted, err := ScramSHA256.SaltPassword(password, salt, MinScramIterations)
	if err != nil {
		return Credential{}, fmt.Errorf("credential of brokers: %w", err)
	}
	return NewCredential(ScramSHA256, salt, salted, MinScramIterations), nil
}

// NewBrokerAuthenticator returns the authenticator of BrokerListener: with SCRAM-SHA-256 alone, for BrokerUser alone, by a
// password that only brokers of the cluster know. Settings of logins do not change it.
func NewBrokerAuthenticator(o AuthenticatorOptions, password string) (*Authenticator, error) {
	c, err := brokerCredential(password)
	if err != nil {
		return nil, err
	}
	o.Listener = BrokerListener
	return &Authenticator{o: o, mechanisms: []string{ScramSHA256.String()}, reauth: map[string]time.Duration{}, broker: &c}, nil
}

// OnBehalf is the user name by which who has the password of BrokerUser speaks for a client: what he does is then allowed or refused
// as if that client did it from its address. (SASL's authorization id would be the place for it; not every client of SCRAM gets that right.)
func OnBehalf(p Principal, host string) string {
	return behalfPrefix + base64.RawURLEncoding.EncodeToString([]byte(host+"\x00"+p.String()))
}

const behalfPrefix = BrokerUser + "/"

// onBehalf reads a name that OnBehalf made. It is believed once the password is proved, since only brokers have that.
func onBehalf(name string) (*Identity, bool) {
	encoded, ok := strings.CutPrefix(name, behalfPrefix)
	if !ok {
		return nil, false
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil, false
	}
	host, client, ok := strings.Cut(string(text), "\x00")
	if !ok {
		return nil, false
	}
	p, err := acl.ParsePrincipal(client)
	if err != nil || p == Broker {
		return nil, false
	}
	return &Identity{Principal: p, Host: host}, true
}

// Dialing returns what connections of this broker to others of the same kind are secured with: the listener's own
// certificate is shown if it is asked for, and the other side's is checked against the listener's trust store or, without
// one, the authorities that the machine trusts.
func (t *TLS) Dialing(host string) *tls.Config {
	c := t.Config()
	return &tls.Config{MinVersion: c.MinVersion, MaxVersion: c.MaxVersion, CipherSuites: c.CipherSuites, Certificates: c.Certificates, RootCAs: c.ClientCAs, ServerName: host} //nolint:gosec // never below TLS 1.2
}
