package serde_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/weir-stream/weir/serde"
)

func TestCredentialsAndContextAreSent(t *testing.T) {
	t.Parallel()
	var got *http.Request
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		answer(w, map[string]any{"id": 1, "version": 1, "schema": `"string"`})
	}))
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	secure := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	for want, o := range map[string]serde.ClientOptions{
		"Basic YTpi": {User: "a", Password: "b"},
		"Bearer t":   {Token: func(context.Context) (string, error) { return "t", nil }},
	} {
		o.URLs, o.TLS, o.Context = []string{s.URL}, secure, ".eu"
		c, err := serde.NewClient(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Latest(t.Context(), "a/b"); err != nil {
			t.Fatal(err)
		}
		if got.Header.Get("Authorization") != want || got.URL.EscapedPath() != "/contexts/.eu/subjects/a%2Fb/versions/latest" {
			t.Errorf("sent %q to %s", got.Header.Get("Authorization"), got.URL.EscapedPath())
		}
	}
	failing, err := serde.NewClient(serde.ClientOptions{URLs: []string{s.URL}, TLS: secure, Retries: -1, Token: func(context.Context) (string, error) { return "", context.Canceled }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := failing.Latest(t.Context(), "s"); !errors.Is(err, context.Canceled) {
		t.Errorf("without a token: %v", err)
	}
}

func TestNextURLIsTried(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	dead := httptest.NewServer(nil)
	dead.Close()
	c, err := serde.NewClient(serde.ClientOptions{URLs: []string{dead.URL, f.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Register(t.Context(), "s", serde.Schema{Text: `"string"`}, true); err != nil {
		t.Error(err)
	}
}

func TestWaitingForARetryEndsWithTheContext(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.fail = 100
	c := f.client(t, func(o *serde.ClientOptions) { o.RetryWait = time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Latest(ctx, "s"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}
