package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/config"
)

// writeStore writes a key and a certificate of its own, with a serial number that the time of the file follows.
func writeStore(t *testing.T, file, name string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1e9+serial*3600, 0)
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
}

// TestCertificateFilesAreFollowed replaces the file under a listener that runs, be it one of Kafka's or of a service.
func TestCertificateFilesAreFollowed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "store.pem")
	synctest.Test(t, func(t *testing.T) {
		writeStore(t, file, "broker", 1)
		schema, err := config.NewSchema(AuthenticationSettings()...)
		if err != nil {
			t.Fatal(err)
		}
		v, err := schema.WithScope(ListenerPrefix).Load(config.Sources{Set: []string{"listener.name.registry.ssl.keystore.type=PEM", "listener.name.registry.ssl.keystore.location=" + file}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := NewTLS("registry", false, v, NewMetrics(nil), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		serial := func() int64 { return l.Config().Certificates[0].Leaf.SerialNumber.Int64() }
		ctx, cancel := context.WithCancel(t.Context())
		var following sync.WaitGroup
		following.Go(func() { l.Follow(ctx) })
		defer following.Wait()
		defer cancel()
		pass := func() {
			<-time.After(watchInterval + time.Second)
			synctest.Wait()
		}
		pass()
		if serial() != 1 {
			t.Errorf("without a change: certificate %d", serial())
		}
		writeStore(t, file, "broker", 2)
		pass()
		if serial() != 2 {
			t.Errorf("after a change: certificate %d", serial())
		}
		writeStore(t, file, "somebody else", 3)
		pass()
		if serial() != 2 {
			t.Errorf("a certificate for another name was taken: %d", serial())
		}
		if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		pass()
		if serial() != 2 {
			t.Errorf("half a file was taken: %d", serial())
		}
		writeStore(t, file, "broker", 4)
		pass()
		if serial() != 4 {
			t.Errorf("after the file was whole again: certificate %d", serial())
		}
	})
}
