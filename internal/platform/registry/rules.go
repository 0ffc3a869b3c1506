package registry

import (
	"regexp"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema"
)

// ruleName is what a rule may be called, as Confluent has it: letters, digits, _ and -, not a digit first.
var ruleName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// maxRules bounds a set of rules.
const maxRules = 1000

// validateRuleSet refuses rules that no client could follow.
func validateRuleSet(s *schema.RuleSet) error {
	if s == nil {
		return nil
	}
	if len(s.MigrationRules)+len(s.DomainRules)+len(s.EncodingRules) > maxRules {
		return errInvalidRuleSet("There are more than %d rules", maxRules)
	}
	names := map[string]bool{}
	for _, part := range []struct {
		rules []schema.Rule
		modes []string
		text  string
	}{
		{s.MigrationRules, []string{"UPGRADE", "DOWNGRADE", "UPDOWN"}, "Migration rules can only be UPGRADE, DOWNGRADE, UPDOWN"},
		{s.DomainRules, []string{"WRITE", "READ", "WRITEREAD"}, "Domain rules can only be WRITE, READ, WRITEREAD"},
		{s.EncodingRules, []string{"WRITE", "READ", "WRITEREAD"}, "Encoding rules can only be WRITE, READ, WRITEREAD"},
	} {
		for i := range part.rules {
			rule := &part.rules[i]
			if names[rule.Name] {
				return errInvalidRuleSet("Found rule with duplicate name '%s'", rule.Name)
			}
			names[rule.Name] = true
			if err := validateRule(rule); err != nil {
				return err
			}
			if !slices.Contains(part.modes, strings.ToUpper(rule.Mode)) {
				return errInvalidRuleSet("%s", part.text)
			}
		}
	}
	return nil
}

func validateRule(r *schema.Rule) error {
	switch {
	case r.Name == "":
		return errInvalidRuleSet("Missing rule name")
	case len(r.Name) > 64:
		return errInvalidRuleSet("Rule name '%s' is too long, the most are 64 characters", r.Name)
	case !ruleName.MatchString(r.Name):
		return errInvalidRuleSet("Illegal rule name '%s': letters, digits, _ and -, and no digit first", r.Name)
	case r.Type == "":
		return errInvalidRuleSet("Missing rule type")
	case r.Kind != "" && r.Kind != "TRANSFORM" && r.Kind != "CONDITION":
		return errInvalidRuleSet("Illegal rule kind '%s': TRANSFORM or CONDITION", r.Kind)
	}
	for _, action := range []string{r.OnSuccess, r.OnFailure} {
		if n := strings.Count(action, ","); n > 1 || n == 1 && r.Mode != "WRITEREAD" && r.Mode != "UPDOWN" {
			return errInvalidRuleSet("Multiple actions '%s' are only for WRITEREAD and UPDOWN", action)
		}
	}
	return nil
}

// hasRuleType tells whether a rule of a type is in a set.
func hasRuleType(s *schema.RuleSet, kind string) bool {
	if s == nil {
		return false
	}
	is := func(r schema.Rule) bool { return strings.EqualFold(r.Type, kind) }
	return slices.ContainsFunc(s.MigrationRules, is) || slices.ContainsFunc(s.DomainRules, is) || slices.ContainsFunc(s.EncodingRules, is)
}

// isAssociated tells whether a subject belongs to a resource.
func isAssociated(s *state.State, subject string) bool {
	return len(s.Associations(func(a *state.Association) bool { return state.Normalize(a.Subject) == subject })) > 0
}

// strongReference refuses a reference to a subject that a resource has for itself.
func strongReference(s *state.State, subject string, refs []schema.Reference) error {
	for _, ref := range refs {
		name := state.Qualify(subject, ref.Subject)
		if len(s.Associations(func(a *state.Association) bool { return a.Lifecycle == strong && state.Normalize(a.Subject) == name })) > 0 {
			return errNotPermitted("Subject '%s' has a strong association and cannot be referenced", ref.Subject)
		}
	}
	return nil
}

const (
	strong = "STRONG"
	weak   = "WEAK"
)
