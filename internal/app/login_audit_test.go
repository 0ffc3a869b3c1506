package app_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/weir-stream/weir/internal/kafka/auditevent"
)

// attempt is a login on a connection of its own, and what the audit log has to say of it.
type attempt struct {
	listener, mechanism, principal string
	granted                        bool
	reason                         string // a part of it
	how                            sasl.Mechanism
	certificate                    string // file
}

// secretParts are in no event.
const secretPart = "s3cret-part"

func attempts(a *authority) []attempt {
	const good, bad = "admin-secret", secretPart
	oauthOf := func(token string) sasl.Mechanism { return oauth.Auth{Token: token}.AsMechanism() }
	return []attempt{
		{"sasl_plaintext", "PLAIN", "User:admin", true, "", plain.Auth{User: "admin", Pass: good}.AsMechanism(), ""},
		{"sasl_plaintext", "PLAIN", "User:admin", false, "wrong password", plain.Auth{User: "admin", Pass: bad}.AsMechanism(), ""},
		{"sasl_plaintext", "PLAIN", "User:nobody", false, "no such user", plain.Auth{User: "nobody", Pass: bad}.AsMechanism(), ""},
		{"sasl_plaintext", "PLAIN", "User:admin", false, "another authorization id", plain.Auth{Zid: "root", User: "admin", Pass: good}.AsMechanism(), ""},
		{"sasl_plaintext", "SCRAM-SHA-256", "User:admin", true, "", scram.Auth{User: "admin", Pass: good}.AsSha256Mechanism(), ""},
		{"sasl_plaintext", "SCRAM-SHA-512", "User:admin", true, "", scram.Auth{User: "admin", Pass: good}.AsSha512Mechanism(), ""},
		{"sasl_plaintext", "SCRAM-SHA-512", "User:admin", false, "", scram.Auth{User: "admin", Pass: bad}.AsSha512Mechanism(), ""},
		{"sasl_plaintext", "SCRAM-SHA-256", "User:nobody", false, "", scram.Auth{User: "nobody", Pass: bad}.AsSha256Mechanism(), ""},
		{"sasl_plaintext", "OAUTHBEARER", "User:carol", true, "", oauthOf(a.token("carol", time.Now().Add(time.Hour))), ""},
		{"sasl_plaintext", "OAUTHBEARER", "", false, "", oauthOf(a.token("carol", time.Now().Add(-time.Hour))), ""},
		{"sasl_plaintext", "OAUTHBEARER", "", false, "", oauthOf(secretPart), ""},
		{"sasl_plaintext", "GSSAPI", "", false, "does not offer", other{"GSSAPI"}, ""},
		{"sasl_plaintext", "unknown", "", false, "does not offer", other{secretPart}, ""},
		{"sasl_ssl", "SCRAM-SHA-512", "User:admin", true, "", scram.Auth{User: "admin", Pass: good}.AsSha512Mechanism(), ""},
		{"ssl", "SSL", "User:ops-joe", true, "", nil, a.store("audited.pem", pkix.Name{CommonName: "Joe", OrganizationalUnit: []string{"Ops"}})},
		{"ssl", "SSL", "", false, "", nil, ""},
	}
}

// other is a mechanism that no listener offers.
type other struct{ name string }

func (o other) Name() string { return o.name }

func (o other) Authenticate(context.Context, string) (sasl.Session, []byte, error) {
	return nil, nil, errors.New("asked for a first message")
}

// try logs in once, and closes the connection when the broker has said all.
func (x *attempt) try(t *testing.T, a *authority, address string) (ok bool) {
	t.Helper()
	raw := dialRaw(t, address)
	c := raw
	if strings.HasSuffix(x.listener, "ssl") {
		roots := x509.NewCertPool()
		roots.AddCert(a.cert)
		config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
		if x.certificate != "" {
			pair, err := tls.LoadX509KeyPair(x.certificate, x.certificate)
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		c = rawConn{tls.Client(raw.Conn, config), t}
	}
	defer func() {
		raw.Conn.(*net.TCPConn).CloseWrite() //nolint:errcheck // the broker may have gone first
		io.Copy(io.Discard, raw)             //nolint:errcheck // until it has: all events are there then
	}()
	if x.how == nil {
		c.request(kmsg.NewPtrApiVersionsRequest())
		_, ok = c.answer()
		return ok
	}
	c.request(handshake(1, x.how.Name()))
	if b, open := c.answer(); !open || !bytes.HasPrefix(b[4:], []byte{0, 0}) {
		return false
	}
	session, message, err := x.how.Authenticate(t.Context(), address)
	for done := false; err == nil; {
		req := kmsg.NewPtrSASLAuthenticateRequest()
		req.Version, req.SASLAuthBytes = 1, message
		c.request(req)
		b, open := c.answer()
		res := kmsg.NewPtrSASLAuthenticateResponse()
		res.Version = 1
		if !open || res.ReadFrom(b[4:]) != nil || res.ErrorCode != 0 {
			return false
		}
		if done {
			return true
		}
		if done, message, err = session.Challenge(res.SASLAuthBytes); done && len(message) == 0 {
			return err == nil
		}
	}
	return false
}

// TestEveryLoginIsOneAuditEvent logs in by every mechanism, well and badly, and reads the audit log.
func TestEveryLoginIsOneAuditEvent(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := secured(t, a, nil, "audit.enable=true", "audit.categories=authentication")
	at := s.Addresses()
	all := attempts(a)
	for i := range all {
		if got := all[i].try(t, a, at["kafka."+all[i].listener]); got != all[i].granted {
			t.Fatalf("%+v: logged in is %v", all[i], got)
		}
	}
	last := attempt{"sasl_plaintext", "PLAIN", "User:admin", true, "", plain.Auth{User: "admin", Pass: "admin-secret"}.AsMechanism(), ""}
	last.try(t, a, at["kafka.sasl_plaintext"])
	all = append(all, last) // there is nothing between the others and it, or the events would not match
	events := auditEvents(t, at["kafka"], len(all))
	if len(events) != len(all) {
		t.Errorf("%d events of %d logins", len(events), len(all))
	}
	for i, e := range events[:min(len(events), len(all))] {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		want, got := all[i], e.Data.Authentication
		if e.Type != auditevent.TypeAuthentication || e.Data.Category != "authentication" || got == nil || got.Granted == nil || e.Data.Client == nil {
			t.Fatalf("event %d: %s", i, text)
		}
		if want.principal != "" && got.Principal != want.principal {
			t.Errorf("login %d: event of %q, want %q", i, got.Principal, want.principal)
		}
		if got.Mechanism != want.mechanism || *got.Granted != want.granted || !strings.Contains(got.Reason, want.reason) || (got.Reason == "") != want.granted ||
			e.Data.Client.Listener != strings.ToUpper(want.listener) || e.Data.Client.Address != "127.0.0.1" {
			t.Errorf("login %d, %+v: %s", i, want, text)
		}
		if strings.Contains(string(text), secretPart) || strings.Contains(string(text), "admin-secret") || strings.Contains(string(text), "eyJ") {
			t.Errorf("login %d: a secret in %s", i, text)
		}
	}
}

// TestHandshakesThatServicesRefuseAreLoginsThatFailed calls the registry without a certificate where one is required, and with one of nobody's. Both are in the audit log
// and in metrics, as at a Kafka listener.
func TestHandshakesThatServicesRefuseAreLoginsThatFailed(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := &webServer{authority: a, app: secured(t, a, nil, "audit.enable=true", "audit.categories=authentication", "registry.listen=https://127.0.0.1:0", "listener.name.registry.ssl.client.auth=required")}
	stranger := newAuthority(t).store("stranger.pem", pkix.Name{CommonName: "ops"})
	for _, certificate := range []string{"", stranger} {
		if status, _, text, err := s.send(t, webCaller{certificate: certificate}, "registry", "GET", "/subjects", "", ""); err == nil {
			t.Errorf("certificate %q: %d %s", certificate, status, text)
		}
	}
	at := s.app.Addresses()
	for i, e := range auditEvents(t, at["kafka"], 2) {
		got := e.Data.Authentication
		if got == nil || got.Granted == nil || *got.Granted || got.Mechanism != "SSL" || got.Reason == "" || e.Data.Client == nil || e.Data.Client.Listener != "registry" || e.Data.Client.Address != "127.0.0.1" {
			t.Errorf("event %d: %+v, %+v", i, e.Data.Client, got)
		}
	}
	if _, text := get(t, "http://"+at["admin"]+"/metrics"); !strings.Contains(text, `weir_auth_logins_total{listener="registry",mechanism="SSL",outcome="failure"} 2`) {
		t.Errorf("no failed handshakes of the registry in /metrics:\n%s", text)
	}
}
