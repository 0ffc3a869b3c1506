package rules

import (
	"errors"
	"strings"
	"testing"

	"cel.dev/cel-go/interpreter"

	"github.com/weir-stream/weir/internal/schema"
)

// TestHostileExpressionsEnd: whatever an expression wants to make or to compare, it ends, and with an
// error: without the limits most of these take hours, or all memory.
func TestHostileExpressionsEnd(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("a", 1<<20)
	list := make([]any, 1000)
	for i := range list {
		list[i] = int64(i)
	}
	message := map[string]any{"s": big, "half": big[:1<<19] + "b", "l": list, "w": strings.Split(strings.Repeat("x,", 1<<17), ",")}
	doubled := "[message.s]" + strings.Repeat(".map(x, [x, x])", 60)
	for name, expr := range map[string]string{
		"nested loops":            `message.l.all(a, message.l.all(b, message.l.all(c, message.l.all(d, a + b + c + d >= 0))))`,
		"replace of nothing":      `message.s.replace("", message.s) == ""`,
		"replace of every letter": `message.s.replace("a", message.s) == ""`,
		"join":                    `message.l.map(x, "y").join(message.s) == ""`,
		"format":                  `"` + strings.Repeat("%s", 200) + `".format([` + strings.Repeat("message.s,", 200) + `]) == ""`,
		"search":                  `message.s.indexOf(message.half) == 1`,
		"search from behind":      `message.s.lastIndexOf(message.half) == 1`,
		"doubled by sharing":      doubled + " == " + doubled,
		"wide by sharing":         `[1].map(x, [` + strings.Repeat("x,", 500) + `]).map(x, [` + strings.Repeat("x,", 500) + `]).map(x, [` + strings.Repeat("x,", 500) + `]).map(x, [x,x]) == [1]`,
		"sum of texts":            `message.l.map(x, message.s + message.s).size() == 0`,
		"pattern from the data":   `message.s.matches("(((a{30}){30}){30})+$")`,
		"pattern that is large":   `message.s.matches("(a|aa|aaa|aaaa|aaaaa){900}b")`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := newEngine(t, Options{}).Prepare(&schema.RuleSet{DomainRules: []schema.Rule{{Name: "r", Kind: Condition, Type: TypeCEL, Expr: expr}}}, nil)
			o, err := set.Run(t.Context(), Domain, Write, Call{Value: message})
			if err != nil || o.Stopped == nil || errors.Is(o.Stopped.Err, ErrCondition) {
				t.Errorf("passed, or was simply false: %v, %v", o.Stopped, err)
			}
		})
	}
}

func TestCostLimitIsSet(t *testing.T) {
	t.Parallel()
	set := newEngine(t, Options{CostLimit: 20}).Prepare(&schema.RuleSet{DomainRules: []schema.Rule{{Name: "r", Kind: Condition, Type: TypeCEL, Expr: `message.l.all(x, x == 1)`}}}, nil)
	o, err := set.Run(t.Context(), Domain, Write, Call{Value: map[string]any{"l": []any{int64(1), int64(1), int64(1), int64(1), int64(1), int64(1), int64(1), int64(1)}}})
	if err != nil || o.Stopped == nil {
		t.Fatalf("passed: %v, %v", o, err)
	}
	if c, ok := errors.AsType[interpreter.EvalCancelledError](o.Stopped.Err); !ok || c.Cause != interpreter.CostLimitExceeded {
		t.Errorf("error %v", o.Stopped.Err)
	}
}

// TestResultsAreBounded: a transform cannot return a value that is larger in the record than in memory.
func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	wide := `[0,1].map(x, [x,x,x,x,x,x,x,x,x,x])` + strings.Repeat(`.map(x, [x,x,x,x,x,x,x,x,x,x])`, 5)
	set := newEngine(t, Options{}).Prepare(&schema.RuleSet{DomainRules: []schema.Rule{{Name: "r", Type: TypeCEL, Expr: `{"a": ` + wide + `}`}}}, nil)
	o, err := set.Run(t.Context(), Domain, Write, Call{Value: map[string]any{}})
	if err != nil || o.Stopped == nil {
		t.Errorf("passed, %v", err)
	}
}

func TestExpressionsAreBounded(t *testing.T) {
	t.Parallel()
	e := newEngine(t, Options{})
	for name, tt := range map[string]struct{ expr, want string }{
		"bytes":   {`"` + strings.Repeat("a", MaxExpressionBytes) + `" == ""`, "at most 65536"},
		"nesting": {strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300), "recursion"},
		"nodes":   {"[" + strings.Repeat("1,", 12_000) + "1] == []", "limit"},
	} {
		if _, err := e.Filter(tt.expr); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, tt.want)
		}
	}
}

func TestChecksOfTexts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		check     func(string) bool
		good, bad []string
	}{
		"isEmail":    {isEmail, []string{"a@b.co", "first.last+tag@sub.example.com"}, []string{"", "a", "a@", "@b.co", "A <a@b.co>", "a@-b.co", "a@b.1", strings.Repeat("a", 65) + "@b.co"}},
		"isHostname": {isHostname, []string{"a", "a.b.", "xn--bcher-kva.example", "1a.b"}, []string{"", "a..b", "-a.b", "a-.b", "a_b", "1.2.3.4", strings.Repeat("a", 64) + ".b", strings.Repeat("a.", 127) + "aa"}},
		"isIpv4":     {isIpv4, []string{"1.2.3.4", "0.0.0.0"}, []string{"", "1.2.3", "256.1.1.1", "::1", "01.2.3.4"}},
		"isIpv6":     {isIpv6, []string{"::", "::1", "2001:db8::1", "::ffff:1.2.3.4"}, []string{"", "1.2.3.4", "fe80::1%eth0", ":::"}},
		"isUri":      {isURI, []string{"http://a/b?c#d", "urn:x:y", "mailto:a@b"}, []string{"", "/a", "a b", "http://[::1", "%zz:"}},
		"isUriRef":   {isURIRef, []string{"", "/a", "a?b", "http://a"}, []string{"http://[::1", "%zz"}},
		"isUuid":     {isUUID, []string{"0191d1a0-6f3c-7a2e-8e0b-3f0d6a1c2b4d", "0191D1A0-6F3C-7A2E-8E0B-3F0D6A1C2B4D"}, []string{"", "0191d1a06f3c7a2e8e0b3f0d6a1c2b4d", "0191d1a0-6f3c-7a2e-8e0b-3f0d6a1c2b4g", "{0191d1a0-6f3c-7a2e-8e0b-3f0d6a1c2b4d}"}},
	}
	e := newEngine(t, Options{})
	for name, tt := range tests {
		f, err := e.Filter("value." + name + "()")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for want, texts := range map[bool][]string{true: tt.good, false: tt.bad} {
			for _, s := range texts {
				if got, err := f.Match(t.Context(), &Record{Value: s}); err != nil || got != want {
					t.Errorf("%s(%q) = %v, %v", name, s, got, err)
				}
			}
		}
	}
}

// TestLongListsAreFine: the limit leaves room for an honest condition on a long list.
func TestLongListsAreFine(t *testing.T) {
	t.Parallel()
	list := make([]any, 30_000)
	for i := range list {
		list[i] = map[string]any{"price": float64(i) + 0.5}
	}
	set := newEngine(t, Options{}).Prepare(&schema.RuleSet{DomainRules: []schema.Rule{{Name: "r", Kind: Condition, Type: TypeCEL, Expr: `message.items.all(i, i.price > 0.0)`}}}, nil)
	o, err := set.Run(t.Context(), Domain, Write, Call{Value: map[string]any{"items": list}})
	if err != nil || o.Stopped != nil {
		t.Errorf("%v, %v", o.Stopped, err)
	}
}
