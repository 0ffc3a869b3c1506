package rules

import (
	"context"
	"fmt"
	"time"

	"cel.dev/cel-go/cel"
)

// Record is what a Filter looks at. Key and Value are in the plain model, decoded by whoever knows how; a filter that does not
// look at one of them (see Uses) does not need it.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time
	Key       any
	Value     any
	Headers   []Header
}

// Header is a header of a record. Its value is a string for the expression if it is UTF-8, else bytes, or null.
type Header struct {
	Key   string
	Value any
}

// Filter is a compiled predicate over records. It is safe for concurrent use.
type Filter struct {
	program *program
	uses    map[string]bool
}

func filterVariables() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Variable("topic", cel.StringType), cel.Variable("partition", cel.IntType), cel.Variable("offset", cel.IntType),
		cel.Variable("timestamp", cel.TimestampType), cel.Variable("key", cel.DynType), cel.Variable("value", cel.DynType),
		cel.Variable("headers", cel.MapType(cel.StringType, cel.DynType)),
	}
}

// Filter compiles a predicate over the variables key, value, headers (a map; of equal headers the last), topic, partition, offset
// and timestamp. The error is fit to be shown to whoever wrote the expression.
func (e *Engine) Filter(expr string) (*Filter, error) {
	p, checked, err := e.compile(e.filter, expr)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	if !mayBeBool(p.result) {
		return nil, fmt.Errorf("filter: the expression gives %s, not bool", p.result)
	}
	f := &Filter{program: p, uses: map[string]bool{}}
	for _, r := range checked.NativeRep().ReferenceMap() {
		f.uses[r.Name] = true
	}
	return f, nil
}

// Uses says whether the expression looks at a variable: who decodes keys and values can leave out what nobody asks for.
func (f *Filter) Uses(variable string) bool { return f.uses[variable] }

// Match says whether the record passes. An error means that the expression could not be evaluated on this record (a field that is
// not there, say) and comes with false; ctx ends long evaluations.
func (f *Filter) Match(ctx context.Context, r *Record) (bool, error) {
	out, err := f.program.eval(ctx, (*recordVars)(r))
	if err != nil {
		return false, fmt.Errorf("filter: %w", err)
	}
	ok, isBool := out.(bool)
	if !isBool {
		return false, fmt.Errorf("filter: the expression gave %s, not a bool", describe(out))
	}
	return ok, nil
}

// recordVars is a record as an activation.
type recordVars Record

func (r *recordVars) ResolveName(name string) (any, bool) {
	switch name {
	case "topic":
		return r.Topic, true
	case "partition":
		return int64(r.Partition), true
	case "offset":
		return r.Offset, true
	case "timestamp":
		return r.Timestamp, true
	case "key":
		return toCEL(r.Key), true
	case "value":
		return toCEL(r.Value), true
	case "headers":
		m := make(map[string]any, len(r.Headers))
		for _, h := range r.Headers {
			m[h.Key] = toCEL(h.Value)
		}
		return m, true
	}
	return nil, false
}

func (*recordVars) Parent() cel.Activation { return nil }
