package rest_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest"
	"github.com/weir-stream/weir/internal/schema"
)

const documentFile = "../../../docs/rest-openapi.json"

// document is the OpenAPI document of the table of routes.
func document(t *testing.T) (*gate.Options, []byte) {
	t.Helper()
	o := rest.Gate(rest.New(rest.Options{Formats: func(schema.Type) (schema.Format, bool) { return nil, false }}))
	o.Version = "unreleased"
	o.Logger = slog.New(slog.DiscardHandler)
	text, err := json.MarshalIndent(gate.Document(&o), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return &o, append(text, '\n')
}

func TestTheDocumentInDocsIsThatOfTheTable(t *testing.T) {
	t.Parallel()
	_, text := document(t)
	if *rewrite {
		if err := os.WriteFile(documentFile, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(documentFile); err != nil || !bytes.Equal(got, text) {
		t.Errorf("docs/rest-openapi.json is not up to date (%v): go test ./internal/platform/rest -run Document -rewrite", err)
	}
}

// Every route is told of, with a summary, a name that no other has, and its parameters.
func TestEveryRouteIsDocumented(t *testing.T) {
	t.Parallel()
	o, _ := document(t)
	var names []string
	for _, r := range o.Routes {
		names = append(names, r.Name)
		if r.Summary == "" || r.Tag == "" || r.Handle == nil {
			t.Errorf("%s %s is not told of", r.Method, r.Path)
		}
		for _, p := range r.PathParams {
			if !strings.Contains(r.Path, "{"+p.Name+"}") {
				t.Errorf("%s has no %s", r.Path, p.Name)
			}
		}
		if r.Open != (r.Name == "postWebhook") {
			t.Errorf("%s: open is %v", r.Name, r.Open)
		}
	}
	slices.Sort(names)
	if n := len(names); len(slices.Compact(names)) != n {
		t.Error("two routes have one name")
	}
}
