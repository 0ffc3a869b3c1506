// Package datadir reads the data directory of a server that does not run: its metadata, its write-ahead log, its segments,
// manifests and checkpoints. It is what `weir dump` looks through.
//
//	DIR/meta        metadata store        Metadata, topic names, pointers of shards
//	DIR/wal         write-ahead log       WalkWAL, RunBytes, VerifyWAL
//	DIR/segments    l/ objects of L1, L2  Segment, VerifySegment
//	                m/ manifests, c/ checkpoints
//
// Nothing is ever changed: files are opened for reading, the lock is not taken, and the metadata store, which cannot be opened
// without writing, is copied into memory and opened there. So a directory on a read-only disk will do, and also one
// whose server runs, though what is read of that may be half of a change.
//
// What can be read is read. Damage of one part leaves the others readable: without metadata the log is still walked,
// topics then go by their ids; a damaged metadata value is returned as bytes with its problem beside it. Only a directory that
// holds none of the three parts is refused.
//
// The values of the metadata store are decoded here a second time, after docs/format/meta.md, apart from the packages that
// write them: a dump must show what those would refuse.
//
// A Dir may be used by one goroutine. It keeps no file open between calls.
package datadir
