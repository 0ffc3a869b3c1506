package s3

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
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
)

// authority signs certificates for 127.0.0.1 and keeps them in files.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	pair := a.issue(t, "ca")
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("no ECDSA key")
	}
	a.key, a.cert = key, pair.Leaf
	a.write(t, "ca", pair)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue makes a certificate; the first signs itself, and then all others.
func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: a.key == nil, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, key
	if a.key != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// write makes NAME.pem and NAME.key, in this order.
func (a *authority) write(t *testing.T, name string, pair tls.Certificate) {
	t.Helper()
	a.writeCertificate(t, name, pair)
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, a.file(name+".key"), "PRIVATE KEY", der)
}

func (a *authority) writeCertificate(t *testing.T, name string, pair tls.Certificate) {
	t.Helper()
	writePEM(t, a.file(name+".pem"), "CERTIFICATE", pair.Certificate[0])
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// front is a TLS server that lets nobody in whose certificate the authority has not signed.
type front struct {
	*httptest.Server
	mu    sync.Mutex
	names map[string]int // requests by the name in the certificate
}

func (a *authority) front(t *testing.T, behind http.Handler) *front {
	t.Helper()
	f := &front{names: map[string]int{}}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.names[r.TLS.PeerCertificates[0].Subject.CommonName]++
		f.mu.Unlock()
		behind.ServeHTTP(w, r)
	}))
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	f.TLS = &tls.Config{
		Certificates: []tls.Certificate{a.issue(t, "server")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots, MinVersion: tls.VersionTLS12,
	}
	f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // connections that it refuses
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

func (f *front) requests(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.names[name]
}

func TestCertificateIsShownAndRenewedWithoutARefusedRequest(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	a := newAuthority(t)
	server := a.front(t, fake)
	a.write(t, "own", a.issue(t, "first"))
	trusting := func(o *Options) { o.Endpoint, o.CAFile = server.URL, a.file("ca.pem") }
	s := fake.open(t, trusting, func(o *Options) { o.CertFile, o.KeyFile = a.file("own.pem"), a.file("own.key") })
	put := func(key, name string) {
		t.Helper()
		s.client.CloseIdleConnections() // each is checked when it is made
		before := server.requests(name)
		if err := s.PutIfAbsent(t.Context(), key, nil); err != nil || server.requests(name) != before+1 {
			t.Errorf("%s: %v, %d requests by %s after %d, want one more", key, err, server.requests(name), name, before)
		}
	}
	put("k1", "first")
	renewed := a.issue(t, "second")
	a.writeCertificate(t, "own", renewed) // and its key a moment later
	put("k2", "first")
	a.write(t, "own", renewed)
	put("k3", "second")

	other := fake.open(t, trusting, func(o *Options) { o.RetryFor = 1 })
	// What it says depends on whether the server's alarm arrives before the end of the connection.
	if err := other.PutIfAbsent(t.Context(), "k4", nil); !IsAway(err) {
		t.Errorf("without a certificate: got %v, want no answer", err)
	}
	if n := len(fake.stored()); n != 3 {
		t.Errorf("%d objects, want the 3 that were written with a certificate", n)
	}
}

func TestCertificatesThatCannotBeShownAreRefused(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	none := a.file("none.pem")
	_, err := Open(t.Context(), Options{Bucket: "bucket", CertFile: none, KeyFile: a.file("ca.key")})
	if err == nil || !strings.Contains(err.Error(), "cert_file of object store") || !strings.Contains(err.Error(), none) {
		t.Errorf("got %v, want parameter and file", err)
	}
}
