package rules

import (
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	one := func(r schema.Rule) *schema.RuleSet { return &schema.RuleSet{DomainRules: []schema.Rule{r}} }
	tests := []struct {
		name string
		set  *schema.RuleSet
		want string // empty: right
	}{
		{"nothing", nil, ""},
		{"empty", &schema.RuleSet{}, ""},
		{"condition", one(schema.Rule{Name: "a1_", Kind: "CONDITION", Mode: "WRITE", Type: "CEL", Expr: "message.a > 1"}), ""},
		{"with a guard", one(schema.Rule{Name: "a", Kind: "CONDITION", Type: "CEL_FIELD", Expr: "name == 'a' ; value > 1"}), ""},
		{"type of clients", one(schema.Rule{Name: "a", Kind: "TRANSFORM", Mode: "WRITEREAD", Type: "ENCRYPT"}), ""},
		{"JSONATA is for clients", &schema.RuleSet{MigrationRules: []schema.Rule{{Name: "a", Mode: "UPGRADE", Type: "JSONATA", Expr: "$merge([])"}}}, ""},
		{"functions of clients", one(schema.Rule{Name: "a", Kind: "CONDITION", Type: "CEL", Expr: "decimals.gt(decimal(message.a), decimal('1.5'))"}), ""},
		{"disabled rules are checked", one(schema.Rule{Name: "a", Type: "CEL", Expr: "(", Disabled: true}), "Syntax error"},
		{"no name", one(schema.Rule{Type: "CEL", Expr: "1"}), "missing rule name"},
		{"wrong name", one(schema.Rule{Name: "a-b", Type: "CEL", Expr: "1"}), "illegal character '-'"},
		{"name with a digit first", one(schema.Rule{Name: "1a", Type: "CEL", Expr: "1"}), "illegal character '1'"},
		{"no type", one(schema.Rule{Name: "a"}), "missing rule type"},
		{"wrong kind", one(schema.Rule{Name: "a", Kind: "MAYBE", Type: "X"}), `kind "MAYBE"`},
		{"mode of the other list", one(schema.Rule{Name: "a", Mode: "UPGRADE", Type: "X"}), "domain rules can only be WRITE, READ, WRITEREAD"},
		{"mode of the other list, migration", &schema.RuleSet{MigrationRules: []schema.Rule{{Name: "a", Mode: "WRITE", Type: "X"}}}, "migration rules can only be UPGRADE, DOWNGRADE, UPDOWN"},
		{"encoding", &schema.RuleSet{EncodingRules: []schema.Rule{{Name: "a", Mode: "UPDOWN", Type: "X"}}}, "encoding rules can only be"},
		{"twice", &schema.RuleSet{DomainRules: []schema.Rule{{Name: "a", Type: "X"}, {Name: "a", Type: "X"}}}, `duplicate name "a"`},
		{"the same name in two lists", &schema.RuleSet{DomainRules: []schema.Rule{{Name: "a", Type: "X"}}, EncodingRules: []schema.Rule{{Name: "a", Type: "X"}}}, ""},
		{"syntax", one(schema.Rule{Name: "a", Type: "CEL", Expr: "message."}), "Syntax error"},
		{"unknown function", one(schema.Rule{Name: "a", Type: "CEL", Expr: "shout(message)"}), "undeclared reference to 'shout'"},
		{"variable of fields", one(schema.Rule{Name: "a", Type: "CEL", Expr: "value"}), "undeclared reference to 'value'"},
		{"condition that cannot be one", one(schema.Rule{Name: "a", Kind: "CONDITION", Type: "CEL", Expr: "'x'"}), "the condition gives string"},
		{"guard that cannot be one", one(schema.Rule{Name: "a", Kind: "CONDITION", Type: "CEL_FIELD", Expr: "name ; true"}), "the guard gives string"},
		{"too many", &schema.RuleSet{DomainRules: make([]schema.Rule, maxRules+1)}, "at most 1000"},
		{"pattern", one(schema.Rule{Name: "a", Kind: "CONDITION", Type: "CEL_FIELD", Expr: "value.matches('(')"}), "missing closing"},
	}
	e := newEngine(t, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := e.Check(tt.set)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestMatchName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		glob, name string
		want       bool
	}{
		{"eve", "eve", true},
		{"eve", "even", false},
		{"eve*", "eve", true},
		{"a*.bob.e*", "alice.bob.eve", true},
		{"a*", "alice.bob.eve", false},
		{"a**", "alice.bob.eve", true},
		{"alice.bob*", "alice.bob.eve", false},
		{"**.eve", "alice.bob.eve", true},
		{"**", "", true},
		{"?ve", "eve", true},
		{"a?b", "a.b", false},
		{"?", "ü", true},
		{`a\*`, "a*", true},
		{`a\*`, "ab", false},
		{`a\`, `a\`, true},
		{"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
		{"", "a", false},
	} {
		if got := newTagger(map[string][]string{tt.glob: {"T"}}).add(tt.name, nil); (len(got) == 1) != tt.want {
			t.Errorf("%q on %q: %v, want %v", tt.glob, tt.name, got, tt.want)
		}
	}
}

// TestTagsOfTheSchemaStay: adding tags does not write behind the slice that belongs to the schema.
func TestTagsOfTheSchemaStay(t *testing.T) {
	t.Parallel()
	own := make([]string, 1, 4)
	own[0] = "A"
	g := newTagger(map[string][]string{"x": {"A", "B"}, "*": {"B", "C"}})
	if got := strings.Join(g.add("x", own), ""); got != "ABC" {
		t.Errorf("tags %q, want ABC", got)
	}
	if own[:2][1] != "" {
		t.Errorf("wrote %q behind the schema's tags", own[:2][1])
	}
}
