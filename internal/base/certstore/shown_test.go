package certstore_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/base/certstore"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestShownCertificateFollowsItsFilesAndOutlivesHalfARenewal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "own.pem"), filepath.Join(dir, "own.key")
	old, renewed := newPair(t, "old"), newPair(t, "renewed")
	write(t, certFile, old.certPEM)
	write(t, keyFile, old.keyPEM)
	var log bytes.Buffer
	shown, err := certstore.NewShown("a service", certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	want := func(when string, p pair) {
		t.Helper()
		got, err := shown.Get(nil)
		if err != nil || !got.Leaf.Equal(p.cert) {
			t.Errorf("%s: got %v, %v, want %v", when, got.Leaf.Subject, err, p.cert.Subject)
		}
	}
	want("at first", old)
	write(t, certFile, renewed.certPEM)
	want("with the new certificate and the old key", old)
	want("once more", old)
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), certFile) || !strings.Contains(log.String(), keyFile) {
		t.Errorf("logged %q, want one line that names both files", &log)
	}
	write(t, keyFile, renewed.keyPEM)
	want("renewed", renewed)
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	want("without a file", renewed)
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("logged %q, want a second line", &log)
	}
}

func TestShownCertificateIsRefusedWithParameterAndFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, other := newPair(t, "own"), newPair(t, "other")
	certFile, keyFile, otherKey, text, none := filepath.Join(dir, "c"), filepath.Join(dir, "k"), filepath.Join(dir, "o"), filepath.Join(dir, "t"), filepath.Join(dir, "none")
	write(t, certFile, own.certPEM)
	write(t, keyFile, own.keyPEM)
	write(t, otherKey, other.keyPEM)
	write(t, text, "hunter2")
	for _, tt := range []struct{ what, cert, key, parameter, file string }{
		{"no certificate", none, keyFile, "cert_file of a service", none},
		{"no key", certFile, none, "key_file of a service", none},
		{"key of another", certFile, otherKey, "key_file", otherKey},
		{"text for a certificate", text, keyFile, "cert_file", text},
		{"text for a key", certFile, text, "key_file", text},
	} {
		_, err := certstore.NewShown("a service", tt.cert, tt.key, nil)
		if err == nil || !strings.Contains(err.Error(), tt.parameter) || !strings.Contains(err.Error(), tt.file) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want a refusal with %q and %s", tt.what, err, tt.parameter, tt.file)
		}
	}
}
