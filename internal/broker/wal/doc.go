// Package wal is the write-ahead log of one broker: the place where every acknowledged record is first made durable.
//
// One chain of files serves all partitions, so that one sync does. The chain is a sequence of frames; a frame holds the
// batches of many partitions that were waiting when the disk became free (group commit):
//
//	file   | file header 4 KiB | frame | frame | frame | ... unused, or stale bytes of an earlier use |
//	frame  | header 128 B | body: batches by shard, topic, partition | directory | sections | trailer 32 B | zeros to 4 KiB |
//
// It promises: a ticket completes without error only after its frame and all frames before it are on the device; Scan finds
// every such frame again, whatever subset of later writes survived a crash; a damaged byte that was once known to be
// durable is reported as CorruptError and never taken for a torn tail; stale bytes of a recycled file never pass for a frame,
// since a frame names its position, its incarnation and that incarnation's secret nonce; a batch that Append accepted
// always finds room. After a failed write or sync nothing is retried: the log is dead and the process starts over from Scan.
//
// State moves one way. Append puts a batch into the open group (memory only). One of two lanes takes the oldest group, gives it
// a sequence number and a place, gathers it to the file and syncs it. Two lanes may be at it together; frames complete
// strictly in order, and then OnDurable runs and the tickets complete. A preparer goroutine makes files ready ahead of the lanes,
// and recycles trimmed ones by rename, since overwriting old blocks is faster than allocating new ones.
//
// Any goroutine may call the methods of Log; appends of one Stream are serialised by their caller. There is one lock, Log.mu,
// held for memory operations only; the preparer alone changes the directory. Nothing is called back under the lock.
//
// The package assigns no offsets, reads no record, knows no topic names and no retention. Which incarnations exist and where a dead
// one ends (its seal) is kept by the caller. The bytes are drawn in docs/format/wal.md.
package wal
