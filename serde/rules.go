package serde

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/rules"
)

// RuleError is returned for a record that a rule of its schema stopped.
type RuleError struct {
	Rule    string
	Mode    string // WRITE, READ, UPGRADE or DOWNGRADE
	Subject string
	Field   string // where a rule on fields failed, else empty
	// DeadLetterTopic is where the record was sent because the rule demands it, empty if it does not.
	DeadLetterTopic string
	Err             error
}

// Error implements error.
func (e *RuleError) Error() string {
	where := ""
	if e.DeadLetterTopic != "" {
		where = ", the record is in " + e.DeadLetterTopic
	}
	return fmt.Sprintf("%s of a record of %s: %v%s", e.Mode, e.Subject, e.Err, where)
}

// Unwrap returns why the rule failed.
func (e *RuleError) Unwrap() error { return e.Err }

// ErrCondition is what a RuleError wraps whose rule is a condition that was false.
var ErrCondition = rules.ErrCondition

// ErrUnsupportedRule is what a RuleError wraps whose rule is of a type that cannot be carried out here.
var ErrUnsupportedRule = rules.ErrUnsupported

// Header is a record's header.
type Header struct {
	Key   string
	Value []byte
}

// DeadLetter is a record that a rule with the action DLQ stopped.
type DeadLetter struct {
	// Topic is where it belongs: the parameter dlq.topic of the rule.
	Topic string
	// Value is what could not be written, as JSON with encrypted fields blanked out; or the bytes that could not be read, as they came.
	Value []byte
	// Headers say which rule it was and why: __rule.name, __rule.mode, __rule.subject, __rule.topic, __rule.exception.
	Headers []Header
}

// DeadLetters sends dead letters, when rules demand it. Without one, such a rule is an error that says so.
type DeadLetters func(ctx context.Context, d DeadLetter) error

// pass is one record on its way through rules.
type pass struct {
	client  *Client
	topic   string
	subject string
	dead    DeadLetters
	// letter makes the value of a dead letter.
	letter func() ([]byte, error)
}

// run carries out the rules of one phase; what it returns is the new value.
func (p *pass) run(ctx context.Context, s *compiled, phase rules.Phase, m rules.Mode, value any, at []int) (any, error) {
	if !s.rules.Has(phase, m) {
		return value, nil
	}
	out, err := s.rules.Run(withSubject(ctx, p.subject), phase, m, rules.Call{Value: value, Schema: s.parsed, At: at})
	if err != nil {
		return nil, err
	}
	for i := range out.Events {
		if e := &out.Events[i]; e.Action != rules.None {
			return nil, p.stopped(ctx, e)
		}
	}
	if out.Stopped != nil {
		return nil, p.stopped(ctx, out.Stopped)
	}
	return out.Value, nil
}

// stopped does what the action of a rule demands, and returns the error in any case.
func (p *pass) stopped(ctx context.Context, e *rules.Event) error {
	out := &RuleError{Rule: e.Rule.Name, Mode: string(e.Mode), Subject: p.subject, Field: e.Field, Err: e.Err}
	if out.Err == nil {
		out.Err = fmt.Errorf("rule %q: its action on success is %s", e.Rule.Name, e.Action)
	}
	if e.Action != rules.DLQ {
		if e.Action != rules.Error {
			out.Err = fmt.Errorf("%w (its action %s is not known)", out.Err, e.Action)
		}
		return out
	}
	if err := p.bury(ctx, e, out); err != nil {
		out.Err = errors.Join(out.Err, fmt.Errorf("dead letter: %w", err))
		return out
	}
	out.DeadLetterTopic = e.Topic
	return out
}

func (p *pass) bury(ctx context.Context, e *rules.Event, why *RuleError) error {
	switch {
	case e.Topic == "":
		return fmt.Errorf("rule %q names no topic for dead letters (dlq.topic)", e.Rule.Name)
	case p.dead == nil:
		return errors.New("the option DeadLetters is not set")
	}
	value, err := p.letter()
	if err != nil {
		return err
	}
	d := DeadLetter{Topic: e.Topic, Value: value}
	for _, h := range [][2]string{{"__rule.name", e.Rule.Name}, {"__rule.mode", string(e.Mode)}, {"__rule.subject", p.subject}, {"__rule.topic", p.topic}, {"__rule.exception", why.Err.Error()}} {
		d.Headers = append(d.Headers, Header{h[0], []byte(h[1])})
	}
	return p.dead(ctx, d)
}

// redacted is a value as JSON, without what its rules would have encrypted: dead letters are not.
func redacted(s *compiled, value any, at []int) ([]byte, error) {
	if s.RuleSet != nil {
		var tags []string
		all := false
		for _, r := range slices.Concat(s.RuleSet.DomainRules, s.RuleSet.EncodingRules) {
			if r.Disabled {
				continue
			}
			tags = append(tags, r.Tags...)
			all = all || r.Type == "ENCRYPT_PAYLOAD" || r.Type == "ENCRYPT" && len(r.Tags) == 0
			if r.Type != "ENCRYPT" {
				tags = tags[:len(tags)-len(r.Tags)]
			}
		}
		if all {
			return []byte(`"<REDACTED>"`), nil
		}
		if len(tags) > 0 {
			var err error
			if value, err = blank(s, value, at, tags); err != nil {
				return nil, err
			}
		}
	}
	return json.Marshal(value)
}

func blank(s *compiled, value any, at []int, tags []string) (any, error) {
	of := s.rules.Tags
	return s.parsed.Walk(value, at, func(f schema.Field, v any) (any, error) {
		if !slices.ContainsFunc(of(f), func(t string) bool { return slices.Contains(tags, t) }) {
			return v, nil
		}
		if _, ok := v.([]byte); ok {
			return []byte("<REDACTED>"), nil
		}
		return "<REDACTED>", nil
	})
}
