// Package machine is the contract between a coordinator's state machine and the runtime that runs it: what goes in, what
// comes out, and what the runtime promises.
//
//	event, time ──▶ Handle ──▶ Decision: records ──▶ log of the partition ──durable──▶ replies, effects
//	                  ▲                     │
//	                  └───── state ◀─Replay─┘  the same records in the same order, also after a restart
//
// A Machine is the state of one partition of an internal topic, such as __consumer_offsets. Handle decides and applies
// its own records at once, by the code that Replay uses, so that a replayed state equals the live one. The runtime
// appends the records in the order of decisions and lets replies and effects leave once the records of their decision
// and of all earlier ones are durable; if that fails the machine is dropped and another is built by replay.
//
// A Machine is owned by one goroutine. It is pure: time, randomness and identity come in as values, and equal events
// give equal decisions. Machines of groups of several kinds share a partition (coordinator.combined).
package machine

import (
	"errors"
	"time"
)

// RequestID names a request whose reply is owed. The caller draws it; it is unique in the life of a Machine. Events that
// nobody waits for are handled with NoRequest.
type RequestID uint64

// NoRequest is the RequestID of events without a reply.
const NoRequest RequestID = 0

// Record is one record of the partition. A nil Value is a tombstone.
type Record struct{ Key, Value []byte }

// Producer is a transactional producer whose transaction records belong to.
type Producer struct {
	ID    int64
	Epoch int16
}

// Marker ends a producer's transaction in the partition.
type Marker struct {
	Producer
	CoordinatorEpoch int32
	Commit           bool
}

// Reply answers one request. Its type is the one that the event names.
type Reply struct {
	Request RequestID
	Body    any
}

// Decision is what an event means. Records are appended first, then Marker.
type Decision struct {
	Records []Record
	// Transaction, if not nil, makes Records a batch of their own that belongs to the producer's open transaction.
	Transaction *Producer
	Marker      *Marker
	Replies     []Reply
	// Effects are what the machine wants done outside once its records are durable, such as markers to be written
	// elsewhere. The runtime hands them on in order.
	Effects []any
	// Changes are for the log at debug level.
	Changes []Change
}

// Change says that a thing that the machine keeps, such as a group, entered a state.
type Change struct {
	Name, State string
	Epoch       int32
	Members     int
	Reason      string
}

// Add appends what other decided to d. Neither may belong to a transaction or carry a marker.
func (d *Decision) Add(other Decision) {
	d.Records = append(d.Records, other.Records...)
	d.Replies = append(d.Replies, other.Replies...)
	d.Effects = append(d.Effects, other.Effects...)
	d.Changes = append(d.Changes, other.Changes...)
}

// ErrUnknownKind is wrapped by the error of Replay for a whole record of a kind that the machine does not keep.
var ErrUnknownKind = errors.New("record of an unknown kind")

// Tick makes everything happen whose time has come. It has no reply.
type Tick struct{}

// Attended is implemented by events some of which must not be handled once their caller has gone: because he may have asked again by then,
// and gone on, and nothing in the event tells the two apart. Other events are a caller's last word and take effect.
type Attended interface{ NeedsCaller() bool }

// Machine is the state of one partition.
type Machine interface {
	// Replay applies one record of the partition, from the log's start on, before Activate; in names the transaction that
	// it is part of, or is nil. The bytes are valid during the call only. An error is damage, or wraps ErrUnknownKind.
	Replay(r Record, in *Producer) error
	// ReplayMarker applies the end of a transaction, in the order of the log.
	ReplayMarker(m Marker)
	// Activate ends the replay.
	Activate(now time.Time) Decision
	// NextAlarm returns when Tick is to be handled, at the latest, the zero time if never. A Tick that comes early does no
	// harm.
	NextAlarm() time.Time
	// Handle decides what event means at time now.
	Handle(id RequestID, event any, now time.Time) Decision
}
