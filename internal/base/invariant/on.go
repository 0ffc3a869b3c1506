//go:build invariants

package invariant

// Enabled tells whether checks are compiled in.
const Enabled = true
