package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/weir-stream/weir/internal/cli/registryclient"
	"github.com/weir-stream/weir/internal/schema"
)

// TestSchemaCommands runs command lines against a registry in memory; testdata/schema.txt is what they write. Names of files stand for
// those in testdata/registry.
func TestSchemaCommands(t *testing.T) {
	t.Parallel()
	registry := srfake.New()
	t.Cleanup(registry.Close)
	var b strings.Builder
	for _, line := range []string{
		"register address-value address.avsc -o table",
		"register orders-value order.avsc --ref demo.Address=address-value:1",
		"register orders-value order.avsc --ref demo.Address=address-value",
		"register orders-value order.txt",
		"list",
		"list -o table",
		"get orders-value -o table",
		"get orders-value@1 --text",
		"get orders-value@0",
		"get nobody",
		"get",
		"deps orders-value -o table",
		"deps address-value -o table",
		"diff order.avsc order2.avsc --ref demo.Address=address-value:1 -o table",
		"diff orders-value order.avsc --ref demo.Address=address-value:1",
		"diff order.avsc order.proto --ref demo.Address=address-value:1",
		"diff broken.avsc broken.avsc",
		"check orders-value order.avsc --ref demo.Address=address-value:1 -o table",
		"config orders-value --level full -o table",
		"config orders-value --unset",
		"config orders-value --level FULL --unset",
		"mode orders-value --set readonly",
		"mode orders-value --unset",
		"delete orders-value",
		"delete orders-value --dry-run",
		"delete orders-value --yes",
		"delete nobody --yes",
		"migrate",
		"conformance",
		"conformance nonsense",
		"conformance REGISTRY --group nobody",
		"conformance REGISTRY --case 'the seven levels'",
	} {
		fmt.Fprintf(&b, "$ schema %s\n", line)
		s, out, errOut := testSession("")
		s.env = func(name string) string { return map[string]string{"WEIR_SCHEMA_REGISTRY": registry.URL()}[name] }
		args := words(t, strings.ReplaceAll(line, "REGISTRY", registry.URL()))
		for i, a := range args {
			if ext := filepath.Ext(a); ext == ".avsc" || ext == ".proto" || ext == ".txt" {
				args[i] = filepath.Join("testdata", "registry", a)
			}
		}
		code := run(t.Context(), s, append([]string{"schema"}, args...))
		b.WriteString(withEnd(out.String()))
		for l := range strings.Lines(errOut.String()) {
			b.WriteString("! " + withEnd(l))
		}
		if code != exitDone {
			fmt.Fprintf(&b, "-> %d\n", code)
		}
	}
	compare(t, "schema.txt", strings.ReplaceAll(b.String(), registry.URL(), "REGISTRY"))
}

func TestMigrationOrdersReferencesFirst(t *testing.T) {
	t.Parallel()
	v := func(subject string, version int, refs ...schema.Reference) subjectVersion {
		return subjectVersion{Subject: subject, Version: version, References: refs}
	}
	found := []subjectVersion{
		v("a", 1, schema.Reference{Subject: "z", Version: 2}),
		v("b", 1),
		v("z", 1), v("z", 2),
		v(":.c:x", 1, schema.Reference{Subject: "y", Version: 1}), v(":.c:y", 1),
	}
	names := func(list []subjectVersion) string {
		var out []string
		for _, v := range list {
			out = append(out, fmt.Sprintf("%s@%d", v.Subject, v.Version))
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		patterns []string
		want     string
	}{
		{nil, ":.c:y@1 :.c:x@1 z@2 a@1 b@1 z@1"},
		{[]string{"a"}, "z@2 a@1"},
		{[]string{":.c:*"}, ":.c:y@1 :.c:x@1"},
		{[]string{"nobody"}, ""},
	} {
		got, err := chooseVersions(found, c.patterns)
		if err != nil || names(got) != c.want {
			t.Errorf("%v: got %q, %v, want %q", c.patterns, names(got), err, c.want)
		}
	}
	if _, err := chooseVersions([]subjectVersion{v("a", 1, schema.Reference{Subject: "gone", Version: 1})}, nil); err == nil || !strings.Contains(err.Error(), "does not have") {
		t.Errorf("a reference to nothing: got %v", err)
	}
	circle := []subjectVersion{v("a", 1, schema.Reference{Subject: "b", Version: 1}), v("b", 1, schema.Reference{Subject: "a", Version: 1})}
	if _, err := chooseVersions(circle, nil); err == nil || !strings.Contains(err.Error(), "itself") {
		t.Errorf("a circle: got %v", err)
	}
}

func TestReferencesAreRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		arg  string
		want schema.Reference
	}{
		{"a.proto=subject:3", schema.Reference{Name: "a.proto", Subject: "subject", Version: 3}},
		{"n.A=:.ctx:subject:latest", schema.Reference{Name: "n.A", Subject: ":.ctx:subject", Version: -1}},
	} {
		if got, err := parseReference(c.arg); err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v", c.arg, got, err)
		}
	}
	for _, arg := range []string{"", "a", "a=b", "=b:1", "a=:1", "a=b:0", "a=b:-2", "a=b:x"} {
		if got, err := parseReference(arg); err == nil {
			t.Errorf("%s: got %+v", arg, got)
		}
	}
}

func TestAVersionKeepsAllThatARegistryTells(t *testing.T) {
	t.Parallel()
	text := `{"subject":"s","version":1,"id":2,"guid":"g","schemaType":"JSON","references":[{"name":"n","subject":"r","version":3}],` +
		`"metadata":{"tags":{"a":["PII"]},"properties":{"k":"v"},"sensitive":["k"]},"ruleSet":{"domainRules":[{"name":"r","kind":"CONDITION","mode":"WRITE","type":"CEL","tags":["PII"],"params":{"p":"q"},"expr":"true"}]},"schema":"{}","deleted":true}`
	var v subjectVersion
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(v); err != nil || string(got) != text {
		t.Errorf("got  %s, %v\nwant %s", got, err, text)
	}
}

// A run that finishes another finds subjects that are READONLY already: what they have must not be set again.
func TestMigrationSetsOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	var puts []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			puts = append(puts, r.URL.Path)
		}
		if _, err := w.Write([]byte(`{"compatibilityLevel":"FULL","mode":"READONLY"}`)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	cl, err := registryclient.New(registryclient.Options{URLs: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	m := &migration{target: registryAt{cl}}
	for _, set := range []migratedSetting{
		{"/config", "same", map[string]json.RawMessage{"compatibility": json.RawMessage(`"FULL"`)}},
		{"/mode", "same", map[string]json.RawMessage{"mode": json.RawMessage(`"READONLY"`)}},
		{"/config", "other", map[string]json.RawMessage{"compatibility": json.RawMessage(`"NONE"`)}},
	} {
		if err := m.apply(t.Context(), set); err != nil {
			t.Error(err)
		}
	}
	if len(puts) != 1 || puts[0] != "/config/other" {
		t.Errorf("set %v, want /config/other alone", puts)
	}
}
