package dek

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/base/secret"
	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
)

// memLog is a topic in memory. It keeps all records, to be read again.
type memLog struct {
	mu      sync.Mutex
	keys    *Keys
	records []Record
	fail    error
}

func (l *memLog) Sync(context.Context) error { return nil }

func (l *memLog) Change(_ context.Context, decide func() ([]Record, error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	records, err := decide()
	if err != nil {
		return err
	}
	for _, r := range records {
		l.records = append(l.records, r)
		if err := l.keys.Apply(r.Key, r.Value, time.UnixMilli(int64(1_800_000_000_000+len(l.records)))); err != nil {
			return err
		}
	}
	return nil
}

// bridge lets everybody in; denied are the resources that nobody may touch.
type bridge struct{ denied map[string]bool }

func (b *bridge) Authenticate(context.Context, *gate.Credentials) (gate.Caller, error) {
	return gate.Anonymous("127.0.0.1"), nil
}

func (b *bridge) Allowed(_ context.Context, _ gate.Caller, op acl.Operation, _ acl.ResourceType, name string) error {
	if b.denied[op.String()+" "+name] {
		return gate.ErrForbidden
	}
	return nil
}

func (b *bridge) Options(gate.Caller) ([]kgo.Opt, error) { return nil, nil }

type fixture struct {
	*Service
	log    *memLog
	bridge *bridge
	http   http.Handler
}

func open(t *testing.T, kms fieldcrypt.KMSes, maxKeys int) *fixture {
	t.Helper()
	keys := NewKeys()
	f := &fixture{log: &memLog{keys: keys}, bridge: &bridge{map[string]bool{}}}
	s, err := New(Options{Keys: keys, Log: f.log, KMS: kms, Allow: By(f.bridge), Logger: slog.New(slog.DiscardHandler), MaxKeys: maxKeys})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gate.New(gate.Options{Name: "registry", Routes: s.Routes(), Bridge: f.bridge, Types: types, Logger: slog.New(slog.DiscardHandler), Metrics: gate.NewMetrics(nil)})
	if err != nil {
		t.Fatal(err)
	}
	f.Service, f.http = s, g
	return f
}

func local(t *testing.T) *fieldcrypt.Local {
	t.Helper()
	l, err := fieldcrypt.NewLocal(secret.New("mysecret"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (f *fixture) do(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", types[0])
	}
	w := httptest.NewRecorder()
	f.http.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// denying is a KMS that refuses.
type denying struct{}

func (denying) Wrap(context.Context, fieldcrypt.KEK, string, []byte) ([]byte, error) {
	return nil, fieldcrypt.ErrDenied
}

func (denying) Unwrap(context.Context, fieldcrypt.KEK, string, []byte) ([]byte, error) {
	return nil, errors.New("out of order")
}

// hide takes what is random out of an answer.
func hide(text string) string {
	var v map[string]any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	for _, k := range []string{"encryptedKeyMaterial", "keyMaterial"} {
		if s, ok := v[k].(string); ok && len(s) > 8 {
			v[k] = "…"
		}
	}
	if _, ok := v["ts"]; ok {
		v["ts"] = 0
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// TestScripts runs testdata/*.txt: a line is METHOD PATH [BODY], the indented one below it the status and the answer.
// WEIR_REWRITE=1 writes the answers anew.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f := open(t, fieldcrypt.KMSes{fieldcrypt.TypeLocal: local(t), "denying": denying{}}, 4)
			var out strings.Builder
			for line := range strings.Lines(string(b)) {
				if strings.HasPrefix(line, "  ") {
					continue // an answer
				}
				out.WriteString(line)
				if line == "\n" || line[0] == '#' {
					continue
				}
				fields := append(strings.SplitN(strings.TrimSpace(line), " ", 3), "")
				path := fields[1]
				if path == "/" || strings.HasPrefix(path, "/?") {
					path = path[1:]
				}
				status, answer := f.do(t, fields[0], root+path, fields[2])
				fmt.Fprintln(&out, strings.TrimRight(fmt.Sprint("  ", status, " ", hide(answer)), " "))
			}
			got := strings.TrimSpace(out.String()) + "\n"
			if os.Getenv("WEIR_REWRITE") != "" {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil { //nolint:gosec // not secret
					t.Fatal(err)
				}
			} else if got != string(b) {
				t.Errorf("%s: got\n%s", file, got)
			}
			again := NewKeys()
			for i, r := range f.log.records {
				if err := again.Apply(r.Key, r.Value, time.UnixMilli(int64(1_800_000_000_001+i))); err != nil {
					t.Fatal(err)
				}
			}
			if a, b := fmt.Sprint(again.keks, again.n), fmt.Sprint(f.log.keys.keks, f.log.keys.n); a != b {
				t.Errorf("replayed: %s, want %s", a, b)
			}
		})
	}
}

func TestRecordsHaveConfluentsForms(t *testing.T) {
	t.Parallel()
	f := open(t, nil, 0)
	f.do(t, "POST", "/dek-registry/v1/keks", `{"name":"k1","kmsType":"aws-kms","kmsKeyId":"arn:aws:kms:x","kmsProps":{"b":"2","a":"1"},"doc":"<d>"}`)
	f.do(t, "POST", "/dek-registry/v1/keks/k1/deks/s%2F1", `{"encryptedKeyMaterial":"AAAA"}`)
	f.do(t, "DELETE", "/dek-registry/v1/keks/k1/deks/s%2F1", "")
	f.do(t, "DELETE", "/dek-registry/v1/keks/k1/deks/s%2F1?permanent=true", "")
	want := []string{
		`{"tenant":"default","name":"k1","type":"KEK"} {"name":"k1","kmsType":"aws-kms","kmsKeyId":"arn:aws:kms:x","kmsProps":{"a":"1","b":"2"},"doc":"<d>","shared":false,"type":"KEK","deleted":false}`,
		`{"tenant":"default","kekName":"k1","subject":"s/1","algorithm":"AES256_GCM","version":1,"type":"DEK"} {"kekName":"k1","subject":"s/1","algorithm":"AES256_GCM","version":1,"encryptedKeyMaterial":"AAAA","type":"DEK","deleted":false}`,
		`{"tenant":"default","kekName":"k1","subject":"s/1","algorithm":"AES256_GCM","version":1,"type":"DEK"} {"kekName":"k1","subject":"s/1","algorithm":"AES256_GCM","version":1,"encryptedKeyMaterial":"AAAA","type":"DEK","deleted":true}`,
		`{"tenant":"default","kekName":"k1","subject":"s/1","algorithm":"AES256_GCM","version":1,"type":"DEK"} `,
	}
	if len(f.log.records) != len(want) {
		t.Fatalf("%d records, want %d", len(f.log.records), len(want))
	}
	for i, r := range f.log.records {
		if got := string(r.Key) + " " + string(r.Value); got != want[i] {
			t.Errorf("record %d:\n got %s\nwant %s", i, got, want[i])
		}
	}
}

func TestRewrappedKeyIsTheSameKey(t *testing.T) {
	t.Parallel()
	f := open(t, fieldcrypt.KMSes{fieldcrypt.TypeLocal: local(t)}, 0)
	f.do(t, "POST", "/dek-registry/v1/keks", `{"name":"k","kmsType":"local-kms","kmsKeyId":"x","shared":true}`)
	var first, second DEK
	for i, d := range []*DEK{&first, &second} {
		path := "/dek-registry/v1/keks/k/deks/s?rewrap=" + fmt.Sprint(i == 1)
		status, text := f.do(t, "POST", path, `{"algorithm":"AES256_SIV"}`)
		if err := json.Unmarshal([]byte(text), d); err != nil || status != 200 {
			t.Fatalf("%d %s: %v", status, text, err)
		}
	}
	if first.Material == "" || first.Material != second.Material || first.Wrapped == second.Wrapped {
		t.Errorf("same key %v, wrapped anew %v", first.Material == second.Material, first.Wrapped != second.Wrapped)
	}
	wrapped, _ := base64.StdEncoding.DecodeString(second.Wrapped)
	if m, err := local(t).Unwrap(t.Context(), fieldcrypt.KEK{}, "", wrapped); err != nil || base64.StdEncoding.EncodeToString(m) != first.Material {
		t.Errorf("a client with the KMS: %v", err)
	}
}

func TestSubjectsAreQualifiedByTheContextInThePath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ context, subject, want string }{
		{"", "s", "s"},
		{"", ":.eu:s", ":.eu:s"},
		{"", ":.:s", "s"},
		{".eu", "s", ":.eu:s"},
		{"eu", "s", ":.eu:s"},
		{":.eu:", "s", ":.eu:s"},
		{".eu", ":.us:s", ":.us:s"},
		{".", "s", "s"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody)
		r.SetPathValue("context", c.context)
		if got, err := inContext(r, c.subject); got != c.want || err != nil {
			t.Errorf("%q in %q is %q, %v, want %q", c.subject, c.context, got, err, c.want)
		}
	}
}

func TestCallersSeeAndDoWhatTheyMay(t *testing.T) {
	t.Parallel()
	f := open(t, nil, 0)
	for _, k := range []string{"mine", "theirs"} {
		f.do(t, "POST", "/dek-registry/v1/keks", `{"name":"`+k+`","kmsType":"x","kmsKeyId":"y"}`)
		f.do(t, "POST", "/dek-registry/v1/keks/"+k+"/deks/s1", `{"encryptedKeyMaterial":"AAAA"}`)
	}
	f.bridge.denied = map[string]bool{"DESCRIBE __kek.theirs": true, "WRITE __kek.new": true, "READ s2": true, "DELETE __kek.mine": true}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "", "", 200},
		{"GET", "/theirs", "", 403},
		{"GET", "/theirs/deks/s1", "", 403},
		{"GET", "/mine/deks/s1", "", 200},
		{"GET", "/mine/deks/s2", "", 403},
		{"POST", "", `{"name":"new","kmsType":"x","kmsKeyId":"y"}`, 403},
		{"DELETE", "/mine", "", 403},
	} {
		status, text := f.do(t, c.method, "/dek-registry/v1/keks"+c.path, c.body)
		if status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, status, text, c.status)
		}
		if c.path == "" && c.method == "GET" && text != `["mine"]` {
			t.Errorf("list: %s", text)
		}
	}
}

func TestFailedWriteIsAnswered(t *testing.T) {
	t.Parallel()
	f := open(t, nil, 0)
	f.log.fail = gate.ErrUnavailable
	if status, text := f.do(t, "POST", "/dek-registry/v1/keks", `{"name":"k","kmsType":"x","kmsKeyId":"y"}`); status != 503 {
		t.Errorf("%d %s, want 503", status, text)
	}
	if n, _ := f.log.keys.Counts(); n != 0 {
		t.Errorf("%d keys", n)
	}
}

func FuzzApply(f *testing.F) {
	f.Add([]byte(`{"tenant":"default","name":"k1","type":"KEK"}`), []byte(`{"name":"k1","kmsType":"x","kmsKeyId":"y","kmsProps":null,"shared":true}`))
	f.Add([]byte(`{"tenant":"t","kekName":"k1","subject":"s","algorithm":"AES256_SIV","version":1,"type":"DEK"}`), []byte(`{"encryptedKeyMaterial":"AAAA","deleted":true}`))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		k := NewKeys()
		if k.Apply(key, value, time.UnixMilli(1)) != nil {
			return
		}
		keks, deks := k.Counts()
		if keks+deks != 1 && value != nil {
			t.Errorf("%d and %d keys of one record", keks, deks)
		}
		if err := k.Apply(key, nil, time.UnixMilli(2)); err != nil {
			t.Errorf("tombstone: %v", err)
		}
		if keks, deks := k.Counts(); keks+deks != 0 {
			t.Errorf("%d and %d keys after the tombstone", keks, deks)
		}
	})
}
