// Package state is the encoding of a shard's two recovery objects: the manifest, which says of which objects the
// shard's log consists, and the checkpoint, from which its partitions are rebuilt without reading data.
//
//	manifest    m: objects, tombstones, first write-ahead log position still needed, key of the checkpoint
//	checkpoint  c: per partition offsets, epochs, segments, runs, producers; the position where replay starts
//
// Both are one immutable object: magic, version, body of varints, CRC-32C. One content has one encoding, so equal
// bytes mean equal state. docs/format/manifest.md draws every byte; the files in testdata hold the format fast.
//
// The package is pure: bytes in, structs out, and back. It does no I/O, keeps nothing, and may be called from
// anywhere. Encode refuses what Decode would refuse, so that no shard writes what it cannot read again. Decode trusts
// no count or length: memory grows with the bytes given, by a small factor. What it returns shares no memory with its
// input, and the slices of one checkpoint share large arrays: append to them copies, keeping one keeps all.
//
// When to write one, under which key, and what to do about damage is decided in package shard.
package state
