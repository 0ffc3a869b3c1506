package registry_test

import (
	"strings"
	"testing"
)

// step is a request and what its answer begins with and holds.
type step struct {
	method, path, body string
	want               string
	holds              []string
}

func run(t *testing.T, steps []step) {
	t.Helper()
	in := start(t, newTopic(), bridge{})
	for _, s := range steps {
		got := in.ask(t, "", s.method, s.path, s.body)
		if !strings.HasPrefix(got, s.want) {
			t.Errorf("%s %s %s:\n got %s\nwant %s", s.method, s.path, s.body, got, s.want)
		}
		for _, text := range s.holds {
			if !strings.Contains(got, text) {
				t.Errorf("%s %s: %s is not in %s", s.method, s.path, text, got)
			}
		}
	}
}

func TestRegisterAndFind(t *testing.T) {
	t.Parallel()
	run(t, []step{
		{"GET", "/subjects", "", "200 []", nil},
		{"POST", "/subjects/a/versions", quote(`"int"`), `200 {"version":1,"id":1,"guid":"`, []string{`"schema":"\"int\""`}},
		{"POST", "/subjects/a/versions", quote(` {"type" : "int"} `), `200 {"version":1,"id":1`, nil},
		{"POST", "/subjects/b/versions", quote(`"int"`), `200 {"version":1,"id":1`, nil},
		{"POST", "/subjects/a/versions", quote(`"string"`), "409 {\"error_code\":40901", []string{"subject \\\"a\\\"", "compatibility: 'BACKWARD'"}},
		{"POST", "/subjects/a/versions?force=true", quote(`"string"`), `200 {"version":2,"id":2`, nil},
		{"POST", "/subjects/a/versions", `{"schema":"nonsense"}`, `422 {"error_code":42201`, nil},
		{"POST", "/subjects/a/versions", `{"schema":"int","schemaType":"XML"}`, `422 {"error_code":42201,"message":"Invalid schema type XML"}`, nil},
		{"POST", "/subjects/new/versions", `{}`, `422 {"error_code":42201,"message":"Empty schema"}`, nil},
		{"POST", "/subjects/a/versions", `not json`, `400 {"error_code":400`, nil},
		{"POST", "/subjects/a/versions", ``, `422 `, nil},
		{"POST", "/subjects/a/versions", `{"schema":"\"int\"","unknown":{"x":1}}`, `200 {"version":1,"id":1`, nil},
		{"POST", "/subjects/__GLOBAL/versions", quote(`"int"`), `422 {"error_code":42208`, nil},
		{"GET", "/subjects/a/versions", "", "200 [1,2]", nil},
		{"GET", "/subjects/a/versions?offset=1", "", "200 [2]", nil},
		{"GET", "/subjects/a/versions?limit=1", "", "200 [1]", nil},
		{"GET", "/subjects/a/versions/1", "", `200 {"subject":"a","version":1,"id":1`, nil},
		{"GET", "/subjects/a/versions/latest", "", `200 {"subject":"a","version":2,"id":2`, nil},
		{"GET", "/subjects/a/versions/-1", "", `200 {"subject":"a","version":2`, nil},
		{"GET", "/subjects/a/versions/1/schema", "", `200 "int"`, nil},
		{"GET", "/subjects/a/versions/9", "", `404 {"error_code":40402,"message":"Version 9 not found."}`, nil},
		{"GET", "/subjects/a/versions/0", "", `422 {"error_code":42202`, nil},
		{"GET", "/subjects/a/versions/x", "", `422 {"error_code":42202,"message":"The specified version 'x' is not a valid version id.`, nil},
		{"GET", "/subjects/none/versions", "", `404 {"error_code":40401,"message":"Subject 'none' not found."}`, nil},
		{"GET", "/subjects/none/versions/1", "", `404 {"error_code":40401`, nil},
		{"POST", "/subjects/a", quote(`"string"`), `200 {"subject":"a","version":2,"id":2`, nil},
		{"POST", "/subjects/a", quote(`"long"`), `404 {"error_code":40403,"message":"Schema not found"}`, nil},
		{"POST", "/subjects/none", quote(`"long"`), `404 {"error_code":40401`, nil},
		{"GET", "/schemas/ids/1", "", `200 {`, []string{`"schema":"\"int\""`}},
		{"GET", "/schemas/ids/1?fetchMaxId=true", "", `200 {`, []string{`"maxId":2`}},
		{"GET", "/schemas/ids/1/schema", "", `200 "int"`, nil},
		{"GET", "/schemas/ids/1/subjects", "", `200 ["a","b"]`, nil},
		{"GET", "/schemas/ids/1/versions", "", `200 [{"subject":"a","version":1},{"subject":"b","version":1}]`, nil},
		{"GET", "/schemas/ids/99", "", `404 {"error_code":40403,"message":"Schema 99 not found"}`, nil},
		{"GET", "/schemas/ids/99/subjects", "", `404 {"error_code":40403,"message":"Schema not found"}`, nil},
		{"GET", "/schemas/ids/x", "", `404 {"error_code":404`, nil},
		{"GET", "/schemas/types", "", `200 ["JSON","PROTOBUF","AVRO"]`, nil},
		{"GET", "/schemas", "", `200 [{"subject":"a","version":1`, []string{`"subject":"b"`}},
		{"GET", "/schemas?latestOnly=true&subjectPrefix=a", "", `200 [{"subject":"a","version":2`, nil},
		{"GET", "/schemas/guids/nope", "", `404 {"error_code":40403,"message":"Schema nope not found"}`, nil},
		{"GET", "/subjects?subjectPrefix=b", "", `200 ["b"]`, nil},
		{"GET", "/", "", "200 {}", nil},
		{"POST", "/", `{"a":"b"}`, `200 {}`, nil},
		{"GET", "/v1/metadata/id", "", `200 {"scope":{"path":[],"clusters":{"kafka-cluster":"cluster"`, nil},
		{"GET", "/exporters", "", `404 {"error_code":404`, nil},
		{"GET", "/catalog/v1/types/tagdefs", "", `404 {"error_code":404`, nil},
		{"PATCH", "/subjects", "", `405 {"error_code":405`, nil},
	})
}

// A Protobuf schema that comes as a descriptor is answered as one, and kept as text.
func TestDescriptorsAreAnsweredAsDescriptors(t *testing.T) {
	t.Parallel()
	const descriptor = "CgdkZWZhdWx0EgR3ZWlyIhsKBVBsYWNlEhIKBGNpdHkYASABKAlSBGNpdHliBnByb3RvMw=="
	text := `syntax = \"proto3\";\npackage weir;\n\nmessage Place {\n  string city = 1;\n}\n`
	run(t, []step{
		{"POST", "/subjects/a/versions", `{"schemaType":"PROTOBUF","schema":"` + descriptor + `"}`, `200 {"version":1,"id":1`, []string{`"schema":"` + descriptor + `"`}},
		{"POST", "/subjects/a/versions", `{"schemaType":"PROTOBUF","schema":"` + text + `"}`, `200 {"version":1,"id":1`, []string{`"schema":"` + text + `"`}},
		{"GET", "/schemas/ids/1", "", `200 {`, []string{`"schema":"` + text + `"`}},
		{"GET", "/schemas/ids/1?format=serialized", "", `200 {`, []string{`"schema":"` + descriptor + `"`}},
	})
}

func TestDeletionIsSoftThenHard(t *testing.T) {
	t.Parallel()
	run(t, []step{
		{"POST", "/subjects/a/versions", quote(record("x")), `200 {"version":1,"id":1`, nil},
		{"POST", "/subjects/a/versions", quote(record("x", "y=1")), `200 {"version":2,"id":2`, nil},
		{"DELETE", "/subjects/a/versions/2?permanent=true", "", `404 {"error_code":40407`, nil},
		{"DELETE", "/subjects/a/versions/latest", "", "200 2", nil},
		{"DELETE", "/subjects/a/versions/2", "", `404 {"error_code":40406`, nil},
		{"DELETE", "/subjects/a/versions/7", "", `404 {"error_code":40402`, nil},
		{"DELETE", "/subjects/none/versions/1", "", `404 {"error_code":40401`, nil},
		{"GET", "/subjects/a/versions", "", "200 [1]", nil},
		{"GET", "/subjects/a/versions?deleted=true", "", "200 [1,2]", nil},
		{"GET", "/subjects/a/versions?deletedOnly=true", "", "200 [2]", nil},
		{"GET", "/subjects/a/versions?deletedAsNegative=true", "", "200 [1,-2]", nil},
		{"GET", "/subjects/a/versions/2", "", `404 {"error_code":40402`, nil},
		{"GET", "/subjects/a/versions/2?deleted=true", "", `200 {"subject":"a","version":2`, []string{`"deleted":true`}},
		{"GET", "/schemas/ids/2", "", `200 {`, nil},
		{"POST", "/subjects/a/versions", quote(record("x", "y=1")), `200 {"version":3,"id":2`, nil},
		{"GET", "/subjects/a/versions?deleted=true", "", "200 [1,3]", nil},
		{"DELETE", "/subjects/a?permanent=true", "", `404 {"error_code":40405`, nil},
		{"DELETE", "/subjects/a", "", "200 [1,3]", nil},
		{"DELETE", "/subjects/a", "", `404 {"error_code":40404`, nil},
		{"GET", "/subjects", "", "200 []", nil},
		{"GET", "/subjects?deleted=true", "", `200 ["a"]`, nil},
		{"GET", "/subjects?deletedOnly=true", "", `200 ["a"]`, nil},
		{"GET", "/subjects/a/versions/1", "", `404 {"error_code":40401`, nil},
		{"DELETE", "/subjects/a?permanent=true", "", "200 [1,3]", nil},
		{"DELETE", "/subjects/a", "", `404 {"error_code":40401`, nil},
		{"GET", "/schemas/ids/2", "", `404 {"error_code":40403`, nil},
		{"POST", "/subjects/b/versions", quote(`"long"`), `200 {"version":1,"id":3`, nil},
	})
}

func TestReferences(t *testing.T) {
	t.Parallel()
	inner := `{"type":"record","name":"In","namespace":"n","fields":[{"name":"x","type":"int"}]}`
	outer := `{"schema":"{\"type\":\"record\",\"name\":\"Out\",\"namespace\":\"n\",\"fields\":[{\"name\":\"in\",\"type\":\"n.In\"}]}","references":[{"name":"n.In","subject":"in","version":1}]}`
	run(t, []step{
		{"POST", "/subjects/out/versions", outer, `422 {"error_code":42201`, []string{"No schema reference found"}},
		{"POST", "/subjects/in/versions", quote(inner), `200 {"version":1,"id":1`, nil},
		{"POST", "/subjects/out/versions", outer, `200 {"version":1,"id":2`, []string{`"references":[{"name":"n.In","subject":"in","version":1}]`}},
		{"POST", "/subjects/out", outer, `200 {"subject":"out","version":1`, nil},
		{"GET", "/subjects/in/versions/1/referencedby", "", "200 [2]", nil},
		{"GET", "/subjects/out/versions/1/referencedby", "", "200 []", nil},
		{"DELETE", "/subjects/in/versions/1", "", `422 {"error_code":42206`, nil},
		{"DELETE", "/subjects/in", "", `422 {"error_code":42206`, nil},
		{"DELETE", "/subjects/out", "", "200 [1]", nil},
		{"GET", "/subjects/in/versions/1/referencedby", "", "200 []", nil},
		{"GET", "/subjects/in/versions/1/referencedby?deleted=true", "", "200 [2]", nil},
		{"DELETE", "/subjects/in", "", "200 [1]", nil},
		{"DELETE", "/subjects/in?permanent=true", "", `422 {"error_code":42206`, nil},
		{"DELETE", "/subjects/out?permanent=true", "", "200 [1]", nil},
		{"DELETE", "/subjects/in?permanent=true", "", "200 [1]", nil},
	})
}

func TestSettings(t *testing.T) {
	t.Parallel()
	run(t, []step{
		{"GET", "/config", "", `200 {"compatibilityLevel":"BACKWARD"}`, nil},
		{"GET", "/config/a", "", `404 {"error_code":40408`, nil},
		{"GET", "/config/a?defaultToGlobal=true", "", `200 {"compatibilityLevel":"BACKWARD"}`, nil},
		{"PUT", "/config", `{"compatibility":"full"}`, `200 {"compatibility":"FULL"}`, nil},
		{"PUT", "/config", `{"compatibility":"nonsense"}`, `422 {"error_code":42203`, nil},
		{"GET", "/config/a?defaultToGlobal=true", "", `200 {"compatibilityLevel":"FULL"}`, nil},
		{"PUT", "/config/a", `{"compatibility":"NONE","normalize":true,"compatibilityGroup":"major","defaultMetadata":{"properties":{"owner":"x"}}}`, `200 {`, []string{`"compatibility":"NONE"`, `"normalize":true`, `"owner":"x"`}},
		{"GET", "/config/a", "", `200 {`, []string{`"compatibilityLevel":"NONE"`, `"compatibilityGroup":"major"`}},
		{"PUT", "/config/a", `{"compatibilityGroup":null}`, `200 {`, []string{`"compatibility":"NONE"`}},
		{"PUT", "/config/a", `[]`, `400 `, nil},
		{"PUT", "/config/a", `{"overrideRuleSet":{"domainRules":[{"name":"x","type":"CEL","kind":"CONDITION","mode":"UPGRADE"}]}}`, `422 {"error_code":42210`, nil},
		{"DELETE", "/config/a", "", `200 {`, []string{`"compatibilityLevel":"NONE"`}},
		{"DELETE", "/config/a", "", `404 {"error_code":40401`, nil},
		{"DELETE", "/config", "", `200 {"compatibilityLevel":"FULL"}`, nil},
		{"GET", "/config", "", `200 {"compatibilityLevel":"BACKWARD"}`, nil},
		{"GET", "/mode", "", `200 {"mode":"READWRITE"}`, nil},
		{"GET", "/mode/a", "", `404 {"error_code":40409`, nil},
		{"GET", "/mode/a?defaultToGlobal=true", "", `200 {"mode":"READWRITE"}`, nil},
		{"PUT", "/mode/a", `{"mode":"READONLY"}`, `200 {"mode":"READONLY"}`, nil},
		{"PUT", "/mode/a", `{"mode":"nonsense"}`, `422 {"error_code":42204`, nil},
		{"POST", "/subjects/a/versions", quote(`"int"`), `422 {"error_code":42205,"message":"Subject a in context . is in read-only mode"}`, nil},
		{"PUT", "/config/a", `{"compatibility":"NONE"}`, `422 {"error_code":42205`, nil},
		{"DELETE", "/mode/a", "", `200 {"mode":"READONLY"}`, nil},
		{"DELETE", "/mode/a", "", `404 {"error_code":40401`, nil},
		{"POST", "/subjects/a/versions", quote(`"int"`), `200 {"version":1,"id":1`, nil},
		{"PUT", "/mode/a", `{"mode":"IMPORT"}`, `422 {"error_code":42205`, nil},
		{"PUT", "/mode/a?force=true", `{"mode":"IMPORT"}`, `200 {"mode":"IMPORT"}`, nil},
		{"PUT", "/mode/a", `{"mode":"FORWARD"}`, `422 {"error_code":42204`, nil},
	})
}

func TestImportTakesIDsFromOutside(t *testing.T) {
	t.Parallel()
	run(t, []step{
		{"POST", "/subjects/a/versions", `{"schema":"\"int\"","id":7,"version":3}`, `422 {"error_code":42205`, []string{"is not in import mode"}},
		{"PUT", "/mode", `{"mode":"IMPORT"}`, `200 `, nil},
		{"POST", "/subjects/a/versions", `{"schema":"\"int\"","id":7,"version":3}`, `200 {"version":3,"id":7`, nil},
		{"POST", "/subjects/a/versions", `{"schema":"\"int\"","id":7,"version":3}`, `200 {"version":3,"id":7`, nil},
		{"POST", "/subjects/a/versions", `{"schema":"\"long\"","id":7,"version":4}`, `422 {"error_code":42205,"message":"Overwrite new schema with id 7`, nil},
		{"POST", "/subjects/a/versions", `{"schema":"\"string\"","id":9,"version":1}`, `200 {"version":1,"id":9`, nil},
		{"POST", "/subjects/a/versions", quote(`"bytes"`), `422 {"error_code":42205`, []string{"is not in read-write mode"}},
		{"PUT", "/mode", `{"mode":"READWRITE"}`, `200 `, nil},
		{"GET", "/subjects/a/versions", "", "200 [1,3]", nil},
		{"POST", "/subjects/b/versions", quote(`"bytes"`), `200 {"version":1,"id":10`, nil},
	})
}

func TestContexts(t *testing.T) {
	t.Parallel()
	run(t, []step{
		{"POST", "/subjects/a/versions", quote(`"int"`), `200 {"version":1,"id":1`, nil},
		{"POST", "/subjects/:.c:a/versions", quote(`"long"`), `200 {"version":1,"id":1`, nil},
		{"POST", "/contexts/.c/subjects/b/versions", quote(`"string"`), `200 {"version":1,"id":2`, nil},
		{"GET", "/contexts", "", `200 [".",".c"]`, nil},
		{"GET", "/subjects", "", `200 [":.c:a",":.c:b","a"]`, nil},
		{"GET", "/subjects?subjectPrefix=", "", `200 ["a"]`, nil},
		{"GET", "/subjects?subjectPrefix=:.c:", "", `200 [":.c:a",":.c:b"]`, nil},
		{"GET", "/subjects?subjectPrefix=:*:b", "", `200 [":.c:b"]`, nil},
		{"GET", "/contexts/c/subjects", "", `200 [":.c:a",":.c:b"]`, nil},
		{"GET", "/schemas/ids/1/schema", "", `200 "int"`, nil},
		{"GET", "/schemas/ids/1/schema?subject=:.c:", "", `200 "long"`, nil},
		{"GET", "/contexts/:.c:/schemas/ids/1/schema", "", `200 "long"`, nil},
		{"GET", "/schemas/ids/2/schema?subject=b", "", `200 "string"`, nil},
		{"GET", "/schemas/ids/2", "", `404 {"error_code":40403`, nil},
		{"GET", "/subjects/b/versions/1/schema", "", `200 "string"`, nil},
		{"POST", "/subjects/b", quote(`"string"`), `200 {"subject":":.c:b","version":1`, nil},
		{"PUT", "/contexts/.c/config", `{"compatibility":"NONE"}`, `200 `, nil},
		{"GET", "/config/:.c:a?defaultToGlobal=true", "", `200 {"compatibilityLevel":"NONE"}`, nil},
		{"GET", "/config", "", `200 {"compatibilityLevel":"BACKWARD"}`, nil},
		{"PUT", "/config/:.__GLOBAL:", `{"compatibility":"FORWARD"}`, `200 `, nil},
		{"GET", "/config/a?defaultToGlobal=true", "", `200 {"compatibilityLevel":"FORWARD"}`, nil},
		{"PUT", "/mode/:.c:", `{"mode":"READONLY"}`, `200 `, nil},
		{"POST", "/subjects/:.c:a/versions", quote(`"double"`), `422 {"error_code":42205,"message":"Subject :.c:a in context .c is in read-only mode"}`, nil},
		{"DELETE", "/mode/:.c:", "", `200 `, nil},
		{"DELETE", "/contexts/.c", "", `422 {"error_code":42211`, nil},
		{"DELETE", "/subjects/:.c:a", "", "200 [1]", nil},
		{"DELETE", "/subjects/:.c:a?permanent=true", "", "200 [1]", nil},
		{"DELETE", "/subjects/:.c:b", "", "200 [1]", nil},
		{"DELETE", "/subjects/:.c:b?permanent=true", "", "200 [1]", nil},
		{"DELETE", "/contexts/.c", "", "204 ", nil},
		{"GET", "/contexts", "", `200 ["."]`, nil},
	})
}

func TestCompatibilityLevels(t *testing.T) {
	t.Parallel()
	// Each step adds a version that its level lets pass, and tries one that it does not.
	run(t, []step{
		{"POST", "/subjects/a/versions", quote(record("x")), `200 {"version":1`, nil},
		{"POST", "/compatibility/subjects/a/versions/latest", quote(record("x", "y")), `200 {"is_compatible":false}`, nil},
		{"POST", "/compatibility/subjects/a/versions/latest?verbose=true", quote(record("x", "y")), `200 {"is_compatible":false,"messages":[`, []string{"READER_FIELD_MISSING_DEFAULT_VALUE"}},
		{"POST", "/compatibility/subjects/a/versions/1", quote(record("x", "y=0")), `200 {"is_compatible":true}`, nil},
		{"POST", "/compatibility/subjects/a/versions/9", quote(record("x")), `404 {"error_code":40402`, nil},
		{"POST", "/compatibility/subjects/none/versions/latest", quote(record("x")), `200 {"is_compatible":true}`, nil},
		{"POST", "/compatibility/subjects/a/versions", quote(record("x", "y=0")), `200 {"is_compatible":true}`, nil},
		{"POST", "/compatibility/subjects/a/versions/latest", quote("nonsense"), `422 {"error_code":42201`, nil},
		{"POST", "/compatibility/subjects/a/versions/latest?verbose=true", quote("nonsense"), `200 {"is_compatible":false,"messages":[`, nil},
		{"POST", "/subjects/a/versions", quote(record("x", "y=0")), `200 {"version":2`, nil},
		{"POST", "/subjects/a/versions", quote(record("x", "y")), `200 {"version":3`, nil},
		{"PUT", "/config/a", `{"compatibility":"BACKWARD_TRANSITIVE"}`, "200", nil},
		{"POST", "/subjects/a/versions", quote(record("x", "y", "z=0")), `409 {"error_code":40901`, []string{"oldSchemaVersion: 1"}},
		{"PUT", "/config/a", `{"compatibility":"FORWARD"}`, "200", nil},
		{"POST", "/compatibility/subjects/a/versions", quote(record("x", "y", "z")), `200 {"is_compatible":true}`, nil},
		{"POST", "/compatibility/subjects/a/versions", quote(record("x")), `200 {"is_compatible":false}`, nil},
		{"PUT", "/config/a", `{"compatibility":"FULL"}`, "200", nil},
		{"POST", "/compatibility/subjects/a/versions", quote(record("x", "y", "z")), `200 {"is_compatible":false}`, nil},
		{"POST", "/compatibility/subjects/a/versions", quote(record("x", "y", "z=1")), `200 {"is_compatible":true}`, nil},
		{"PUT", "/config/a", `{"compatibility":"NONE"}`, "200", nil},
		{"POST", "/compatibility/subjects/a/versions", quote(`"string"`), `200 {"is_compatible":true}`, nil},
		{"PUT", "/config/a", `{"compatibility":"BACKWARD","compatibilityGroup":"major"}`, "200", nil},
		{"POST", "/subjects/a/versions", `{"schema":"\"string\"","metadata":{"properties":{"major":"2"}}}`, `200 {"version":4`, nil},
		{"POST", "/subjects/a/versions", `{"schema":"\"int\"","metadata":{"properties":{"major":"2"}}}`, `409 `, nil},
	})
}

func TestMetadataRulesAndTags(t *testing.T) {
	t.Parallel()
	run(t, []step{
		{"PUT", "/config/a", `{"defaultMetadata":{"properties":{"team":"none","tier":"1"}},"overrideMetadata":{"properties":{"tier":"0"}}}`, "200", nil},
		{"POST", "/subjects/a/versions", `{"schema":"\"int\"","metadata":{"properties":{"team":"me"}}}`, `200 {"version":1`, []string{`"properties":{"team":"me","tier":"0"}`}},
		{"POST", "/subjects/a/versions", `{"schema":"\"int\"","metadata":{"properties":{"team":"me"}}}`, `200 {"version":1`, nil},
		{"POST", "/subjects/a", quote(`"int"`), `200 {"subject":"a","version":1`, nil},
		{"GET", "/subjects/a/metadata?key=team&value=me", "", `200 {"subject":"a","version":1`, nil},
		{"GET", "/subjects/a/metadata?key=team&value=you", "", `404 {"error_code":40403`, nil},
		{"GET", "/subjects/none/metadata?key=team&value=you", "", `404 {"error_code":40401`, nil},
		{"POST", "/subjects/a/versions", `{"schema":"\"int\"","ruleSet":{"domainRules":[{"name":"r","type":"CEL","kind":"CONDITION","mode":"WRITE","expr":"true"}]}}`, `200 {"version":2`, []string{`"ruleSet":{"domainRules":[{"name":"r"`}},
		{"POST", "/subjects/a/versions", `{"schema":"\"int\"","ruleSet":{"domainRules":[{"name":"r","mode":"WRITE"}]}}`, `422 {"error_code":42210,"message":"Missing rule type"}`, nil},
		{"GET", "/schemas?ruleType=CEL", "", `200 [{"subject":"a","version":2`, nil},
		{"POST", "/subjects/a/versions/2/tags", `{"rulesToRemove":["r"]}`, `200 {"version":3`, []string{`"confluent:version":"3"`}},
		{"POST", "/subjects/a/versions/9/tags", `{}`, `404 {"error_code":40402`, nil},
		{"PUT", "/config/alias", `{"alias":"a"}`, "200", nil},
		{"GET", "/subjects/alias/versions", "", "200 [1,2,3]", nil},
		{"GET", "/schemas?subjectPrefix=a&latestOnly=true&aliases=true", "", "200 [", []string{`"aliases":["alias"]`}},
	})
}

func TestTagsInTheText(t *testing.T) {
	t.Parallel()
	const tag = `[{"schemaEntity":{"entityPath":"R.x","entityType":"sr_field"},"tags":["PII"]}]`
	proto := func(more string) string {
		return `{"schemaType":"PROTOBUF","schema":"syntax = \"proto3\"; message R { string x = 1; }"` + more + `}`
	}
	json := func(more string) string {
		return `{"schemaType":"JSON","schema":"{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"string\"}}}"` + more + `}`
	}
	run(t, []step{
		{"POST", "/subjects/a/versions", quote(record("x")), `200 {"version":1`, nil},
		{"POST", "/subjects/a/versions/1/tags", `{"newVersion":2,"tagsToAdd":` + tag + `}`, `200 {"version":2`, []string{`\"name\":\"x\",\"type\":\"int\",\"confluent:tags\":[\"PII\"]`, `"confluent:version":"2"`}},
		{"GET", "/subjects/a/versions/2?findTags=PII", "", `200 {`, []string{`"schemaTags":` + tag}},
		{"GET", "/schemas/ids/2?findTags=*", "", `200 {`, []string{`"schemaTags":` + tag}},
		{"POST", "/subjects/a/versions/1/tags", `{"tagsToAdd":[{"schemaEntity":{"entityPath":"R.none","entityType":"sr_field"},"tags":["A"]}]}`, `422 {"error_code":42201`, []string{"no matching path 'R.none'"}},
		{"POST", "/subjects/a/versions/1/tags", `{"tagsToAdd":[{"schemaEntity":{"entityPath":"R","entityType":"file"},"tags":["A"]}]}`, `422 {"error_code":42201`, nil},
		{"POST", "/subjects/a/versions", strings.TrimSuffix(quote(record("x", "y=0")), "}") + `,"propagateSchemaTags":true}`, `200 {"version":3`, []string{`PII`}},
		{"POST", "/subjects/a/versions", strings.TrimSuffix(quote(record("z=0")), "}") + `,"propagateSchemaTags":true}`, `422 {"error_code":42201`, []string{"R.x"}},
		{"POST", "/subjects/a/versions/3/tags", `{"newVersion":4,"tagsToRemove":` + tag + `}`, `200 {"version":4`, nil},
		{"GET", "/subjects/a/versions/4?findTags=*", "", `200 {"subject":"a","version":4`, nil},
		{"POST", "/subjects/p/versions", proto(`,"schemaTagsToAdd":` + tag), `200 {"version":1`, []string{`(confluent.field_meta)`, `"confluent:version":"1"`}},
		{"POST", "/subjects/p/versions", proto(`,"schemaTagsToAdd":` + tag), `200 {"version":1`, nil},
		{"POST", "/subjects/p", proto(`,"schemaTagsToAdd":` + tag), `200 {"subject":"p","version":1`, nil},
		{"POST", "/subjects/p", proto(``), `404 {"error_code":40403`, nil},
		{"GET", "/subjects/p/versions/1?findTags=PII", "", `200 {`, []string{`"schemaTags":` + tag}},
		{"GET", "/subjects/p/versions/1?findTags=NONE", "", `200 {`, nil},
		{"POST", "/subjects/j/versions", json(`,"schemaTagsToAdd":` + strings.ReplaceAll(tag, "R.x", ".object.x")), `200 {"version":1`, []string{`confluent:tags`}},
		{"POST", "/compatibility/subjects/j/versions/latest", json(`,"schemaTagsToAdd":` + tag), `422 {"error_code":42201`, nil},
		{"GET", "/subjects/j/versions/1?findTags=PII", "", `200 {`, []string{`"schemaTags":` + strings.ReplaceAll(tag, "R.x", "object.x")}},
	})
}

func TestAssociations(t *testing.T) {
	t.Parallel()
	topic := `"resourceName":"t","resourceNamespace":"n","resourceId":"id-1","resourceType":"topic"`
	run(t, []step{
		{"POST", "/associations", `{` + topic + `,"associations":[{"subject":"a","associationType":"value"}]}`, `409 {"error_code":40907`, nil},
		{"POST", "/subjects/a/versions", quote(`"int"`), "200", nil},
		{"POST", "/associations", `{"resourceName":"t"}`, `422 {"error_code":42212`, nil},
		{"POST", "/associations?dryRun=true", `{` + topic + `,"associations":[{"subject":"a","associationType":"value"}]}`, `200 {`, nil},
		{"GET", "/associations/resources/id-1", "", "200 []", nil},
		{"POST", "/associations", `{` + topic + `,"associations":[{"subject":"a","associationType":"value"}]}`, `200 {`, []string{`"lifecycle":"WEAK"`}},
		{"GET", "/associations/resources/id-1", "", `200 [{"subject":"a"`, []string{`"associationType":"value"`}},
		{"GET", "/associations/resources/n/t", "", `200 [{"subject":"a"`, nil},
		{"GET", "/associations/resources/-/t?associationType=key", "", `200 []`, nil},
		{"GET", "/associations/subjects/a", "", `200 [{"subject":"a"`, nil},
		{"POST", "/associations", `{` + topic + `,"associations":[{"subject":"b","associationType":"value"}]}`, `409 {"error_code":40903`, nil},
		{"DELETE", "/subjects/a", "", `409 {"error_code":40904`, nil},
		{"DELETE", "/subjects/a/versions/1", "", `409 {"error_code":40907`, nil},
		{"PUT", "/associations/resources/id-1", `{` + topic + `,"associations":[{"associationType":"key","schema":{"schema":"\"string\""}}]}`, `422 {"error_code":42212`, nil},
		{"PUT", "/associations/resources/id-1", `{` + topic + `,"associations":[{"associationType":"value","lifecycle":"STRONG"}]}`, `422 {"error_code":42212`, nil},
		{"PUT", "/associations/resources/id-1", `{` + topic + `,"associations":[{"associationType":"value","lifecycle":"WEAK","frozen":false}]}`, `200 {`, nil},
		{"PUT", "/associations/resources/id-1", `{` + topic + `,"associations":[{"subject":"b","associationType":"value"}]}`, `422 {"error_code":42212`, nil},
		{"POST", "/associations", `{` + topic + `,"associations":[{"associationType":"key","schema":{"schema":"\"int\""}}]}`, `422 {"error_code":42212`, []string{"have the same"}},
		{"POST", "/associations:batchGet", `{"requests":[{"resourceId":"id-1"}]}`, `207 {"results":[{"result":{`, nil},
		{"POST", "/associations:batchMutate", `{"requests":[{` + topic + `,"associations":[{"opType":"DELETE","associationType":"value"}]},{"resourceName":"x"}]}`, `207 {"results":[{"result":{`, []string{`{"error":{"error_code":42212`}},
		{"DELETE", "/associations/resources/id-1", "", "204", nil},
		{"DELETE", "/subjects/a", "", "200 [1]", nil},
	})
}

func TestAssociationsThatOwnTheirSubjects(t *testing.T) {
	t.Parallel()
	ask := func(associations string) string {
		return `{"resourceName":"t","resourceNamespace":"n","resourceId":"id-1","associations":[` + associations + `]}`
	}
	const both = `{"associationType":"key","schema":{"schema":"\"string\""}},{"subject":":.n:t-value","associationType":"value","lifecycle":"STRONG","schema":{"schema":"\"int\""}}`
	run(t, []step{
		{"POST", "/subjects/a/versions", quote(`"int"`), "200", nil},
		{"POST", "/associations", ask(`{"subject":"a","associationType":"value","lifecycle":"STRONG"}`), `422 {"error_code":42212`, []string{"must use subject"}},
		{"POST", "/associations", ask(`{"associationType":"value","lifecycle":"STRONG"}`), `422 {"error_code":42212`, []string{"schema must be provided"}},
		{"POST", "/associations", ask(`{"associationType":"value"}`), `422 {"error_code":42212`, []string{"must be provided for WEAK"}},
		{"POST", "/associations", ask(`{"subject":":.n:t-value","associationType":"value"}`), `422 {"error_code":42212`, []string{"cannot use subject"}},
		{"POST", "/associations", ask(`{"subject":"a","associationType":"value","lifecycle":"WEAK","schema":{"schema":"\"int\""}}`), `422 {"error_code":42212`, nil},
		{"POST", "/associations", ask(`{"associationType":"value","frozen":false,"schema":{"schema":"\"int\""}}`), `422 {"error_code":42212`, nil},
		{"POST", "/associations?dryRun=true", ask(both), `200 {`, nil},
		{"GET", "/subjects?subjectPrefix=:.n:", "", `200 []`, nil},
		{"POST", "/associations", ask(both), `200 {`, []string{`"subject":":.n:t-key","associationType":"key","lifecycle":"STRONG","frozen":true,"schema":{"subject":":.n:t-key","version":1,"id":1,`, `"schema":{"subject":":.n:t-value","version":1,"id":2,`, `"ts":`}},
		{"POST", "/associations", ask(both), `200 {`, []string{`"version":1,"id":1,`, `"version":1,"id":2,`}},
		{"POST", "/associations", ask(`{"associationType":"value","schema":{"schema":"\"long\""}}`), `409 {"error_code":40903`, nil},
		{"PUT", "/associations/resources/id-1", ask(`{"associationType":"value","schema":{"schema":"\"long\""}}`), `200 {`, []string{`"version":2,"id":3,`}},
		{"PUT", "/associations/resources/id-1", ask(`{"associationType":"value","lifecycle":"WEAK"}`), `422 {"error_code":42212`, nil},
		{"GET", "/schemas/ids/2?subject=:.n:", "", `200 {`, []string{`"schema":"\"int\""`}},
		{"GET", "/schemas?lifecycle=STRONG&subjectPrefix=:*:", "", `200 [{"subject":":.n:t-key"`, nil},
		{"PUT", "/associations/resources/id-2", `{"resourceName":"u","resourceNamespace":"n","associations":[{"subject":":.n:t-key","associationType":"key"}]}`, `409 {"error_code":40905`, nil},
		{"POST", "/subjects/:.n:other/versions", `{"schema":"{\"type\":\"array\",\"items\":\"int\"}","references":[{"name":"x","subject":":.n:t-value","version":1}]}`, `422 {"error_code":42205`, nil},
		{"DELETE", "/associations/resources/id-1", "", `409 {"error_code":40908`, nil},
		{"DELETE", "/associations/resources/id-1?cascadeLifecycle=true", "", "204", nil},
		{"GET", "/subjects?subjectPrefix=:.n:", "", `200 []`, nil},
	})
}

// The policy for tables of Iceberg does not go with levels that look forward alone, whether both come at once, or one is there or comes from above.
func TestLogicalPolicyLooksBack(t *testing.T) {
	t.Parallel()
	run(t, []step{
		{"PUT", "/config/a", `{"compatibility":"FORWARD","compatibilityPolicy":"LOGICAL"}`, `422 {"error_code":42203`, []string{"LOGICAL", "FORWARD"}},
		{"PUT", "/config/a", `{"compatibilityPolicy":"logical"}`, `200 {`, []string{`"LOGICAL"`}},
		{"PUT", "/config/a", `{"compatibility":"FORWARD_TRANSITIVE"}`, `422 {"error_code":42203`, nil},
		{"PUT", "/config/a", `{"compatibility":"FULL"}`, `200 {`, nil},
		{"PUT", "/config/a", `{"compatibility":null}`, `200 {`, nil},
		{"PUT", "/config", `{"compatibility":"FORWARD"}`, `200 {`, nil},
		{"PUT", "/config/a", `{"normalize":true}`, `200 {`, nil},
		{"PUT", "/config/a", `{"compatibilityPolicy":null}`, `200 {`, nil},
		{"PUT", "/config/b", `{"compatibilityPolicy":"LOGICAL"}`, `422 {"error_code":42203`, nil},
		{"PUT", "/config/b", `{"compatibilityPolicy":"LENIENT"}`, `200 {`, nil},
	})
}
