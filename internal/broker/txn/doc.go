// Package txn holds the rules of the transaction coordinator (KIP-98, KIP-360, KIP-890) as a pure state machine: a Machine
// is one partition of __transaction_state. Events and the time go in; records, replies and effects come out. There is no
// clock, no goroutine, no lock and no I/O here, so that every sequence of events can be run again exactly.
//
//	                  InitProducerId                    AddPartitions
//	      (nothing) ────────────────▶ Empty ──────────────────────────▶ Ongoing ◀──┐ AddPartitions
//	                                    ▲                                 │        │
//	           InitProducerId           │               EndTxn, time-out, │        │
//	   ┌────────────────────────────────┤               InitProducerId    ▼        │
//	CompleteCommit, CompleteAbort ◀──────────────── PrepareCommit, PrepareAbort    │
//	   │                              MarkersWritten                               │
//	   └───────────────────────────────────────────────────────────────────────────┘
//
// All state is durable: it is the newest record of each transactional id, so replay of the log gives the live state. What
// is left to do after a restart follows from it: Activate asks again for the markers of every prepared transaction and
// sets the time-outs of the open ones.
//
// Once an end is prepared the outcome is fixed, no partition can join, and all requests of the id are told to try again
// (CONCURRENT_TRANSACTIONS) until MarkersWritten. The marker carries the epoch of the prepared state; with KIP-890 and
// for every abort of the coordinator's own that is one above the epoch of the records, which fences their producer in
// each partition.
//
// Differences from Kafka 4.3, all on purpose: a commit that comes after the coordinator aborted the transaction is
// PRODUCER_FENCED (KAFKA-20785; Kafka: INVALID_TXN_STATE, which ends Kafka Streams). InitProducerId of an epoch that was
// fenced does not abort the open transaction of its successor. A producer may ask again with its last epoch after a
// restart of the coordinator too. The highest epoch never leaves the coordinator.
//
// The package knows no message types of the wire and does not know which topics exist. A Machine belongs to one goroutine.
package txn
