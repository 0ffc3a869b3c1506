package conformance

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCasesAreManyAndHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	api, pairs := 0, 0
	seen := map[string]string{}
	for _, c := range cases {
		if c.pair != nil {
			pairs++
		} else {
			api++
		}
		name := c.Group + ": " + c.Name
		if before, ok := seen[name]; ok {
			t.Errorf("%s: %q is also the name of the case at %s", where(c), name, before)
		}
		seen[name] = where(c)
	}
	if api < 300 || pairs < 150 {
		t.Errorf("%d cases of the API and %d of compatibility, want 300 and 150 at least", api, pairs)
	}
	peers, err := Peers()
	if err != nil {
		t.Fatal(err)
	}
	for _, peer := range peers {
		known, err := differences(peer)
		if err != nil {
			t.Fatal(err)
		}
		for name, d := range known {
			if _, ok := seen[name]; !ok && !d.any {
				t.Errorf("peers/%s.txt: there is no case %q", peer, name)
			}
			if d.why == "" {
				t.Errorf("peers/%s.txt: %q has no reason", peer, name)
			}
		}
	}
}

func TestPatternsMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, value string
		match          bool
	}{
		{`{"a": 1}`, `{"a": 1, "b": 2}`, true},
		{`{"a": 1}`, `{"a": 2}`, false},
		{`{"a": 1}`, `{}`, false},
		{`only {"a": 1}`, `{"a": 1, "b": 2}`, false},
		{`only {}`, `{}`, true},
		{`{"a": absent}`, `{}`, true},
		{`{"a": absent}`, `{"a": null}`, true},
		{`{"a": absent}`, `{"a": 1}`, false},
		{`{"a": maybe 1}`, `{}`, true},
		{`{"a": maybe 1}`, `{"a": 2}`, false},
		{`[1, 2]`, `[1, 2]`, true},
		{`[1, 2]`, `[2, 1]`, false},
		{`[1]`, `[1, 2]`, false},
		{`set [1, 2]`, `[2, 1]`, true},
		{`set [1, 1]`, `[1, 2]`, false},
		{`set [1, 1]`, `[1, 1]`, true},
		{`has [2]`, `[1, 2]`, true},
		{`has [3]`, `[1, 2]`, false},
		{`lacks [3]`, `[1, 2]`, true},
		{`lacks [2]`, `[1, 2]`, false},
		{`int`, `7`, true},
		{`int`, `7.5`, false},
		{`some`, `[]`, false},
		{`some`, `[1]`, true},
		{`like "b"`, `"abc"`, true},
		{`like "x"`, `"abc"`, false},
		{"`a\"b`", `"a\"b"`, true},
		{"json `{\"a\": [1]}`", `"{ \"a\":[ 1 ] }"`, true},
		{"json `{\"a\": [1]}`", `"{ \"a\":[ 2 ] }"`, false},
		{`"<s>-x"`, `"subject-x"`, true},
		{`"<unknown>"`, `"<unknown>"`, true},
		{`<n>`, `5`, true},
		{`<n>`, `6`, false},
		{`<nobody>`, `6`, false},
		{`{"a": got=int, "b": <got>}`, `{"a": 3, "b": 3}`, true},
		{`{"a": got=int, "b": <got>}`, `{"a": 3, "b": 4}`, false},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		v, err := decode([]byte(c.value))
		if err != nil {
			t.Fatal(err)
		}
		five, err := decode([]byte("5"))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.match("", v, true, map[string]any{"s": "subject", "n": five}); (err == nil) != c.match {
			t.Errorf("%s and %s: got %v, want a match: %v", c.pattern, c.value, err, c.match)
		}
	}
}

func TestWrongFilesAreRefusedWithTheirLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"== a\n", "x.txt:1: the case has no request"},
		{"GET /\n200\n", "neither a case"},
		{"== a\nGET /\n", "what is expected is missing"},
		{"== a\nGET /\n200 {\"a\"}\n", "is missing before"},
		{"== a\nGET /\n200 nonsense\n", "unknown word"},
		{"== a\nPOST /\n`\n200\n", "never closed"},
		{"== a\nGET /\n200 [1\n", "a comma is missing"},
	} {
		if _, err := parseFile("x.txt", c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"== a\nold `1`\n", "no new"},
		{"== a\nold x\n", "not in back quotes"},
		{"old `1`\n", "before the first case"},
		{"== a\nold `1`\nnew `1`\nsideways yes\n", "not a level"},
	} {
		if _, err := parsePairs("x.txt", c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
}

// wrong is a registry that answers everything in one way.
func wrong(t *testing.T, status int, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		w.WriteHeader(status)
		if _, err := w.Write([]byte(body)); err != nil {
			t.Log(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestAFailureIsToldWithItsRequest(t *testing.T) {
	t.Parallel()
	url := wrong(t, http.StatusOK, `{"mode": "READONLY"}`)
	results, err := Run(t.Context(), Options{URL: url, Client: &http.Client{}, Cases: []string{"the mode of the registry"}, Run: "x"})
	if err != nil {
		t.Fatal(err)
	}
	r := results[0]
	if r.Outcome != Failed || r.Request != "curl -s '"+url+"/mode'" || r.Expected != "200" || !strings.Contains(r.Got, `want "READWRITE", got "READONLY"`) {
		t.Errorf("got %+v", r)
	}
}

func TestARequestWithQuotesCanBePasted(t *testing.T) {
	t.Parallel()
	tr := &trial{o: Options{URL: "http://r"}}
	body := `{"a": "it's"}`
	got := tr.curl(http.MethodPost, "/x", [][2]string{{"Accept", "a/b"}}, &body)
	if want := `curl -s -X POST -H 'Accept: a/b' -H 'Content-Type: application/vnd.schemaregistry.v1+json' -d '{"a": "it'\''s"}' 'http://r/x'`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCasesThatChangeWhatAllShareAreLeftOut(t *testing.T) {
	t.Parallel()
	results, err := Run(t.Context(), Options{URL: wrong(t, http.StatusOK, `{}`), Client: &http.Client{}, Cases: []string{"the level of the registry is deleted"}, Run: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || results[0].Outcome != Skipped {
		t.Errorf("got %+v", results)
	}
}

func TestUnknownNamesAreRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Groups: []string{"nobody"}}, {Cases: []string{"no such case"}}, {Peer: "nobody"}} {
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, seed := range []string{`{"a": [1, any]}`, "only {}", "set [x=int]", "json `1`", "like \"", "maybe ["} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := parsePattern(text); err == nil {
			_ = p.match("", map[string]any{}, true, map[string]any{}) // must not panic, whatever it says
		}
	})
}
