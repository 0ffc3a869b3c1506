package certstore_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/weir-stream/weir/internal/base/certstore"
	"github.com/weir-stream/weir/internal/base/secret"
)

type pair struct {
	key             *ecdsa.PrivateKey
	cert            *x509.Certificate
	pkcs8           []byte
	keyPEM, certPEM string
}

func newPair(t testing.TB, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return pair{key, cert, pkcs8, encode("PRIVATE KEY", pkcs8), encode("CERTIFICATE", der)}
}

func file(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func jks(t testing.TB, p pair, trusted bool, password, keyPassword string) []byte {
	t.Helper()
	ks := keystore.New()
	cert := keystore.Certificate{Type: "X509", Content: p.cert.Raw}
	var err error
	if trusted {
		err = ks.SetTrustedCertificateEntry("ca", keystore.TrustedCertificateEntry{CreationTime: time.Now(), Certificate: cert})
	} else {
		err = ks.SetPrivateKeyEntry("own", keystore.PrivateKeyEntry{CreationTime: time.Now(), PrivateKey: p.pkcs8, CertificateChain: []keystore.Certificate{cert}}, []byte(keyPassword))
	}
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := ks.Store(&out, []byte(password)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func p12(t testing.TB, p pair, trusted bool, password string) []byte {
	t.Helper()
	var b []byte
	var err error
	if trusted {
		b, err = pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{p.cert}, password)
	} else {
		b, err = pkcs12.Modern.Encode(p.key, p.cert, nil, password)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeyStoresOfEveryKind(t *testing.T) {
	t.Parallel()
	p, other := newPair(t, "own"), newPair(t, "other")
	password, wrong := secret.New("storepass"), secret.New("hunter2")
	oneLine := func(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", " ") }
	for name, c := range map[string]struct {
		store certstore.Store
		want  string // "": it is read
	}{
		"pem file":          {certstore.Store{Type: "PEM", Location: file(t, []byte(p.certPEM+p.keyPEM))}, ""},
		"pem texts":         {certstore.Store{Chain: secret.New(p.certPEM), Key: secret.New(p.keyPEM)}, ""},
		"pem on one line":   {certstore.Store{Chain: secret.New(oneLine(p.certPEM)), Key: secret.New(oneLine(p.keyPEM))}, ""},
		"jks":               {certstore.Store{Location: file(t, jks(t, p, false, "storepass", "storepass")), Password: password}, ""},
		"jks key password":  {certstore.Store{Type: "jks", Location: file(t, jks(t, p, false, "storepass", "keypass")), Password: password, KeyPassword: secret.New("keypass")}, ""},
		"pkcs12":            {certstore.Store{Type: "PKCS12", Location: file(t, p12(t, p, false, "storepass")), Password: password}, ""},
		"pkcs12 called jks": {certstore.Store{Type: "JKS", Location: file(t, p12(t, p, false, "storepass")), Password: password}, ""},
		"key of another":    {certstore.Store{Chain: secret.New(p.certPEM), Key: secret.New(other.keyPEM)}, "does not belong"},
		"no key":            {certstore.Store{Type: "PEM", Location: file(t, []byte(p.certPEM))}, "private key"},
		"no chain":          {certstore.Store{Type: "PEM", Location: file(t, []byte(p.keyPEM))}, "certificates"},
		"jks password":      {certstore.Store{Location: file(t, jks(t, p, false, "storepass", "storepass")), Password: wrong}, "password"},
		"jks key wrong":     {certstore.Store{Location: file(t, jks(t, p, false, "storepass", "keypass")), Password: password}, "password"},
		"pkcs12 password":   {certstore.Store{Location: file(t, p12(t, p, false, "storepass")), Password: wrong}, "password"},
		"garbage":           {certstore.Store{Location: file(t, []byte("garbage")), Password: wrong}, "PKCS#12"},
		"type":              {certstore.Store{Type: "BCFKS", Location: file(t, []byte("garbage"))}, "BCFKS"},
		"missing":           {certstore.Store{Type: "PEM", Location: filepath.Join(t.TempDir(), "none")}, "none"},
	} {
		got, err := c.store.KeyPair()
		switch {
		case c.want == "" && (err != nil || got.Leaf.Subject.CommonName != "own"):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s tells the password: %v", name, err)
		}
	}
}

func TestTrustStoresOfEveryKind(t *testing.T) {
	t.Parallel()
	p, other := newPair(t, "ca"), newPair(t, "ca")
	password := secret.New("storepass")
	for name, c := range map[string]struct {
		store certstore.Store
		want  int
	}{
		"pem file": {certstore.Store{Type: "PEM", Location: file(t, []byte(p.certPEM+other.certPEM))}, 2},
		"pem text": {certstore.Store{Trusted: secret.New(p.certPEM)}, 1},
		"jks":      {certstore.Store{Location: file(t, jks(t, p, true, "storepass", "")), Password: password}, 1},
		"pkcs12":   {certstore.Store{Location: file(t, p12(t, p, true, "storepass")), Password: password}, 1},
		"empty":    {certstore.Store{Trusted: secret.New(p.keyPEM)}, 0},
		"jks key":  {certstore.Store{Location: file(t, jks(t, p, false, "storepass", "storepass")), Password: password}, 0},
	} {
		got, err := c.store.Trust()
		if len(got) != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: %d certificates, %v, want %d", name, len(got), err, c.want)
		}
	}
}

// TestKeysWithPasswords reads keys that OpenSSL 3 made: openssl pkcs8 -topk8 with -v2 of each cipher.
func TestKeysWithPasswords(t *testing.T) {
	t.Parallel()
	chain, err := os.ReadFile("testdata/cert.pem")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/key-*.pem")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		key, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := certstore.Store{Chain: secret.New(string(chain)), Key: secret.New(string(key)), KeyPassword: secret.New("weir-test")}
		if _, err := s.KeyPair(); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		for _, wrong := range []string{"", "x"} {
			s.KeyPassword = secret.New(wrong)
			if _, err := s.KeyPair(); err == nil || !strings.Contains(err.Error(), "password") {
				t.Errorf("%s with password %q: %v", f, wrong, err)
			}
		}
	}
}

func FuzzStore(f *testing.F) {
	p := newPair(f, "own")
	f.Add([]byte(p.certPEM + p.keyPEM))
	f.Add(jks(f, p, false, "storepass", "storepass"))
	f.Add(jks(f, p, true, "storepass", "storepass"))
	f.Add(p12(f, p, false, "storepass"))
	for _, name := range []string{"testdata/key-aes256.pem", "testdata/key-des3.pem"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		name := file(t, data)
		for _, kind := range []string{"PEM", "JKS"} {
			s := certstore.Store{Type: kind, Location: name, Password: secret.New("storepass"), KeyPassword: secret.New("weir-test")}
			if got, err := s.KeyPair(); err == nil && (got.Leaf == nil || got.PrivateKey == nil) {
				t.Error("half a key pair")
			}
			if got, err := s.Trust(); err == nil && len(got) == 0 {
				t.Error("an empty trust store")
			}
		}
	})
}
