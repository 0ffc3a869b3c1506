// Package etcd keeps the metadata of a cluster in etcd: a [meta.Store] that many brokers share.
//
// It owns every key below its prefix: those of its users in PREFIX/k/, and what it needs itself in PREFIX/g/, where no
// Get, Range or Watch of a user looks. A revision is etcd's own, so revisions leave numbers out.
//
// # Lost answers
//
// An answer may be lost after etcd has done what was asked. A transaction must be told as it happened all the same, and
// happen once. So each one that changes something also writes a guard: a key of the opened store (of its session, and
// in it of a slot, so that several transactions can run at once), whose value names the transaction.
//
//	first try     if  guard is as the slot left it  and  all comparisons hold
//	              then  changes, guard = "applied N"
//	              else  read the guard
//
//	later tries   if  guard is as the slot left it
//	              then  if  all comparisons hold  then  changes, guard = "applied N"  else  guard = "refused N"
//	              else  read the guard
//
// All tries ask for the guard as it was before the first, and each one that acts changes it, so at most one of them acts,
// however late the others come. Whoever finds the guard changed reads there what became of N, and the guard's revision is
// that of the transaction. A first try that is refused and says so changes nothing; a later one must move the guard, since
// an earlier try that is still under way could otherwise find its comparisons true again.
//
// If the context ends before that is known, the caller gets meta.ErrUnknown and the slot goes on with a new guard.
// Guards hang on a lease of the session. Should it end under a living store, after an outage of minutes, the guards are
// gone: a transaction of unknown outcome is then meta.ErrUnknown, and a new session begins. A try of the old one cannot act
// later, for a guard cannot be written with a lease that has ended.
//
// # Waiting
//
// Reads and transactions are asked again, with growing pauses, until they are answered or their context ends; a caller
// without a deadline waits as long as etcd is away. Each try has a time of its own, after which another member is asked.
// Leases have a connection of their own, so that no flood of data delays a renewal.
//
// # State
//
// Store.mu guards the list of what must end with the store; nothing is called under it. A slot belongs to the
// transaction that took it. The session is replaced by whoever holds the one token of renewing. Goroutines: one that keeps
// the session alive, one for compaction if asked, one for each watch; all end with Close.
package etcd
