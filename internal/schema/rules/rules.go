// Package rules carries out the rule sets that schemas carry, on values in the plain model of package schema, and compiles the
// filters of records that services offer to strangers. The language is CEL.
//
//	Engine ──Prepare(rule set, metadata)──> Set ──Run(phase, mode, call)──> Outcome
//	   └───Filter(expression)──> Filter ──Match(record)──> bool
//
// An Engine is an environment of CEL with limits. A Set is one rule set with its programs, compiled once; whoever has many
// records keeps the Set beside the schema. Both are immutable after they are made and safe for concurrent use; a Set holds no
// state between calls and has no lock.
//
// Expressions come from strangers. What one evaluation may cost is bounded four ways: the size of the expression, its nodes and
// its nesting; a limit on the cost of what it does; a limit on the size of the values that it builds; and the context, which is
// looked at while it loops. Functions that do much at once (replace, join, format, indexOf) are asked first what they would make.
//
// What a rule demands of the caller comes back as data. This package sends nothing to any topic and logs nothing.
//
// Names, modes, guards and actions are those of Confluent's clients (8.x). Known differences: a condition whose expression gives
// no bool fails, where they let it pass; an enum is its symbol; matches() is RE2 and looks for a part, as CEL says, where their
// Java client wants the whole string; the functions on decimals and variants can be registered, but not run.
package rules

import (
	"context"
	"errors"
	"fmt"

	"cel.dev/cel-go/cel"

	"github.com/weir-stream/weir/internal/schema"
)

// Mode is what is being done to a record when rules run.
type Mode string

// The modes. WriteRead and UpDown are modes of rules only: they stand for both of two.
const (
	Write     Mode = "WRITE"
	Read      Mode = "READ"
	WriteRead Mode = "WRITEREAD"
	Upgrade   Mode = "UPGRADE"
	Downgrade Mode = "DOWNGRADE"
	UpDown    Mode = "UPDOWN"
)

// Phase picks one of the three lists of a rule set.
type Phase int

// The phases. Domain rules see the value, encoding rules its bytes ([]byte), migration rules the value between two versions.
const (
	Domain Phase = iota
	Encoding
	Migration
)

// Kinds of rules. A rule that names none is a Transform.
const (
	Condition = "CONDITION"
	Transform = "TRANSFORM"
)

// Types of rules that an Engine carries out itself.
const (
	TypeCEL      = "CEL"
	TypeCELField = "CEL_FIELD"
)

// Action is what a rule demands after it ran. Others than these three are for the caller to know.
type Action string

// The actions. DLQ means that the record goes to a dead letter topic instead.
const (
	None  Action = "NONE"
	Error Action = "ERROR"
	DLQ   Action = "DLQ"
)

// ParamTopic is the parameter of a rule, or the property of the metadata, that names the dead letter topic.
const ParamTopic = "dlq.topic"

// paramIgnoreGuard makes a semicolon in an expression part of it.
const paramIgnoreGuard = "cel.ignore.guard.separator"

// ErrCondition is wrapped by the error of an event whose condition gave false.
var ErrCondition = errors.New("condition is false")

// ErrUnsupported is wrapped by the error of an event whose rule has a type that nobody here can carry out.
var ErrUnsupported = errors.New("rule type is not supported")

// Options of an Engine.
type Options struct {
	// CostLimit bounds one evaluation, in CEL's units: about one for each operation and each ten bytes looked at. Default 300,000:
	// some tenths of a second at worst, and enough for a condition on each of 30,000 items.
	CostLimit uint64
	// Environment is who we are for a rule set that is enabled at one place alone (enableAt): CLIENT, GATEWAY. Default CLIENT.
	Environment string
	// Executors carry out rules of further types: ENCRYPT and the like. They must be safe for concurrent use.
	Executors map[string]Executor
}

// Executor carries out one rule. It returns true or false for a condition, the new value for a transform; the value that
// it is given it must not change.
type Executor func(ctx context.Context, r Request) (any, error)

// Engine compiles rule sets and filters.
type Engine struct {
	opts   Options
	rules  *cel.Env // knows message
	fields *cel.Env // knows value, fullName, name, typeName, tags, message
	filter *cel.Env // knows the parts of a record
}

const defaultCostLimit = 300_000

// New makes an engine. It fails only if the libraries of CEL do not fit together.
func New(o Options) (*Engine, error) {
	if o.CostLimit == 0 {
		o.CostLimit = defaultCostLimit
	}
	if o.Environment == "" {
		o.Environment = "CLIENT"
	}
	base, err := newEnv()
	if err != nil {
		return nil, fmt.Errorf("make CEL environment: %w", err)
	}
	e := &Engine{opts: o}
	if e.rules, err = base.Extend(cel.Variable("message", cel.DynType)); err != nil {
		return nil, fmt.Errorf("make CEL environment of rules: %w", err)
	}
	e.fields, err = base.Extend(cel.Variable("value", cel.DynType), cel.Variable("message", cel.DynType),
		cel.Variable("fullName", cel.StringType), cel.Variable("name", cel.StringType), cel.Variable("typeName", cel.StringType),
		cel.Variable("tags", cel.ListType(cel.StringType)))
	if err != nil {
		return nil, fmt.Errorf("make CEL environment of fields: %w", err)
	}
	if e.filter, err = base.Extend(filterVariables()...); err != nil {
		return nil, fmt.Errorf("make CEL environment of filters: %w", err)
	}
	return e, nil
}

// Call is a record for which rules run.
type Call struct {
	Value  any           // in the plain model; []byte in the encoding phase
	Schema schema.Schema // needed by rules on fields, which walk the value by it
	At     []int         // the message of a Protobuf file; see schema.Schema
}

// Outcome is what running rules has come to.
type Outcome struct {
	Value any // after all transforms; the value given, if a rule stopped the record
	// Stopped is the rule that the record did not pass, nil if it passed all. Its action is not NONE: ERROR refuses the record,
	// DLQ also sends it to Topic.
	Stopped *Event
	// Events are the actions demanded on the way that stop nothing: a success that wants more than NONE, and failures whose action is
	// NONE, in the order of the rules. At most one for each rule.
	Events []Event
}

// Event is one rule that ran and wants something.
type Event struct {
	Rule   *schema.Rule // of the Set: read only
	Mode   Mode
	Action Action
	Topic  string // for DLQ: the parameter dlq.topic, empty if there is none
	Field  string // full name of the field where a rule on fields failed
	Err    error  // why it failed, nil for a success
}
