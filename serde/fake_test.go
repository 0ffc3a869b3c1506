package serde_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/weir-stream/weir/serde"
)

// entry is a schema as the fake registry keeps it.
type entry struct {
	ID         int               `json:"id"`
	Version    int               `json:"version"`
	GUID       string            `json:"guid"`
	Subject    string            `json:"subject"`
	Schema     string            `json:"schema"`
	Type       serde.Type        `json:"schemaType,omitempty"`
	References []serde.Reference `json:"references,omitempty"`
	Metadata   *serde.Metadata   `json:"metadata,omitempty"`
	RuleSet    *serde.RuleSet    `json:"ruleSet,omitempty"`
}

func (e entry) content() string {
	b, _ := json.Marshal([]any{e.Schema, e.Type, e.References, e.Metadata, e.RuleSet})
	return string(b)
}

// fake is a registry that compares texts, and nothing else. It also keeps keys, see fakekeys_test.go.
type fake struct {
	*httptest.Server
	mu       sync.Mutex
	subjects map[string][]entry
	ids      map[string]int
	asked    int
	fail     int // that many requests more are answered with 503
	keys     fakeKeys
}

func newFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{subjects: map[string][]entry{}, ids: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /subjects/{s}/versions", f.register)
	mux.HandleFunc("POST /subjects/{s}", f.lookup)
	mux.HandleFunc("GET /subjects/{s}/versions", f.versions)
	mux.HandleFunc("GET /subjects/{s}/versions/{v}", f.version)
	mux.HandleFunc("GET /subjects/{s}/metadata", f.metadata)
	mux.HandleFunc("GET /schemas/ids/{id}", f.byID)
	mux.HandleFunc("GET /schemas/guids/{guid}", f.byID)
	f.keys.handle(mux)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.asked++
		failing := f.fail > 0
		if failing {
			f.fail--
		}
		f.mu.Unlock()
		if failing {
			refuse(w, 503, 50302, "try again")
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func refuse(w http.ResponseWriter, status, code int, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error_code": code, "message": message})
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func (f *fake) register(w http.ResponseWriter, r *http.Request) {
	var e entry
	if json.NewDecoder(r.Body).Decode(&e) != nil {
		refuse(w, 422, 42201, "no JSON")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e.Subject = r.PathValue("s")
	for _, old := range f.subjects[e.Subject] {
		if old.content() == e.content() {
			answer(w, old)
			return
		}
	}
	id, ok := f.ids[e.content()]
	if !ok {
		id = len(f.ids) + 1
		f.ids[e.content()] = id
	}
	sum := sha256.Sum256([]byte(e.content()))
	e.ID, e.Version = id, len(f.subjects[e.Subject])+1
	e.GUID = fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	f.subjects[e.Subject] = append(f.subjects[e.Subject], e)
	answer(w, e)
}

func (f *fake) lookup(w http.ResponseWriter, r *http.Request) {
	var e entry
	_ = json.NewDecoder(r.Body).Decode(&e)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, old := range f.subjects[r.PathValue("s")] {
		if old.content() == e.content() {
			answer(w, old)
			return
		}
	}
	refuse(w, 404, 40403, "Schema not found")
}

func (f *fake) versions(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []int{}
	for _, e := range f.subjects[r.PathValue("s")] {
		out = append(out, e.Version)
	}
	answer(w, out)
}

func (f *fake) version(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.subjects[r.PathValue("s")]
	n, err := strconv.Atoi(r.PathValue("v"))
	if err != nil {
		n = len(all)
	}
	if n < 1 || n > len(all) {
		refuse(w, 404, 40402, "Version not found")
		return
	}
	answer(w, all[n-1])
}

func (f *fake) metadata(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys, values := r.URL.Query()["key"], r.URL.Query()["value"]
	all := f.subjects[r.PathValue("s")]
next:
	for _, e := range slices.Backward(all) {
		for j, k := range keys {
			if e.Metadata == nil || e.Metadata.Properties[k] != values[j] {
				continue next
			}
		}
		answer(w, e)
		return
	}
	refuse(w, 404, 40402, "Version not found")
}

func (f *fake) byID(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, all := range f.subjects {
		for _, e := range all {
			if strconv.Itoa(e.ID) == r.PathValue("id") || e.GUID == r.PathValue("guid") {
				e.Subject, e.Version = "", 0
				answer(w, e)
				return
			}
		}
	}
	refuse(w, 404, 40403, "Schema not found")
}

func (f *fake) client(t testing.TB, change ...func(*serde.ClientOptions)) *serde.Client {
	t.Helper()
	o := serde.ClientOptions{URLs: []string{f.URL}, RetryWait: 1}
	for _, c := range change {
		c(&o)
	}
	c, err := serde.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// put registers a schema.
func (f *fake) put(t testing.TB, subject string, s serde.Schema) serde.Registered {
	t.Helper()
	r, err := f.client(t).Register(t.Context(), subject, s, false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fakeKeys keeps KEKs and DEKs that are not shared.
type fakeKeys struct {
	mu   sync.Mutex
	keks map[string]json.RawMessage
	deks map[string]json.RawMessage
}

func (k *fakeKeys) handle(mux *http.ServeMux) {
	k.keks, k.deks = map[string]json.RawMessage{}, map[string]json.RawMessage{}
	const root = "/dek-registry/v1/keks"
	mux.HandleFunc("POST "+root, func(w http.ResponseWriter, r *http.Request) {
		var b json.RawMessage
		var name struct{ Name string }
		_ = json.NewDecoder(r.Body).Decode(&b)
		_ = json.Unmarshal(b, &name)
		k.put(w, k.keks, name.Name, b)
	})
	mux.HandleFunc("GET "+root+"/{k}", func(w http.ResponseWriter, r *http.Request) { k.get(w, k.keks, r.PathValue("k")) })
	mux.HandleFunc("POST "+root+"/{k}/deks/{s}", func(w http.ResponseWriter, r *http.Request) {
		var b json.RawMessage
		var id struct{ Version, Algorithm any }
		_ = json.NewDecoder(r.Body).Decode(&b)
		_ = json.Unmarshal(b, &id)
		k.put(w, k.deks, fmt.Sprint(r.PathValue("k"), r.PathValue("s"), id.Algorithm, id.Version), b)
	})
	mux.HandleFunc("GET "+root+"/{k}/deks/{s}/versions/{v}", func(w http.ResponseWriter, r *http.Request) {
		k.get(w, k.deks, r.PathValue("k")+r.PathValue("s")+strings.Join(r.URL.Query()["algorithm"], "")+r.PathValue("v"))
	})
}

func (k *fakeKeys) put(w http.ResponseWriter, into map[string]json.RawMessage, name string, b json.RawMessage) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := into[name]; ok {
		refuse(w, 409, 40971, "exists")
		return
	}
	into[name] = b
	answer(w, b)
}

func (k *fakeKeys) get(w http.ResponseWriter, from map[string]json.RawMessage, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b, ok := from[name]
	if !ok {
		refuse(w, 404, 40470, "not found")
		return
	}
	answer(w, b)
}
