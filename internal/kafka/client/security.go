package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/weir-stream/weir/internal/base/certstore"
	"github.com/weir-stream/weir/internal/base/properties"
	"github.com/weir-stream/weir/internal/base/secret"
)

func (s *settings) get(name string) string { return strings.TrimSpace(s.values[name]) }

func (s *settings) protocol() string {
	if p := strings.ToUpper(s.get("security.protocol")); p != "" {
		return p
	}
	return "PLAINTEXT"
}

func (s *settings) usesTLS() bool {
	p := s.protocol()
	return p == "SSL" || p == "SASL_SSL"
}

// sasl returns the mechanism that the properties ask for, nil if none.
func (s *settings) sasl() (sasl.Mechanism, error) {
	switch s.protocol() {
	case "PLAINTEXT", "SSL":
		return nil, nil
	case "SASL_PLAINTEXT", "SASL_SSL":
	default:
		return nil, fmt.Errorf("property security.protocol: want PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, got %q", s.get("security.protocol"))
	}
	login := map[string]string{}
	if text := s.values["sasl.jaas.config"]; strings.TrimSpace(text) != "" {
		var err error
		if login, err = properties.ParseJAAS(text); err != nil {
			return nil, fmt.Errorf("property sasl.jaas.config: %w", err)
		}
	}
	for property, option := range map[string]string{"sasl.username": "username", "sasl.password": "password"} {
		if value, ok := s.values[property]; ok {
			login[option] = value
		}
	}
	mechanism := strings.ToUpper(s.get("sasl.mechanism"))
	switch mechanism {
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if login["username"] == "" {
			return nil, fmt.Errorf("%s needs a user: set sasl.jaas.config, or sasl.username and sasl.password", mechanism)
		}
	}
	switch mechanism {
	case "PLAIN":
		return plain.Auth{User: login["username"], Pass: login["password"]}.AsMechanism(), nil
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		auth := scram.Auth{User: login["username"], Pass: login["password"], IsToken: strings.EqualFold(login["tokenauth"], "true")}
		if mechanism == "SCRAM-SHA-256" {
			return auth.AsSha256Mechanism(), nil
		}
		return auth.AsSha512Mechanism(), nil
	case "OAUTHBEARER":
		if login["token"] != "" {
			return oauth.Auth{Token: login["token"]}.AsMechanism(), nil
		}
		return s.clientCredentials(login)
	}
	// Java falls back to GSSAPI; a missing mechanism is far more often forgotten than meant.
	return nil, fmt.Errorf("property sasl.mechanism: want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, got %q", s.get("sasl.mechanism"))
}

// TLS reads Kafka's and librdkafka's properties ssl.* for a connection that is not to a broker: certificates that are trusted,
// the client's own, how strictly a server is checked. Other properties are an error.
func TLS(properties map[string]string) (*tls.Config, error) {
	s, err := parse(properties)
	if err != nil {
		return nil, err
	}
	return s.tls()
}

// tls returns the configuration of connections. Names of servers are filled in when dialling.
func (s *settings) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if protocols := s.get("ssl.enabled.protocols"); protocols == "TLSv1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	trust := certstore.Store{
		Type: s.get("ssl.truststore.type"), Location: s.get("ssl.truststore.location"), Password: secret.New(s.values["ssl.truststore.password"]),
		Trusted: secret.New(s.get("ssl.truststore.certificates")),
	}
	if err := s.overlay(&trust.Trusted, "ssl.ca.pem", "ssl.ca.location"); err != nil {
		return nil, err
	}
	if !trust.Trusted.IsEmpty() {
		trust.Location = ""
	}
	if !trust.IsZero() {
		certs, err := trust.Trust()
		if err != nil {
			return nil, fmt.Errorf("trusted certificates (ssl.truststore.*, ssl.ca.*): %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		for _, c := range certs {
			config.RootCAs.AddCert(c)
		}
	}
	if err := s.clientCertificate(config); err != nil {
		return nil, err
	}
	if algorithm, set := s.values["ssl.endpoint.identification.algorithm"]; set && strings.TrimSpace(algorithm) == "" {
		verifyChainOnly(config)
	}
	switch v := strings.ToLower(s.get("enable.ssl.certificate.verification")); v {
	case "", "true":
	case "false":
		config.InsecureSkipVerify, config.VerifyConnection = true, nil
	default:
		return nil, fmt.Errorf("property enable.ssl.certificate.verification: want true or false, got %q", v)
	}
	return config, nil
}

func (s *settings) clientCertificate(config *tls.Config) error {
	keys := certstore.Store{
		Type: s.get("ssl.keystore.type"), Location: s.get("ssl.keystore.location"), Password: secret.New(s.values["ssl.keystore.password"]),
		Key: secret.New(s.get("ssl.keystore.key")), Chain: secret.New(s.get("ssl.keystore.certificate.chain")), KeyPassword: secret.New(s.values["ssl.key.password"]),
	}
	if err := s.overlay(&keys.Chain, "ssl.certificate.pem", "ssl.certificate.location"); err != nil {
		return err
	}
	if err := s.overlay(&keys.Key, "ssl.key.pem", "ssl.key.location"); err != nil {
		return err
	}
	if !keys.Key.IsEmpty() || !keys.Chain.IsEmpty() {
		keys.Location = ""
	}
	if keys.IsZero() {
		return nil
	}
	certificate, err := keys.KeyPair()
	if err != nil {
		return fmt.Errorf("client certificate and key (ssl.keystore.*, ssl.certificate.*, ssl.key.*): %w", err)
	}
	config.Certificates = []tls.Certificate{certificate}
	return nil
}

// overlay puts what librdkafka's properties say, a text or a file, in the place of Java's.
func (s *settings) overlay(to *secret.Text, text, file string) error {
	if v := s.get(text); v != "" {
		*to = secret.New(v)
		return nil
	}
	path := s.get(file)
	if path == "" {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("property %s: %w", file, err)
	}
	*to = secret.New(string(b))
	return nil
}

// verifyChainOnly checks the certificate but not the host's name, as Java does with an empty
// ssl.endpoint.identification.algorithm.
func verifyChainOnly(config *tls.Config) {
	roots := config.RootCAs
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the broker sent no certificate")
		}
		intermediates := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			intermediates.AddCert(c)
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
		return err
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialTLS speaks TLS on what dial returns. timeout bounds the dialling and the handshake together.
func dialTLS(dial dialFunc, config *tls.Config, timeout time.Duration) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", address, err)
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := config.Clone()
		c.ServerName = host
		secure := tls.Client(conn, c)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close() // The handshake's error says more.
			return nil, fmt.Errorf("tls handshake with %s: %w", address, err)
		}
		return secure, nil
	}
}
