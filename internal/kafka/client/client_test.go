package client

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka/wire"
)

func TestPropertiesBecomeOptions(t *testing.T) {
	t.Parallel()
	c, err := New(Options{Properties: map[string]string{
		"bootstrap.servers": "a:1, b:2,", "client.id": "me", "client.rack": "r1", "request.timeout.ms": "1500", "metadata.max.age.ms": "60000",
		"connections.max.idle.ms": "30000", "retries": "7", "retry.backoff.ms": "50", "socket.connection.setup.timeout.ms": "2000",
		"key.serializer": "org.apache.kafka.common.serialization.StringSerializer", "acks": "all", "sasl.kerberos.service.name": "kafka",
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.OptValue(kgo.SeedBrokers).([]string); len(got) != 2 || got[0] != "a:1" || got[1] != "b:2" {
		t.Errorf("seed brokers %v", got)
	}
	if got := c.OptValue(kgo.ClientID); got != "me" {
		t.Errorf("client id %v", got)
	}
	if got := c.OptValue(kgo.RequestTimeoutOverhead); got != 1500*time.Millisecond {
		t.Errorf("timeout %v", got)
	}
	if got := c.OptValue(kgo.RequestRetries); got != int64(7) && got != 7 {
		t.Errorf("retries %v", got)
	}
	for attempt, want := range []time.Duration{50, 50, 100, 200, 400, 800, 1000, 1000} {
		if got := backoff(50*time.Millisecond, attempt); got != want*time.Millisecond {
			t.Errorf("attempt %d waits %s", attempt, got)
		}
	}
}

func TestWrongPropertiesAreNamedAndSecretsKept(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	missing := filepath.Join(t.TempDir(), "none")
	jaas := func(text string) map[string]string {
		return map[string]string{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": text}
	}
	for name, c := range map[string]struct {
		properties map[string]string
		want       string
	}{
		"unknown":           {map[string]string{"request.timeout": secret}, "request.timeout"},
		"number":            {map[string]string{"request.timeout.ms": "soon"}, "request.timeout.ms"},
		"zero":              {map[string]string{"metadata.max.age.ms": "0"}, "metadata.max.age.ms"},
		"protocol":          {map[string]string{"security.protocol": "TLS"}, "security.protocol"},
		"mechanism":         {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"}, "sasl.mechanism"},
		"no mechanism":      {map[string]string{"security.protocol": "SASL_SSL", "sasl.username": "u"}, "sasl.mechanism"},
		"no user":           {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.password": secret}, "user"},
		"no token":          {map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}, "token"},
		"jaas no flag":      {jaas(`M username="u" password="` + secret + `";`), "sasl.jaas.config"},
		"jaas no end":       {jaas(`M required username="u" password="` + secret + `"`), "semicolon"},
		"jaas open quote":   {jaas(`M required username="u" password="` + secret), "sasl.jaas.config"},
		"jaas no value":     {jaas(`M required ` + secret + `;`), "sasl.jaas.config"},
		"jaas two":          {jaas(`M required a=b; N required password=` + secret + `;`), "semicolon"},
		"jaas empty":        {jaas(`M`), "sasl.jaas.config"},
		"ca missing":        {map[string]string{"security.protocol": "SSL", "ssl.ca.location": missing}, "ssl.ca.location"},
		"ca garbage":        {map[string]string{"security.protocol": "SSL", "ssl.ca.pem": secret}, "ssl.ca"},
		"jks":               {map[string]string{"security.protocol": "SSL", "ssl.truststore.location": missing, "ssl.truststore.password": secret}, "ssl.truststore"},
		"key without chain": {map[string]string{"security.protocol": "SSL", "ssl.key.pem": secret}, "ssl.keystore"},
		"encrypted key":     {map[string]string{"security.protocol": "SSL", "ssl.key.pem": "k", "ssl.certificate.pem": "c", "ssl.key.password": secret}, "no private key"},
		"verification":      {map[string]string{"security.protocol": "SSL", "enable.ssl.certificate.verification": "maybe"}, "enable.ssl.certificate.verification"},
	} {
		_, err := New(Options{Bootstrap: []string{"a:1"}, Properties: c.properties})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells a secret: %v", name, err)
		}
	}
	if _, err := New(Options{}); err == nil || !strings.Contains(err.Error(), "bootstrap.servers") {
		t.Errorf("no broker: %v", err)
	}
	// What comes from the caller is checked by kgo itself.
	if _, err := New(Options{Bootstrap: []string{"a:1"}}, kgo.TransactionalID("t"), kgo.DisableIdempotentWrite()); err == nil {
		t.Error("a wrong option was accepted")
	}
}

// serveBroker answers the few requests of a connecting client, until the connection ends. It takes user and password
// "alice" and "secret".
func serveBroker(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	in := wire.NewFrameReader(conn, wire.FrameReaderOptions{})
	for {
		frame, err := in.Next(ctx)
		if err != nil {
			return err
		}
		h, body, err := wire.ParseRequestHeader(frame.Bytes)
		if err != nil {
			return err
		}
		req, err := wire.DecodeRequest(h, body)
		if err != nil {
			return err
		}
		resp := req.ResponseKind()
		switch req := req.(type) {
		case *kmsg.ApiVersionsRequest:
			for _, key := range []int16{3, 17, 18, 36} {
				resp := resp.(*kmsg.ApiVersionsResponse)
				k := kmsg.NewApiVersionsResponseApiKey()
				k.ApiKey, k.MaxVersion = key, kmsg.RequestForKey(key).MaxVersion()
				resp.ApiKeys = append(resp.ApiKeys, k)
			}
		case *kmsg.MetadataRequest:
			b := kmsg.NewMetadataResponseBroker()
			b.NodeID, b.Host, b.Port = 1, "broker.test", 9092
			resp.(*kmsg.MetadataResponse).Brokers = append(resp.(*kmsg.MetadataResponse).Brokers, b)
			resp.(*kmsg.MetadataResponse).ClusterID = new("in-process " + h.ClientID)
		case *kmsg.SASLHandshakeRequest:
			resp.(*kmsg.SASLHandshakeResponse).SupportedMechanisms = []string{"PLAIN"}
		case *kmsg.SASLAuthenticateRequest:
			if !bytes.Equal(req.SASLAuthBytes, []byte("\x00alice\x00secret")) {
				resp.(*kmsg.SASLAuthenticateResponse).ErrorCode = 58
			}
		}
		_, err = wire.EncodeResponse(h, resp).WriteTo(conn)
		frame.Release()
		if err != nil {
			return err
		}
	}
}

// inProcess returns a Dial that reaches serveBroker, through pipes, or with TLS through TCP: over a pipe, which holds
// nothing, a refused handshake can leave both sides writing.
func inProcess(t *testing.T, secure *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	var work sync.WaitGroup
	t.Cleanup(work.Wait)
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		server, client, err := connect(ctx, secure != nil)
		if err != nil {
			return nil, err
		}
		if secure != nil {
			server = tls.Server(server, secure)
		}
		work.Go(func() {
			err := serveBroker(context.WithoutCancel(ctx), server)
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) && secure == nil {
				t.Errorf("broker: %v", err)
			}
		})
		return client, nil
	}
}

func connect(ctx context.Context, tcp bool) (server, client net.Conn, err error) {
	if !tcp {
		server, client = net.Pipe()
		return server, client, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	if client, err = new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String()); err != nil {
		return nil, nil, err
	}
	server, err = listener.Accept()
	return server, client, err
}

func clusterID(t *testing.T, o Options) (string, error) {
	t.Helper()
	c, err := New(o, kgo.RequestRetries(0), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	resp, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), c)
	if err != nil {
		return "", err
	}
	return *resp.ClusterID, nil
}

func TestClientReachesABrokerInTheProcess(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	id, err := clusterID(t, Options{
		Bootstrap: []string{"broker.test:9092"}, Dial: inProcess(t, nil), SoftwareVersion: "1.2.3",
		Properties: map[string]string{"client.id": "me"},
		Logger:     slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil || id != "in-process me" {
		t.Errorf("got %q, %v", id, err)
	}
}

func TestPasswordReachesTheBroker(t *testing.T) {
	t.Parallel()
	for password, ok := range map[string]bool{"secret": true, "wrong": false} {
		_, err := clusterID(t, Options{Bootstrap: []string{"broker.test:9092"}, Dial: inProcess(t, nil), Properties: map[string]string{
			"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
			"sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="` + password + `";`,
		}})
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), password) && password != "wrong" {
			t.Errorf("%s: %v", password, err)
		}
	}
}

// selfSigned returns a certificate for broker.test in PEM form, with its key.
func selfSigned(t *testing.T) (chain, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker.test"}, DNSNames: []string{"broker.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func TestTLSChecksTheBroker(t *testing.T) {
	t.Parallel()
	chain, key := selfSigned(t)
	certificate, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(chain)
	server := &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: roots}
	mutual := server.Clone()
	mutual.ClientAuth = tls.RequireAndVerifyClientCert
	store := filepath.Join(t.TempDir(), "store.pem")
	if err := os.WriteFile(store, append(bytes.Clone(chain), key...), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		server     *tls.Config
		host       string
		properties map[string]string
		ok         bool
	}{
		"trusted":             {server, "broker.test", map[string]string{"ssl.ca.pem": string(chain)}, true},
		"trust store":         {server, "broker.test", map[string]string{"ssl.truststore.type": "PEM", "ssl.truststore.location": store, "ssl.enabled.protocols": "TLSv1.3"}, true},
		"not trusted":         {server, "broker.test", nil, false},
		"other name":          {server, "other.test", map[string]string{"ssl.ca.pem": string(chain)}, false},
		"name not checked":    {server, "other.test", map[string]string{"ssl.ca.pem": string(chain), "ssl.endpoint.identification.algorithm": ""}, true},
		"chain still checked": {server, "broker.test", map[string]string{"ssl.endpoint.identification.algorithm": ""}, false},
		"nothing checked":     {server, "other.test", map[string]string{"enable.ssl.certificate.verification": "false"}, true},
		"client certificate":  {mutual, "broker.test", map[string]string{"ssl.truststore.type": "PEM", "ssl.truststore.location": store, "ssl.keystore.type": "PEM", "ssl.keystore.location": store}, true},
		"no certificate":      {mutual, "broker.test", map[string]string{"ssl.ca.location": store}, false},
	} {
		properties := map[string]string{"security.protocol": "SSL"}
		maps.Copy(properties, c.properties)
		_, err := clusterID(t, Options{Bootstrap: []string{c.host + ":9092"}, Dial: inProcess(t, c.server), Properties: properties})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSoftwareNamesAreThoseThatBrokersTake(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"weir": "weir", "v1.2.0": "v1.2.0", "v0.0.0-2026+dirty": "v0.0.0-2026-dirty", "(devel)": "devel", "+": "unknown"} {
		if got := softwareWord(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
