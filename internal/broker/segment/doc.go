// Package segment writes and reads the objects of the levels L1 and L2: the batches of one shard, sorted by
// (partition, offset), with the indexes needed to find one of them and the checksums needed to trust it.
//
//	+--------+-------+-------+-----+-------+-----------------+-----------+---------+
//	| header | run 0 | run 1 | ... | run n | section 0 ... n | directory | trailer |
//	+--------+-------+-------+-----+-------+-----------------+-----------+---------+
//	          \____ body: batches as clients get them ____/    CRCs, offset and time index, aborted transactions
//
// A run is all batches of one partition in the object. docs/format/segment.md draws every byte.
//
// Writer streams: it holds one run's index and the finished sections, never the data. What it wrote is an object
// only after Finish; making it durable and visible is the business of the io.Writer behind it.
//
// Reader needs the trailer and the directory to open, and keeps the directory encoded (some 25 bytes a run). A run's
// section is loaded on first use and kept in a bounded cache. Nothing of the body leaves a Reader before the CRC-32C
// of its block has been checked once; so a stretch that Verify has passed may be sent as it is. Damage is a
// *CorruptError, again at each attempt, and never data.
//
// Offsets are Kafka's. Positions are in bytes: from the start of the run in Locate, LocateTime and Verify, from the start
// of the object in RunInfo.Pos, ReadAt and CorruptError. Ranges are half-open.
//
// Cache shares open Readers by key. Readers may be used by any number of goroutines; a Writer by one at a time.
// Lock order: Cache.mu and Reader.mu are leaves, neither is held during I/O or while the other is taken.
//
// The package does not choose keys, levels or what to merge, knows no manifest, and deletes nothing: package shard
// does. It does not look into batches beyond their header and does not check the CRC inside it.
package segment
