// Package group holds the rules of Kafka's classic groups, of groups of the consumer protocol (KIP-848) and of committed
// offsets as a pure state machine, one Shard for each partition of __consumer_offsets.
//
//	             Event, now                         Records
//	runtime ──────────────────▶ Shard.Handle ──────────────────▶ log, then Replies
//	log     ──────────────────▶ Shard.Replay (recovery)
//
// A shard owns two layers of state. The durable layer is what the records say: the metadata of every group as of its
// last completed rebalance, and its committed offsets. Shard.Replay is the one method that changes it; Handle calls it
// too, for each record that it returns, so a fresh shard that replays the log equals the live one. The live layer is
// what Kafka does not log either: who is waiting in JoinGroup or SyncGroup, when sessions end, how far a rebalance is.
// It exists only for groups that have members or expect some, and only Handle changes it. After a restart, Activate
// builds it anew from the durable layer: groups with members are Stable, and each member has a whole session to call.
//
// Groups of the consumer protocol (files consumer_*.go) have all of their state in the durable layer, so that a restart goes
// unnoticed; their live layer is clocks alone. Classic groups and they can turn into each other while they have members.
//
// States of a classic group:
//
//	Empty ──join──▶ PreparingRebalance ──all joined──▶ CompletingRebalance ──leader's sync──▶ Stable
//	  ▲                 │  ▲      ▲                            │                                │
//	  └──nobody left────┘  │      └──member came, left, changed┘                                │
//	                       └──────────member came, left, changed────────────────────────────────┘
//
// Promises: a Decision's replies may be sent once its records, and those of all Decisions before it, are durable; so a
// client never learns of an assignment, a commit or a deletion that a crash could undo. Every request gets one
// reply, at once or from a later event. Nothing is read but the arguments: time, member ids and request ids come in
// as values, and equal events give equal decisions.
//
// A Shard is owned by one goroutine. The package does no I/O, starts nothing and locks nothing; it knows neither
// authorization nor Kafka's message types, and of topics only what pictures in events show. How offsets wait in transactions stands in transaction.go. See KIP-134 (initial delay), KIP-345 (static members),
// KIP-394 (member id before join), KIP-211 (retention), KIP-496 (offset deletion) and KIP-814 (skipped assignment).
package group
