package txnrecord

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/weir-stream/weir/internal/kafka"
)

var errShort = errors.New("value ends too early")

// reader takes a value apart. After the first error everything reads as zero.
type reader struct {
	rest     []byte
	flexible bool
	err      error
}

func (r *reader) transaction() (*Transaction, error) {
	t := &Transaction{
		ProducerID: r.int64(), ProducerEpoch: r.int16(), TimeoutMillis: r.int32(), State: State(r.int8()), Partitions: r.partitions(),
		LastUpdate: r.int64(), Start: r.int64(), PreviousProducerID: None, NextProducerID: None,
	}
	var lastEpoch []byte
	r.tags(func(tag uint64, b []byte) error {
		switch {
		case tag == 0 && len(b) == 8:
			t.PreviousProducerID = int64(binary.BigEndian.Uint64(b))
		case tag == 1 && len(b) == 8:
			t.NextProducerID = int64(binary.BigEndian.Uint64(b))
		case tag == 2 && len(b) == 2:
			t.ClientVersion = int16(binary.BigEndian.Uint16(b))
		case tag == tagLastEpoch && len(b) == 2:
			lastEpoch = b
		case tag <= 2 || tag == tagLastEpoch:
			return fmt.Errorf("field %d has %d bytes", tag, len(b))
		}
		return nil
	})
	switch {
	case r.err != nil:
		return nil, r.err
	case len(r.rest) > 0:
		return nil, fmt.Errorf("%d bytes after the end", len(r.rest))
	case t.State < Empty || t.State > PrepareEpochFence:
		return nil, fmt.Errorf("there is no state %d", int8(t.State))
	}
	if t.State == Empty {
		t.Partitions = nil // as Kafka passes over them
	}
	t.LastProducerEpoch = t.impliedLastEpoch()
	if lastEpoch != nil {
		t.LastProducerEpoch = int16(binary.BigEndian.Uint16(lastEpoch))
	}
	return t, nil
}

func (r *reader) partitions() (all []kafka.TopicPartition) {
	for range r.count() {
		topic := string(r.take(r.stringBytes()))
		for range r.count() {
			all = append(all, kafka.TopicPartition{Topic: topic, Partition: r.int32()})
		}
		r.tags(func(uint64, []byte) error { return nil })
	}
	slices.SortFunc(all, kafka.TopicPartition.Compare)
	return all
}

// tags visits the tagged fields, which there are in flexible values only.
func (r *reader) tags(visit func(tag uint64, b []byte) error) {
	if !r.flexible {
		return
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		tag := r.uvarint()
		b := r.take(r.uvarint())
		if r.err == nil {
			r.err = visit(tag, b)
		}
	}
}

// count returns the length of an array, 0 for null. Each element takes a byte at least, so more than there are bytes left
// is refused before anything is allocated.
func (r *reader) count() uint64 {
	var n uint64
	if r.flexible {
		n = max(r.uvarint(), 1) - 1
	} else {
		n = uint64(max(r.int32(), 0))
	}
	if n > uint64(len(r.rest)) {
		r.err = errShort
		return 0
	}
	return n
}

func (r *reader) stringBytes() uint64 {
	if r.flexible {
		return max(r.uvarint(), 1) - 1
	}
	return uint64(max(r.int16(), 0))
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.err, r.rest = errShort, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.rest)) {
		r.err, r.rest = errShort, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) fixed(n int) uint64 {
	var wide [8]byte
	copy(wide[8-n:], r.take(uint64(n)))
	return binary.BigEndian.Uint64(wide[:])
}

func (r *reader) int8() int8   { return int8(r.fixed(1)) }
func (r *reader) int16() int16 { return int16(r.fixed(2)) }
func (r *reader) int32() int32 { return int32(r.fixed(4)) }
func (r *reader) int64() int64 { return int64(r.fixed(8)) }
