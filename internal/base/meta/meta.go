// Package meta is the seam between Weir and its metadata store: a small, linearizable key-value store with
// transactions, watches and leases. It holds what must not live in topics: topics, settings, ACLs, shard
// ownership, manifest pointers. Megabytes, not gigabytes.
//
// There are two stores of our own: [Pebble] on disk and [Mem] in memory; meta/etcd keeps it with an etcd that many
// brokers share. [Fault] wraps a store and fails chosen operations. The suite in metatest holds all of them to the
// same rules.
//
// Every transaction that changes something gets a revision above all before it, and each key remembers the revision
// of its last change. Revisions may leave numbers out: those of a shared store count other people's changes too. A
// transaction compares such revisions and then, if all are as expected, makes all of its changes at once; on return
// they are durable. A reader never sees a change that a crash could take back.
//
// A watch reports changes in the order of revisions, each once. It is how caches stay fresh, and it is
// allowed to break: a channel that is closed while its context lives means "you are too slow, read again".
// The way to a cache without a gap is to watch from now, then Range, then apply events whose revision is
// above that of the entry held. The changes of one revision arrive together: a channel is never closed between them.
//
// A lease ties keys to the life of their owner: unless kept alive it ends after its time, and its keys are
// deleted. The stores of this package live in one process, so their leases end with it: opening a Pebble
// store deletes all keys under lease. No safety may rest on a lease; it is a detector of failure.
//
// All methods may be called from any goroutine. Values handed out must not be changed; values handed in
// are copied. The stores of this package look at a context before an operation is queued, and from then on tell its
// outcome; a store that is reached over a network waits, and asks again, until the context ends.
package meta

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNotFound is returned by Get for a key that is not there.
	ErrNotFound = errors.New("metadata key not found")
	// ErrCompacted is returned by Watch when the changes since its revision are no longer known.
	ErrCompacted = errors.New("metadata revision compacted")
	// ErrLeaseNotFound is returned for a lease that has ended or never was.
	ErrLeaseNotFound = errors.New("metadata lease not found")
	// ErrInvalid is returned for a request that breaks the limits of this package.
	ErrInvalid = errors.New("invalid metadata request")
	// ErrNoSpace is returned by Txn, with nothing changed, when the disk is close to full.
	ErrNoSpace = errors.New("no space for metadata")
	// ErrUnknown is returned by Txn when its context ended, or the store was lost, before it was known whether the
	// changes were made. They may still be made after the return.
	ErrUnknown = errors.New("outcome of the metadata transaction is unknown")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("metadata store is closed")
	// ErrFailed is returned once a write has failed. Whether its changes are durable is unknown, so the store
	// answers nothing more; opening it again recovers.
	ErrFailed = errors.New("metadata store has failed")
	// ErrCorrupt is returned when stored bytes cannot be what this package wrote.
	ErrCorrupt = errors.New("metadata is corrupt")
)

const (
	// MaxKeyBytes is the longest key.
	MaxKeyBytes = 1024
	// MaxTxnBytes bounds the keys and values of one transaction, and so each value. A store that seals values needs some
	// bytes of it for each.
	MaxTxnBytes = 1 << 20
	// MaxTxnOps bounds the changes, and apart from them the comparisons, of one transaction: a little less than what etcd
	// takes as it is delivered, 128, so that a store can add some of its own.
	MaxTxnOps = 120
	// MaxWatchEvents is how many changes the reader of a watch may be behind without being cut off; a store may let it be
	// behind by a few times as many.
	MaxWatchEvents = 1024
)

// Store holds metadata.
type Store interface {
	// Get returns the entry of key, or ErrNotFound.
	Get(ctx context.Context, key string) (Entry, error)
	// Range returns the entries whose key starts with prefix and is greater than after, sorted by the bytes of
	// the key, at most limit of them; limit 0 means all. They are of one moment.
	Range(ctx context.Context, prefix, after string, limit int) ([]Entry, error)
	// Txn makes all changes of ops if all compares hold, and none otherwise. A key may stand in ops once.
	// Deleting an absent key changes nothing. Other errors than ErrInvalid, ErrLeaseNotFound, ErrNoSpace
	// and those of an ended context leave open whether the changes were made; a context that ends while that is
	// open yields ErrUnknown, which is none of its own errors.
	Txn(ctx context.Context, compares []Compare, ops []Op) (Result, error)
	// Watch reports every change to keys with prefix whose revision is greater than after; after 0 means from
	// now on. ErrCompacted if changes after that revision are already forgotten. The channel is closed when
	// ctx ends, when the store closes, and when the reader falls behind.
	Watch(ctx context.Context, prefix string, after int64) (<-chan Event, error)
	// Grant makes a lease that ends ttl after the last sign of life; never earlier, and soon after.
	Grant(ctx context.Context, ttl time.Duration) (Lease, error)
	// Close ends all watches and leases and releases the store. Keys under lease stay until the next opening, or, where
	// others use the store meanwhile, until the lease has had its time.
	Close() error
}

// Lease is a claim on life. See Store.Grant.
type Lease interface {
	// ID is what Op.Lease takes. It is above 0 and means something only while the store is open.
	ID() int64
	// KeepAlive starts the time of the lease anew. ErrLeaseNotFound if it has ended.
	KeepAlive(ctx context.Context) error
	// Revoke ends the lease and deletes its keys. A lease that has ended is no error.
	Revoke(ctx context.Context) error
}

// Entry is a key with its value.
type Entry struct {
	Key      string
	Value    []byte
	Revision int64 // of the last change
}

// Compare is a condition on one key.
type Compare struct {
	Key      string
	Revision int64 // what the key's must be; 0: the key must be absent
}

// OpKind is what an Op does, or an Event tells.
type OpKind uint8

// The kinds of change.
const (
	Put OpKind = iota + 1
	Delete
)

// Op is one change of a transaction.
type Op struct {
	Kind  OpKind
	Key   string
	Value []byte // for Put
	Lease int64  // for Put: the lease that the key ends with; 0: none, also if it had one
}

// Result is the outcome of a transaction.
type Result struct {
	Succeeded bool // all compares held
	// Revision is that of this transaction, or the present one of the store if nothing was changed.
	Revision int64
}

// Event is one change. For Delete, Value is empty and Revision that of the deletion.
type Event struct {
	Kind OpKind
	Entry
}

// Clock is the time by which leases end. Its time must not go back.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once, after d, on a goroutine of its own. stop prevents it if it is not too late.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// SystemClock returns the clock of the machine; it does not mind when the time of day is set.
func SystemClock() Clock { return systemClock{} }

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// CheckKey returns ErrInvalid, wrapped, for an empty or too long key.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKeyBytes {
		return fmt.Errorf("key of %d bytes: %w", len(key), ErrInvalid)
	}
	return nil
}

// CheckTxn returns ErrInvalid, wrapped, for a transaction that breaks a rule or limit.
func CheckTxn(compares []Compare, ops []Op) error {
	if len(compares) > MaxTxnOps || len(ops) > MaxTxnOps {
		return fmt.Errorf("transaction of %d comparisons and %d changes: %w", len(compares), len(ops), ErrInvalid)
	}
	for _, c := range compares {
		if err := CheckKey(c.Key); err != nil {
			return err
		}
		if c.Revision < 0 {
			return fmt.Errorf("comparison of %q with revision %d: %w", c.Key, c.Revision, ErrInvalid)
		}
	}
	size := 0
	seen := make(map[string]struct{}, len(ops))
	for _, op := range ops {
		if err := CheckKey(op.Key); err != nil {
			return err
		}
		if op.Kind != Put && op.Kind != Delete || op.Lease < 0 {
			return fmt.Errorf("change of %q, kind %d, lease %d: %w", op.Key, op.Kind, op.Lease, ErrInvalid)
		}
		if _, twice := seen[op.Key]; twice {
			return fmt.Errorf("two changes of %q: %w", op.Key, ErrInvalid)
		}
		seen[op.Key] = struct{}{}
		size += len(op.Key) + len(op.Value)
	}
	if size > MaxTxnBytes {
		return fmt.Errorf("transaction of %d bytes: %w", size, ErrInvalid)
	}
	return nil
}
