package app_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/kafka/client"
)

// authority issues certificates and tokens for a test.
type authority struct {
	t    testing.TB
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	url  string // of the issuer of tokens
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.file("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	issuer := httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(issuer.Close)
	a.url = issuer.URL
	return a
}

func (a *authority) file(name string, b []byte) string {
	a.t.Helper()
	name = filepath.Join(a.dir, name)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return name
}

// store writes a file with a key and its certificate.
func (a *authority) store(name string, subject pkix.Name) string {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.file(name, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...))
}

// serve is the issuer's side of OpenID Connect.
func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	point, err := a.key.PublicKey.Bytes()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	text := base64.RawURLEncoding.EncodeToString
	if r.URL.Path == "/token" {
		id, secret, _ := r.BasicAuth()
		if r.PostFormValue("grant_type") != "client_credentials" || secret != "client-secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"access_token": a.token(id, time.Now().Add(time.Hour)), "expires_in": 3600}) //nolint:errcheck // the test sees it
		return
	}
	var doc any = map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "x": text(point[1:33]), "y": text(point[33:])}}}
	if r.URL.Path == "/.well-known/openid-configuration" {
		doc = map[string]string{"issuer": a.url, "jwks_uri": a.url + "/keys"}
	}
	json.NewEncoder(w).Encode(doc) //nolint:errcheck // the test sees it
}

func (a *authority) token(subject string, expires time.Time) string {
	a.t.Helper()
	t := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": a.url, "aud": "weir", "sub": subject, "iat": time.Now().Unix(), "exp": expires.Unix()})
	t.Header["kid"] = "k1"
	s, err := t.SignedString(a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

// secured starts a server in memory with a listener of each kind.
func secured(t *testing.T, a *authority, logger *slog.Logger, set ...string) *app.App {
	t.Helper()
	all := append([]string{
		"data=" + t.TempDir(), "admin.listen=127.0.0.1:0", "group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=1", "storage.shards=1", "storage.wal.file.bytes=8388608",
		"listeners=PLAINTEXT://127.0.0.1:0,SASL_SSL://127.0.0.1:0,SSL://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0",
		"ssl.keystore.type=PEM", "ssl.keystore.location=" + a.store("server.pem", pkix.Name{CommonName: "broker"}),
		"ssl.truststore.type=PEM", "ssl.truststore.location=" + filepath.Join(a.dir, "ca.pem"), "listener.name.ssl.ssl.client.auth=required",
		"ssl.principal.mapping.rules=RULE:^CN=([^,]+),OU=Ops.*$/ops-$1/L,DEFAULT",
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		"listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_static=\"static-secret\";",
		"sasl.oauthbearer.expected.issuer=" + a.url, "sasl.oauthbearer.expected.audience=weir", "connection.failed.authentication.delay.ms=0",
		"bootstrap.users.file=" + a.file("users", []byte("# first users\nadmin:admin-secret\n")), "delegation.token.secret.key=token-secret",
	}, set...)
	schema, err := app.Schema()
	if err != nil {
		t.Fatal(err)
	}
	v, err := schema.Load(config.Sources{Set: all})
	if err != nil {
		t.Fatal(err)
	}
	ap := app.New(app.Options{Values: v, Version: "test", Logger: logger, FS: vfs.NewMem(), Blob: blob.NewMem(), Meta: meta.NewMem(nil), NoRunFile: true})
	runApp(t, ap)
	return ap
}

// runApp starts a server and returns when it is ready. stop ends it, as does the end of the test.
func runApp(t *testing.T, ap *app.App) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- ap.Run(ctx, func() { close(ready) }) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		t.Fatalf("the server did not start: %v", err)
	}
	return stop
}

// connect returns a client with properties as Java's.
func connect(t *testing.T, address string, properties map[string]string, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := client.New(client.Options{Bootstrap: []string{address}, Properties: properties}, append([]kgo.Opt{kgo.RequestRetries(1), kgo.RetryTimeout(5 * time.Second)}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func login(mechanism, user, password string) map[string]string {
	return map[string]string{"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": password}
}

func TestEveryMechanismLogsIn(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := secured(t, a, nil)
	at := s.Addresses()
	ca := map[string]string{"ssl.truststore.type": "PEM", "ssl.truststore.location": filepath.Join(a.dir, "ca.pem")}
	jaas := func(options string) map[string]string {
		return map[string]string{"sasl.mechanism": "OAUTHBEARER", "sasl.jaas.config": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required " + options + ";"}
	}
	credentials := func(secret string) map[string]string {
		return map[string]string{
			"sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.token.endpoint.url": a.url + "/token",
			"sasl.oauthbearer.client.credentials.client.id": "service", "sasl.oauthbearer.client.credentials.client.secret": secret,
		}
	}
	ops := map[string]string{"ssl.keystore.type": "PEM", "ssl.keystore.location": a.store("ops.pem", pkix.Name{CommonName: "Joe", OrganizationalUnit: []string{"Ops"}})}
	for name, c := range map[string]struct {
		listener   string
		properties map[string]string
		ok         bool
	}{
		"scram-512":          {"sasl_ssl", login("SCRAM-SHA-512", "admin", "admin-secret"), true},
		"scram-256":          {"sasl_ssl", login("SCRAM-SHA-256", "admin", "admin-secret"), true},
		"scram wrong":        {"sasl_ssl", login("SCRAM-SHA-512", "admin", "wrong"), false},
		"scram unknown":      {"sasl_ssl", login("SCRAM-SHA-512", "nobody", "admin-secret"), false},
		"plain stored":       {"sasl_ssl", login("PLAIN", "admin", "admin-secret"), true},
		"plain settings":     {"sasl_ssl", login("PLAIN", "static", "static-secret"), true},
		"plain wrong":        {"sasl_ssl", login("PLAIN", "static", "admin-secret"), false},
		"plain unknown":      {"sasl_ssl", login("PLAIN", "nobody", "admin-secret"), false},
		"oauth":              {"sasl_ssl", jaas(`token="` + a.token("carol", time.Now().Add(time.Hour)) + `"`), true},
		"oauth credentials":  {"sasl_ssl", credentials("client-secret"), true},
		"oauth wrong secret": {"sasl_ssl", credentials("wrong"), false},
		"oauth expired":      {"sasl_ssl", jaas(`token="` + a.token("carol", time.Now().Add(-time.Hour)) + `"`), false},
		"plaintext login":    {"sasl_plaintext", login("SCRAM-SHA-256", "admin", "admin-secret"), true},
		"no login":           {"sasl_plaintext", nil, false},
		"certificate":        {"ssl", ops, true},
		"no certificate":     {"ssl", nil, false},
		"tls without login":  {"sasl_ssl", nil, false},
		"static elsewhere":   {"sasl_plaintext", login("PLAIN", "static", "static-secret"), false},
		"login without need": {"plaintext", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			protocol := map[string]string{"sasl_ssl": "SASL_SSL", "ssl": "SSL", "sasl_plaintext": "SASL_PLAINTEXT", "plaintext": "PLAINTEXT"}[c.listener]
			if c.properties == nil {
				protocol = strings.TrimPrefix(protocol, "SASL_")
			}
			properties := map[string]string{"security.protocol": protocol}
			maps.Copy(properties, c.properties)
			if strings.HasSuffix(protocol, "SSL") {
				maps.Copy(properties, ca)
			}
			address := at["kafka."+c.listener]
			if c.listener == "plaintext" {
				address = at["kafka"]
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			m, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, connect(t, address, properties))
			if (err == nil) != c.ok {
				t.Fatalf("got %v", err)
			}
			if err == nil && fmt.Sprintf("%s:%d", m.Brokers[0].Host, m.Brokers[0].Port) != address {
				t.Errorf("told %s:%d, want the address of the listener, %s", m.Brokers[0].Host, m.Brokers[0].Port, address)
			}
		})
	}
}

func TestUsersOfTheProtocolLogIn(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := secured(t, a, nil)
	at := s.Addresses()
	adm := kadm.NewClient(connect(t, at["kafka"], nil))
	upsert := kadm.UpsertSCRAM{User: "bob, the = builder", Mechanism: kadm.ScramSha256, Iterations: 4096, Password: "pässword"}
	if got, err := adm.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{upsert}); err != nil || got.Error() != nil {
		t.Fatal(err, got.Error())
	}
	bob := func(password string) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		properties := login("SCRAM-SHA-256", "bob, the = builder", password)
		properties["security.protocol"] = "SASL_PLAINTEXT"
		return connect(t, at["kafka.sasl_plaintext"], properties).Ping(ctx)
	}
	if err := bob("pässword"); err != nil {
		t.Errorf("a new user: %v", err)
	}
	upsert.Password = "other"
	if got, err := adm.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{upsert}); err != nil || got.Error() != nil {
		t.Fatal(err, got.Error())
	}
	if bob("pässword") == nil || bob("other") != nil {
		t.Error("a changed password does not count")
	}
	if got, err := adm.AlterUserSCRAMs(t.Context(), []kadm.DeleteSCRAM{{User: upsert.User, Mechanism: kadm.ScramSha256}}, nil); err != nil || got.Error() != nil {
		t.Fatal(err, got.Error())
	}
	if bob("other") == nil {
		t.Error("a deleted user logs in")
	}
}

func TestDelegationTokensLogIn(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := secured(t, a, nil)
	at := s.Addresses()
	admin := login("SCRAM-SHA-512", "admin", "admin-secret")
	admin["security.protocol"] = "SASL_PLAINTEXT"
	c := connect(t, at["kafka.sasl_plaintext"], admin)
	create := kmsg.NewPtrCreateDelegationTokenRequest()
	create.MaxLifetimeMillis = -1
	made, err := create.RequestWith(t.Context(), c)
	if err != nil || made.ErrorCode != 0 || made.PrincipalName != "admin" || len(made.HMAC) != 64 {
		t.Fatalf("%v, %+v", err, made)
	}
	with := map[string]string{
		"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256",
		"sasl.jaas.config": `x required username="` + made.TokenID + `" password="` + base64.StdEncoding.EncodeToString(made.HMAC) + `" tokenauth="true";`,
	}
	tc := connect(t, at["kafka.sasl_plaintext"], with)
	if err := tc.Ping(t.Context()); err != nil {
		t.Fatalf("login with a token: %v", err)
	}
	if again, err := create.RequestWith(t.Context(), tc); err != nil || again.ErrorCode != 64 {
		t.Errorf("a token made a token: %v, %d", err, again.ErrorCode)
	}
	described, err := kmsg.NewPtrDescribeDelegationTokenRequest().RequestWith(t.Context(), c)
	if err != nil || len(described.TokenDetails) != 1 || !bytes.Equal(described.TokenDetails[0].HMAC, made.HMAC) {
		t.Errorf("%v, %+v", err, described)
	}
	expire := kmsg.NewPtrExpireDelegationTokenRequest()
	expire.HMAC, expire.ExpiryPeriodMillis = made.HMAC, -1
	if res, err := expire.RequestWith(t.Context(), c); err != nil || res.ErrorCode != 0 {
		t.Errorf("%v, %+v", err, res)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if connect(t, at["kafka.sasl_plaintext"], with).Ping(ctx) == nil {
		t.Error("an expired token logs in")
	}
}

// TestSecretsDoNotShow puts secrets in by every way there is, and looks for them in the log, the metrics and the answers.
func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	var log logBuffer
	const canary = "canary-7f3a"
	t.Cleanup(func() {
		if strings.Contains(log.String(), canary) {
			t.Errorf("the log tells a secret: %s", log.String())
		}
	})
	users := a.file("canaries", []byte("canary:"+canary+"-file\nadmin:admin-secret\n"))
	s := secured(t, a, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 4})), "bootstrap.users.file="+users, "delegation.token.secret.key="+canary+"-token",
		"listener.name.sasl_plaintext.plain.sasl.jaas.config=x required user_canary=\""+canary+"-jaas\";", "ssl.keystore.password="+canary+"-store", "ssl.key.password="+canary+"-key")
	at := s.Addresses()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var seen strings.Builder
	c := connect(t, at["kafka"], nil)
	adm := kadm.NewClient(c)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256"} {
		for user, password := range map[string]string{"canary": canary + "-wrong", "nobody": canary + "-nobody", canary: canary + "-name"} {
			if user == canary {
				continue // names are no secrets
			}
			properties := login(mechanism, user, password)
			properties["security.protocol"] = "SASL_PLAINTEXT"
			fmt.Fprintln(&seen, connect(t, at["kafka.sasl_plaintext"], properties, kgo.RetryTimeout(time.Second)).Ping(ctx))
		}
	}
	got, err := adm.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: "x", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: canary + "-scram"}, {User: "", Mechanism: kadm.ScramSha512, Iterations: 1, Password: canary + "-bad"}})
	fmt.Fprintln(&seen, got, err)
	described, err := adm.DescribeUserSCRAMs(ctx)
	fmt.Fprintln(&seen, described, err)
	secret := canary + "-altered"
	for _, name := range []string{"listener.name.sasl_ssl.ssl.key.password", "listener.name.ssl.ssl.keystore.password", "ssl.key.password", "listener.name.ssl.ssl.keystore.key", "unknown.password"} {
		altered, err := adm.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Name: name, Value: &secret}}, 1)
		fmt.Fprintln(&seen, altered, err)
	}
	configs, err := adm.DescribeBrokerConfigs(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	hidden := 0
	for _, r := range configs {
		for _, x := range r.Configs {
			if x.Value != nil {
				fmt.Fprintln(&seen, x.Key, *x.Value)
			}
			for _, y := range x.Synonyms {
				if y.Value != nil {
					fmt.Fprintln(&seen, y.Key, *y.Value)
				}
			}
			if x.Sensitive && x.Value == nil {
				hidden++
			}
		}
	}
	if hidden < 10 {
		t.Errorf("%d secret settings", hidden)
	}
	res, err := http.Get("http://" + at["admin"] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	metrics, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(metrics), `weir_auth_logins_total{listener="SASL_PLAINTEXT",mechanism="PLAIN",outcome="failure"}`) {
		t.Errorf("metrics: %v", err)
	}
	seen.Write(metrics)
	if strings.Contains(seen.String(), canary) {
		for line := range strings.Lines(seen.String()) {
			if strings.Contains(line, canary) {
				t.Errorf("shown: %s", line)
			}
		}
	}
}

// TestCertificatesAreReplacedWhileTheBrokerRuns changes the key store of a listener by the API, and looks whose certificate
// new connections see.
func TestCertificatesAreReplacedWhileTheBrokerRuns(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := secured(t, a, nil)
	at := s.Addresses()
	serial := func() string {
		t.Helper()
		roots := x509.NewCertPool()
		roots.AddCert(a.cert)
		c, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots}}).DialContext(t.Context(), "tcp", at["kafka.sasl_ssl"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	adm := kadm.NewClient(connect(t, at["kafka"], nil))
	alter := func(name, value string) error {
		got, err := adm.AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Name: name, Value: &value}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		return got[0].Err
	}
	const setting = "listener.name.sasl_ssl.ssl.keystore.location"
	before := serial()
	if err := alter(setting, a.store("next.pem", pkix.Name{CommonName: "broker"})); err != nil {
		t.Fatal(err)
	}
	if serial() == before {
		t.Error("the old certificate is still shown")
	}
	for what, file := range map[string]string{"another name": a.store("other.pem", pkix.Name{CommonName: "other"}), "no key": filepath.Join(a.dir, "ca.pem"), "missing": filepath.Join(a.dir, "none")} {
		if err := alter(setting, file); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	after := serial()
	if err := alter("ssl.keystore.location", filepath.Join(a.dir, "server.pem")); err == nil {
		t.Error("a key store was changed for all listeners")
	}
	if serial() != after {
		t.Error("a refused change counts")
	}
}
