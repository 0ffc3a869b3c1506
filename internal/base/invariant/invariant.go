// Package invariant checks, while a program runs, what must always hold in it: that an offset never goes
// back, that a list is sorted. A broken one is a bug in Weir, never a fault of a peer, a disk or a user;
// those are errors.
//
// The checks are there with the build tag "invariants", which tests set, and gone without it. The arguments
// of [Check] are evaluated all the same, so a check that costs more than a comparison stands inside
//
//	if invariant.Enabled { ... }
//
// which the compiler drops. Everything may be called from any goroutine.
package invariant

import "fmt"

// Check panics with the text, formatted as by fmt.Sprintf, if cond is false and [Enabled] is set. Otherwise it
// does nothing.
func Check(cond bool, format string, args ...any) {
	if Enabled && !cond {
		panic("broken invariant: " + fmt.Sprintf(format, args...))
	}
}
