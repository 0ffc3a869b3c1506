// Package share holds the rules of share groups (KIP-932) as pure state machines, three of them:
//
//	Groups     members, epochs and assignments of the share groups of one partition of __consumer_offsets
//	States     how far each group has come in each partition, for one partition of __share_group_state
//	Partition  the records of one partition that a group has in flight: who holds which, until when, how often given out
//
// Groups and States are machines in the sense of package machine: Handle decides and applies its own records by the code
// that Replay uses, so a replayed machine equals the live one. What no record says, such as when a session ends, begins
// anew with Activate. Their records are Kafka's own (package sharerecord).
//
// A group comes into being with its first member, or with the first offset that an operator sets. Its epoch grows with
// every change of members, subscriptions or topics; the assignment follows it, and each member is told with its next
// heartbeat. Partitions are assigned only once their state has been made in States: Groups asks for that by an Initialize
// effect and hears of the end by Initialized or Uninitialized.
//
// Partition is no machine but the same in spirit: a caller hands in events and the time, and changes that must outlive
// the process come out as a Write. What is in a Write waits for Complete: until then nobody may take or acknowledge those
// records, and a failed Write puts them back. Promises: a record that is available or acquired is delivered again until
// it is accepted, rejected or was handed out too often; it has one holder at a time; the start offset never goes back.
//
// Each value is owned by one goroutine or guarded by its caller. The package does no I/O, reads no clock, starts nothing
// and locks nothing; it knows neither the wire's messages nor authorization. Which topics exist comes in with the events.
package share
