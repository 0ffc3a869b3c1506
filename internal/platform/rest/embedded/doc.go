// Package embedded turns the keys and values that clients of the REST proxy write as JSON into the bytes of records, and back: the
// embedded formats of Confluent's proxy. Binary is base64, JSON is itself, a string is its text; Avro, Protobuf and JSON Schema are
// JSON that obeys a schema of the registry, and get its id in front.
//
//	{"data": …, "schema_id": 7}  ──Resolve──►  Registered  ──Encode──►  00 00 00 00 07 …
//
// The registry is whatever answers to Confluent's API, asked by HTTP through a Registry, as the caller. What it said of an id never
// changes, so it is kept, bounded. A Codec may be used from any goroutine; its one mutex guards the cache and nothing is done
// under it.
//
// Texts and payloads are those of strangers: sizes are bounded by the parsers of package schema, and no input makes it panic.
// Errors are of the type Error with a Kind; which HTTP code that is, is for the caller to say.
package embedded
