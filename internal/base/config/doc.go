// Package config holds the settings of Weir: how one is declared, read from outside, checked and shown.
//
// A setting is declared once, as a Key beside the code that reads it:
//
//	var SegmentBytes = config.Int("log.segment.bytes", 1<<30, config.AtLeast(1<<20),
//		config.Topic("segment.bytes"), config.Dynamic, "Size at which the active segment rolls, in bytes.")
//
// The program collects keys into a Schema by naming them; declaring a key registers it nowhere. A Schema reads
// text from outside, and what it hands out is a Values:
//
//	flag --log-segment-bytes  >  --set log.segment.bytes=N  >  WEIR_LOG_SEGMENT_BYTES  >  file  >  default
//
// Values is an immutable snapshot that knows the origin of each value; SegmentBytes.Get(values) reads it. A key
// that the snapshot does not hold, and every key on a nil *Values, reads as its default, so that a test needs no
// schema. With lays further values over a snapshot and leaves the old one as it was; that is how values that
// change while the program runs (config.Dynamic) arrive.
//
// Names, types, ranges and the texts of errors are Kafka's where Kafka has the setting: a *ValueError reads
// exactly as Kafka words it, because the same declarations serve the protocol's config requests. Errors from
// flags, environment and file add where the value came from, what is allowed, and for a name that nothing
// declares the nearest name that exists.
//
// Everything here is safe for use from any goroutine; there are no locks because nothing changes after it is
// made. The package reads no clock and no environment by itself, and opens the one file that Load is given.
package config
