// Package streamsgroup is the state machine of streams groups (KIP-1071): members of a Kafka Streams application tell
// their topology by heartbeats, and are told which tasks to run.
//
//	heartbeat ──▶ member and topology ──changed──▶ group epoch + 1
//	                                                  │  topology fits its topics?
//	                                                  ▼
//	            internal topics to create ◀── target assignment ──▶ each member, one epoch behind another:
//	                                                                give up, wait for others, take
//
// A Machine keeps the groups of one partition of __consumer_offsets beside those of other kinds. What the records make is
// the durable layer (group, member, …); sessions, deadlines, task offsets reported by members and what a topology comes to
// with the topics of the moment are kept beside it and made anew after a restart. The topics come in with each event, as
// an immutable view.
//
// Promises: an active task has one owner at a time, and no process holds two copies of a task: a member gets a task only
// when nobody is known to have it any more. A member that does not give up in its rebalance timeout, or is silent for
// its session timeout, is removed. Replies leave when their records are durable (package machine).
//
// Beyond Apache Kafka 4.3: a topology with a higher epoch takes the place of the group's in place, members of the older
// one are told so and keep nothing; source topics may be named by regular expressions; a task with state moves only when
// the new owner has caught up, if members report their offsets (warm-ups).
//
// The package does no I/O, starts nothing and locks nothing.
package streamsgroup
