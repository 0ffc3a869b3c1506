// Package jsonata carries out rules of schemas that are written in JSONata, for package rules: Rules.Run is an Executor of it.
//
//	value in the plain model ──numbers as their text──> gnata ──> value in the plain model
//
// It is for clients, who choose whose schemas they read, and not for brokers: an evaluation is bounded in time, in depth of calls and in the size of its expression and
// of its result, but the library does not bound what it builds on the way (docs/design/0035).
//
// Numbers keep all their digits as long as an expression does not calculate with them; what it calculates are 64-bit floats, as in JavaScript. Bytes can be moved and not
// looked into. Fields that an expression does not name are gone, as JSONata has it: $merge([$, {...}]) keeps them.
//
// Expressions are compiled once. A Rules may be used by many goroutines; its mutex guards the compiled ones and is a leaf.
package jsonata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/recolabs/gnata"

	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/rules"
)

// Type is that of rules in JSONata.
const Type = "JSONATA"

// Bounds of an evaluation.
const (
	timeLimit   = time.Second
	maxNesting  = 500 // brackets that are open at once in an expression
	maxElements = 500_000
	maxCompiled = 1000 // expressions that are kept
)

// ErrTime is wrapped by the error of an evaluation that took longer than a second.
var ErrTime = errors.New("the expression takes too long")

// Rules keeps the compiled expressions.
type Rules struct {
	mu       sync.Mutex
	compiled map[string]result
}

// result is of a compilation.
type result struct {
	expr *gnata.Expression
	err  error
}

// New returns Rules that know no expression yet.
func New() *Rules { return &Rules{compiled: map[string]result{}} }

// Run carries out one rule. Nothing, JSONata's undefined, is nil.
func (r *Rules) Run(ctx context.Context, q rules.Request) (any, error) {
	expr, err := r.compile(q.Rule.Expr)
	if err != nil {
		return nil, fmt.Errorf("rule %q: %w", q.Rule.Name, err)
	}
	in, err := toJSONata(q.Value, 0)
	if err != nil {
		return nil, fmt.Errorf("rule %q: %w", q.Rule.Name, err)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, timeLimit, ErrTime)
	defer cancel()
	out, err := expr.Eval(bounded, in)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case bounded.Err() != nil:
		return nil, fmt.Errorf("rule %q: %w", q.Rule.Name, context.Cause(bounded))
	case err != nil:
		return nil, fmt.Errorf("rule %q: %w", q.Rule.Name, err)
	}
	left := maxElements
	if out, err = toPlain(gnata.NormalizeValue(out), 0, &left); err != nil {
		return nil, fmt.Errorf("rule %q: %w", q.Rule.Name, err)
	}
	return out, nil
}

func (r *Rules) compile(text string) (*gnata.Expression, error) {
	r.mu.Lock()
	known, ok := r.compiled[text]
	r.mu.Unlock()
	if ok {
		return known.expr, known.err
	}
	if err := check(text); err != nil {
		return nil, err
	}
	var c result
	c.expr, c.err = gnata.Compile(text)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.compiled) >= maxCompiled {
		clear(r.compiled)
	}
	r.compiled[text] = c
	return c.expr, c.err
}

// check refuses what the parser, which calls itself for each bracket and each operator before an operand, would need a deep stack for.
func check(text string) error {
	if len(text) > rules.MaxExpressionBytes {
		return fmt.Errorf("the expression has %d bytes, at most %d are allowed", len(text), rules.MaxExpressionBytes)
	}
	if strings.TrimSpace(text) == "" {
		return errors.New("the expression is empty")
	}
	open := 0
	for i := range len(text) {
		switch text[i] {
		case '(', '[', '{', '-', '?', '|':
			open++
		case ')', ']', '}':
			open = max(open-1, 0)
		}
		if open > maxNesting {
			return fmt.Errorf("the expression is nested deeper than %d", maxNesting)
		}
	}
	return nil
}

// toJSONata copies a value, with whole numbers as texts of numbers: the library calculates with floats, and keeps what it does not calculate with.
func toJSONata(v any, depth int) (any, error) {
	if depth > schema.MaxDepth {
		return nil, fmt.Errorf("the value is nested deeper than %d", schema.MaxDepth)
	}
	var err error
	switch x := v.(type) {
	case int64:
		return json.Number(strconv.FormatInt(x, 10)), nil
	case uint64:
		return json.Number(strconv.FormatUint(x, 10)), nil
	case []any:
		out := make([]any, len(x))
		for i := range x {
			if out[i], err = toJSONata(x[i], depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			if out[k], err = toJSONata(e, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// toPlain brings a result into the plain model. Parts of it may be shared; each counts each time.
func toPlain(v any, depth int, left *int) (any, error) {
	if *left--; *left < 0 {
		return nil, fmt.Errorf("the result has more than %d values", maxElements)
	}
	if depth > schema.MaxDepth {
		return nil, fmt.Errorf("the result is nested deeper than %d", schema.MaxDepth)
	}
	var err error
	switch x := v.(type) {
	case nil, bool, string, []byte:
		return v, nil
	case json.Number:
		return number(string(x))
	case float64:
		if x == math.Trunc(x) && math.Abs(x) <= 1<<53 {
			return int64(x), nil
		}
		return x, nil
	case int:
		return int64(x), nil
	case []any:
		out := make([]any, len(x))
		for i := range x {
			if out[i], err = toPlain(x[i], depth+1, left); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			if out[k], err = toPlain(e, depth+1, left); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("a result of type %T has no place in a record", v)
}

// number reads a number of the kind that holds it.
func number(text string) (any, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, fmt.Errorf("a number that is none: %w", err)
	}
	return n, nil
}
