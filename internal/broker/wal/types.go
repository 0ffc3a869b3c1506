package wal

import (
	"bytes"
	"cmp"
	"fmt"
)

// Position is a byte position in the chain. A file covers the positions [base, base+FileBytes), the byte at offset o of the
// file being base+o, and the next file starts where it ends. Positions grow for ever and are never used twice.
type Position int64

// String prints the position in hexadecimal, as file names do.
func (p Position) String() string { return fmt.Sprintf("%#x", int64(p)) }

// Stream identifies one partition to the log and carries the log's private state of it. Make it with NewStream, once per
// partition and Log. The appends of one Stream are serialised by the caller, so that their order is the order of offsets.
type Stream struct {
	Shard     int32
	Topic     [16]byte
	Partition int32
	// Owner is the caller's, who finds it in the runs that OnDurable gets; the log does not touch it.
	Owner any
	// Urgent says that somebody waits for each batch: it is not held back to be written with others. It is set before the first
	// Append, and again only by who serialises the appends.
	Urgent bool

	// Both are guarded by Log.mu: run is the index of this partition's run in the group numbered group.
	group uint64
	run   int32
}

// NewStream returns the Stream of one partition.
func NewStream(shard int32, topic [16]byte, partition int32) *Stream {
	return &Stream{Shard: shard, Topic: topic, Partition: partition}
}

// BatchInfo is what the footer of a frame keeps of a batch, so that recovery needs no batch bytes.
// Fields mean what they mean in a Kafka record batch v2.
type BatchInfo struct {
	BaseOffset      int64 // final, as patched into the batch
	LastOffsetDelta int32
	RecordCount     int32
	Bytes           int32 // of the whole batch; Append sets it
	MaxTimestamp    int64
	MinTimestamp    int64 // the batch's base timestamp
	Attributes      int16
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	// ControlType and CoordinatorEpoch are what the record of a control batch says (KIP-98); they are zero where Attributes
	// does not name a control batch.
	ControlType      int16
	CoordinatorEpoch int32

	// CRC is for Append alone: the CRC-32C of the batch's bytes from CRCStart on, which the caller has seen to be right. With CRCStart 0
	// nothing is known. The log takes it for granted, and need not go over these bytes again.
	CRC      uint32
	CRCStart int32
}

// The types of control records that end a transaction.
const (
	ControlTypeAbort  int16 = 0
	ControlTypeCommit int16 = 1
)

// NextOffset is the offset that follows the batch.
func (b BatchInfo) NextOffset() int64 { return b.BaseOffset + int64(b.LastOffsetDelta) + 1 }

// ControlKind says what a Control tells.
type ControlKind uint8

// The kinds of Control. Zero is not one of them.
const (
	ControlDeleteRecords   ControlKind = 1 // Value: the new log start offset
	ControlRelease         ControlKind = 2 // Value: the shard epoch given up; Topic and Partition are zero
	ControlPartitionCreate ControlKind = 3 // Value: for the caller to define
	ControlLeaderEpoch     ControlKind = 4 // Value: the epoch that begins
)

// Control is an entry in a frame beside the batches. The order between the controls of a shard is kept; the order between
// controls and batches of the same frame is not.
type Control struct {
	Shard     int32
	Kind      ControlKind
	Topic     [16]byte
	Partition int32
	Value     int64
}

// Frame is what a durable frame holds, without the batches' bytes. It and everything it points to belong to the
// log and are valid only until the function that it was handed to returns.
type Frame struct {
	Incarnation uint64
	Seq         uint64 // counts the frames of an incarnation, from 0
	Pos         Position
	Bytes       int64 // with header, footer, trailer and padding: the next frame of the file begins at Pos+Bytes
	Runs        []Run // ascending by shard, topic, partition
	Controls    []Control
}

// End is the position after the frame.
func (f *Frame) End() Position { return f.Pos + Position(f.Bytes) }

// Run is an unbroken stretch of batches of one partition in one frame, in order of offset.
type Run struct {
	Stream                     *Stream // as given to Append; nil when the frame was scanned
	Shard                      int32
	Topic                      [16]byte
	Partition                  int32
	BaseOffset, NextOffset     int64 // the run covers [BaseOffset, NextOffset)
	Pos                        Position
	Bytes                      int64
	RecordCount                int64
	MinTimestamp, MaxTimestamp int64
	CRC                        uint32 // CRC-32C of the Bytes at Pos
	Batches                    []BatchInfo
}

// compareRuns orders the runs of a shard as a frame holds them.
func compareRuns(a, b *Run) int {
	return cmp.Or(bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
}

// compareStreams orders streams as a frame holds their runs.
func compareStreams(a, b *Stream) int {
	if c := cmp.Compare(a.Shard, b.Shard); c != 0 {
		return c
	}
	return cmp.Or(bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
}
