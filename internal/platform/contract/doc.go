// Package contract judges records by the contracts of their topics: whether the schema that a key or value names is registered under
// the right subject, whether the bytes can be read by it, and whether the conditions of its rule set hold.
//
// The broker asks it for every record of a topic that has terms (internal/kafka/terms), and decides itself what becomes of the
// record; the assembly brings the two together, and neither imports the other. The command line uses the same Validator on records
// that are in a topic already.
//
//	Validator ── Judge(topic, terms) ──> Judge ── Record(r) ──> terms.Violation
//	    │                                  └── Note(judged): counters, samples
//	    └── Schemas: what the registry holds, in memory (Follower: the state of a registry, platform/registry)
//
// It promises: a record whose schema was seen before is judged without asking anybody, without a lock and, at level id, without an
// allocation. An id that is not known is looked for once more at the end of _schemas, since it may have been registered a moment
// ago; that wait is bounded for each batch and in its rate for all, and the answer is remembered for a second. What is remembered
// is bounded for each topic.
//
// A rule set is run as far as the broker can: the conditions of the domain rules, in mode WRITE, of types CEL and CEL_FIELD. A
// client carries out transforms and encryption before it sends, so the broker sees their result: conditions that stand before a
// transform are about a value that it never sees, and are left to clients. A schema with encoding rules is checked by its id alone.
//
// Lock order: Validator.mu is never held while anything else is locked or waited for; Judges read snapshots. Nothing here writes to a
// topic, and samples hold keys but no values.
package contract
