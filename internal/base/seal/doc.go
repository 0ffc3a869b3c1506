// Package seal encrypts what Weir keeps: the files of the write-ahead log, the objects of a blob store, and the values of
// the metadata store. It stands below the three seams, so nothing above knows of it.
//
//	key encryption key     of the operator: a key file, Vault, a cloud's KMS (Keeper)
//	      │ wraps
//	ring of keys           metadata key "seal/ring"; one key is active, older ones stay for what they sealed
//	      │ wraps
//	data key               one for each file and object, in its header; values are sealed by the ring's keys themselves
//
// Rotation is a rewrap: the ring is wrapped by the new key encryption key, gets another active key, and nothing else is
// written again. Losing the key encryption key loses the data.
//
// Objects never change, so they are sealed with authentication: AES-256-GCM in chunks of 64 KiB, bound to their key, their
// place and their end. Values are sealed by AES-256-GCM too, bound to their key. A file of the log is written in place
// and read in any range, where a tag for each range has no room; it is encrypted by AES-256 in counter mode under a key
// of its own, and what guards its bytes is the log's checksums, which lie under the encryption. Reuse of a file renews
// its key (vfs.File.Renew), so no key stream is ever used for two contents.
//
// What is not hidden: sizes, the names of objects and WAL files, and the keys of the metadata store, which hold the names
// of topics and users. Whoever can write to the store can destroy it and can put older whole objects in the place of
// newer ones; the point is that a stolen disk, bucket or backup tells nothing.
//
// Data from before encryption was switched on is read as it is, and is sealed when it is written again. The package knows
// nothing of Kafka. Everything in it may be used from any goroutine.
package seal
