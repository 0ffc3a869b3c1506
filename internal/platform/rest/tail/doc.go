// Package tail follows topics for many readers at once: a thousand of them at the end of one topic cost one consumer.
//
//	            feed of (principal, topic, isolation)                 reader: a position per partition
//	broker ──►  one consumer, a ring of the newest records  ──►  in the ring: the records are shared, nothing is copied
//	            per partition, bounded in bytes             ──►  behind it: a consumer of the reader's own, until it has caught up
//
// A Hub has one feed for each principal that reads a topic, made with the first reader and dropped a while after the last. The
// feed's consumer acts as the principal, so the broker's ACLs decide, and go on deciding. A feed begins at the end of the topic
// and keeps what comes in a ring for each partition: contiguous in offsets, with the oldest dropped as new records come.
//
// A Reader pulls: Next returns records when there are any at its position. Nothing is pushed or queued for it, so a slow reader
// costs no memory; it falls out of the ring and reads what it missed by a consumer of its own, at its own pace. Of those there
// is a bounded number at a time, others wait for their turn. Records of a partition come in order of offsets, without gap and
// without repetition; between partitions there is no order.
//
// Everything lives until the context of Run ends. All methods of Hub may be called from any goroutine, those of a Reader from one
// at a time. Lock order: Hub.mu, then feed.mu; no I/O under either.
package tail
