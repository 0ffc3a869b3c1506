package state

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

func TestGUIDsAreThoseOfConfluent(t *testing.T) {
	t.Parallel()
	text := `{"type":"record","name":"myrecord","fields":[{"type":"string","default":null,"name":"f"}]}`
	rules := &schema.RuleSet{MigrationRules: []schema.Rule{{Kind: "TRANSFORM", Mode: "WRITEREAD"}}}
	for want, c := range map[string]*Content{
		"1d20cbb9-e5e3-5e97-54e7-da170b6e5ddb": {Text: TextOf(text)},
		"16f1eca5-ebf9-22b3-da80-212f8fa7342e": {Text: TextOf(text), Metadata: &schema.Metadata{}, RuleSet: rules},
	} {
		g := GUIDOf(c)
		if g.String() != want {
			t.Errorf("got %s, want %s", g, want)
		}
		for _, s := range []string{g.String(), hex.EncodeToString(g[:])} {
			if back, ok := ParseGUID(s); !ok || back != g {
				t.Errorf("%s is read as %s, %v", s, back, ok)
			}
		}
	}
	if _, ok := ParseGUID("nonsense"); ok {
		t.Error("nonsense is a GUID")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][3]string{
		"a": {".", "a", "a"}, ":.c:a": {".c", "a", ":.c:a"}, ":.:a": {".", "a", "a"}, ":.c:": {".c", "", ":.c:"}, ":.c": {".c", "", ":.c:"}, "": {".", "", ""}, ":*:a": {"*", "a", ":*:a"}, "a:b": {".", "a:b", "a:b"},
	} {
		context, subject := Split(in)
		if got := [3]string{context, subject, Normalize(in)}; got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := Qualify(":.c:x", "y"); got != ":.c:y" {
		t.Errorf("got %s", got)
	}
	if got := Qualify(":.c:x", ":.d:y"); got != ":.d:y" {
		t.Errorf("got %s", got)
	}
	for in, want := range map[string]string{"c": ":.c:", ".c": ":.c:", ":.c:": ":.c:", ".": "", "": ""} {
		if got, ok := ContextPrefix(in); got != want || !ok {
			t.Errorf("context %q: got %q, %v", in, got, ok)
		}
	}
}

func TestKeysHaveConfluentsBytes(t *testing.T) {
	t.Parallel()
	v := &Version{Subject: "a", Version: 2, ID: 3, Content: &Content{Type: "AVRO", Text: TextOf(`"string"`)}}
	for want, r := range map[string]Record{
		`{"keytype":"SCHEMA","subject":"a","version":2,"magic":1}`:          PutVersion(v),
		`{"keytype":"CONFIG","subject":"a","magic":0}`:                      PutConfig("a", &Config{}),
		`{"keytype":"CONFIG","magic":0}`:                                    RemoveConfig(""),
		`{"keytype":"MODE","subject":":.c:","magic":0}`:                     PutMode(":.c:", ReadOnly),
		`{"keytype":"DELETE_SUBJECT","subject":"a","magic":0}`:              DeleteSubject("a", 2),
		`{"keytype":"CLEAR_SUBJECT","subject":"a","magic":0}`:               ClearSubject("a"),
		`{"keytype":"NOOP","magic":0}`:                                      Noop(),
		`{"keytype":"CONTEXT","tenant":"default","context":".c","magic":0}`: PutContext(".c"),
		`{"keytype":"ASSOC","tenant":"default","resourceName":"t","resourceNamespace":"n","resourceType":"topic","associationType":"value","subject":"a","magic":0}`: PutAssociation(&Association{
			Subject: "a", ResourceName: "t", ResourceNamespace: "n", ResourceType: "topic", AssociationType: "value",
		}),
	} {
		if string(r.Key) != want {
			t.Errorf("got %s, want %s", r.Key, want)
		}
	}
	if got, want := string(PutVersion(v).Value), `{"subject":"a","version":2,"id":3,"schemaType":"AVRO","schema":"\"string\"","deleted":false}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := string(DeleteSubject("a", 2).Value), `{"subject":"a","version":2}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestRecordsOfConfluent applies records as older versions of Confluent's registry have written them.
func TestRecordsOfConfluent(t *testing.T) {
	t.Parallel()
	s := New()
	for _, r := range [][2]string{
		{`{"keytype":"NOOP","magic":0}`, ""},
		{`{"magic":0,"keytype":"CONFIG","subject":null}`, `{"compatibilityLevel":"FULL"}`},
		{`{"keytype":"SCHEMA","subject":"a","version":1,"magic":1}`, `{"subject":"a","version":1,"id":1,"schema":"\"string\"","deleted":false}`},
		{`{"keytype":"SCHEMA","subject":"a","version":1,"magic":0}`, `{"subject":"a","version":1,"id":1,"schema":"\"string\"","deleted":false,"offset":7,"ts":1}`},
		{`{"keytype":"MODE","subject":"a","magic":0}`, `{"subject":"a","mode":"READONLY"}`},
		{`{"keytype":"SCHEMA","subject":"b","version":1,"magic":1}`, `{"subject":"b","version":1,"id":1,"schema":"\"int\"","deleted":false}`},
	} {
		rec := Record{Key: []byte(r[0])}
		if r[1] != "" {
			rec.Value = []byte(r[1])
		}
		if err := s.Apply(rec, 1); (err != nil) != bytes.Contains(rec.Key, []byte(`"b"`)) {
			t.Errorf("%s: %v", r[0], err)
		}
	}
	if c := s.ConfigFor("x"); c.Level != "FULL" {
		t.Errorf("level %s", c.Level)
	}
	if v := s.Get("a", -1, Live); v == nil || v.ID != 1 || v.Type != schema.Avro || s.ModeFor("a") != ReadOnly {
		t.Errorf("version %+v", v)
	}
	if s.Get("b", 1, All) != nil {
		t.Error("two schemas share an id")
	}
}

// model is what the records add up to, computed anew from all of them each time.
type model struct{ versions []*Version }

func (m *model) apply(r Record) {
	var k key
	if decode(r.Key, &k) != nil {
		return
	}
	at := slices.IndexFunc(m.versions, func(v *Version) bool { return k.Subject != nil && v.Subject == *k.Subject && v.Version == k.Version })
	switch k.Kind {
	case kindSchema:
		if r.Value == nil {
			if at >= 0 {
				m.versions = slices.Delete(m.versions, at, at+1)
			}
			return
		}
		var in schemaValue
		if decode(r.Value, &in) != nil {
			return
		}
		v := &Version{Subject: *k.Subject, Version: k.Version, ID: in.ID, Deleted: in.Deleted, Content: &Content{Type: in.Type, Text: TextOf(in.Text), References: in.References}}
		if at >= 0 {
			m.versions[at] = v
		} else {
			m.versions = append(m.versions, v)
		}
	case kindDelete:
		var in deleteValue
		if decode(r.Value, &in) != nil {
			return
		}
		for _, v := range m.versions {
			if v.Subject == in.Subject && v.Version <= in.Version {
				v.Deleted = true
			}
		}
	case kindClear:
		var in clearValue
		if decode(r.Value, &in) != nil {
			return
		}
		m.versions = slices.DeleteFunc(m.versions, func(v *Version) bool {
			return v.Deleted && (v.Subject == in.Subject || in.Subject == "" && ContextOf(v.Subject) == "")
		})
	}
}

// TestStateIsTheModels applies random records and compares everything that can be asked with a naive model; then it replays all of
// them, and what a compaction would have left of schemas, into fresh states.
func TestStateIsTheModels(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s, m := New(), &model{}
		var log []Record
		for range 120 {
			r := randomRecord(rng, s)
			log = append(log, r)
			if err := s.Apply(r, 0); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			m.apply(r)
			compare(t, seed, s, m)
			if t.Failed() {
				return
			}
		}
		again := New()
		for _, r := range log {
			if err := again.Apply(r, 0); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(s, again) {
			t.Fatalf("seed %d: a replay gives another state", seed)
		}
	}
}

var subjects = []string{"a", "b", ":.c:a", ":.c:b"}

func randomRecord(rng *rand.Rand, s *State) Record {
	subject := subjects[rng.IntN(len(subjects))]
	all := s.Versions(subject, All)
	switch n := rng.IntN(10); {
	case n < 5 || len(all) == 0:
		text := fmt.Sprintf("text %d", rng.IntN(6))
		context := ContextOf(subject)
		c := &Content{Type: "AVRO", Text: TextOf(text)}
		if rng.IntN(3) == 0 {
			c.References = []schema.Reference{{Name: "r", Subject: "a", Version: 1 + rng.IntN(3)}}
		}
		id, ok := s.IDByGUID(context, GUIDOf(c))
		if !ok {
			id = s.MaxID(context) + 1
		}
		next := 1
		if len(all) > 0 {
			next = all[len(all)-1].Version + 1
		}
		return PutVersion(&Version{Subject: subject, Version: next, ID: id, Content: c})
	case n < 7:
		v := *all[rng.IntN(len(all))]
		v.Deleted = true
		return PutVersion(&v)
	case n == 7:
		return RemoveVersion(subject, all[rng.IntN(len(all))].Version)
	case n == 8:
		return DeleteSubject(subject, all[len(all)-1].Version)
	}
	if rng.IntN(2) == 0 {
		return ClearSubject("")
	}
	return ClearSubject(subject)
}

func compare(t *testing.T, seed uint64, s *State, m *model) {
	t.Helper()
	say := func(v *Version) string {
		return fmt.Sprint(v.Subject, v.Version, " id ", v.ID, v.Deleted, v.Text, v.References)
	}
	total := 0
	for _, subject := range subjects {
		var want []string
		for _, v := range m.versions {
			if v.Subject == subject {
				want = append(want, say(v))
			}
		}
		var got []string
		for _, v := range s.Versions(subject, All) {
			got = append(got, say(v))
		}
		total += len(got)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: %s has %q, want %q", seed, subject, got, want)
		}
	}
	if _, n := s.Counts(); n != total {
		t.Errorf("seed %d: %d versions, counted %d", seed, total, n)
	}
	texts := map[string]string{}
	references := map[schemaRef]map[ContextID]bool{}
	for _, v := range m.versions {
		id := fmt.Sprint(ContextOf(v.Subject), v.ID)
		if old, ok := texts[id]; ok && old != v.Text.String() {
			t.Errorf("seed %d: id %s stands for %s and %s", seed, id, old, v.Text)
		}
		texts[id] = v.Text.String()
		if found := s.First(ContextOf(v.Subject), v.ID); found == nil || !found.Text.Equal(v.Text) {
			t.Errorf("seed %d: id %s is not found", seed, id)
		}
		for _, r := range v.References {
			ref := schemaRef{Qualify(v.Subject, r.Subject), r.Version}
			if references[ref] == nil {
				references[ref] = map[ContextID]bool{}
			}
			context, _ := Split(v.Subject)
			references[ref][ContextID{context, v.ID}] = true
		}
	}
	for _, subject := range subjects {
		for version := range 5 {
			got := s.ReferencedBy(subject, version, All)
			want := references[schemaRef{subject, version}]
			if len(got) != len(want) || slices.ContainsFunc(got, func(id ContextID) bool { return !want[id] }) {
				t.Errorf("seed %d: %s %d is referred to by %v, want %v", seed, subject, version, got, slices.Collect(maps.Keys(want)))
			}
		}
	}
}

func FuzzApply(f *testing.F) {
	f.Add([]byte(`{"keytype":"SCHEMA","subject":"a","version":1,"magic":1}`), []byte(`{"subject":"a","version":1,"id":1,"schema":"\"string\"","deleted":false}`))
	f.Add([]byte(`{"keytype":"CONFIG","magic":0}`), []byte(`{"compatibilityLevel":"FULL"}`))
	f.Add([]byte(`{"keytype":"DELETE_SUBJECT","subject":"a","magic":0}`), []byte(`{"subject":"a","version":1}`))
	f.Add([]byte(`{"keytype":"ASSOC","resourceName":"a"}`), []byte(`{"subject":"a"}`))
	f.Add([]byte(`{"keytype":"CONTEXT","context":".c"}`), []byte(nil))
	f.Fuzz(func(t *testing.T, k, v []byte) {
		s := New()
		first := s.Apply(Record{k, v}, 1)
		again := s.Apply(Record{k, v}, 1)
		if (first == nil) != (again == nil) {
			t.Errorf("applied twice: %v, %v", first, again)
		}
		if err := s.Apply(Record{Key: k}, 2); first == nil && err != nil {
			t.Errorf("its tombstone: %v", err)
		}
	})
}
