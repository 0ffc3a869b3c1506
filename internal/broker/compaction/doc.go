// Package compaction decides what stays of a compacted log (cleanup.policy=compact): the last record of each key, with
// its offset and its place in the order.
//
//	log start            first dirty              end                first uncleanable
//	    |   cleaned before   |  Index: key → last offset  |                 |
//	    [ Filter: batch in, batch out ....................)[ untouched .....
//
// One cleaning goes over the log twice. Index notes the last offset of each key in the stretch that no cleaning has seen,
// as far as its memory reaches. Filter then takes every batch from the log start to the end of that stretch, and drops:
// a record whose key comes again later; a record without a key; a record of an aborted transaction; a tombstone whose
// delete horizon has passed; the marker of a transaction of which nothing is left and whose horizon has passed. The horizon
// is set by the first cleaning that meets the tombstone, or the marker without its transaction (KIP-534): readers have
// delete.retention.ms from then on to see it.
//
// A batch of which something stays keeps its base offset, last offset delta, producer fields, codec and times. A batch of
// which nothing stays goes, unless it is the last one of a producer that the log knows, or the caller asks to have its
// offsets kept: then it stays without records.
//
// The package is pure: no I/O, no clock, no lock. An OffsetMap, Index or Filter belongs to one goroutine at a time. Where
// batches come from and where they go, when a log is cleaned and how fast, is the business of package shard. It may be
// called from there alone.
package compaction
