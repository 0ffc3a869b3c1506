package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/weir-stream/weir/internal/kafka"
)

// Sizes of the fixed parts of a batch, in bytes.
const (
	HeaderBytes     = 61 // everything before the records
	LogOverhead     = 12 // base offset and length, which the length does not count
	magicOffset     = 16
	crcOffset       = 17
	crcStart        = 21 // first byte that the checksum covers
	attributeOffset = 21
	maxTimestampAt  = 35
)

const (
	AttributeCodecMask     = 0x07
	AttributeLogAppendTime = 0x08
	AttributeTransactional = 0x10
	AttributeControl       = 0x20
	AttributeDeleteHorizon = 0x40
)

// Errors of this package. Each wraps the code that a client gets for it.
var (
	// ErrTruncated: the bytes end before the batch does.
	ErrTruncated = fmt.Errorf("record batch is truncated: %w", kafka.InvalidRecord)
	// ErrBadMagic: the batch is not of format 2. The error that wraps it names the magic that was found.
	ErrBadMagic = fmt.Errorf("record batch has an unsupported magic: %w", kafka.InvalidRecord)
	// ErrInvalid: the contents contradict the format.
	ErrInvalid = fmt.Errorf("record batch is malformed: %w", kafka.InvalidRecord)
	// ErrCompression: the compressed stream is damaged, or the codec is unknown.
	ErrCompression = fmt.Errorf("record batch cannot be decompressed: %w", kafka.CorruptMessage)
	// ErrTooLarge: the records take more bytes, once decompressed, than the caller allows.
	ErrTooLarge = fmt.Errorf("record batch is too large when decompressed: %w", kafka.MessageTooLarge)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is the fixed part of a batch.
type Header struct {
	BaseOffset      int64
	Length          int32 // bytes after the length field itself
	LeaderEpoch     int32 // -1: not known
	Magic           int8
	CRC             uint32
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64 // ms since 1970
	MaxTimestamp    int64 // ms since 1970
	ProducerID      int64 // -1: none
	ProducerEpoch   int16
	BaseSequence    int32 // -1: none
	RecordCount     int32
}

// ParseHeader reads the header at the start of b, which may be longer than the batch, or hold no more of it than the
// header. Length is at least that of an empty batch; the other fields are as found, so a peer may have put anything there:
// use Validate or check what matters. It fails with ErrTruncated, ErrBadMagic or ErrInvalid.
func ParseHeader(b []byte) (Header, error) {
	if len(b) <= magicOffset {
		return Header{}, ErrTruncated
	}
	if magic := int8(b[magicOffset]); magic != 2 {
		return Header{}, badMagic(magic)
	}
	if len(b) < HeaderBytes {
		return Header{}, ErrTruncated
	}
	_ = b[HeaderBytes-1]
	be := binary.BigEndian
	h := Header{
		BaseOffset:      int64(be.Uint64(b[0:])),
		Length:          int32(be.Uint32(b[8:])),
		LeaderEpoch:     int32(be.Uint32(b[12:])),
		Magic:           2,
		CRC:             be.Uint32(b[17:]),
		Attributes:      int16(be.Uint16(b[21:])),
		LastOffsetDelta: int32(be.Uint32(b[23:])),
		BaseTimestamp:   int64(be.Uint64(b[27:])),
		MaxTimestamp:    int64(be.Uint64(b[35:])),
		ProducerID:      int64(be.Uint64(b[43:])),
		ProducerEpoch:   int16(be.Uint16(b[51:])),
		BaseSequence:    int32(be.Uint32(b[53:])),
		RecordCount:     int32(be.Uint32(b[57:])),
	}
	if h.Length < HeaderBytes-LogOverhead {
		return Header{}, ErrInvalid
	}
	return h, nil
}

func badMagic(magic int8) error {
	return fmt.Errorf("magic %d, want 2: %w", magic, ErrBadMagic)
}

// put writes h over the first HeaderBytes of b.
func (h Header) put(b []byte) {
	_ = b[HeaderBytes-1]
	be := binary.BigEndian
	be.PutUint64(b[0:], uint64(h.BaseOffset))
	be.PutUint32(b[8:], uint32(h.Length))
	be.PutUint32(b[12:], uint32(h.LeaderEpoch))
	b[16] = byte(h.Magic)
	be.PutUint32(b[17:], h.CRC)
	be.PutUint16(b[21:], uint16(h.Attributes))
	be.PutUint32(b[23:], uint32(h.LastOffsetDelta))
	be.PutUint64(b[27:], uint64(h.BaseTimestamp))
	be.PutUint64(b[35:], uint64(h.MaxTimestamp))
	be.PutUint64(b[43:], uint64(h.ProducerID))
	be.PutUint16(b[51:], uint16(h.ProducerEpoch))
	be.PutUint32(b[53:], uint32(h.BaseSequence))
	be.PutUint32(b[57:], uint32(h.RecordCount))
}

// Size returns the bytes of the whole batch, header included.
func (h Header) Size() int64 { return LogOverhead + int64(h.Length) }

// Codec returns the compression of the records; it may be one that does not exist (see Codec.Valid).
func (h Header) Codec() Codec { return Codec(h.Attributes & AttributeCodecMask) }

// LogAppendTime tells whether MaxTimestamp is the time of the append, for every record, instead of the producer's times.
func (h Header) LogAppendTime() bool { return h.Attributes&AttributeLogAppendTime != 0 }

// Transactional tells whether the batch belongs to a transaction.
func (h Header) Transactional() bool { return h.Attributes&AttributeTransactional != 0 }

// Control tells whether the batch holds a control record, such as a transaction marker, which consumers never see.
func (h Header) Control() bool { return h.Attributes&AttributeControl != 0 }

// LastOffset returns the offset of the last record; compaction may have removed that record itself.
func (h Header) LastOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) }

// NextOffset returns the offset after the last record.
func (h Header) NextOffset() int64 { return h.LastOffset() + 1 }

// LastSequence returns the sequence number of the last record. Sequences go from 0 to MaxInt32 and start again at 0. A
// batch without a sequence yields -1.
func (h Header) LastSequence() int32 {
	if h.BaseSequence < 0 {
		return -1
	}
	return int32((int64(h.BaseSequence) + int64(h.LastOffsetDelta)) & math.MaxInt32)
}

// CheckCRC tells whether b starts with a whole batch whose checksum fits. It does not look at the magic.
func CheckCRC(b []byte) bool {
	batch, ok := cut(b)
	if !ok {
		return false
	}
	return crc32.Checksum(batch[crcStart:], castagnoli) == binary.BigEndian.Uint32(batch[crcOffset:])
}

// Checksum returns the CRC-32C that the batch at the start of b names, and the first byte that it covers; it covers all from there on. Whether
// it fits is for CheckCRC to say. b must hold at least the header.
func Checksum(b []byte) (crc uint32, start int) {
	_ = b[HeaderBytes-1]
	return binary.BigEndian.Uint32(b[crcOffset:]), crcStart
}

// cut returns the first batch of b alone, by its length field.
func cut(b []byte) ([]byte, bool) {
	if len(b) < HeaderBytes {
		return nil, false
	}
	size := int64(int32(binary.BigEndian.Uint32(b[8:]))) + LogOverhead
	if size < HeaderBytes || size > int64(len(b)) {
		return nil, false
	}
	return b[:size:size], true
}

// PatchOffset sets base offset and leader epoch of the batch at the start of b. Both lie outside the checksum, so the
// rest stays as the producer sent it. b must hold at least the header.
func PatchOffset(b []byte, base int64, leaderEpoch int32) {
	_ = b[HeaderBytes-1]
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[12:], uint32(leaderEpoch))
}

// PatchLogAppendTime marks the batch at the start of b as stamped at append, ts being the time in ms for all of its
// records, and renews the checksum. b must hold the whole batch.
func PatchLogAppendTime(b []byte, ts int64) {
	batch, ok := cut(b)
	if !ok {
		panic("record: PatchLogAppendTime needs a whole batch")
	}
	attributes := binary.BigEndian.Uint16(batch[attributeOffset:]) | AttributeLogAppendTime
	binary.BigEndian.PutUint16(batch[attributeOffset:], attributes)
	binary.BigEndian.PutUint64(batch[maxTimestampAt:], uint64(ts))
	sealCRC(batch)
}

// ClearLogAppendTime marks the batch at the start of b as having the producer's times, and renews the checksum. b must
// hold the whole batch.
func ClearLogAppendTime(b []byte) {
	batch, ok := cut(b)
	if !ok {
		panic("record: ClearLogAppendTime needs a whole batch")
	}
	attributes := binary.BigEndian.Uint16(batch[attributeOffset:]) &^ AttributeLogAppendTime
	binary.BigEndian.PutUint16(batch[attributeOffset:], attributes)
	sealCRC(batch)
}

func sealCRC(batch []byte) {
	binary.BigEndian.PutUint32(batch[crcOffset:], crc32.Checksum(batch[crcStart:], castagnoli))
}
