// Package s3 keeps objects on Amazon S3 and whatever speaks its protocol: a [blob.Store] over HTTP.
//
// The store must refuse a write to a taken key (If-None-Match: *) also between writers that race, and also when a
// multipart upload completes. Not all look-alikes do, so whoever rests safety on PutIfAbsent runs [Probe] first.
// docs/ops/object-store.md says what else a store must do and which do it.
//
// # Ambiguous writes
//
// A write whose answer never came may have been done. It is tried again under the same key, and then the refusal "the key
// is taken" may mean our own first try. So each PutIfAbsent and each upload carries a nonce in the object's metadata
// (x-amz-meta-weir-nonce), the same in all its tries, and every refusal is checked by asking for the metadata of what is
// there: our nonce is success, another one is blob.ErrExists. A store that keeps no metadata is told by the body, whole;
// then two writers of equal bodies cannot be told apart, and bodies that must be need a nonce of their own, as the frames
// of the WAL have. ETags are never taken for a checksum. What stays unknown when the tries are used up is an error that
// is neither nil nor ErrExists, as blob.Store says.
//
// # Tries, hedges and bounds
//
// A try that failed in a way that may pass (no connection, time-out, 307, 408, 409, 429, 5xx) is followed by another after a
// pause that doubles, with jitter, or that the service asks for, up to 5 s, for [Options].RetryFor. All tries after a first one draw on one budget of the store, so
// an overloaded service gets at most a tenth more requests, and some per second, however many callers there are. A range
// that is read and has no first byte after the 95th percentile of recent ones is asked for a second time, for at most one
// request in twenty; the first answer is taken. Each try has its own time limit, which grows with the bytes it moves. What an
// answer may hold is bounded before it is read.
//
// # Checksums
//
// A body travels with its SHA-256 in the signature, or, once [Probe] has seen that the service refuses a wrong one, with a CRC-32C, where
// nobody can change it on its way (TLS, loopback). That is cheaper by far on both sides.
//
// # Readers
//
// Open reads the first 16 KiB together with the size. Later reads name the ETag, so that they are of the same object:
// while blob.Store lets readers of a replaced object keep the old bytes, here a read beyond what Open got fails with
// [ErrReplaced], and after a delete with blob.ErrNotFound. Weir never replaces an object that it reads by ranges.
//
// # Locks
//
// Each of the budget, the latencies and the credentials has a mutex of its own, held for a few instructions; none is held
// while another is taken or a request is made.
package s3
