// Package txnrecord reads and writes the records of __transaction_state in Kafka's own bytes.
//
// The topic is compacted: the newest record of a transactional id is its whole state, and a null value (a tombstone) ends
// it. Tools outside of the broker read this topic, which is why the bytes are Kafka's:
//
//	key      int16 version=0 | transactional id
//	value    v0: int64 producer id | int16 epoch | int32 timeout in ms | int8 state | topics with partitions |
//	             int64 last update | int64 start of the transaction
//	         v1: the same with compact types and tagged fields: 0 previous producer id, 1 next producer id,
//	             2 transaction version of the client (KIP-890), 10000 last producer epoch
//
// Written is version 1, as by Apache Kafka 4.x; read are 0 and 1. Tag 10000 is Weir's own, which Kafka passes over: Kafka
// forgets with a restart that a producer may ask again with the epoch before. It is written only where it says something.
// Message types of kmsg do the encoding and stop here; decoding is our own, because theirs runs on for minutes over some damaged
// bytes. Functions are pure and may be called from any goroutine. The
// package knows nothing of batches, logs or the rules of transactions.
package txnrecord

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka"
)

// ErrUnknownKind is wrapped by the error of Decode for a key version that this package does not know.
var ErrUnknownKind = errors.New("unknown kind of transaction record")

const (
	keyVersion      = 0
	maxValueVersion = 1
	// tagLastEpoch lies far above what Kafka may number one day.
	tagLastEpoch = 10000
)

// State is where a transactional id stands; the values are Kafka's.
type State int8

// The states. Dead and PrepareEpochFence are never written; Kafka has them in memory for a moment.
const (
	Empty State = iota
	Ongoing
	PrepareCommit
	PrepareAbort
	CompleteCommit
	CompleteAbort
	Dead
	PrepareEpochFence
)

var stateNames = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}

// String returns the name by which clients know the state.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int8(s))
	}
	return stateNames[s]
}

// ParseState returns the state of that name.
func ParseState(name string) (State, bool) {
	i := slices.Index(stateNames[:], name)
	return State(i), i >= 0
}

// Prepared says whether the end of the transaction is decided and its markers are being written.
func (s State) Prepared() bool { return s == PrepareCommit || s == PrepareAbort }

// None stands for a producer id, epoch or time that is not there.
const None = -1

// Record is one decoded record. A nil Transaction is a tombstone.
type Record struct {
	TransactionalID string
	Transaction     *Transaction
}

// Transaction is the state of a transactional id. Times are milliseconds since 1970.
type Transaction struct {
	ProducerID    int64
	ProducerEpoch int16
	TimeoutMillis int32
	State         State
	// Partitions of the transaction, in order; none unless it is Ongoing or prepared.
	Partitions []kafka.TopicPartition
	LastUpdate int64
	Start      int64 // of the transaction that is or was the last; None after InitProducerId
	// PreviousProducerID is the producer id before this state, mostly the same one.
	PreviousProducerID int64
	// NextProducerID, while an end is prepared, is the id that the producer goes on with; None: the same one.
	NextProducerID int64
	// ClientVersion is the transaction version of the client whose request made this state: 0, or 2 for KIP-890.
	ClientVersion int16
	// LastProducerEpoch is the epoch before this one, from which the same producer came, or None.
	LastProducerEpoch int16
}

// AppendKey appends the bytes of r's key to dst.
func (r Record) AppendKey(dst []byte) []byte {
	key := kmsg.TxnMetadataKey{Version: keyVersion, TransactionalID: r.TransactionalID}
	return key.AppendTo(dst)
}

// Value returns the bytes of r's value, nil for a tombstone.
func (r Record) Value() []byte {
	t := r.Transaction
	if t == nil {
		return nil
	}
	v := kmsg.NewTxnMetadataValue()
	v.Version = maxValueVersion
	v.ProducerID, v.ProducerEpoch = t.ProducerID, t.ProducerEpoch
	v.TimeoutMillis = t.TimeoutMillis
	v.State = kmsg.TransactionState(t.State)
	v.LastUpdateTimestamp, v.StartTimestamp = t.LastUpdate, t.Start
	v.PreviousProducerID, v.NextProducerID = t.PreviousProducerID, t.NextProducerID
	v.ClientTransactionVersion = t.ClientVersion
	if t.State != Empty {
		v.Topics = topicsOf(t.Partitions) // null when empty, in the state of that name only
	}
	if t.LastProducerEpoch != t.impliedLastEpoch() {
		v.UnknownTags.Set(tagLastEpoch, binary.BigEndian.AppendUint16(nil, uint16(t.LastProducerEpoch)))
	}
	return v.AppendTo(nil)
}

// impliedLastEpoch is the last epoch of a record that says nothing of it: with KIP-890 the end of a transaction took one
// epoch, and a producer that got a new id came from the highest.
func (t *Transaction) impliedLastEpoch() int16 {
	switch {
	case t.ClientVersion < 2 || t.State == Empty || t.State == Ongoing:
		return None
	case t.ProducerEpoch == 0 && t.PreviousProducerID != t.ProducerID:
		return kafka.MaxProducerEpoch
	}
	return t.ProducerEpoch - 1
}

func topicsOf(partitions []kafka.TopicPartition) []kmsg.TxnMetadataValueTopic {
	topics := []kmsg.TxnMetadataValueTopic{}
	for _, tp := range partitions {
		if n := len(topics); n == 0 || topics[n-1].Topic != tp.Topic {
			t := kmsg.NewTxnMetadataValueTopic()
			t.Topic = tp.Topic
			topics = append(topics, t)
		}
		t := &topics[len(topics)-1]
		t.Partitions = append(t.Partitions, tp.Partition)
	}
	return topics
}

// Decode reads a record from the bytes of its key and value; a nil value is a tombstone. The result shares no memory
// with its arguments. The error wraps ErrUnknownKind for a kind of record that is not kept here; any other error means
// that the bytes are damaged or from a later format.
func Decode(key, value []byte) (Record, error) {
	if len(key) < 2 {
		return Record{}, fmt.Errorf("transaction record key of %d bytes is too short", len(key))
	}
	if version := int16(binary.BigEndian.Uint16(key)); version != keyVersion {
		return Record{}, fmt.Errorf("transaction record key version %d: %w", version, ErrUnknownKind)
	}
	var k kmsg.TxnMetadataKey
	if err := k.ReadFrom(key); err != nil {
		return Record{}, fmt.Errorf("decode key of transaction: %w", err)
	}
	r := Record{TransactionalID: k.TransactionalID}
	if value == nil {
		return r, nil
	}
	t, err := decodeValue(value)
	if err != nil {
		return Record{}, fmt.Errorf("decode transaction %q: %w", r.TransactionalID, err)
	}
	r.Transaction = t
	return r, nil
}

func decodeValue(value []byte) (*Transaction, error) {
	if len(value) < 2 {
		return nil, fmt.Errorf("value of %d bytes is too short", len(value))
	}
	if version := int16(binary.BigEndian.Uint16(value)); version < 0 || version > maxValueVersion {
		return nil, fmt.Errorf("value version %d is not known, the highest is %d", version, maxValueVersion)
	}
	return (&reader{rest: value[2:], flexible: value[1] >= 1}).transaction()
}
