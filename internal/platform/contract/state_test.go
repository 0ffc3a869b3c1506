package contract

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema/wireformat"
)

func (s *state) describe() string {
	var out []string
	for id := range s.byID {
		r, _ := s.find(func() *entry { return s.byID[id] })
		out = append(out, fmt.Sprintf("%d %s %s %v", r.ID, r.Type, r.Source.Text, r.Subjects))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func TestStateFollowsTheTopicOfTheRegistry(t *testing.T) {
	t.Parallel()
	s := newState()
	for _, step := range []struct{ key, value, want string }{
		{`{"keytype":"NOOP","magic":0}`, "", ""},
		{`{"keytype":"CONFIG","subject":null,"magic":0}`, `{"compatibilityLevel":"FULL"}`, ""},
		{`{"keytype":"SCHEMA","subject":"a","version":1,"magic":1}`, `{"subject":"a","version":1,"id":1,"schema":"A","deleted":false,"guid":"09000000-0000-0000-0000-000000000000"}`, "1 AVRO A [a]"},
		{`{"keytype":"SCHEMA","subject":"b","version":1,"magic":1}`, `{"subject":"b","version":1,"id":1,"schema":"A","deleted":false}`, "1 AVRO A [a b]"},
		{`{"keytype":"SCHEMA","subject":"b","version":2,"magic":1}`, `{"subject":"b","version":2,"id":2,"schema":"B","schemaType":"JSON","references":[{"name":"r","subject":"a","version":1}],"deleted":false}`, "1 AVRO A [a b]; 2 JSON B [b]"},
		{`{"keytype":"SCHEMA","subject":":.x:c","version":1,"magic":1}`, `{"subject":":.x:c","version":1,"id":1,"schema":"X","deleted":false}`, "1 AVRO A [a b]; 2 JSON B [b]"},
		{`{"keytype":"SCHEMA","subject":":.:d","version":1,"magic":1}`, `{"subject":":.:d","version":1,"id":3,"schema":"D","deleted":false}`, "1 AVRO A [a b]; 2 JSON B [b]; 3 AVRO D [d]"},
		{`{"keytype":"SCHEMA","subject":"b","version":1,"magic":1}`, `{"subject":"b","version":1,"id":1,"schema":"A","deleted":true}`, "1 AVRO A [a]; 2 JSON B [b]; 3 AVRO D [d]"},
		{`{"keytype":"DELETE_SUBJECT","subject":"b","magic":0}`, `{"subject":"b","version":2}`, "1 AVRO A [a]; 2 JSON B []; 3 AVRO D [d]"},
		{`{"keytype":"SCHEMA","subject":"b","version":3,"magic":1}`, `{"subject":"b","version":3,"id":2,"schema":"B","schemaType":"JSON","deleted":false}`, "1 AVRO A [a]; 2 JSON B [b]; 3 AVRO D [d]"},
		{`{"keytype":"CLEAR_SUBJECT","subject":"b","magic":0}`, `{"subject":"b"}`, "1 AVRO A [a]; 2 JSON B [b]; 3 AVRO D [d]"},
		{`{"keytype":"SCHEMA","subject":"b","version":3,"magic":1}`, "", "1 AVRO A [a]; 3 AVRO D [d]"},
		{`{"keytype":"SCHEMA","subject":"a","version":1,"magic":1}`, "", "3 AVRO D [d]"},
	} {
		var value []byte
		if step.value != "" {
			value = []byte(step.value)
		}
		if err := s.apply([]byte(step.key), value); err != nil {
			t.Fatal(err)
		}
		if got := s.describe(); got != step.want {
			t.Errorf("after %s: got %q, want %q", step.key, got, step.want)
		}
		if _, ok := s.byGUID[wireformat.GUID{9}]; ok != (s.byID[1] != nil) {
			t.Errorf("after %s: the GUID is known: %v", step.key, ok)
		}
	}
}

func TestReferencesAreResolvedThroughAll(t *testing.T) {
	t.Parallel()
	s := newState()
	for i, x := range []string{"", "a", "b", "c"} {
		refs := ""
		if i > 1 {
			refs = fmt.Sprintf(`,"references":[{"name":"%s.ref","subject":"%s","version":1}]`, string(rune('a'+i-2)), string(rune('a'+i-2)))
		}
		if x == "" {
			continue
		}
		if err := s.apply(fmt.Appendf(nil, `{"keytype":"SCHEMA","subject":%q,"version":1}`, x), fmt.Appendf(nil, `{"id":%d,"schema":"text %s"%s}`, i, x, refs)); err != nil {
			t.Fatal(err)
		}
	}
	r, ok := s.find(func() *entry { return s.byID[3] })
	if !ok || len(r.Source.Resolved) != 2 || r.Source.Resolved["b.ref"] != "text b" || r.Source.Resolved["a.ref"] != "text a" {
		t.Errorf("got %+v", r.Source)
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"keytype":"SCHEMA","subject":"a","version":1}`), []byte(`{"id":1,"schema":"A","references":[{"name":"r","subject":"a","version":1}]}`))
	f.Add([]byte(`{"keytype":"CLEAR_SUBJECT","subject":"a"}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s := newState()
		for range 2 {
			if s.apply(key, value) != nil {
				return
			}
		}
		for id := range s.byID {
			if _, ok := s.find(func() *entry { return s.byID[id] }); !ok {
				t.Error("an entry that cannot be found")
			}
		}
	})
}
