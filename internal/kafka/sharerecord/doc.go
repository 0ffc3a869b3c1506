// Package sharerecord reads and writes the records of share groups (KIP-932) in Kafka's own bytes: those in
// __consumer_offsets, which say who is in a group and what it was assigned, and those in __share_group_state, which say
// how far a group has come in a partition.
//
//	__consumer_offsets, key: int16 kind | group [| member]
//	10  member                   11  group epoch           12  epoch of the assignment
//	13  assignment of a member   14  what a member has     15  partitions whose state was made
//
//	__share_group_state, key: int16 kind | group | topic id | int32 partition
//	0   snapshot: the whole state of a share partition       1   update: what has changed since
//
// Both topics are compacted: the newest record of a key counts, and a null value (a tombstone) ends it. Values begin with
// an int16 version, 0, and are flexible: unknown tagged fields are passed over. A count that is read never makes room for
// more than the bytes that are there.
//
// Functions are pure and may be called from any goroutine. The package knows nothing of batches, logs or the rules of
// share groups. The layouts are those of Kafka 4.3.
package sharerecord
