package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/cli/registryclient"
	"github.com/weir-stream/weir/weirtest"
)

// askRegistry makes one request, which has to succeed, and returns the answer.
func askRegistry(t *testing.T, url, method, path, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 && res.StatusCode != http.StatusNotFound {
		t.Fatalf("%s %s: %d %s, %v", method, path, res.StatusCode, b, err)
	}
	return string(b)
}

// fillRegistry registers a bit of everything that a registry can hold.
func fillRegistry(t *testing.T, url string) {
	t.Helper()
	ask := func(method, path, body string) { t.Helper(); askRegistry(t, url, method, path, body) }
	register := func(subject, kind, text, more string) {
		t.Helper()
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		ask("POST", "/subjects/"+subject+"/versions", fmt.Sprintf(`{"schemaType":%q,"schema":%s%s}`, kind, b, more))
	}
	record := func(name, fields string) string {
		return `{"type":"record","name":"` + name + `","fields":[` + fields + `]}`
	}
	ask("PUT", "/config", `{"compatibility":"NONE"}`)
	register("gone", "AVRO", record("Gone", ""), "")
	// a refers to z, whose name comes later.
	register("z", "AVRO", record("Z", ""), "")
	register("a", "AVRO", record("A", `{"name":"z","type":"Z"}`), `,"references":[{"name":"Z","subject":"z","version":1}]`)
	for i := range 4 {
		register("history", "AVRO", record("H", fmt.Sprintf(`{"name":"f%d","type":"int"}`, i)), "")
	}
	ask("DELETE", "/subjects/history/versions/1", "")
	ask("DELETE", "/subjects/history/versions/2", "")
	ask("DELETE", "/subjects/history/versions/2?permanent=true", "")
	ask("DELETE", "/subjects/gone", "")
	register("common", "PROTOBUF", `syntax = "proto3"; message C { string s = 1; }`, "")
	register("proto", "PROTOBUF", `syntax = "proto3"; import "c.proto"; message P { C c = 1; }`, `,"references":[{"name":"c.proto","subject":"common","version":1}]`)
	register("json", "JSON", `{"type":"object","properties":{"n":{"type":"integer"}}}`, `,"metadata":{"properties":{"owner":"ada"}}`)
	register("ruled", "AVRO", record("Ruled", `{"name":"n","type":"int"}`), `,"ruleSet":{"domainRules":[{"name":"r","kind":"CONDITION","type":"CEL","mode":"WRITE","expr":"message.n > 0"}]}`)
	register(":.staging:z", "AVRO", record("Other", ""), "")
	register(":.staging:a", "AVRO", record("A", `{"name":"o","type":"Other"}`), `,"references":[{"name":"Other","subject":"z","version":1}]`)
	ask("PUT", "/config", `{"compatibility":"FULL"}`)
	// A topic has one subject of its own, and one that others may have, too.
	ask("POST", "/associations", `{"resourceName":"till","resourceNamespace":"shop","resourceId":"r1","associations":[{"associationType":"value","lifecycle":"STRONG","schema":{"schema":"\"string\""}}]}`)
	ask("POST", "/associations", `{"resourceName":"till","resourceNamespace":"shop","resourceId":"r2","associations":[{"subject":"history","associationType":"key","lifecycle":"WEAK"}]}`)
	for _, name := range []string{"one", "two"} {
		ask("POST", "/dek-registry/v1/keks", fmt.Sprintf(`{"name":%q,"kmsType":"local-kms","kmsKeyId":"main","kmsProps":{"a":"b"},"doc":"why","shared":false}`, name))
	}
	for v, algorithm := range []string{"AES256_GCM", "AES256_SIV", "AES256_GCM"} {
		ask("POST", "/dek-registry/v1/keks/one/deks", fmt.Sprintf(`{"subject":"json","version":%d,"algorithm":%q,"encryptedKeyMaterial":"a2V5%d"}`, v+1, algorithm, 1000+v))
	}
	ask("POST", "/dek-registry/v1/keks/two/deks", `{"subject":":.staging:z","encryptedKeyMaterial":"a2V5"}`)
	ask("DELETE", "/dek-registry/v1/keks/one/deks/json/versions/3", "")
	ask("DELETE", "/dek-registry/v1/keks/two/deks/:.staging:z", "")
	ask("DELETE", "/dek-registry/v1/keks/two", "")
	ask("PUT", "/config/json", `{"compatibility":"FORWARD","compatibilityPolicy":"LENIENT"}`)
	ask("PUT", "/config/:.staging:", `{"compatibility":"NONE"}`)
	ask("PUT", "/config/planned", `{"compatibility":"BACKWARD_TRANSITIVE"}`)
	ask("PUT", "/mode/a", `{"mode":"READONLY"}`)
	ask("PUT", "/mode/:.staging:", `{"mode":"READONLY"}`)
}

// written is when a version was written, and the GUID of an association, which differ.
var written = regexp.MustCompile(`,"(ts|createTs|updateTs)":[0-9]+|"guid":"[^"]*",("resourceName")`)

// holdings is everything that a registry has, as its answers tell.
func holdings(t *testing.T, url string, planned bool) string {
	t.Helper()
	paths := []string{
		"/schemas?subjectPrefix=:*:&deleted=true", "/subjects?subjectPrefix=:*:&deleted=true", "/contexts", "/config", "/config/json", "/config/:.staging:", "/mode/a", "/mode/:.staging:", "/mode/json",
		"/schemas/ids/1?fetchMaxId=true", "/contexts/.staging/schemas/ids/2", "/subjects/z/versions/1/referencedby", "/subjects/history/versions?deleted=true",
		"/associations/resources/r1", "/associations/resources/r2", "/dek-registry/v1/keks", "/dek-registry/v1/keks?deleted=true", "/dek-registry/v1/keks/one", "/dek-registry/v1/keks/two?deleted=true",
		"/dek-registry/v1/keks/one/deks/json/versions/1", "/dek-registry/v1/keks/one/deks/json/versions/2?algorithm=AES256_SIV", "/dek-registry/v1/keks/one/deks/json/versions/3?deleted=true",
		"/dek-registry/v1/keks/one/deks/json/versions", "/dek-registry/v1/keks/two/deks/:.staging:z/versions?deleted=true",
	}
	if planned {
		paths = append(paths, "/config/planned")
	}
	var b strings.Builder
	for _, path := range paths {
		text := written.ReplaceAllString(askRegistry(t, url, "GET", path, ""), "$2")
		fmt.Fprintf(&b, "%s: %s\n", path, text)
	}
	return b.String()
}

// TestMigrationCopiesEverything copies one registry into another, by its API and out of its topic, and compares all their answers.
func TestMigrationCopiesEverything(t *testing.T) {
	t.Parallel()
	old := weirtest.Start(t, weirtest.Registry())
	fillRegistry(t, old.RegistryURL())
	for name, c := range map[string]struct {
		args    []string
		planned bool // settings of subjects without schemas cannot be listed by the API
	}{
		"by the API":       {[]string{"--from", old.RegistryURL()}, false},
		"out of the topic": {[]string{"--from-bootstrap", old.Addr()}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := weirtest.Start(t, weirtest.Registry())
			migrate := func(more ...string) (string, string) {
				t.Helper()
				s, out, errOut := testSession("")
				if code := run(t.Context(), s, append(append([]string{"schema", "migrate", "--to", next.RegistryURL(), "-o", "table"}, c.args...), more...)); code != exitDone {
					t.Fatalf("code %d: %s", code, errOut)
				}
				return out.String(), errOut.String()
			}
			if _, said := migrate("--dry-run"); !strings.Contains(said, "nothing was changed") || askRegistry(t, next.RegistryURL(), "GET", "/subjects", "") != "[]" {
				t.Errorf("a dry run copied something: %s", said)
			}
			if out, said := migrate(); !strings.Contains(said, "all 13 versions were read back") || !strings.Contains(out, "history") {
				t.Errorf("got %s%s", out, said)
			}
			want := holdings(t, old.RegistryURL(), c.planned)
			if got := holdings(t, next.RegistryURL(), c.planned); got != want {
				t.Errorf("the copy differs:\n%s\nwant\n%s", got, want)
			}
			migrate() // the same again finds everything there
			if got := holdings(t, next.RegistryURL(), c.planned); got != want {
				t.Errorf("after a second run:\n%s\nwant\n%s", got, want)
			}
			// What is registered next gets an id of its own.
			if got := askRegistry(t, next.RegistryURL(), "POST", "/subjects/new/versions", `{"schema":"\"bytes\""}`); !strings.Contains(got, `"id":12,`) {
				t.Errorf("a new schema: %s", got)
			}
		})
	}
}

// TestMigrationTakesTextsThatAreNotCanonical has a topic whose text says more than the registry keeps of it.
func TestMigrationTakesTextsThatAreNotCanonical(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t, weirtest.Registry(), weirtest.Topic("old_schemas", 1))
	s, _, errOut := brokerSession(server, `{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}~{"subject":"s","version":1,"id":7,"schema":"{\"type\": \"record\", \"namespace\": \"n\", \"name\": \"n.R\", \"fields\": []}","deleted":false}`+"\n")
	if code := run(t.Context(), s, []string{"topic", "produce", "old_schemas", "--key-sep", "~"}); code != exitDone {
		t.Fatalf("produce: %s", errOut)
	}
	for range 2 {
		s, _, errOut := brokerSession(server, "")
		if code := run(t.Context(), s, []string{"schema", "migrate", "--from-topic", "old_schemas", "--to", server.RegistryURL()}); code != exitDone || !strings.Contains(errOut.String(), "all 1 versions were read back") {
			t.Fatalf("code %d: %s", code, errOut)
		}
	}
}

func TestMigrationFromNothingTellsWhatIsMissing(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t, weirtest.Registry())
	for args, want := range map[string]string{
		"":                                    "--from-bootstrap",
		"--from http://x --from-topic t":      "not from both",
		"--from-topic nothing":                "has no topic nothing",
		"--from-config nofile --from-topic x": "--from-config",
		"--from-bootstrap noport --from-topic xx": "--from-bootstrap",
	} {
		s, _, errOut := brokerSession(server, "")
		if code := run(t.Context(), s, append([]string{"schema", "migrate", "--to", server.RegistryURL()}, strings.Fields(args)...)); code == exitDone || !strings.Contains(errOut.String(), want) {
			t.Errorf("%q: code %d, %s, want %q", args, code, errOut, want)
		}
	}
}

// TestListsOfSchemasAreReadToTheirEnd has a registry that gives three at a time, and one that gives all whatever it is asked for.
func TestListsOfSchemasAreReadToTheirEnd(t *testing.T) {
	t.Parallel()
	var all []subjectVersion
	for i := range 8 {
		all = append(all, subjectVersion{Subject: "s" + strconv.Itoa(i), Version: 1, ID: i + 1, Schema: `"int"`})
	}
	for _, most := range []int{3, 4, 8, 100} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			page := all
			if most < 100 {
				from, err := strconv.Atoi(r.URL.Query().Get("offset"))
				if err != nil {
					t.Error(err)
				}
				page = all[from:min(from+most, len(all))]
			}
			if err := json.NewEncoder(w).Encode(page); err != nil {
				t.Error(err)
			}
		}))
		t.Cleanup(server.Close)
		cl, err := registryclient.New(registryclient.Options{URLs: []string{server.URL}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := (registryAt{cl}).versions(t.Context()); err != nil || len(got) != len(all) {
			t.Errorf("pages of %d: got %d versions, %v, want %d", most, len(got), err, len(all))
		}
	}
}
