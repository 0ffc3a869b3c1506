// Package registry is the Schema Registry: Confluent's API of version 8.x over the topic _schemas.
//
//	HTTP (api*.go) → Registry (register.go, delete.go, settings.go ...) → state (package state) ← log (log.go) ← topic _schemas
//
// The Registry owns the state and its lock, the cache of parsed schemas, and the turn of who changes something. A change is decided on
// the state, written as one transaction, and answered once its records have been read back; so who asks after the answer sees it.
// Who may write is settled by Kafka: all instances share one transactional id, and who takes it fences whoever had it before; they take
// turns, so that the fence does not move with every write (turns.go, docs/design/0031). Requests are answered by a state that has all
// that any instance had acknowledged before they came (fresh.go), as far as the cluster answers.
//
// A schema is parsed when it is registered, compared or converted, not when it is loaded. All formats come from one table, handed
// in as Options.Formats.
//
// Errors are *gate.Error with Confluent's codes; errors.go has them all.
//
// Lock order: the turn (a channel), then Registry.mu; the locks of the cache, of looks at the end and of the log stand alone. Nothing is fetched or written
// under mu, but schemas are parsed under its read side.
package registry
