// Package model explores the protocol that fences brokers in a cluster, state by state: write-ahead logs of numbered
// objects on a store with conditional writes, seals, ownership of shards in a metadata store, hand-over, checkpoints and the
// deletion of what they made superfluous. docs/design/0018-fencing-model.md tells what was found with it.
//
// It owns a description of that protocol that shares no code with the broker: a state of a few hundred bytes, the
// steps that may be taken in it, and what must hold after each. [Explore] visits every state within [Bounds], breadth
// first, and returns the shortest schedule to a state in which something does not hold. [Walk] takes random steps under
// bounds too large for that. A [Mutation] takes one rule out of the protocol, to show that the rule is needed.
//
//	 incarnations (processes)           the network            stores
//	next, acked, PUTs in flight   --> sent, stored, refused --> objects w/<inc>/<seq>: absent, data, seal
//	shards believed to be owned   --> transactions delayed  --> inc/<i>: open or sealed@k, trim
//	recovery, seal, checkpoint                                  s/<shard>: owner, epoch, version, history, checkpoint
//
// Nothing in the model knows time. A process that is stalled, killed or cut off is one that takes no step for a
// while, or ever again, and any process may be replaced at any moment, as by a lease that ended too early. So whatever
// holds here does not rest on leases, clocks or on the metadata store being there.
//
// The package is pure: no clock, goroutine or lock; randomness is handed in. A caller uses one Explore or Walk from one
// goroutine; the functions keep nothing. It does not look at liveness, at formats, or at the contents of records.
package model

import "fmt"

// Largest values that a state has room for.
const (
	maxIncarnations = 4
	maxShards       = 2
	maxSeqs         = 6
	maxOffsets      = 6
	maxHistory      = 4
)

// Bounds limits what is explored. Every count is one of occurrences along a schedule.
type Bounds struct {
	Incarnations int // up to 4; the first one owns every shard at the start, the others are idle
	Shards       int // up to 2
	Seqs         int // objects of each incarnation, up to 6
	Window       int // PUTs that an incarnation may have in flight
	Produces     int // records
	Moves        int // changes of an owner: take-over, forced move, hand-over, renewal
	Faults       int // doubled PUTs, lost answers, transactions given up while they are on their way
	Checkpoints  int
	// StaleGC and StaleController let an operator's read and its transaction lie apart, with anything between them.
	StaleGC         bool
	StaleController bool
	// SetBack lets the metadata store be replaced, once, by what it held at some moment before. Stamps are written and compared then. With
	// Stopped those who lived before take no step afterwards, as an operator sees to; else they do what they can without the metadata.
	SetBack, Stopped bool
}

// validate refuses bounds that a state has no room for.
func (b Bounds) validate() error {
	switch {
	case b.Incarnations < 1 || b.Incarnations > maxIncarnations, b.Shards < 1 || b.Shards > maxShards,
		b.Seqs < 1 || b.Seqs > maxSeqs, b.Produces < 0 || b.Produces > maxOffsets, b.Window < 1:
		return fmt.Errorf("bounds %+v: a state has no room for them", b)
	}
	return nil
}

// Mutation is a set of rules taken out of the protocol.
type Mutation uint64

// The rules that can be taken out. Each has a line in mutationNames.
const (
	NoSeals               Mutation = 1 << iota // a successor notes the end of a log and writes no seal
	SealsDeleted                               // the fence is an object like others: GC deletes it
	AckWithGaps                                // a PUT is acknowledged before those below it
	RefusedContinues                           // 412 fails the records, and the incarnation goes on behind it
	RefusedIsSuccess                           // 412 counts as done without a look at the object
	DeleteByAge                                // GC deletes what is old and durable
	ReadBeforeSeal                             // a new owner reads the log before its end is fixed
	SealOverData                               // a sealer takes every 412 for a seal
	SealAtTail                                 // the seal goes behind the last object, not into the first gap
	SealTxnUnconditional                       // what is noted in inc/<i> may be noted again
	SealIgnoresTrim                            // the transaction of the seal does not compare the trim it began at
	TrimNotRecorded                            // objects are deleted without noting so in inc/<i> before
	TrimByOneShard                             // GC asks one shard what it needs
	TrimByCheckpoint                           // GC trims to the checkpoint, though it points to WAL objects
	TrimIgnoresHistory                         // GC asks the present entries only
	TrimToTail                                 // GC reads the tail of a live incarnation after the pointers
	HandOverWithoutEnd                         // the history entry has no end, and intake goes on until the answer
	HandOverIntakeOpen                         // intake goes on until the answer, the end is that of RELEASE
	HandOverEarly                              // the transaction is sent while PUTs below RELEASE are in flight
	HandOverResumed                            // after an answer that did not come the old owner goes on in its epoch
	AssignUncompared                           // the transaction of a take-over compares nothing
	CheckpointUncompared                       // the transaction of a checkpoint compares nothing
	CheckpointEpochOnly                        // it compares the epoch
	CheckpointVersionOnly                      // it compares the version, which a take-over leaves as it is
	CheckpointAhead                            // it covers PUTs in flight
	CheckpointAbandoned                        // the objects of a checkpoint are deleted when its answer does not come
	EpochKept                                  // a take-over leaves the epoch as it is
	CheckpointForgets                          // it covers what the incarnation knows from answers, not what it has recovered

	StampsIgnored    // whatever the bucket says of the metadata, nobody compares
	BeginUncompared  // an incarnation begins without comparing the claims of shards with the pointers
	ClaimsUncompared // who has taken a shard looks for no claim of others
	ClaimShared      // who finds the claim of an epoch written takes it for its own
	TrimUncompared   // a sealer compares no stamp of the trim
	TrimLookedBefore // it does so before it looks for the gap

	// Relaxations: the protocol holds without these, too.

	CloseWithoutSeal // a broker that has dropped its state notes inc/<i> = sealed@acked by itself and writes no seal
	GoneIsSuccess    // a 412 whose object is gone by the time it is read counts as done
	NoEndButStopped  // the history entry of a hand-over has no end, but intake has stopped
	NoRelease        // a hand-over ends behind the last PUT that was sent, without an object that says so
	MissingIsEnd     // a recovery takes an object that is gone for the end of the log
	SealByAnyone     // any process seals any incarnation at any time, whether it owns a shard of it or not
	EpochIgnored     // readers do not compare the epoch of a section with that of the entry
	CollectsUnowned  // logs are collected while shards have no owner that has compared the claims
)

var mutationNames = []string{
	"no seals", "seals deleted by GC", "ack with gaps", "412 fails the records and goes on", "412 is success", "GC by age",
	"take-over reads before sealing", "412 of a seal is a seal", "seal behind the last object", "sealed@k without comparing open", "sealed@k without comparing the trim",
	"trim not recorded before deleting", "trim asks one shard", "trim follows the checkpoint", "trim ignores the history", "trim to the tail of a live incarnation",
	"hand-over without an end", "intake open during a hand-over", "hand-over before the prefix is durable", "hand-over resumed in the old epoch",
	"take-over compares nothing", "checkpoint compares nothing", "checkpoint compares the epoch only", "checkpoint compares the version only",
	"checkpoint ahead of the durable prefix", "objects of an undecided checkpoint deleted", "take-over keeps the epoch",
	"checkpoint leaves out what was recovered",
	"no stamp is compared", "an incarnation begins without comparing claims", "claims of others are not looked for", "a claim that is there is one's own",
	"trim stamps are not compared", "trim stamps are compared before the gap is looked for",
	"own incarnation closed without a seal", "412 and then 404 is success", "hand-over without an end, intake stopped",
	"hand-over without RELEASE", "recovery takes a missing object for the end", "anyone may seal", "readers do not look at the epoch of a section", "collection while a shard has no owner",
}

// String names the first rule of the set.
func (m Mutation) String() string {
	for i, name := range mutationNames {
		if m&(1<<i) != 0 {
			return name
		}
	}
	return "none"
}

// protocol is what an exploration runs: bounds and the rules taken out.
type protocol struct {
	Bounds
	without Mutation
}

func (p *protocol) lacks(m Mutation) bool { return p.without&m != 0 }
