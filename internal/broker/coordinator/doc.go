// Package coordinator runs state machines (package machine) over the partitions of an internal topic: groups over
// __consumer_offsets, and whatever else a Kind describes.
//
//	       Groups, … (facades), Runtime          shard, one for each partition
//	handler ──Join, Commit, …──▶ queue ──▶ serving goroutine: machine ──batch──▶ Log
//	        ◀──────────reply──────────── delivering goroutine ◀──durable, in order──┘
//
// A shard is loaded by replaying its log to the end; until then, and while it is loaded again, requests are answered
// with COORDINATOR_LOAD_IN_PROGRESS. After that one goroutine owns the state machine: it takes what is queued, lets the
// machine decide, puts the records of all these decisions into one batch and appends it. It does not wait for the disk:
// a second goroutine waits for the batches in order and sends the replies, so many commits may be on their way at once.
// No reply leaves before its own batch and all earlier ones are durable. Requests that change nothing wait for the same,
// so nobody sees state that a crash could take back; where nothing is on its way they are answered at once.
//
// Partitions move between brokers. A tenure is the time from when this broker has come to own a partition to when it has lost
// it: the Runtime follows what Topics says, loads what has come, several at a time, and ends what has gone. With a tenure ends
// everything that it began: requests are answered NOT_COORDINATOR, alarms and effects stop, and the next tenure, here
// or elsewhere, begins with the replay. A reply whose records were durable before still leaves; whoever is told
// NOT_COORDINATOR does not know whether it took effect. Storage, not this package, sees to it that a lost log takes nothing.
//
// A failed append, or one whose outcome is not known, fences the shard: the machine is dropped, everybody who waits gets
// the retriable COORDINATOR_NOT_AVAILABLE, and the shard is loaded again from its log, with growing pauses. Replay of
// what is durable is the only way back to a state that may be answered from.
//
// Machines of groups of several kinds live in one partition (combined): an event goes to the part that owns its type, a
// record to the part that knows its key, and a name belongs to one kind at a time.
//
// Runtimes and facades may be used from any goroutine. There are no locks: a shard's state belongs to its serving goroutine, the list
// of shards is published by Run, never changed, and everything else passes through channels with a bound. A full queue makes callers
// wait, until their context ends. A caller that goes away leaves its member in the group until the session ends, as a
// lost connection does in Kafka.
//
// The package knows no message types of the wire, checks no authorization, and does not know which topics exist.
package coordinator
