package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

// Run carries out the rules of a phase that run in the mode m: in their order when m is WRITE or UPGRADE, in the reverse order
// when it is READ or DOWNGRADE. The first rule whose failure is not to be ignored ends it.
//
// The error is that of ctx; all else is in the outcome.
func (s *Set) Run(ctx context.Context, p Phase, m Mode, c Call) (Outcome, error) {
	list := s.list(p)
	o := Outcome{Value: c.Value}
	for i := range list {
		r := list[i]
		if !m.up() {
			r = list[len(list)-1-i]
		}
		if !r.mode.covers(m) {
			continue
		}
		if err := s.one(ctx, r, m, c, &o); err != nil {
			return Outcome{Value: c.Value}, err
		}
		if o.Stopped != nil {
			o.Value = c.Value
			return o, nil
		}
	}
	return o, nil
}

// one carries out one rule and notes in o what has come of it.
func (s *Set) one(ctx context.Context, r *prepared, m Mode, c Call, o *Outcome) error {
	req := Request{Rule: &r.rule, Mode: m, Value: o.Value, Schema: c.Schema, At: c.At, set: s}
	result, err := any(nil), r.err
	if err == nil {
		if r.shadowed {
			return nil
		}
		result, err = r.run(ctx, req)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("rule %q: %w", r.rule.Name, context.Cause(ctx))
	}
	if err == nil {
		err = verdict(r, result, o)
	}
	if err == nil {
		if a := s.action(r, m, r.rule.OnSuccess, None); a != None {
			o.Events = append(o.Events, s.event(r, m, a, nil))
		}
		return nil
	}
	e := s.event(r, m, s.action(r, m, r.rule.OnFailure, Error), err)
	if e.Action == None {
		o.Events = append(o.Events, e)
	} else {
		o.Stopped = &e
	}
	return nil
}

// verdict takes over the result of a rule, or says why it is none.
func verdict(r *prepared, result any, o *Outcome) error {
	if r.kind == Condition {
		ok, isBool := result.(bool)
		switch {
		case !isBool:
			return fmt.Errorf("rule %q: a condition gives true or false, this one gave %s", r.rule.Name, describe(result))
		case !ok:
			return conditionError(&r.rule)
		}
		return nil
	}
	if result == nil {
		return fmt.Errorf("rule %q: the transform gave null in the place of the message", r.rule.Name)
	}
	if _, was := o.Value.(map[string]any); was {
		if _, is := result.(map[string]any); !is {
			return fmt.Errorf("rule %q: the transform gave %s in the place of the message, which is an object", r.rule.Name, describe(result))
		}
	}
	o.Value = result
	return nil
}

// conditionError says which condition is false, in the words of its author if there are any.
func conditionError(r *schema.Rule) error {
	switch {
	case r.Doc != "":
		return fmt.Errorf("rule %q: %s: %w", r.Name, r.Doc, ErrCondition)
	case r.Expr != "":
		return fmt.Errorf("rule %q: %w: %s", r.Name, ErrCondition, strings.TrimSpace(r.Expr))
	}
	return fmt.Errorf("rule %q: %w", r.Name, ErrCondition)
}

func (s *Set) event(r *prepared, m Mode, a Action, err error) Event {
	e := Event{Rule: &r.rule, Mode: m, Action: a, Err: err}
	if a == DLQ {
		e.Topic = s.param(&r.rule, ParamTopic)
	}
	if f, ok := asFieldError(err); ok {
		e.Field = f.field
	}
	return e
}

// action finds what a rule demands: a rule for two modes may name two actions with a comma between, the first for WRITE or UPGRADE.
func (s *Set) action(r *prepared, m Mode, text string, otherwise Action) Action {
	if first, second, two := strings.Cut(text, ","); two && (r.mode == WriteRead || r.mode == UpDown) {
		text = second
		if m.up() {
			text = first
		}
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return otherwise
	}
	if a := Action(strings.ToUpper(text)); a == None || a == Error || a == DLQ {
		return a
	}
	return Action(text)
}

func (s *Set) param(r *schema.Rule, name string) string {
	if v, ok := r.Params[name]; ok {
		return v
	}
	return s.meta.Properties[name]
}

// Tags are those of a field: its own, and those that the metadata gives it.
func (s *Set) Tags(f schema.Field) []string { return s.tags.add(f.FullName, f.Tags) }

// Request is what an Executor gets.
type Request struct {
	Rule   *schema.Rule // read only
	Mode   Mode
	Value  any // what earlier rules have left of the value
	Schema schema.Schema
	At     []int

	set *Set
}

// Param is a parameter of the rule, or else the property of the metadata with this name, or empty.
func (r Request) Param(name string) string { return r.set.param(r.Rule, name) }

// Fields walks the value by its schema and hands visit each scalar field that the rule is about: all, or those with one of the
// rule's tags. The tags that visit sees are those of the schema and of the metadata. The returned value has in it what visit
// returned; the error of visit ends the walk and is returned with the name of the field.
func (r Request) Fields(visit func(schema.Field, any) (any, error)) (any, error) {
	if r.Schema == nil {
		return nil, fmt.Errorf("rule %q: rules of type %s need the schema of the value", r.Rule.Name, r.Rule.Type)
	}
	return r.Schema.Walk(r.Value, r.At, func(f schema.Field, v any) (any, error) {
		f.Tags = r.set.tags.add(f.FullName, f.Tags)
		if len(r.Rule.Tags) > 0 && !slices.ContainsFunc(f.Tags, func(t string) bool { return slices.Contains(r.Rule.Tags, t) }) {
			return v, nil
		}
		out, err := visit(f, v)
		if err != nil {
			return nil, &fieldError{field: f.FullName, err: err}
		}
		return out, nil
	})
}
