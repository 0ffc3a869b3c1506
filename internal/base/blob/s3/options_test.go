package s3

import (
	"context"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestURLSaysAllThereIs(t *testing.T) {
	t.Parallel()
	tests := map[string]Options{
		"s3://bucket":                                {Bucket: "bucket"},
		"s3://bucket/":                               {Bucket: "bucket"},
		"s3://bucket/a/b/":                           {Bucket: "bucket", Prefix: "a/b"},
		"s3://bucket/a?region=eu-west-1":             {Bucket: "bucket", Prefix: "a", Region: "eu-west-1"},
		"s3://bucket?endpoint=http://127.0.0.1:9000": {Bucket: "bucket", Endpoint: "http://127.0.0.1:9000", PathStyle: true},
		"s3://bucket?endpoint=https://s3.example.com&path_style=false":       {Bucket: "bucket", Endpoint: "https://s3.example.com"},
		"s3://bucket?cert_file=/c&key_file=/k":                               {Bucket: "bucket", CertFile: "/c", KeyFile: "/k"},
		"s3://bucket?path_style=1&ca_file=/c&credentials_file=/f&profile=pr": {Bucket: "bucket", PathStyle: true, CAFile: "/c", CredentialsFile: "/f", Profile: "pr"},
	}
	for text, want := range tests {
		if got, err := ParseURL(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
}

func TestBadURLsAreRefusedAndSecretsNotRepeated(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"http://bucket":    "scheme",
		"s3://":            "bucket",
		"s3://Bucket":      "bucket",
		"s3://b":           "bucket",
		"s3://bucket/a//b": "prefix",
		"s3://bucket/../b": "prefix",
		"s3://bucket/" + strings.Repeat("a", 300):                "prefix",
		"s3://bucket?regoin=x":                                   "regoin",
		"s3://bucket?region=a&region=b":                          "2 times",
		"s3://bucket?region=a/b":                                 "region",
		"s3://bucket?path_style=maybe":                           "path_style",
		"s3://bucket?endpoint=127.0.0.1:9000":                    "endpoint",
		"s3://bucket?endpoint=http://h/path":                     "path",
		"s3://bucket?cert_file=/c":                               "key_file",
		"s3://bucket?key_file=/k":                                "cert_file",
		"s3://bucket?cert_file=/c&key_file=/k&endpoint=http://h": "https",
		"s3://bucket#x":                                          "s3://BUCKET",
		"s3://user:hunter2@bucket/p":                             "AWS_ACCESS_KEY_ID",
		"s3://hunter2@bucket/p":                                  "AWS_ACCESS_KEY_ID",
		"s3://bucket?secret_key=hunter2":                         "AWS_ACCESS_KEY_ID",
		"s3://bucket?AccessKey=hunter2":                          "AWS_ACCESS_KEY_ID",
		"s3://bucket?endpoint=http://u:hunter2@h:1":              "AWS_ACCESS_KEY_ID",
		"s3://user:hunter2@bucket\x7f":                           "parsed",
		"s3://bucket?endpoint=http://u:hunter2@h:1:2\x7f":        "parsed",
	}
	for text, want := range tests {
		_, err := ParseURL(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want a refusal with %q and without secrets", text, err, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("s3://bucket/a/b?endpoint=http://127.0.0.1:9000&region=r&path_style=true")
	f.Add("s3://u:p@bucket")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := ParseURL(text)
		if err != nil {
			return
		}
		s, err := Open(t.Context(), func() Options { o.CAFile, o.CertFile, o.KeyFile = "", "", ""; return o }())
		if err != nil {
			t.Fatalf("%q was parsed and then refused: %v", text, err)
		}
		if s.endpoint.User != nil || s.endpoint.RawQuery != "" {
			t.Errorf("%q leads to %v", text, s.endpoint)
		}
	})
}

func TestHostStylePutsTheBucketIntoTheName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		o    Options
		host string
		path string
	}{
		{Options{Bucket: "bucket", Region: "eu-west-1"}, "bucket.s3.eu-west-1.amazonaws.com", ""},
		{Options{Bucket: "bucket", Region: "cn-north-1", PathStyle: true}, "s3.cn-north-1.amazonaws.com.cn", "/bucket"},
		{Options{Bucket: "a.bucket", Region: "eu-west-1"}, "s3.eu-west-1.amazonaws.com", "/a.bucket"},
		{Options{Bucket: "bucket", Endpoint: "https://example.com:99"}, "bucket.example.com:99", ""},
	} {
		s, err := Open(t.Context(), tt.o)
		if err != nil {
			t.Fatal(err)
		}
		if s.endpoint.Host != tt.host || s.endpoint.Path != tt.path {
			t.Errorf("%+v: got %v", tt.o, s.endpoint)
		}
	}
	f := newFake(t)
	s := f.open(t, func(o *Options) { o.PathStyle, o.Endpoint = false, "http://s3.invalid" })
	transport, ok := s.client.Transport.(*http.Transport)
	if !ok {
		t.Fatal("no http.Transport")
	}
	dial := transport.DialContext
	address := f.Listener.Addr().String()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) { return dial(ctx, network, address) }
	if err := s.PutIfAbsent(t.Context(), "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if f.hosts["bucket.s3.invalid"] != 1 || len(f.stored()) != 1 || f.stored()[0] != fullKey {
		t.Errorf("hosts %v, keys %q", f.hosts, f.stored())
	}
}

func TestOnlyTheNamedAuthorityIsTrusted(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	server := httptest.NewTLSServer(f)
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := f.open(t, func(o *Options) { o.Endpoint, o.CAFile = server.URL, ca })
	if err := trusting.PutIfAbsent(t.Context(), "k", nil); err != nil {
		t.Error(err)
	}
	other := f.open(t, func(o *Options) { o.Endpoint, o.RetryFor = server.URL, 1 })
	if err := other.PutIfAbsent(t.Context(), "k2", nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want that the certificate is not trusted", err)
	}
	if _, err := Open(t.Context(), Options{Bucket: "bucket", CAFile: keysFile(t, "a")}); err == nil {
		t.Error("a CA file without certificates is taken")
	}
}
