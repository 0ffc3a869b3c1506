package contract

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/terms"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

func condition(name, expr, onFailure string) schema.Rule {
	return schema.Rule{Name: name, Kind: "CONDITION", Mode: "WRITE", Type: "CEL", Expr: expr, OnFailure: onFailure}
}

func TestRecordsAreJudged(t *testing.T) {
	t.Parallel()
	ruled := registered(3, "a", "t-value")
	ruled.Rules = &schema.RuleSet{DomainRules: []schema.Rule{condition("short", `size(message.text) < 3`, ""), condition("no-b", `message.text != "ab"`, "DLQ"), condition("hint", `message.text != "ac"`, "NONE"), condition("broken", `message.nope == 1`, "NONE")}}
	sealed := registered(4, "a", "t-value")
	sealed.Rules = &schema.RuleSet{EncodingRules: []schema.Rule{{Name: "enc", Type: "ENCRYPT_PAYLOAD", Kind: "TRANSFORM"}}}
	guid := wireformat.GUID{9}
	s := &fakeSchemas{now: map[int32]Registered{
		1: registered(1, "a", "t-value", "other-value"), 2: registered(2, "b", "t-key"), 3: ruled, 4: sealed,
		5: registered(5, "Order", "acme.Order"), 6: registered(6, "Order", "t-acme.Order"), 7: registered(7, "", "t-value"),
	}, guids: map[[16]byte]int32{guid: 1}}
	v := newValidator(t, s)
	value := func(level terms.Level, st terms.Strategy) terms.Terms {
		return terms.Terms{Mode: terms.Reject, Level: level, Value: true, ValueStrategy: st}
	}
	both := terms.Terms{Mode: terms.Reject, Level: terms.Schema, Key: true, Value: true}
	byGUID := []record.RecordHeader{{Key: wireformat.ValueHeader, Value: wireformat.Append(nil, wireformat.ID{GUID: guid})}}
	other := []record.RecordHeader{{Key: wireformat.ValueHeader, Value: wireformat.Append(nil, wireformat.ID{GUID: wireformat.GUID{8}})}}
	for _, c := range []struct {
		name   string
		terms  terms.Terms
		record record.Record
		want   string
	}{
		{"tombstone", value(terms.Rules, 0), record.Record{}, "obeys"},
		{"id of the subject", value(terms.ID, 0), record.Record{Value: framed(1, "whatever")}, "obeys"},
		{"no header", value(terms.ID, 0), record.Record{Value: []byte("hello")}, "the value names no schema; subject t-value has one (no-schema)"},
		{"empty", value(terms.ID, 0), record.Record{Value: []byte{}}, "the value names no schema; subject t-value has one (no-schema)"},
		{"unknown id", value(terms.ID, 0), record.Record{Value: framed(99, "")}, "the value names schema 99, which is not registered (subject t-value) (unknown-id)"},
		{"id of another subject", value(terms.ID, 0), record.Record{Value: framed(2, "b")}, "the value names schema 2, which is no version of subject t-value (wrong-subject)"},
		{"payload", value(terms.Schema, 0), record.Record{Value: framed(1, "abc")}, "obeys"},
		{"bad payload", value(terms.Schema, 0), record.Record{Value: framed(1, "xyz")}, "the value cannot be read by schema 1 of subject t-value: it does not begin with a: payload does not obey its schema (undecodable)"},
		{"bad schema", value(terms.Schema, 0), record.Record{Value: framed(7, "")}, "the value cannot be read by schema 7 of subject t-value: invalid schema (undecodable)"},
		{"key is not asked for", value(terms.ID, 0), record.Record{Key: []byte("k"), Value: framed(1, "")}, "obeys"},
		{"key", both, record.Record{Key: framed(2, "b"), Value: framed(1, "a")}, "obeys"},
		{"bad key", both, record.Record{Key: framed(1, "a"), Value: framed(1, "a")}, "the key names schema 1, which is no version of subject t-key (wrong-subject)"},
		{"null key", both, record.Record{Value: framed(1, "a")}, "obeys"},
		{"GUID", value(terms.Schema, 0), record.Record{Value: []byte("abc"), Headers: byGUID}, "obeys"},
		{"GUID, bad payload", value(terms.Schema, 0), record.Record{Value: []byte("x"), Headers: byGUID}, "the value cannot be read by schema 09000000-0000-0000-0000-000000000000 of subject t-value: it does not begin with a: payload does not obey its schema (undecodable)"},
		{"unknown GUID", value(terms.ID, 0), record.Record{Value: []byte("abc"), Headers: other}, "the value names schema 08000000-0000-0000-0000-000000000000, which is not registered (subject t-value) (unknown-id)"},
		{"rules hold", value(terms.Rules, 0), record.Record{Value: framed(3, "a")}, "the value: hint"},
		{"a rule does not hold", value(terms.Rules, 0), record.Record{Value: framed(3, "abcd")}, `the value does not obey rule short of schema 3, subject t-value: rule "short": condition is false: size(message.text) < 3 (rule-failed)`},
		{"level schema knows no rules", value(terms.Schema, 0), record.Record{Value: framed(3, "abcd")}, "obeys"},
		{"encrypted as a whole", value(terms.Rules, 0), record.Record{Value: framed(4, "?")}, "obeys"},
		{"record name", value(terms.ID, terms.RecordName), record.Record{Value: framed(5, "")}, "obeys"},
		{"no record name", value(terms.ID, terms.RecordName), record.Record{Value: framed(6, "")}, "the value names schema 6, which is no version of subject acme.Order (wrong-subject)"},
		{"topic and record name", value(terms.Schema, terms.TopicRecordName), record.Record{Value: framed(6, "Order!")}, "obeys"},
		{"not topic and record name", value(terms.ID, terms.TopicRecordName), record.Record{Value: framed(5, "")}, "the value names schema 5, which is no version of subject t-acme.Order (wrong-subject)"},
	} {
		got := judgeOne(t, v, c.terms, c.record)
		if c.name == "rules hold" { // the rule that is broken asks for a note only
			f, _, _ := v.Judge("t", &c.terms).Record(t.Context(), &c.record)
			if f.Reason != terms.RuleBroken || !f.Mild || f.Rule != "broken" {
				t.Errorf("got %+v", f)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%s: got %s\nwant %s", c.name, got, c.want)
		}
	}
	tm := value(terms.Rules, 0)
	for text, want := range map[string][2]bool{"ab": {false, true}, "ac": {true, false}} {
		r := record.Record{Value: framed(3, text)}
		f, obeys, err := v.Judge("t", &tm).Record(t.Context(), &r)
		if obeys || err != nil || f.Mild != want[0] || f.DeadLetter != want[1] {
			t.Errorf("%s: got %+v, %v, %v", text, f, obeys, err)
		}
	}
}

func TestConditionsBeforeATransformAreLeftToClients(t *testing.T) {
	t.Parallel()
	transform := schema.Rule{Name: "encrypt", Kind: "TRANSFORM", Mode: "WRITEREAD", Type: "ENCRYPT", Tags: []string{"PII"}}
	reading := schema.Rule{Name: "on read", Kind: "TRANSFORM", Mode: "READ", Type: "CEL", Expr: "message"}
	disabled := schema.Rule{Name: "off", Kind: "TRANSFORM", Type: "ENCRYPT", Disabled: true}
	a, b := condition("a", "true", ""), condition("b", "true", "")
	jsonata := schema.Rule{Name: "j", Kind: "CONDITION", Type: "JSONATA", Expr: "$"}
	for _, c := range []struct {
		rules []schema.Rule
		want  string
	}{
		{[]schema.Rule{a, b}, "a b"},
		{[]schema.Rule{a, transform, b}, "b"},
		{[]schema.Rule{a, b, transform}, ""},
		{[]schema.Rule{a, reading, b, disabled}, "a b"},
		{[]schema.Rule{a, jsonata}, "a"},
	} {
		var names []string
		for _, r := range checkable(c.rules) {
			names = append(names, r.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%v: got %q, want %q", c.rules, got, c.want)
		}
	}
}

func TestAnIDThatWasJustRegisteredIsFoundAtTheSecondLook(t *testing.T) {
	t.Parallel()
	s := &fakeSchemas{revision: -1, now: map[int32]Registered{}, late: map[int32]Registered{1: registered(1, "a", "t-value")}}
	v := newValidator(t, s)
	tm := terms.Terms{Mode: terms.Reject, Level: terms.ID, Value: true}
	if got := judgeOne(t, v, tm, record.Record{Value: framed(1, "")}); got != "obeys" {
		t.Error(got)
	}
	if s.looks != 1 {
		t.Errorf("looked %d times, want once", s.looks)
	}
	// What is there is not looked for again, and a subject that is taken away is noticed.
	judgeOne(t, v, tm, record.Record{Value: framed(1, "")})
	if s.looks != 1 {
		t.Errorf("looked %d times, want once", s.looks)
	}
	s.now[1], s.revision = registered(1, "a"), s.revision+1
	if got := judgeOne(t, v, tm, record.Record{Value: framed(1, "")}); !strings.Contains(got, "wrong-subject") {
		t.Error(got)
	}
}

func TestUnknownIDsAreLookedForWithinBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSchemas{now: map[int32]Registered{}}
		v := newValidator(t, s)
		tm := terms.Terms{Mode: terms.Reject, Level: terms.ID, Value: true}
		j := v.Judge("t", &tm)
		for id := range 5000 {
			r := record.Record{Value: framed(10+id, "")}
			if f, _, err := j.Record(t.Context(), &r); err != nil || f.Reason != terms.UnknownID {
				t.Fatal(f, err)
			}
		}
		if s.looks != catchUpsPerBatch {
			t.Errorf("one batch made %d looks, want %d", s.looks, catchUpsPerBatch)
		}
		if n := len(v.topics["t"].known.Load().byID[terms.Value]); n > boundSchemas {
			t.Errorf("%d ids are remembered, want at most %d", n, boundSchemas)
		}
		// The last one is remembered, for a while.
		last := record.Record{Value: framed(5009, "")}
		if got := judgeOne(t, v, tm, last); !strings.Contains(got, "unknown-id") || s.looks != catchUpsPerBatch {
			t.Errorf("%s, %d looks", got, s.looks)
		}
	})
}

func TestWithoutSchemasNothingIsJudged(t *testing.T) {
	t.Parallel()
	s := &fakeSchemas{revision: -1, now: map[int32]Registered{}, fail: errDown}
	v := newValidator(t, s)
	tm := terms.Terms{Mode: terms.Reject, Level: terms.ID, Value: true}
	if got := judgeOne(t, v, tm, record.Record{Value: framed(1, "")}); got != "error: the schemas of the registry cannot be had: no broker answers" {
		t.Error(got)
	}
	if got := judgeOne(t, v, tm, record.Record{}); got != "obeys" {
		t.Error("a tombstone needs no schemas: " + got)
	}
}

func TestSamplesAreTheLastOnesWithoutValues(t *testing.T) {
	t.Parallel()
	v := newValidator(t, &fakeSchemas{now: map[int32]Registered{}})
	tm := &terms.Terms{Mode: terms.Observe, Level: terms.ID, Value: true}
	for i := range samplesPerTopic + 5 {
		v.Judge("t", tm).Note(&terms.Judged{
			Partition: 1, BaseOffset: int64(100 * i), Mode: terms.Observe, Obeyed: 1,
			Violations: []terms.Violation{{Index: 2, Reason: terms.NoSchema, Detail: "secret"}}, Keys: [][]byte{[]byte(strings.Repeat("k", 1000))},
		})
	}
	got := v.Samples("t")
	if len(got) != samplesPerTopic || got[0].Offset != int64(100*(samplesPerTopic+4)+2) || got[samplesPerTopic-1].Offset != 502 {
		t.Errorf("%d samples from %d to %d", len(got), got[0].Offset, got[len(got)-1].Offset)
	}
	if len(got[0].Key) != sampleKeyBytes || !slices.IsSortedFunc(got, func(a, b Sample) int { return int(b.Offset - a.Offset) }) {
		t.Errorf("got %+v", got[0])
	}
	// New terms keep what was seen; a deleted topic is forgotten.
	v.Judge("t", &terms.Terms{Mode: terms.Reject})
	if len(v.Samples("t")) != samplesPerTopic {
		t.Error("new terms forgot the samples")
	}
	if v.Forget([]string{"t"}); len(v.Samples("t")) != 0 {
		t.Error("a deleted topic has samples")
	}
}

func BenchmarkJudge(b *testing.B) {
	s := &fakeSchemas{now: map[int32]Registered{1: registered(1, "a", "t-value")}}
	v := newValidator(b, s)
	for _, level := range []terms.Level{terms.ID, terms.Schema} {
		b.Run("level="+level.String(), func(b *testing.B) {
			j := v.Judge("t", &terms.Terms{Mode: terms.Reject, Level: level, Value: true})
			r := record.Record{Value: framed(1, "abc")}
			b.ReportAllocs()
			for b.Loop() {
				if _, obeys, err := j.Record(b.Context(), &r); !obeys || err != nil {
					b.Fatal(obeys, err)
				}
			}
		})
	}
}

func FuzzJudge(f *testing.F) {
	s := &fakeSchemas{now: map[int32]Registered{1: registered(1, "a", "t-value", "t-key")}}
	v := newValidator(f, s)
	f.Add(framed(1, "abc"), []byte(nil), []byte("k"))
	f.Add([]byte{0, 0, 0}, []byte{1, 2}, []byte{})
	tm := &terms.Terms{Mode: terms.Reject, Level: terms.Rules, Key: true, Value: true}
	f.Fuzz(func(t *testing.T, value, header, key []byte) {
		j := v.Judge("t", tm)
		j.waits = catchUpsPerBatch
		r := record.Record{Key: key, Value: value, Headers: []record.RecordHeader{{Key: wireformat.ValueHeader, Value: header}}}
		got, obeys, err := j.Record(t.Context(), &r)
		if err != nil || !obeys && !slices.Contains(terms.Reasons, got.Reason) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
