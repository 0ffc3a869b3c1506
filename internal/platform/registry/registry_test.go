package registry_test

import (
	"context"
	"fmt"
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
	"github.com/weir-stream/weir/internal/platform/registry"
	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema/formats"
)

// topic is a topic in memory, with a fence: whoever takes it last may write.
type topic struct {
	mu      sync.Mutex
	records []state.Record
	owner   *memLog
	grown   chan struct{}
	// lose, if not nil, is asked before each append whether its outcome shall be unknown: the first result loses the answer, the second
	// says whether the records are written all the same.
	lose func() (lost, written bool)
}

func newTopic() *topic { return &topic{grown: make(chan struct{})} }

func (t *topic) append(records ...state.Record) int64 {
	t.records = append(t.records, records...)
	close(t.grown)
	t.grown = make(chan struct{})
	return int64(len(t.records) - 1)
}

type memLog struct{ t *topic }

func (l *memLog) Run(ctx context.Context, apply func(state.Record, int64, int64), _, loaded func()) error {
	next := 0
	for {
		l.t.mu.Lock()
		some, grown := l.t.records[next:], l.t.grown
		l.t.mu.Unlock()
		for _, r := range some {
			apply(r, int64(next), int64(next))
			next++
		}
		loaded()
		select {
		case <-grown:
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *memLog) Own(context.Context) (int64, error) {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	if l.t.owner == l {
		return -1, nil
	}
	l.t.owner = l
	return l.t.append(state.Noop()), nil
}

func (l *memLog) Append(_ context.Context, records []state.Record) (int64, error) {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	if l.t.owner != l {
		return 0, registry.ErrLost
	}
	if l.t.lose != nil {
		if lost, written := l.t.lose(); lost {
			l.t.owner = nil
			if written {
				l.t.append(records...)
			}
			return 0, registry.ErrLost
		}
	}
	return l.t.append(records...), nil
}

func (l *memLog) End(context.Context) (int64, error) {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	return int64(len(l.t.records)), nil
}

// bridge lets alice do everything, bob read what begins with open, and nobody else anything.
type bridge struct{ locked bool }

func (b bridge) Authenticate(_ context.Context, c *gate.Credentials) (gate.Caller, error) {
	return gate.Caller{Principal: acl.Principal{Type: "User", Name: c.User}, Host: c.Host}, nil
}

func (b bridge) Allowed(_ context.Context, c gate.Caller, op acl.Operation, kind acl.ResourceType, name string) error {
	readsOpen := c.Principal.Name == "bob" && strings.HasPrefix(name, "open") && (op == acl.Read || op == acl.Describe)
	if !b.locked || kind != acl.Subject || c.Principal.Name == "alice" || readsOpen {
		return nil
	}
	return gate.ErrForbidden
}

func (bridge) Options(gate.Caller) ([]kgo.Opt, error) { return nil, nil }

// instance is a registry with its face.
type instance struct {
	*registry.Registry
	gate *gate.Gate
}

func start(t *testing.T, on *topic, b bridge) *instance {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	r := registry.New(registry.Options{
		Log: &memLog{on}, Formats: formats.Of, Version: "test", Logger: logger,
		ClusterID: func(context.Context) (string, error) { return "cluster", nil },
	})
	g, err := gate.New(gate.Options{Name: "registry", Routes: registry.NewAPI(r, b).Routes(), Bridge: b, Types: registry.Types(), Translate: registry.Translate, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, func() {}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-r.Loaded()
	return &instance{r, g}
}

// ask makes a request and returns "STATUS body".
func (i *instance) ask(t *testing.T, user, method, target, body string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if user != "" {
		r.SetBasicAuth(user, "x")
	}
	w := httptest.NewRecorder()
	i.gate.ServeHTTP(w, r)
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(w.Code, " ", string(b))
}

func quote(text string) string {
	return `{"schema":"` + strings.ReplaceAll(text, `"`, `\"`) + `"}`
}

// record is an Avro record with fields, each NAME or NAME=DEFAULT, of ints.
func record(fields ...string) string {
	var list []string
	for _, f := range fields {
		name, def, ok := strings.Cut(f, "=")
		if ok {
			def = `,"default":` + def
		}
		list = append(list, `{"name":"`+name+`","type":"int"`+def+`}`)
	}
	return `{"type":"record","name":"R","fields":[` + strings.Join(list, ",") + `]}`
}

func TestIDsAreNeverDoubledByTwoWriters(t *testing.T) {
	t.Parallel()
	on := newTopic()
	n := 0
	on.lose = func() (bool, bool) {
		n++
		return n%3 == 0, n%2 == 0
	}
	instances := []*instance{start(t, on, bridge{}), start(t, on, bridge{}), start(t, on, bridge{})}
	var wg sync.WaitGroup
	var mu sync.Mutex
	byID := map[int]string{}
	for i, in := range instances {
		wg.Go(func() {
			for k := range 20 {
				text := fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, 1+k*(1+i%2))
				v, err := in.Register(t.Context(), fmt.Sprintf("s%d", k%5), registry.Candidate{Content: state.Content{Text: state.TextOf(text)}}, registry.RegisterOptions{Force: true})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if old, ok := byID[v.ID]; ok && old != v.Text.String() {
					t.Errorf("id %d stands for %s and %s", v.ID, old, v.Text)
				}
				byID[v.ID] = v.Text.String()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	// What was acknowledged is there after a start from nothing.
	again := start(t, on, bridge{})
	for id, text := range byID {
		if got := again.ask(t, "", "GET", fmt.Sprintf("/schemas/ids/%d/schema", id), ""); got != "200 "+text {
			t.Errorf("id %d: got %s, want %s", id, got, text)
		}
	}
}

func TestAnInstanceThatIsBehindCatchesUpBeforeItSaysNo(t *testing.T) {
	t.Parallel()
	on := newTopic()
	a, b := start(t, on, bridge{}), start(t, on, bridge{})
	for k := range 20 {
		v, err := a.Register(t.Context(), fmt.Sprintf("s%d", k), registry.Candidate{Content: state.Content{Text: state.TextOf(fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, k+1))}}, registry.RegisterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.ask(t, "", "GET", fmt.Sprintf("/schemas/ids/%d", v.ID), ""); !strings.HasPrefix(got, "200 ") && k == 0 {
			t.Errorf("the other instance says %s", got)
		}
	}
}

func TestCallersSeeWhatTheyMay(t *testing.T) {
	t.Parallel()
	in := start(t, newTopic(), bridge{locked: true})
	for _, c := range []struct{ user, method, path, body, want string }{
		{"bob", "POST", "/subjects/open/versions", quote(`"int"`), "403 "},
		{"alice", "POST", "/subjects/open/versions", quote(`"int"`), "200 "},
		{"alice", "POST", "/subjects/secret/versions", quote(`"long"`), "200 "},
		{"alice", "POST", "/subjects/other/versions", quote(`"int"`), "200 "},
		{"alice", "GET", "/subjects", "", `200 ["open","other","secret"]`},
		{"bob", "GET", "/subjects", "", `200 ["open"]`},
		{"bob", "GET", "/schemas/ids/1/schema", "", `200 "int"`},
		{"bob", "GET", "/schemas/ids/2", "", "403 "},
		{"bob", "GET", "/schemas/ids/1/subjects", "", `200 ["open"]`},
		{"bob", "GET", "/subjects/secret/versions", "", "403 "},
		{"bob", "GET", "/subjects/open/versions/1/schema", "", `200 "int"`},
		{"bob", "DELETE", "/subjects/open", "", "403 "},
		{"bob", "PUT", "/config", `{"compatibility":"NONE"}`, "403 "},
		{"bob", "PUT", "/mode/open", `{"mode":"READONLY"}`, "403 "},
		{"bob", "POST", "/associations", `{"resourceName":"t","resourceNamespace":"n","resourceId":"i","associations":[{"subject":"open"}]}`, "403 "},
		{"eve", "GET", "/subjects", "", "200 []"},
		{"eve", "POST", "/compatibility/subjects/open/versions/latest", quote(`"int"`), "403 "},
	} {
		if got := in.ask(t, c.user, c.method, c.path, c.body); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s %s: got %s, want %s", c.user, c.method, c.path, got, c.want)
		}
	}
}

func TestDocumentTellsOfEveryRoute(t *testing.T) {
	t.Parallel()
	in := start(t, newTopic(), bridge{})
	got := in.ask(t, "", http.MethodGet, "/openapi.json", "")
	for _, path := range []string{"/subjects/{subject}/versions/{version}", "/schemas/ids/{id}", "/config/{subject}", "/associations:batchMutate", "/v1/metadata/version"} {
		if !strings.Contains(got, `"`+path+`"`) {
			t.Errorf("%s is missing", path)
		}
	}
}
