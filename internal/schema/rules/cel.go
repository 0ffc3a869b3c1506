package rules

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/weir-stream/weir/internal/schema"
)

// Limits of an expression, and of what its evaluation builds.
const (
	MaxExpressionBytes = 64 << 10
	maxNodes           = 10_000 // after macros are expanded
	maxNesting         = 100
	maxRegexProgram    = 500       // instructions: with RE2 the time is at most this times the text
	maxElements        = 500_000   // of one value that an expression with loops builds; 64 bytes of text count as one
	maxCallsFree       = 32        // calls in an expression without loops, up to which its cost is not reckoned
	interruptEvery     = 100       // turns of a loop between looks at the context
	maxMade            = 8 << 20   // bytes that one call of replace, join or format may make
	maxSearch          = 256 << 20 // comparisons that one call of indexOf or lastIndexOf may take
)

// program is a compiled expression.
type program struct {
	run    cel.Program
	result *cel.Type
	loops  bool // only then there is anything that a context could end
}

// compile checks and plans one expression. Its errors name line and column.
func (e *Engine) compile(env *cel.Env, expr string) (*program, *cel.Ast, error) {
	if len(expr) > MaxExpressionBytes {
		return nil, nil, fmt.Errorf("the expression has %d bytes, at most %d are allowed", len(expr), MaxExpressionBytes)
	}
	if strings.TrimSpace(expr) == "" {
		return nil, nil, errors.New("the expression is empty")
	}
	checked, issues := env.Compile(expr)
	if err := issues.Err(); err != nil {
		return nil, nil, err
	}
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize), guarded(env)}
	looping, calls := shape(checked)
	if looping || calls > maxCallsFree {
		// Reckoning the cost takes longer than what most rules do. Without loops, each of a few calls runs once and takes at most
		// a walk over the record: there is nothing to stop.
		opts = append(opts, cel.CostLimit(e.opts.CostLimit), cel.InterruptCheckFrequency(interruptEvery))
	}
	if looping {
		// Only a loop can build more than the expression writes down: a list of lists of lists that share their elements
		// costs little to make and for ever to compare.
		opts = append(opts, cel.MemoryLimit(maxElements), cel.MemoryTracking(types.MemoryTrackerSizeCalculator(types.NewSizeCalculator(
			types.SizeCalculatorMaxDepth(schema.MaxDepth), types.SizeCalculatorMaxTraversal(maxElements), types.SizeCalculatorStringUnitLength(64)))))
	}
	run, err := env.Program(checked, opts...)
	if err != nil {
		return nil, nil, err
	}
	return &program{run: run, result: checked.OutputType(), loops: looping}, checked, nil
}

// shape says whether a checked expression has a comprehension in it (all, exists, map, filter), and how many calls.
func shape(checked *cel.Ast) (looping bool, calls int) {
	for _, e := range ast.MatchDescendants(ast.NavigateAST(checked.NativeRep()), ast.AllMatcher()) {
		switch e.Kind() {
		case ast.ComprehensionKind:
			looping = true
		case ast.CallKind:
			calls++
		}
	}
	return looping, calls
}

// eval runs a program and returns its result in the plain model.
func (p *program) eval(ctx context.Context, vars cel.Activation) (any, error) {
	var out ref.Val
	var err error
	if p.loops {
		out, _, err = p.run.ContextEval(ctx, vars)
	} else {
		out, _, err = p.run.Eval(vars)
	}
	if err != nil {
		return nil, err
	}
	switch v := out.(type) { // what nearly all expressions give
	case types.Bool:
		return bool(v), nil
	case types.String:
		return string(v), nil
	}
	return toPlain(out)
}

// guardedProgram is an expression of a rule: what stands before the first semicolon says whether the rest is evaluated at all.
type guardedProgram struct {
	guard, body *program
}

func (s *Set) compileGuarded(env *cel.Env, r *schema.Rule) (guardedProgram, error) {
	var g guardedProgram
	expr := r.Expr
	if guard, rest, found := strings.Cut(expr, ";"); found && !strings.EqualFold(s.param(r, paramIgnoreGuard), "true") {
		expr = rest
		if strings.TrimSpace(guard) != "" {
			p, _, err := s.engine.compile(env, guard)
			if err != nil {
				return g, fmt.Errorf("rule %q: guard: %w", r.Name, err)
			}
			g.guard = p
		}
	}
	p, _, err := s.engine.compile(env, expr)
	if err != nil {
		return g, fmt.Errorf("rule %q: %w", r.Name, err)
	}
	g.body = p
	return g, nil
}

// eval returns skip if the guard is false; a guard that fails is false.
func (g guardedProgram) eval(ctx context.Context, vars cel.Activation) (out any, skip bool, err error) {
	if g.guard != nil {
		if ok, err := g.guard.eval(ctx, vars); err != nil || ok == false {
			return nil, true, ctx.Err()
		}
	}
	out, err = g.body.eval(ctx, vars)
	return out, false, err
}

// compileMessage makes the executor of a rule of type CEL.
func (s *Set) compileMessage(r *schema.Rule, kind string) (Executor, error) {
	g, err := s.compileGuarded(s.engine.rules, r)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, q Request) (any, error) {
		out, skip, err := g.eval(ctx, messageVars{q.Value})
		switch {
		case err != nil:
			return nil, fmt.Errorf("rule %q: %w", q.Rule.Name, err)
		case skip && kind == Condition:
			return true, nil
		case skip:
			return q.Value, nil
		}
		return out, nil
	}, nil
}

// compileField makes the executor of a rule of type CEL_FIELD.
func (s *Set) compileField(r *schema.Rule, kind string) (Executor, error) {
	g, err := s.compileGuarded(s.engine.fields, r)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, q Request) (any, error) {
		out, err := q.Fields(func(f schema.Field, v any) (any, error) {
			if v == nil || !primitive(f.Type) {
				return v, nil
			}
			got, skip, err := g.eval(ctx, &fieldVars{field: f, value: v})
			switch {
			case err != nil:
				return nil, err
			case skip:
				return v, nil
			case kind != Condition:
				return asField(f, v, got)
			case got == false:
				return nil, ErrCondition
			case got != true:
				return nil, fmt.Errorf("a condition gives true or false, this one gave %s", describe(got))
			}
			return v, nil
		})
		if err != nil && errors.Is(err, ErrCondition) {
			if f, ok := asFieldError(err); ok {
				return nil, &fieldError{f.field, conditionError(q.Rule)}
			}
		}
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", q.Rule.Name, err)
		}
		if kind == Condition {
			return true, nil
		}
		return out, nil
	}, nil
}

// primitive says whether rules on fields apply to a type: enums and fixed are left alone, as upstream does.
func primitive(t string) bool { return t != "ENUM" && t != "FIXED" }

// messageVars is the activation of a rule on a message.
type messageVars struct{ message any }

func (m messageVars) ResolveName(name string) (any, bool) {
	if name != "message" {
		return nil, false
	}
	return toCEL(m.message), true
}

func (messageVars) Parent() cel.Activation { return nil }

// fieldVars is the activation of a rule on a field.
type fieldVars struct {
	field schema.Field
	value any
}

func (f *fieldVars) ResolveName(name string) (any, bool) {
	switch name {
	case "value":
		return toCEL(f.value), true
	case "message":
		return toCEL(f.field.Message), true
	case "fullName":
		return f.field.FullName, true
	case "name":
		return f.field.Name, true
	case "typeName":
		return f.field.Type, true
	case "tags":
		if f.field.Tags == nil {
			return []string{}, true
		}
		return f.field.Tags, true
	}
	return nil, false
}

func (*fieldVars) Parent() cel.Activation { return nil }
