// Package service runs the parts of a program together: each from its start to its end, in the order in which
// they need each other.
//
// A [Service] is anything with a Run. A [Group] is a Service made of named ones. It starts a member once all
// that it needs are ready, and is ready itself once all are. When its context ends, or when a member ends
// before its time, it stops the members in the opposite order: each gets its context ended once all that
// need it have returned, and then has a deadline. The Group returns after all members have; only a member that
// overruns its deadline is left behind, with [ErrDeadline], since waiting for it would hang the program.
//
//	meta ◄── topics ◄── broker        starts left to right, stops right to left
//
// One goroutine, the one in Group.Run, owns the state of the group; members tell it what happened through
// a channel. A Group starts one goroutine for each member.
package service

import "context"

// Service is a part that runs.
type Service interface {
	// Run does the work. It calls ready once, when others may lean on it; a service that ends early need not.
	// It returns after everything that it started has ended: nil or the context's error if ctx ended, else why
	// it cannot go on. It tolerates an ended ctx at any point.
	Run(ctx context.Context, ready func()) error
}

// Func is a function that is a Service.
type Func func(ctx context.Context, ready func()) error

// Run implements Service.
func (f Func) Run(ctx context.Context, ready func()) error { return f(ctx, ready) }
