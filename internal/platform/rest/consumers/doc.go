// Package consumers keeps the consumer instances of the REST proxy: members of consumer groups on behalf of clients that speak
// HTTP and hold no connection.
//
// An Instance belongs to the principal who made it and is found by group and name. It gets a Kafka client when it subscribes to topics
// or is assigned partitions; the client keeps it in its group between requests. An instance that nobody asks for anything within
// the idle time leaves its group and is forgotten; there is a bounded number of instances.
//
//	Create ──► (no client) ──Subscribe──► member of the group ──Unsubscribe──► (no client)
//	                       └──Assign────► partitions without membership
//
// Records are delivered once to whoever asks, in the order of each partition. What was delivered is what a commit without offsets
// commits, and what auto commit commits; records that were fetched but did not fit into an answer wait for the next one.
//
// Methods of Manager may be called from any goroutine. Those of an Instance run one after the other: each holds the instance for its
// time, and a second request waits for the first until its context ends. Lock order: Manager.mu alone, and Instance.turn, which is
// a channel, outside of it.
package consumers
