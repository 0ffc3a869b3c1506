package rules

import (
	"fmt"
	"unicode"

	"cel.dev/cel-go/cel"

	"github.com/weir-stream/weir/internal/schema"
)

// maxRules bounds one list of a rule set.
const maxRules = 1000

// Check says what is wrong with a rule set that somebody wants to register: names that are missing, wrong or there twice, kinds
// and modes that do not exist or are not of their list, and CEL that does not compile. Rules of other types are carried out
// by clients: that nobody here knows them is no fault. A nil rule set is right.
func (e *Engine) Check(rs *schema.RuleSet) error {
	if rs == nil {
		return nil
	}
	s := &Set{engine: e}
	if err := s.checkList("migration", rs.MigrationRules, Upgrade, Downgrade, UpDown); err != nil {
		return err
	}
	if err := s.checkList("domain", rs.DomainRules, Write, Read, WriteRead); err != nil {
		return err
	}
	return s.checkList("encoding", rs.EncodingRules, Write, Read, WriteRead)
}

func (s *Set) checkList(what string, list []schema.Rule, a, b, both Mode) error {
	if len(list) > maxRules {
		return fmt.Errorf("%d %s rules, at most %d are allowed", len(list), what, maxRules)
	}
	names := map[string]bool{}
	for i := range list {
		r := &list[i]
		if err := checkName(r.Name); err != nil {
			return fmt.Errorf("%s rule %d: %w", what, i+1, err)
		}
		if names[r.Name] {
			return fmt.Errorf("found rule with duplicate name %q", r.Name)
		}
		names[r.Name] = true
		if m := modeOf(r); m != a && m != b && m != both {
			return fmt.Errorf("rule %q: %s rules can only be %s, %s, %s, not %s", r.Name, what, a, b, both, m)
		}
		if err := s.checkRule(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) checkRule(r *schema.Rule) error {
	kind := kindOf(r)
	if kind != Condition && kind != Transform {
		return fmt.Errorf("rule %q: kind %q: a rule is a CONDITION or a TRANSFORM", r.Name, r.Kind)
	}
	env := s.engine.rules
	switch r.Type {
	case "":
		return fmt.Errorf("rule %q: missing rule type", r.Name)
	case TypeCEL:
	case TypeCELField:
		env = s.engine.fields
	default:
		return nil
	}
	g, err := s.compileGuarded(env, r)
	if err != nil {
		return err
	}
	if g.guard != nil && !mayBeBool(g.guard.result) {
		return fmt.Errorf("rule %q: the guard gives %s, not bool", r.Name, g.guard.result)
	}
	if kind == Condition && !mayBeBool(g.body.result) {
		return fmt.Errorf("rule %q: the condition gives %s, not bool", r.Name, g.body.result)
	}
	return nil
}

func mayBeBool(t *cel.Type) bool {
	return t.IsExactType(cel.BoolType) || t.IsExactType(cel.DynType)
}

// checkName follows upstream: a letter or underscore, then letters, digits and underscores.
func checkName(name string) error {
	if name == "" {
		return fmt.Errorf("missing rule name")
	}
	for i, c := range name {
		if c != '_' && !unicode.IsLetter(c) && (i == 0 || !unicode.IsDigit(c)) {
			return fmt.Errorf("illegal character %q in rule name %q", c, name)
		}
	}
	return nil
}
