package registryclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// fakeRegistry answers GET requests from a table of paths.
func fakeRegistry(t *testing.T, answers map[string]any) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if user, password, _ := r.BasicAuth(); user != "ann" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = map[string]any{"error_code": 40403, "message": "Schema not found"}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server, &asked
}

func connect(t *testing.T, server *httptest.Server) *Client {
	t.Helper()
	c, err := New(Options{Properties: map[string]string{"schema.registry.url": server.URL + "/", "basic.auth.user.info": "ann:secret", "group.id": "g"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestByIDBringsAllThatASchemaRefersTo(t *testing.T) {
	t.Parallel()
	ref := func(name, subject string, version int) map[string]any {
		return map[string]any{"name": name, "subject": subject, "version": version}
	}
	server, asked := fakeRegistry(t, map[string]any{
		"/schemas/ids/7":         map[string]any{"schema": `"A"`, "references": []any{ref("A", "a", 1), ref("B", "b", 2)}},
		"/subjects/a/versions/1": map[string]any{"subject": "a", "version": 1, "id": 3, "schema": `"text of A"`, "references": []any{ref("B", "b", 2)}},
		"/subjects/b/versions/2": map[string]any{"subject": "b", "version": 2, "id": 4, "schema": `"text of B"`},
	})
	c := connect(t, server)
	for range 2 {
		s, err := c.ByID(t.Context(), wireformat.ID{Number: 7})
		if err != nil {
			t.Fatal(err)
		}
		if s.Type != schema.Avro || s.Source.Text != `"A"` || len(s.Source.References) != 2 {
			t.Errorf("got %+v", s)
		}
		if want := map[string]string{"A": `"text of A"`, "B": `"text of B"`}; !maps.Equal(s.Source.Resolved, want) {
			t.Errorf("got texts %v, want %v", s.Source.Resolved, want)
		}
	}
	if got := asked.Load(); got != 3 {
		t.Errorf("the registry was asked %d times, want 3", got)
	}
}

func TestByIDAsksOnceForWhatIsNotThere(t *testing.T) {
	t.Parallel()
	server, asked := fakeRegistry(t, nil)
	c := connect(t, server)
	for range 2 {
		_, err := c.ByID(t.Context(), wireformat.ID{Number: 9})
		var answer *sr.ResponseError
		if !errors.As(err, &answer) || answer.ErrorCode != 40403 || !strings.Contains(err.Error(), "id 9") {
			t.Errorf("got %v, want 40403", err)
		}
	}
	if got := asked.Load(); got != 1 {
		t.Errorf("the registry was asked %d times, want once", got)
	}
}

func TestByGUID(t *testing.T) {
	t.Parallel()
	guid := wireformat.GUID{1, 2, 3}
	server, _ := fakeRegistry(t, map[string]any{"/schemas/guids/" + guid.String(): map[string]any{"schema": `{}`, "schemaType": "JSON"}})
	s, err := connect(t, server).ByID(t.Context(), wireformat.ID{GUID: guid})
	if err != nil || s.Type != schema.JSON || s.ID.GUID != guid {
		t.Errorf("got %+v %v", s, err)
	}
}

func TestResolveEndsWithReferencesInACircle(t *testing.T) {
	t.Parallel()
	answers := map[string]any{}
	for i := range 3 {
		next := (i + 1) % 3
		answers[fmt.Sprintf("/subjects/s%d/versions/1", i)] = map[string]any{
			"schema": fmt.Sprintf(`"%d"`, i), "references": []any{map[string]any{"name": fmt.Sprint("n", next), "subject": fmt.Sprint("s", next), "version": 1}},
		}
	}
	server, _ := fakeRegistry(t, answers)
	texts, err := connect(t, server).Resolve(t.Context(), []schema.Reference{{Name: "n0", Subject: "s0", Version: 1}})
	if got := slices.Sorted(maps.Keys(texts)); err != nil || !slices.Equal(got, []string{"n0", "n1", "n2"}) {
		t.Errorf("got %v %v", got, err)
	}
}

func TestNewReadsAddressesAndLogin(t *testing.T) {
	t.Parallel()
	c, err := New(Options{URLs: []string{"ann:secret@localhost:8081", " https://other:443/base/ "}, Properties: map[string]string{"schema.registry.ssl.endpoint.identification.algorithm": ""}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"http://localhost:8081", "https://other:443/base"}; !slices.Equal(c.URLs(), want) {
		t.Errorf("got %v, want %v", c.URLs(), want)
	}
	if login := c.OptValues(sr.BasicAuth); len(login) != 2 || login[0] != "ann" || login[1] != "secret" {
		t.Errorf("got login %v", login)
	}
	for _, wrong := range []Options{{}, {URLs: []string{"ftp://x"}}, {URLs: []string{"http://"}}, {URLs: []string{"x"}, Properties: map[string]string{"basic.auth.user.info": "ann"}}, {URLs: []string{"x"}, Properties: map[string]string{"schema.registry.ssl.truststore.location": "/does/not/exist"}}} {
		if _, err := New(wrong); err == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
}

func TestBeside(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"127.0.0.1:9092": "http://127.0.0.1:8081", "[::1]:9092": "http://[::1]:8081", "broker": "http://broker:8081"} {
		if got := Beside(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
