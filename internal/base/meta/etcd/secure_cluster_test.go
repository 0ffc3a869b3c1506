//go:build cluster && linux

package etcd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/secret"
	"github.com/weir-stream/weir/internal/base/servertest"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.key, a.cert = a.issue(t, "ca")
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue writes NAME.pem and NAME.key; the first certificate signs itself, and then all others.
func (a *authority) issue(t *testing.T, name string) (*ecdsa.PrivateKey, *x509.Certificate) {
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
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		a.file(name + ".pem"): {Type: "CERTIFICATE", Bytes: der},
		a.file(name + ".key"): {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key, cert
}

// openURL opens a store as an operator names it. What can be opened has patience to become so; what cannot is tried again for as long, unless it is
// refused for good.
func openURL(t *testing.T, text string, patience time.Duration, change ...func(*Options)) (*Store, error) {
	t.Helper()
	l, err := ParseURL(text)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Location: l, Attempt: patience / 2}
	for _, f := range change {
		f(&o)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := Open(ctx, o)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func TestCertificatesOnBothSides(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.issue(t, "server")
	a.issue(t, "weir")
	endpoint, ctl := servertest.StartEtcd(t, "--cert-file", a.file("server.pem"), "--key-file", a.file("server.key"),
		"--trusted-ca-file", a.file("ca.pem"), "--client-cert-auth")
	base := strings.Replace(endpoint, "https://", "etcd://", 1) + "/p?"
	ca := "ca_file=" + url.QueryEscape(a.file("ca.pem"))
	own := "&cert_file=" + url.QueryEscape(a.file("weir.pem")) + "&key_file=" + url.QueryEscape(a.file("weir.key"))
	for what, query := range map[string]string{"no certificate": ca, "no trust": "tls=true" + own, "no TLS": "tls=false"} {
		if s, err := openURL(t, base+query, 3*time.Second); err == nil {
			t.Errorf("%s: the store opened", what)
			_ = s
		}
	}
	s, err := openURL(t, base+ca+own, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	change := []meta.Op{{Kind: meta.Put, Key: "k"}}
	if _, err := s.Txn(t.Context(), nil, change); err != nil {
		t.Fatal(err)
	}
	// The files are renewed; connections made from now on show the new certificate, and work.
	_, renewed := a.issue(t, "weir")
	config, err := s.o.tlsConfig()
	if err != nil {
		t.Fatal(err)
	}
	if pair, err := config.GetClientCertificate(nil); err != nil || !pair.Leaf.Equal(renewed) {
		t.Errorf("certificate after renewal: %v", err)
	}
	ctl.Restart()
	if _, err := s.Txn(t.Context(), nil, change); err != nil {
		t.Error(err)
	}
}

func TestRoleOfThePrefixIsEnough(t *testing.T) {
	t.Parallel()
	endpoint, _ := servertest.StartEtcd(t)
	admin, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	ctx := t.Context()
	all := clientv3.PermissionType(clientv3.PermReadWrite)
	for what, err := range map[string]error{
		"root": func() error { _, err := admin.UserAdd(ctx, "root", "r"); return err }(),
		"user": func() error { _, err := admin.UserAdd(ctx, "weir", "w-pass"); return err }(),
		"role": func() error { _, err := admin.RoleAdd(ctx, "weir"); return err }(),
	} {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	_, err = admin.UserGrantRole(ctx, "root", "root")
	if err == nil {
		_, err = admin.RoleGrantPermission(ctx, "weir", "prod/", clientv3.GetPrefixRangeEnd("prod/"), all)
	}
	if err == nil {
		_, err = admin.UserGrantRole(ctx, "weir", "weir")
	}
	if err == nil {
		_, err = admin.AuthEnable(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	base := strings.Replace(endpoint, "http://", "etcd://", 1)
	as := func(user, password string) func(*Options) {
		return func(o *Options) { o.Username, o.Password = user, secret.New(password) }
	}
	if _, err := openURL(t, base+"/prod", 3*time.Second); err == nil {
		t.Error("opened without a password")
	}
	began := time.Now()
	if _, err := openURL(t, base+"/prod", time.Minute, as("weir", "wrong")); err == nil || strings.Contains(err.Error(), "wrong") {
		t.Errorf("wrong password: %v", err)
	}
	if _, err := openURL(t, base+"/other", time.Minute, as("weir", "w-pass")); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("other prefix: %v", err)
	}
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("refusals took %v: they were tried again", took)
	}
	s, err := openURL(t, base+"/prod", time.Minute, as("weir", "w-pass"))
	if err != nil {
		t.Fatal(err)
	}
	events, err := s.Watch(ctx, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Grant(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Txn(ctx, []meta.Compare{{Key: "k"}}, []meta.Op{{Kind: meta.Put, Key: "k", Lease: l.ID()}})
	if err != nil || !res.Succeeded {
		t.Fatalf("%+v, %v", res, err)
	}
	if ev := <-events; ev.Key != "k" {
		t.Errorf("got %+v", ev)
	}
	if err := l.KeepAlive(ctx); err != nil {
		t.Error(err)
	}
	// It concerns everybody's history, so etcd lets only root do it.
	if _, err := s.forget(ctx, res.Revision); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("compact: %v, want permission denied", err)
	}
	if err := l.Revoke(ctx); err != nil {
		t.Error(err)
	}
}
