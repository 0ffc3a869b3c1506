// Package placement decides which broker owns which shard, and says why.
//
//	Snapshot ──Decide──> 1. orphans   shards without a living owner: all of them, at once
//	                     2. drains    shards of brokers that are to be emptied     } together at most
//	                     3. balance   few shards, from the busy to the idle        } Settings.MaxMoves
//	                  ──> Decision: the moves in this order, and a report on brokers and racks
//
// The measure is **use**: a load as a share of what a broker can do, with 1 for a full one. It is a weighted sum of a
// load's rates, so what a shard costs moves with it, and every shard costs a little even when nothing is written to it:
// an idle cluster is spread by count. Rates must be smoothed by the caller over a minute or more, and must follow a shard
// to its new owner; a shard that reads as idle for the minute after its move would attract others.
//
// What is promised, with the same answer for the same input:
//   - A shard without a living owner gets one, if any broker is alive and not draining. A broker that drains gets nothing.
//   - Balancing begins with a broker outside of target ± Tolerance and brings it within half of that. A move counts only if
//     it leaves its taker below what the giver was, and its giver above what the taker was, by a margin: the sum of squares of
//     use falls with each, so with constant loads it ends. The exception parts large shards that lie together, see exchange.
//     With changing loads a shard moves at most once in a Cooldown.
//   - A broker that joins is given shards by the others; nothing moves among those who are within the tolerance.
//   - A shard that is more than a fair share by itself keeps its broker and the others leave it. The target of the rest is
//     what remains for them.
//   - Partitions of a topic lie in shards with consecutive numbers. Where load leaves a choice, a shard goes where
//     fewest of its neighbours are: first another broker, then another rack. So topics spread over brokers and racks, and a
//     rack's loss orphans its share by capacity. Nothing moves for that reason alone.
//
// What it does not do: it starts nothing, remembers nothing from call to call, and knows no partitions; the shard of a partition is
// fixed with its topic (package topics). Who is alive, what is under way and when to ask again is the controller's
// business; a move it does not make is simply asked for again. The package is pure: no I/O, clock,
// goroutine or lock. Values passed in are not kept, nor changed.
package placement
