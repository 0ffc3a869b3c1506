package gate_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
)

// fakeBridge knows alice, whose password is secret.
type fakeBridge struct{ required bool }

func (b fakeBridge) Authenticate(_ context.Context, c *gate.Credentials) (gate.Caller, error) {
	switch {
	case c.Kind == gate.NoCredentials && !b.required:
		return gate.Anonymous(c.Host), nil
	case c.Kind == gate.BasicCredentials && c.User == "alice" && c.Password.Reveal() == "secret":
		return gate.Caller{Principal: acl.Principal{Type: "User", Name: "alice"}, Host: c.Host}, nil
	}
	return gate.Caller{}, gate.ErrUnauthenticated
}

func (fakeBridge) Allowed(context.Context, gate.Caller, acl.Operation, acl.ResourceType, string) error {
	return nil
}

func (fakeBridge) Options(gate.Caller) ([]kgo.Opt, error) {
	return []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}, nil
}

type answer struct {
	Caller string `json:"caller"`
	Name   string `json:"name,omitempty"`
	Bytes  int    `json:"bytes,omitempty"`
}

var types = []string{"application/vnd.test.v1+json", "application/json"}

func routes() []gate.Route {
	echo := func(w http.ResponseWriter, r *http.Request) error {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		return gate.WriteJSON(w, r, types, http.StatusOK, answer{gate.CallerOf(r.Context()).Principal.String(), r.PathValue("name"), len(b)})
	}
	return []gate.Route{
		{Method: "GET", Path: "/", Name: "root", Answer: answer{}, Handle: echo},
		{Method: "GET", Path: "/things", Name: "things", Answer: answer{}, Handle: echo},
		{Method: "POST", Path: "/things", Name: "make", Body: answer{}, Answer: answer{}, Errors: []int{40901, 40902}, Handle: echo},
		{Method: "GET", Path: "/things/special", Name: "special", Answer: answer{}, Handle: func(http.ResponseWriter, *http.Request) error { return gate.Errorf(40401, "Thing not found") }},
		{Method: "GET", Path: "/things/{name}", Name: "thing", Answer: answer{}, Handle: echo},
		{Method: "GET", Path: "/things/{name}/parts", Name: "parts", Answer: answer{}, Handle: echo},
		{Method: "GET", Path: "/panic", Name: "panic", Answer: answer{}, Handle: func(http.ResponseWriter, *http.Request) error { panic("boom") }},
		{Method: "GET", Path: "/secret", Name: "secret", Answer: answer{}, Handle: func(http.ResponseWriter, *http.Request) error { return errors.New("password is hunter2") }},
		{Method: "GET", Path: "/files/{name...}", Name: "files", Answer: answer{}, Handle: echo},
		{Method: "GET", Path: "/health", Name: "health", Open: true, Answer: answer{}, Handle: echo},
	}
}

func newGate(t *testing.T, o gate.Options) *gate.Gate {
	t.Helper()
	if o.Bridge == nil {
		o.Bridge = fakeBridge{}
	}
	o.Name, o.Routes, o.Types, o.Logger, o.Address = "test", routes(), types, slog.New(slog.DiscardHandler), "127.0.0.1:0"
	o.Metrics = gate.NewMetrics(nil)
	g, err := gate.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func do(t *testing.T, g *gate.Gate, method, target, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	res := w.Result()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestTableRoutes(t *testing.T) {
	t.Parallel()
	g := newGate(t, gate.Options{MaxBodyBytes: 1000})
	for _, c := range []struct {
		method, target, body string
		status               int
		want                 string
	}{
		{"GET", "/", "", 200, `{"caller":"User:ANONYMOUS"}`},
		{"GET", "/things", "", 200, `{"caller":"User:ANONYMOUS"}`},
		{"GET", "/things/", "", 200, `{"caller":"User:ANONYMOUS"}`},
		{"GET", "/things/special", "", 404, `{"error_code":40401,"message":"Thing not found"}`},
		{"GET", "/things/special/parts", "", 200, `{"caller":"User:ANONYMOUS","name":"special"}`},
		{"GET", "/things/a%2Fb%20%C3%A4", "", 200, `{"caller":"User:ANONYMOUS","name":"a/b ä"}`},
		{"GET", "/things/..%2f", "", 200, `{"caller":"User:ANONYMOUS","name":"../"}`},
		{"GET", "/files/a/b", "", 200, `{"caller":"User:ANONYMOUS","name":"a/b"}`},
		{"GET", "/nothing", "", 404, `{"error_code":404,"message":"HTTP 404 Not Found"}`},
		{"GET", "/things/x/y/z", "", 404, `{"error_code":404,"message":"HTTP 404 Not Found"}`},
		{"GET", strings.Repeat("/x", 100), "", 404, ""},
		{"PUT", "/things", "", 405, `{"error_code":405,"message":"HTTP 405 Method Not Allowed"}`},
		{"POST", "/things", "12345", 200, `{"caller":"User:ANONYMOUS","bytes":5}`},
		{"POST", "/things", strings.Repeat("x", 1001), 413, ""},
		{"GET", "/panic", "", 500, `{"error_code":500,"message":"Internal Server Error"}`},
		{"GET", "/secret", "", 500, `{"error_code":500,"message":"Internal Server Error"}`},
	} {
		res, body := do(t, g, c.method, c.target, c.body)
		if c.target == strings.Repeat("/x", 100) {
			c.status = 400
		}
		if res.StatusCode != c.status || c.want != "" && body != c.want {
			t.Errorf("%s %s: got %d %s, want %d %s", c.method, c.target, res.StatusCode, body, c.status, c.want)
		}
	}
	if res, _ := do(t, g, "PUT", "/things", ""); res.Header.Get("Allow") != "GET, HEAD, POST, OPTIONS" {
		t.Errorf("Allow: %s", res.Header.Get("Allow"))
	}
	if res, _ := do(t, g, "HEAD", "/things", ""); res.StatusCode != 200 {
		t.Errorf("HEAD: %d", res.StatusCode)
	}
}

func TestCallerIsWhoTheBridgeSays(t *testing.T) {
	t.Parallel()
	g := newGate(t, gate.Options{Bridge: fakeBridge{required: true}})
	for _, c := range []struct {
		target, user, password string
		status                 int
	}{{"/things", "", "", 401}, {"/things", "alice", "secret", 200}, {"/things", "alice", "wrong", 401}, {"/health", "", "", 200}, {"/openapi.json", "", "", 200}, {"/nothing", "", "", 404}} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", c.target, nil)
		if c.user != "" {
			r.SetBasicAuth(c.user, c.password)
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s as %s: got %d, want %d", c.target, c.user, w.Code, c.status)
		}
		if c.status == 401 && (len(w.Result().Header["Www-Authenticate"]) != 2 || !strings.Contains(w.Body.String(), "40101")) {
			t.Errorf("401 says %s %v", w.Body, w.Result().Header)
		}
		if c.user == "alice" && c.status == 200 && !strings.Contains(w.Body.String(), "User:alice") {
			t.Errorf("caller in %s", w.Body)
		}
	}
	if res, _ := do(t, g, "GET", "/things", "", "Authorization", "Digest x"); res.StatusCode != 401 {
		t.Errorf("unknown scheme: %d", res.StatusCode)
	}
}

func TestGzipBodiesAreBoundedAsTheyExpand(t *testing.T) {
	t.Parallel()
	g := newGate(t, gate.Options{MaxBodyBytes: 1 << 20})
	zip := func(n int) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		body, encoding string
		status         int
	}{
		"good": {zip(1 << 20), "gzip", 200}, "bomb": {zip(64 << 20), "gzip", 413}, "not gzip": {"hello", "gzip", 400}, "cut": {zip(1000)[:20], "gzip", 400},
		"other": {"x", "br", 415}, "none": {"x", "identity", 200},
	} {
		if res, body := do(t, g, "POST", "/things", c.body, "Content-Encoding", c.encoding, "Content-Type", "application/json"); res.StatusCode != c.status {
			t.Errorf("%s: got %d %s, want %d", name, res.StatusCode, body, c.status)
		}
	}
}

func TestContentTypesAreChosenByTheClient(t *testing.T) {
	t.Parallel()
	g := newGate(t, gate.Options{})
	for accept, want := range map[string]string{
		"": types[0], "*/*": types[0], "application/json": types[1], "application/json; q=0.5, application/vnd.test.v1+json": types[0],
		"text/html, application/*;q=0.1": types[0], "text/html": types[0], "application/vnd.test.v1+json;q=0.1, application/json": types[1],
	} {
		if res, _ := do(t, g, "GET", "/things", "", "Accept", accept); res.Header.Get("Content-Type") != want {
			t.Errorf("Accept %q: got %s, want %s", accept, res.Header.Get("Content-Type"), want)
		}
	}
	if res, _ := do(t, g, "POST", "/things", "x", "Content-Type", "text/csv"); res.StatusCode != 415 {
		t.Errorf("text/csv: %d", res.StatusCode)
	}
}

func TestBrowsersAreServedOnlyFromAllowedOrigins(t *testing.T) {
	t.Parallel()
	none, some := newGate(t, gate.Options{}), newGate(t, gate.Options{Origins: []string{"https://a.test"}})
	for _, c := range []struct {
		g      *gate.Gate
		origin string
		want   string
	}{{none, "https://a.test", ""}, {some, "https://a.test", "https://a.test"}, {some, "https://b.test", ""}} {
		res, _ := do(t, c.g, "OPTIONS", "/things", "", "Origin", c.origin, "Access-Control-Request-Method", "POST")
		if got := res.Header.Get("Access-Control-Allow-Origin"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.origin, got, c.want)
		}
	}
}

func TestPagesOfOthersChangeNothing(t *testing.T) {
	t.Parallel()
	none, some, all := newGate(t, gate.Options{}), newGate(t, gate.Options{Origins: []string{"https://a.test"}}), newGate(t, gate.Options{Origins: []string{"*"}})
	const own = "http://weir.test"
	for name, c := range map[string]struct {
		g      *gate.Gate
		method string
		header []string
		want   int
	}{
		"no page":             {none, "POST", nil, 200},
		"a page of its own":   {none, "POST", []string{"Origin", own, "Sec-Fetch-Site", "same-origin"}, 200},
		"another's":           {none, "POST", []string{"Origin", "https://b.test"}, 403},
		"another's, modern":   {none, "POST", []string{"Origin", "https://b.test", "Sec-Fetch-Site", "cross-site"}, 403},
		"another's reads":     {none, "GET", []string{"Origin", "https://b.test", "Sec-Fetch-Site", "cross-site"}, 200}, // the browser keeps the answer
		"another's WebSocket": {none, "GET", []string{"Origin", "https://b.test", "Upgrade", "websocket"}, 403},
		"an allowed one":      {some, "POST", []string{"Origin", "https://a.test", "Sec-Fetch-Site", "cross-site"}, 200},
		"its WebSocket":       {some, "GET", []string{"Origin", "https://a.test", "Upgrade", "websocket"}, 200},
		"none of the allowed": {some, "POST", []string{"Origin", "https://b.test"}, 403},
		"all are":             {all, "POST", []string{"Origin", "https://b.test", "Sec-Fetch-Site", "cross-site"}, 200},
	} {
		if res, body := do(t, c.g, c.method, own+"/things", "", c.header...); res.StatusCode != c.want {
			t.Errorf("%s: %d %s, want %d", name, res.StatusCode, body, c.want)
		}
	}
}

// TestNamesThatMayBeAnybodysAreRefusedOnLoopback listens, as the rule is for listeners on loopback.
func TestNamesThatMayBeAnybodysAreRefusedOnLoopback(t *testing.T) {
	t.Parallel()
	listening := newGate(t, gate.Options{Hosts: []string{"proxied.test"}})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	ready := make(chan struct{})
	wg.Go(func() {
		if err := listening.Run(ctx, func() { close(ready) }); err != nil {
			t.Error(err)
		}
	})
	<-ready
	elsewhere := newGate(t, gate.Options{}) // bound to nothing
	alice := []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:secret"))}
	for _, c := range []struct {
		g      *gate.Gate
		host   string
		header []string
		want   int
	}{
		{listening, "localhost:8082", nil, 200},
		{listening, "weir.localhost", nil, 200},
		{listening, "127.0.0.1:8082", nil, 200},
		{listening, "[::1]", nil, 200},
		{listening, "proxied.test", nil, 200},
		{listening, "evil.test:8082", nil, 421},
		{listening, "localhost.evil.test", nil, 421},
		{listening, "evil.test:8082", alice, 200}, // a browser has nothing to show to that name
		{elsewhere, "evil.test:8082", nil, 200},
	} {
		if res, body := do(t, c.g, "GET", "http://"+c.host+"/things", "", c.header...); res.StatusCode != c.want {
			t.Errorf("%s with %v: %d %s, want %d", c.host, c.header, res.StatusCode, body, c.want)
		}
	}
}

func TestDocumentNamesEveryRoute(t *testing.T) {
	t.Parallel()
	g := newGate(t, gate.Options{Title: "Test"})
	_, body := do(t, g, "GET", "/openapi.json", "")
	var d struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Parameters []struct {
				Name string `json:"name"`
				In   string `json:"in"`
			} `json:"parameters"`
			Responses map[string]struct {
				Description string `json:"description"`
			} `json:"responses"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	if d.OpenAPI != "3.1.0" || len(d.Paths) != 9 {
		t.Errorf("got %s with %d paths", d.OpenAPI, len(d.Paths))
	}
	if p := d.Paths["/things/{name}"]["get"].Parameters; len(p) != 1 || p[0].Name != "name" || p[0].In != "path" {
		t.Errorf("parameters %v", p)
	}
	if r := d.Paths["/things"]["post"].Responses["409"].Description; !strings.Contains(r, "40901, 40902") {
		t.Errorf("409: %s", r)
	}
}

func TestTwoRoutesOfOneShapeAreRefused(t *testing.T) {
	t.Parallel()
	_, err := gate.New(gate.Options{Name: "x", Types: types, Logger: slog.New(slog.DiscardHandler), Routes: []gate.Route{{Method: "GET", Path: "/a/{x}"}, {Method: "GET", Path: "/a/{y}"}}})
	if err == nil {
		t.Error("two routes of one shape were taken")
	}
}

func TestGateListensAndEndsStreamsWithTheServer(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	o := gate.Options{Name: "x", Types: types, Logger: slog.New(slog.DiscardHandler), Address: "127.0.0.1:0", Bridge: fakeBridge{}, Routes: []gate.Route{{
		Method: "GET", Path: "/stream", Name: "stream", Stream: true, Handle: func(w http.ResponseWriter, r *http.Request) error {
			w.WriteHeader(http.StatusOK)
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
			close(began)
			<-r.Context().Done()
			return nil
		},
	}}}
	g, err := gate.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- g.Run(ctx, func() { close(ready) }) }()
	<-ready
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.Address()+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	<-began
	cancel()
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Errorf("the stream broke off: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestClientsAreSharedByCallerAndFreedByContext(t *testing.T) {
	t.Parallel()
	c := gate.NewClients(fakeBridge{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() { ended <- c.Run(ctx, func() { close(ready) }) }()
	<-ready
	one, err := c.Client(t.Context(), gate.Anonymous("10.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	again, _ := c.Client(t.Context(), gate.Anonymous("10.0.0.1"))
	other, _ := c.Client(t.Context(), gate.Anonymous("10.0.0.2"))
	service, _ := c.Client(t.Context(), gate.Service("registry"))
	if one != again || one == other || service == one {
		t.Error("clients are not kept by caller")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := c.Client(t.Context(), gate.Anonymous("10.0.0.3")); err == nil {
		t.Error("a client was given after the end")
	}
}

func FuzzRouting(f *testing.F) {
	for _, s := range []string{"/", "/things/a", "/things/%2f%2e%2e", "/files/%zz", "//things//x/", "/things/%E4"} {
		f.Add(s)
	}
	g, err := gate.New(gate.Options{Name: "f", Routes: routes(), Types: types, Bridge: fakeBridge{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://host"+path, nil)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code == 0 {
			t.Error("no status")
		}
	})
}
