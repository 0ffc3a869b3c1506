package record

import (
	"encoding/binary"

	"github.com/weir-stream/weir/internal/kafka"
)

// Builder makes batches. The zero value is not useful; see NewBuilder.
type Builder struct {
	codec Codec
	level int

	plain         []byte // records, not compressed
	count         int32
	baseTimestamp int64
	maxTimestamp  int64
}

// BuildOptions are the fields of a batch that do not come from its records. The zero value is a plain batch at offset 0.
type BuildOptions struct {
	BaseOffset    int64
	LeaderEpoch   *int32 // nil: not known (-1)
	Producer      *Producer
	Transactional bool
	Control       bool
}

// Producer is the identity under which a batch is written.
type Producer struct {
	ID       int64
	Epoch    int16
	Sequence int32 // of the first record; -1: none, as in transaction markers
}

// NewBuilder returns an empty builder. level is in the codec's own scale, see DefaultLevel.
func NewBuilder(codec Codec, level int) *Builder {
	return &Builder{codec: codec, level: level}
}

// Append adds a record stamped ts, in ms since 1970. The arguments are copied; a nil key or value is null. The caller
// keeps the batch below 2 GiB, by Len.
func (b *Builder) Append(ts int64, key, value []byte, headers []RecordHeader) {
	if b.count == 0 {
		b.baseTimestamp, b.maxTimestamp = ts, ts
	}
	b.maxTimestamp = max(b.maxTimestamp, ts)
	tsDelta := ts - b.baseTimestamp
	size := 1 + varintLen(tsDelta) + varintLen(int64(b.count)) + bytesLen(key, key == nil) + bytesLen(value, value == nil) + varintLen(int64(len(headers)))
	for _, h := range headers {
		size += bytesLen(h.Key, false) + bytesLen(h.Value, h.Value == nil)
	}
	p := binary.AppendVarint(b.plain, int64(size))
	p = append(p, 0) // attributes: none are defined
	p = binary.AppendVarint(p, tsDelta)
	p = binary.AppendVarint(p, int64(b.count))
	p = appendBytes(p, key, key == nil)
	p = appendBytes(p, value, value == nil)
	p = binary.AppendVarint(p, int64(len(headers)))
	for _, h := range headers {
		p = appendBytes(p, h.Key, false)
		p = appendBytes(p, h.Value, h.Value == nil)
	}
	b.plain = p
	b.count++
}

// Count returns the number of records so far.
func (b *Builder) Count() int { return int(b.count) }

// Len returns the bytes that the batch would take without compression, header included.
func (b *Builder) Len() int { return HeaderBytes + len(b.plain) }

// Build returns the batch in memory of its own, with its checksum, and empties the builder for the next one. Without
// records it returns nil.
func (b *Builder) Build(o BuildOptions) []byte {
	if b.count == 0 {
		return nil
	}
	h := Header{
		BaseOffset:      o.BaseOffset,
		LeaderEpoch:     kafka.NoLeaderEpoch,
		LastOffsetDelta: b.count - 1,
		BaseTimestamp:   b.baseTimestamp,
		MaxTimestamp:    b.maxTimestamp,
		ProducerID:      int64(kafka.NoProducerID),
		ProducerEpoch:   kafka.NoProducerEpoch,
		BaseSequence:    kafka.NoSequence,
		RecordCount:     b.count,
	}
	if o.LeaderEpoch != nil {
		h.LeaderEpoch = *o.LeaderEpoch
	}
	if o.Producer != nil {
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = o.Producer.ID, o.Producer.Epoch, o.Producer.Sequence
	}
	if o.Transactional {
		h.Attributes |= AttributeTransactional
	}
	if o.Control {
		h.Attributes |= AttributeControl
	}
	batch := assemble(h, b.codec, b.level, b.plain)
	b.plain, b.count = b.plain[:0], 0
	return batch
}

func varintLen(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	n := 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}

func bytesLen[T string | []byte](b T, null bool) int {
	if null {
		return 1
	}
	return varintLen(int64(len(b))) + len(b)
}

func appendBytes[T string | []byte](dst []byte, b T, null bool) []byte {
	if null {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}
