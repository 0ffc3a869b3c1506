package contract

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/rules"
)

// NewRules returns Rules that are carried out by the engine of package rules, which is made for the first rule set: few have any.
func NewRules() Rules {
	return engine{sync.OnceValues(func() (*rules.Engine, error) { return rules.New(rules.Options{}) })}
}

type engine struct {
	rules func() (*rules.Engine, error)
}

// Prepare implements Rules: of a rule set it takes the conditions that a broker can check.
func (e engine) Prepare(set *schema.RuleSet, m *schema.Metadata) Conditions {
	if set == nil {
		return nil
	}
	only := *set
	only.MigrationRules, only.EncodingRules, only.DomainRules = nil, nil, checkable(set.DomainRules)
	r, err := e.rules()
	if err != nil {
		return noConditions{err}
	}
	prepared := r.Prepare(&only, m)
	if !prepared.Has(rules.Domain, rules.Write) {
		return nil
	}
	return conditions{prepared}
}

// checkable are the conditions that are about the value as it comes to the broker: those after the last transform that a client
// carries out when it writes. What a rule of another type than CEL demands, only clients know.
func checkable(all []schema.Rule) []schema.Rule {
	from := 0
	for i := range all {
		if r := &all[i]; !r.Disabled && !strings.EqualFold(r.Kind, rules.Condition) && writes(r) {
			from = i + 1
		}
	}
	return slices.DeleteFunc(slices.Clone(all[from:]), func(r schema.Rule) bool {
		return !strings.EqualFold(r.Kind, rules.Condition) || r.Type != rules.TypeCEL && r.Type != rules.TypeCELField
	})
}

// writes says whether a rule runs when a record is written.
func writes(r *schema.Rule) bool {
	mode := rules.Mode(strings.ToUpper(r.Mode))
	return mode == "" || mode == rules.Write || mode == rules.WriteRead
}

// noConditions stands for those of an engine that could not be made.
type noConditions struct{ err error }

// Check implements Conditions.
func (c noConditions) Check(context.Context, any, schema.Schema, []int) (*Failure, error) {
	return nil, c.err
}

type conditions struct{ set *rules.Set }

// Check implements Conditions.
func (c conditions) Check(ctx context.Context, value any, s schema.Schema, at []int) (*Failure, error) {
	o, err := c.set.Run(ctx, rules.Domain, rules.Write, rules.Call{Value: value, Schema: s, At: at})
	if err != nil {
		return nil, err
	}
	e := o.Stopped
	if e == nil { // of those that stop nothing, the first that failed
		i := slices.IndexFunc(o.Events, func(e rules.Event) bool { return e.Err != nil })
		if i < 0 {
			return nil, nil
		}
		e = &o.Events[i]
	}
	f := &Failure{Rule: e.Rule.Name, Broken: !errors.Is(e.Err, rules.ErrCondition), Detail: e.Err.Error(), OnFailure: string(e.Action)}
	if e.Field != "" {
		f.Detail = "field " + e.Field + ": " + f.Detail
	}
	return f, nil
}
