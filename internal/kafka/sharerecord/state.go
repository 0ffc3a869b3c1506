package sharerecord

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"

	"github.com/weir-stream/weir/internal/kafka"
)

// Delivery states of records that are written.
const (
	StateAvailable    int8 = 0
	StateAcknowledged int8 = 2
	StateArchived     int8 = 4
)

// Kinds of keys in __share_group_state.
const (
	kindSnapshot = 0
	kindUpdate   = 1
)

// NoCount stands for a delivery-complete count that is not known.
const NoCount int32 = -1

// Key names a share partition: a partition as one group reads it.
type Key struct {
	Group     string
	Topic     kafka.TopicID
	Partition int32
}

// Batch is the state of the records [First, Last].
type Batch struct {
	First, Last   int64
	State         int8
	DeliveryCount int16
}

// Snapshot is the whole state of a share partition. Times are ms since 1970.
type Snapshot struct {
	SnapshotEpoch, StateEpoch, LeaderEpoch int32
	Start                                  int64 // -1: not known yet
	DeliveryComplete                       int32 // records from Start on that need no more delivery, or NoCount
	Created, Written                       int64
	Batches                                []Batch
}

// Update is what has changed since the snapshot of SnapshotEpoch. A Start of -1 has not.
type Update struct {
	SnapshotEpoch, LeaderEpoch int32
	Start                      int64
	DeliveryComplete           int32
	Batches                    []Batch
}

// StateRecord is a record of __share_group_state: a Snapshot, an Update, or with neither a tombstone of the key of the
// one that IsUpdate tells.
type StateRecord struct {
	Key      Key
	IsUpdate bool
	Snapshot *Snapshot
	Update   *Update
}

// AppendKey appends the bytes of the record's key to b.
func (r *StateRecord) AppendKey(b []byte) []byte {
	kind := int16(kindSnapshot)
	if r.IsUpdate {
		kind = kindUpdate
	}
	b = kbin.AppendString(kbin.AppendInt16(b, kind), r.Key.Group)
	return kbin.AppendInt32(appendID(b, r.Key.Topic), r.Key.Partition)
}

// EncodeValue returns the bytes of the record's value, nil for a tombstone.
func (r *StateRecord) EncodeValue() []byte {
	b := kbin.AppendInt16(nil, valueVersion)
	switch {
	case r.Snapshot != nil:
		s := r.Snapshot
		b = kbin.AppendInt32(kbin.AppendInt32(kbin.AppendInt32(b, s.SnapshotEpoch), s.StateEpoch), s.LeaderEpoch)
		b = kbin.AppendInt64(kbin.AppendInt64(kbin.AppendInt64(b, s.Start), s.Created), s.Written)
		return appendCount(appendBatches(b, s.Batches), s.DeliveryComplete)
	case r.Update != nil:
		u := r.Update
		b = kbin.AppendInt64(kbin.AppendInt32(kbin.AppendInt32(b, u.SnapshotEpoch), u.LeaderEpoch), u.Start)
		return appendCount(appendBatches(b, u.Batches), u.DeliveryComplete)
	}
	return nil
}

func appendBatches(b []byte, batches []Batch) []byte {
	b = kbin.AppendCompactArrayLen(b, len(batches))
	for _, s := range batches {
		b = kbin.AppendInt64(kbin.AppendInt64(b, s.First), s.Last)
		b = noTags(kbin.AppendInt16(kbin.AppendInt8(b, s.State), s.DeliveryCount))
	}
	return b
}

// appendCount ends a value: the count is the tagged field 0, left out where it is not known.
func appendCount(b []byte, count int32) []byte {
	if count == NoCount {
		return noTags(b)
	}
	return kbin.AppendInt32(append(b, 1, 0, 4), count)
}

// DecodeState reads a record of __share_group_state; a nil value is a tombstone. The result shares no memory with its
// arguments. The error wraps ErrUnknownKind for a key of another kind.
func DecodeState(key, value []byte) (StateRecord, error) {
	kind, err := kindOf(key)
	if err != nil {
		return StateRecord{}, err
	}
	if kind != kindSnapshot && kind != kindUpdate {
		return StateRecord{}, fmt.Errorf("key of kind %d: %w", kind, ErrUnknownKind)
	}
	k := read(key[2:])
	r := StateRecord{IsUpdate: kind == kindUpdate, Key: Key{k.String(), k.id(), k.Int32()}}
	if err := k.done(); err != nil {
		return StateRecord{}, fmt.Errorf("key of share state: %w", err)
	}
	if value == nil {
		return r, nil
	}
	v, err := valueOf(value)
	if err != nil {
		return StateRecord{}, fmt.Errorf("share state of %s: %w", r.Key, err)
	}
	if r.IsUpdate {
		r.Update = &Update{SnapshotEpoch: v.Int32(), LeaderEpoch: v.Int32(), Start: v.Int64()}
		r.Update.Batches, r.Update.DeliveryComplete = v.batches()
	} else {
		s := &Snapshot{SnapshotEpoch: v.Int32(), StateEpoch: v.Int32(), LeaderEpoch: v.Int32(), Start: v.Int64(), Created: v.Int64(), Written: v.Int64()}
		s.Batches, s.DeliveryComplete = v.batches()
		r.Snapshot = s
	}
	if err := v.done(); err != nil {
		return StateRecord{}, fmt.Errorf("share state of %s: %w", r.Key, err)
	}
	return r, nil
}

// batches reads the end of a value.
func (r *reader) batches() ([]Batch, int32) {
	var out []Batch
	for range r.count(20) {
		out = append(out, Batch{r.Int64(), r.Int64(), r.Int8(), r.Int16()})
		r.tags(nil)
	}
	count := NoCount
	r.tags(func(tag uint32, body *reader) {
		if tag == 0 {
			count = body.Int32()
		}
	})
	return out, count
}

// String returns the form in which a coordinator is looked for: group:topic:partition, with the topic id as Kafka writes
// it. The partition of __share_group_state that keeps the state goes by it.
func (k Key) String() string { return fmt.Sprintf("%s:%s:%d", k.Group, k.Topic, k.Partition) }
