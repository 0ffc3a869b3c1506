package rules

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

func newEngine(t testing.TB, o Options) *Engine {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return e
}

// flat is a schema of one level: it walks the fields of a map in the order given.
type flat struct {
	schema.Schema
	fields []schema.Field
}

func (s flat) Walk(value any, _ []int, visit func(schema.Field, any) (any, error)) (any, error) {
	in, out := value.(map[string]any), map[string]any{}
	maps.Copy(out, in)
	for _, f := range s.fields {
		v, ok := in[f.Name]
		if !ok {
			continue
		}
		f.Message = in
		v, err := visit(f, v)
		if err != nil {
			return nil, err
		}
		out[f.Name] = v
	}
	return out, nil
}

var person = flat{fields: []schema.Field{
	{FullName: "acme.Person.name", Name: "name", Type: "STRING"},
	{FullName: "acme.Person.email", Name: "email", Type: "STRING", Tags: []string{"PII"}},
	{FullName: "acme.Person.age", Name: "age", Type: "INT"},
	{FullName: "acme.Person.score", Name: "score", Type: "DOUBLE"},
	{FullName: "acme.Person.key", Name: "key", Type: "BYTES"},
	{FullName: "acme.Person.seen", Name: "seen", Type: "LONG"},
	{FullName: "acme.Person.color", Name: "color", Type: "ENUM"},
	{FullName: "acme.Person.nick", Name: "nick", Type: "STRING"},
}}

func ada() map[string]any {
	return map[string]any{
		"name": "Ada", "email": "ada@example.com", "age": int64(36), "score": 0.5, "key": []byte{1, 2}, "seen": uint64(7),
		"color": "RED", "nick": nil, "tags": []any{"a", "b"}, "home": map[string]any{"zip": "10115"},
	}
}

func with(changes map[string]any) map[string]any {
	m := ada()
	maps.Copy(m, changes)
	return m
}

func TestMessageRules(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, kind, expr string
		want             any    // nil: the message as it was
		fails            string // part of the error
	}{
		{name: "condition holds", kind: Condition, expr: `message.age > 18 && message.home.zip == "10115"`},
		{name: "condition is false", kind: Condition, expr: `message.age > 40`, fails: "condition is false: message.age > 40"},
		{name: "a number is compared across kinds", kind: Condition, expr: `message.seen == 7 && message.score < 1`},
		{name: "has", kind: Condition, expr: `has(message.name) && !has(message.nope)`},
		{name: "null", kind: Condition, expr: `message.nick == null`},
		{name: "bytes", kind: Condition, expr: `message.key == b'\x01\x02' && size(message.key) == 2`},
		{name: "list macro", kind: Condition, expr: `message.tags.exists(t, t == "b") && message.tags.all(t, size(t) == 1)`},
		{name: "field that is not there", kind: Condition, expr: `message.nope == 1`, fails: "no such key: nope"},
		{name: "condition that gives a string", kind: Condition, expr: `message.name`, fails: "this one gave a string"},
		{name: "guard false skips", kind: Condition, expr: `message.age > 40 ; false`},
		{name: "guard true goes on", kind: Condition, expr: `message.age < 40 ; false`, fails: "condition is false"},
		{name: "guard that fails skips", kind: Condition, expr: `message.nope ; false`},
		{name: "empty guard", kind: Condition, expr: ` ; true`},
		{
			name: "transform", kind: Transform, expr: `{"name": message.name + "!", "n": 1, "u": 2u, "f": 1.5, "l": [1, "x"], "b": b"z", "nil": null, "t": timestamp("2020-01-02T03:04:05Z"), "d": duration("90s")}`,
			want: map[string]any{"name": "Ada!", "n": int64(1), "u": uint64(2), "f": 1.5, "l": []any{int64(1), "x"}, "b": []byte("z"), "nil": nil, "t": "2020-01-02T03:04:05Z", "d": "90s"},
		},
		{name: "transform that is the message", kind: Transform, expr: `message`},
		{name: "transform with a false guard", kind: Transform, expr: `false ; {"a": 1}`},
		{name: "kind that is not named is a transform", expr: `{"a": message.home}`, want: map[string]any{"a": map[string]any{"zip": "10115"}}},
		{name: "transform to a scalar", kind: Transform, expr: `message.name`, fails: "gave a string in the place of the message"},
		{name: "transform to null", kind: Transform, expr: `null`, fails: "gave null in the place of the message"},
		{name: "transform to a type", kind: Transform, expr: `{"a": type(1)}`, fails: "has no place in a record"},
		{name: "strings", kind: Condition, expr: `message.name.lowerAscii() == "ada" && message.name.replace("a", "b") == "Adb" && ["a","b"].join("-") == "a-b" && "%s is %d".format([message.name, message.age]) == "Ada is 36"`},
		{name: "regular expression", kind: Condition, expr: `message.email.matches("^[a-z]+@") && message.email.matches("example")`},
		{name: "a semicolon in a string is a guard all the same", kind: Condition, expr: `message.name == "a;b"`, fails: "Syntax error"},
		{name: "unknown variable", kind: Condition, expr: `value == 1`, fails: "undeclared reference to 'value'"},
		{name: "empty", kind: Condition, expr: ` `, fails: "the expression is empty"},
		{name: "division by zero", kind: Condition, expr: `message.age / 0 == 1`, fails: "division by zero"},
		{name: "what only clients run", kind: Condition, expr: `decimals.lt(decimal("1"), decimal("2"))`, fails: "runs in clients alone"},
	}
	e := newEngine(t, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := e.Prepare(&schema.RuleSet{DomainRules: []schema.Rule{{Name: "r", Kind: tt.kind, Mode: "WRITE", Type: TypeCEL, Expr: tt.expr}}}, nil)
			in := ada()
			o, err := set.Run(t.Context(), Domain, Write, Call{Value: in})
			if err != nil {
				t.Fatalf("Run: %v", err)
			}
			if !reflect.DeepEqual(in, ada()) {
				t.Errorf("the value given has changed: %v", in)
			}
			checkOutcome(t, o, tt.want, tt.fails)
		})
	}
}

// checkOutcome compares with the wanted value (nil: ada as she was), or with a part of the wanted error.
func checkOutcome(t *testing.T, o Outcome, want any, fails string) {
	t.Helper()
	if fails != "" {
		if o.Stopped == nil {
			t.Fatalf("passed with %v, want an error with %q", o.Value, fails)
		}
		if !strings.Contains(o.Stopped.Err.Error(), fails) {
			t.Fatalf("error %q, want %q in it", o.Stopped.Err, fails)
		}
		want = nil
	} else if o.Stopped != nil {
		t.Fatalf("stopped: %v", o.Stopped.Err)
	}
	if want == nil {
		want = ada()
	}
	if !reflect.DeepEqual(o.Value, want) {
		t.Errorf("value\n got %#v\nwant %#v", o.Value, want)
	}
}

func TestFieldRules(t *testing.T) {
	t.Parallel()
	meta := &schema.Metadata{Tags: map[string][]string{"acme.Person.name": {"PUBLIC"}, "acme.*.nam*": {"NAME"}, "**.age": {"NUMBER"}, "other": {"PII"}}}
	tests := []struct {
		name, kind, expr string
		tags             []string
		want             any
		fails, field     string
	}{
		{name: "condition on tagged fields", kind: Condition, tags: []string{"PII"}, expr: `value.isEmail()`},
		{name: "condition on all strings", kind: Condition, expr: `typeName == "STRING" ; value.isEmail()`, fails: "field acme.Person.name: rule \"r\": condition is false", field: "acme.Person.name"},
		{name: "no field has the tag", kind: Condition, tags: []string{"SECRET"}, expr: `false`},
		{name: "tag of the metadata", kind: Transform, tags: []string{"PUBLIC"}, expr: `value + "!"`, want: with(map[string]any{"name": "Ada!"})},
		{name: "tag by pattern", kind: Transform, tags: []string{"NAME"}, expr: `value.upperAscii()`, want: with(map[string]any{"name": "ADA"})},
		{name: "tag by pattern across names", kind: Transform, tags: []string{"NUMBER"}, expr: `value + 1`, want: with(map[string]any{"age": int64(37)})},
		{name: "variables", kind: Condition, tags: []string{"PII"}, expr: `fullName == "acme.Person.email" && name == "email" && typeName == "STRING" && tags == ["PII"] && message.age == 36`},
		{name: "guard picks fields", kind: Transform, expr: `name == "score" ; 1`, want: with(map[string]any{"score": 1.0})},
		{name: "unsigned stays unsigned", kind: Transform, expr: `name == "seen" ; 8`, want: with(map[string]any{"seen": uint64(8)})},
		{name: "unsigned cannot be negative", kind: Transform, expr: `name == "seen" ; -8`, fails: "gave a number for an unsigned integer", field: "acme.Person.seen"},
		{name: "int of JSON", kind: Transform, expr: `name == "age" ; 3000000000`, want: with(map[string]any{"age": int64(3000000000)})},
		{name: "kinds do not change", kind: Transform, expr: `name == "name" ; 3`, fails: "gave a number for a field of type STRING", field: "acme.Person.name"},
		{name: "to null", kind: Transform, expr: `name == "name" ; null`, want: with(map[string]any{"name": nil})},
		{name: "enums and nulls are left alone", kind: Transform, expr: `name in ["color", "nick"] ; "x"`},
		{name: "bytes", kind: Transform, expr: `typeName == "BYTES" ; b"x"`, want: with(map[string]any{"key": []byte("x")})},
		{name: "not a bool", kind: Condition, tags: []string{"PII"}, expr: `value`, fails: "this one gave a string", field: "acme.Person.email"},
	}
	e := newEngine(t, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := e.Prepare(&schema.RuleSet{DomainRules: []schema.Rule{{Name: "r", Kind: tt.kind, Mode: "WRITE", Type: TypeCELField, Tags: tt.tags, Expr: tt.expr}}}, meta)
			o, err := set.Run(t.Context(), Domain, Write, Call{Value: ada(), Schema: person})
			if err != nil {
				t.Fatalf("Run: %v", err)
			}
			checkOutcome(t, o, tt.want, tt.fails)
			if o.Stopped != nil && o.Stopped.Field != tt.field {
				t.Errorf("field %q, want %q", o.Stopped.Field, tt.field)
			}
		})
	}
}

func TestFieldRuleNeedsSchema(t *testing.T) {
	t.Parallel()
	set := newEngine(t, Options{}).Prepare(&schema.RuleSet{DomainRules: []schema.Rule{{Name: "r", Type: TypeCELField, Expr: "value"}}}, nil)
	o, err := set.Run(t.Context(), Domain, Write, Call{Value: ada()})
	if err != nil || o.Stopped == nil || !strings.Contains(o.Stopped.Err.Error(), "need the schema") {
		t.Errorf("got %v, %v", o.Stopped, err)
	}
}

// TestOrderModesAndActions: what runs when, and what it demands.
func TestOrderModesAndActions(t *testing.T) {
	t.Parallel()
	appendTo := func(name, mode, text string) schema.Rule {
		return schema.Rule{Name: name, Mode: mode, Type: TypeCEL, Expr: `{"s": message.s + "` + text + `"}`}
	}
	rs := &schema.RuleSet{
		DomainRules:    []schema.Rule{appendTo("a", "WRITEREAD", "a"), appendTo("b", "WRITE", "b"), appendTo("c", "READ", "c"), appendTo("d", "", "d")},
		MigrationRules: []schema.Rule{appendTo("u", "UPGRADE", "u"), appendTo("v", "UPDOWN", "v"), appendTo("w", "DOWNGRADE", "w")},
		EncodingRules:  []schema.Rule{appendTo("e", "WRITE", "e")},
	}
	set := newEngine(t, Options{}).Prepare(rs, nil)
	tests := []struct {
		phase Phase
		mode  Mode
		want  string
	}{
		{Domain, Write, "abd"},
		{Domain, Read, "dca"},
		{Migration, Upgrade, "uv"},
		{Migration, Downgrade, "wv"},
		{Encoding, Write, "e"},
		{Encoding, Read, ""},
	}
	for _, tt := range tests {
		o, err := set.Run(t.Context(), tt.phase, tt.mode, Call{Value: map[string]any{"s": ""}})
		if err != nil || o.Stopped != nil {
			t.Fatalf("phase %d mode %s: %v, %v", tt.phase, tt.mode, o.Stopped, err)
		}
		if got := o.Value.(map[string]any)["s"]; got != tt.want {
			t.Errorf("phase %d mode %s: %q, want %q", tt.phase, tt.mode, got, tt.want)
		}
		if got := set.Has(tt.phase, tt.mode); got != (tt.want != "") {
			t.Errorf("Has(%d, %s) = %v", tt.phase, tt.mode, got)
		}
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                 string
		mode                 Mode
		ruleMode, expr       string
		onSuccess, onFailure string
		stopped              Action
		events               []Action
		topic                string
	}{
		{name: "success wants nothing", mode: Write, ruleMode: "WRITE", expr: "true"},
		{name: "failure is an error", mode: Write, ruleMode: "WRITE", expr: "false", stopped: Error},
		{name: "failure that is tolerated", mode: Write, ruleMode: "WRITE", expr: "false", onFailure: "NONE", events: []Action{None}},
		{name: "dead letter", mode: Write, ruleMode: "WRITE", expr: "false", onFailure: "DLQ", stopped: DLQ, topic: "bad"},
		{name: "pair, first", mode: Write, ruleMode: "WRITEREAD", expr: "false", onFailure: "DLQ,NONE", stopped: DLQ, topic: "bad"},
		{name: "pair, second", mode: Read, ruleMode: "WRITEREAD", expr: "false", onFailure: "DLQ, none", events: []Action{None}},
		{name: "pair with nothing second", mode: Read, ruleMode: "WRITEREAD", expr: "false", onFailure: "DLQ,", stopped: Error},
		{name: "pair of up and down", mode: Downgrade, ruleMode: "UPDOWN", expr: "false", onFailure: "NONE,DLQ", stopped: DLQ, topic: "bad"},
		{name: "success that wants an error", mode: Write, ruleMode: "WRITE", expr: "true", onSuccess: "ERROR", events: []Action{Error}},
		{name: "an action of the caller's", mode: Write, ruleMode: "WRITE", expr: "false", onFailure: "Page", stopped: "Page"},
	}
	e := newEngine(t, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			list := []schema.Rule{{Name: "r", Kind: Condition, Mode: tt.ruleMode, Type: TypeCEL, Expr: tt.expr, OnSuccess: tt.onSuccess, OnFailure: tt.onFailure}}
			rs, phase := &schema.RuleSet{DomainRules: list}, Domain
			if tt.mode == Downgrade {
				rs, phase = &schema.RuleSet{MigrationRules: list}, Migration
			}
			o, err := e.Prepare(rs, &schema.Metadata{Properties: map[string]string{ParamTopic: "bad"}}).Run(t.Context(), phase, tt.mode, Call{Value: ada()})
			if err != nil {
				t.Fatalf("Run: %v", err)
			}
			var stopped Action
			if o.Stopped != nil {
				stopped = o.Stopped.Action
				if o.Stopped.Topic != tt.topic {
					t.Errorf("topic %q, want %q", o.Stopped.Topic, tt.topic)
				}
				if !errors.Is(o.Stopped.Err, ErrCondition) {
					t.Errorf("error %v is no ErrCondition", o.Stopped.Err)
				}
			}
			var events []Action
			for _, ev := range o.Events {
				events = append(events, ev.Action)
			}
			if stopped != tt.stopped || !reflect.DeepEqual(events, tt.events) {
				t.Errorf("stopped %q, events %v; want %q, %v", stopped, events, tt.stopped, tt.events)
			}
		})
	}
}

func TestRulesThatDoNotRun(t *testing.T) {
	t.Parallel()
	no := schema.Rule{Name: "no", Kind: Condition, Type: TypeCEL, Expr: "false"}
	disabled := no
	disabled.Disabled = true
	e := newEngine(t, Options{Environment: "GATEWAY"})
	for name, rs := range map[string]*schema.RuleSet{
		"no rule set":   nil,
		"disabled":      {DomainRules: []schema.Rule{disabled}},
		"at clients":    {DomainRules: []schema.Rule{no}, EnableAt: "CLIENT"},
		"of an unknown": {DomainRules: []schema.Rule{{Name: "no", Kind: Condition, Mode: "SOMETIMES", Type: TypeCEL, Expr: "false"}}},
	} {
		if o, err := e.Prepare(rs, nil).Run(t.Context(), Domain, Write, Call{Value: ada()}); err != nil || o.Stopped != nil {
			t.Errorf("%s: ran: %v, %v", name, o.Stopped, err)
		}
	}
	for _, at := range []string{"", "ALL", "gateway"} {
		if o, _ := e.Prepare(&schema.RuleSet{DomainRules: []schema.Rule{no}, EnableAt: at}, nil).Run(t.Context(), Domain, Write, Call{Value: ada()}); o.Stopped == nil {
			t.Errorf("enabled at %q did not run", at)
		}
	}
}

func TestTypesNobodyKnows(t *testing.T) {
	t.Parallel()
	e := newEngine(t, Options{Executors: map[string]Executor{"REVERSE": func(_ context.Context, r Request) (any, error) {
		if r.Param("left") != "right" {
			return nil, errors.New("no parameter")
		}
		return map[string]any{"reversed": r.Value}, nil
	}}})
	for _, typ := range []string{"JSONATA", "ENCRYPT", "Custom"} {
		set := e.Prepare(&schema.RuleSet{DomainRules: []schema.Rule{{Name: "r", Type: typ, Expr: "$.a"}}}, nil)
		o, err := set.Run(t.Context(), Domain, Write, Call{Value: ada()})
		if err != nil || o.Stopped == nil || !errors.Is(o.Stopped.Err, ErrUnsupported) || !strings.Contains(o.Stopped.Err.Error(), typ) {
			t.Errorf("%s: %+v, %v", typ, o.Stopped, err)
		}
	}
	set := e.Prepare(&schema.RuleSet{DomainRules: []schema.Rule{{Name: "r", Type: "REVERSE", Params: map[string]string{"left": "right"}}}}, nil)
	o, err := set.Run(t.Context(), Domain, Write, Call{Value: ada()})
	if err != nil || o.Stopped != nil || !reflect.DeepEqual(o.Value, map[string]any{"reversed": ada()}) {
		t.Errorf("executor of the caller: %+v, %v", o, err)
	}
}

// TestOneTransformForOneTag: of transforms on the same tags the first is carried out, when writing and when reading.
func TestOneTransformForOneTag(t *testing.T) {
	t.Parallel()
	rule := func(name, put string) schema.Rule {
		return schema.Rule{Name: name, Type: TypeCELField, Tags: []string{"PII"}, Expr: `value + "` + put + `"`}
	}
	set := newEngine(t, Options{}).Prepare(&schema.RuleSet{DomainRules: []schema.Rule{rule("a", "1"), rule("b", "2")}}, nil)
	for _, m := range []Mode{Write, Read} {
		o, err := set.Run(t.Context(), Domain, m, Call{Value: ada(), Schema: person})
		if err != nil || o.Stopped != nil {
			t.Fatalf("%s: %v, %v", m, o.Stopped, err)
		}
		if got := o.Value.(map[string]any)["email"]; got != "ada@example.com1" {
			t.Errorf("%s: %v", m, got)
		}
	}
}

func TestGuardSeparatorCanBeIgnored(t *testing.T) {
	t.Parallel()
	rule := schema.Rule{Name: "r", Kind: Condition, Type: TypeCEL, Expr: `message.name != "a;b"`, Params: map[string]string{"cel.ignore.guard.separator": "true"}}
	o, err := newEngine(t, Options{}).Prepare(&schema.RuleSet{DomainRules: []schema.Rule{rule}}, nil).Run(t.Context(), Domain, Write, Call{Value: ada()})
	if err != nil || o.Stopped != nil {
		t.Errorf("%v, %v", o.Stopped, err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	set := newEngine(t, Options{}).Prepare(&schema.RuleSet{DomainRules: []schema.Rule{{Name: "r", Kind: Condition, Type: TypeCEL, Expr: `message.l.all(x, message.l.all(y, x + y >= 0))`}}}, nil)
	list := make([]any, 300)
	for i := range list {
		list[i] = int64(i)
	}
	if _, err := set.Run(ctx, Domain, Write, Call{Value: map[string]any{"l": list}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}
