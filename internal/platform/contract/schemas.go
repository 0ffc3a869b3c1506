package contract

import (
	"context"
	"errors"

	"github.com/weir-stream/weir/internal/schema"
)

// Registered is a schema as the registry holds it. It does not change.
type Registered struct {
	ID       int32
	Type     schema.Type
	Source   schema.Source
	Metadata *schema.Metadata
	Rules    *schema.RuleSet
	// Subjects are those of which the schema is a version that is not deleted.
	Subjects []string
}

// Schemas knows what is registered, from memory. Its methods may be called from many goroutines, and but CatchUp none waits.
type Schemas interface {
	// ByID and ByGUID find a schema in the default context.
	ByID(id int32) (Registered, bool)
	ByGUID(guid [16]byte) (Registered, bool)
	// Revision grows whenever a schema or a subject changes. It is -1 while nothing was read.
	Revision() int64
	// CatchUp returns once everything is known that was registered before the call. It fails where that cannot be had, and when
	// ctx ends.
	CatchUp(ctx context.Context) error
}

// ErrUnavailable is wrapped by errors that say that schemas cannot be had now.
var ErrUnavailable = errors.New("the schemas of the registry cannot be had")

// Conditions are the conditions of one rule set.
type Conditions interface {
	// Check returns the first condition that does not hold, or nil. An error is that of ctx.
	Check(ctx context.Context, value any, s schema.Schema, at []int) (*Failure, error)
}

// Failure is a condition that does not hold.
type Failure struct {
	Rule string
	// Broken: it could not be evaluated.
	Broken bool
	Detail string
	// OnFailure is NONE, ERROR or DLQ.
	OnFailure string
}

// Rules compiles rule sets.
type Rules interface {
	// Prepare returns the conditions of a rule set that can be checked; nil if there are none.
	Prepare(set *schema.RuleSet, m *schema.Metadata) Conditions
}
