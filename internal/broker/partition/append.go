package partition

import (
	"fmt"
	"slices"

	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// Appended is the answer to an Append.
type Appended struct {
	BaseOffset int64
	// LogAppendTime is the time that the records got, in ms, or -1 where they keep their own.
	LogAppendTime  int64
	LogStartOffset int64
	// Duplicate says that the producer sent the batch before; BaseOffset is the first one's.
	Duplicate bool
	// Records is how many records the batch holds.
	Records int32
	// Ticket completes when the batch is durable. The batch's bytes must stay as they are until then.
	Ticket wal.Ticket
}

// RecordError names a record that made a batch unacceptable (KIP-467).
type RecordError struct {
	Index   int32
	Message string
}

// RecordsError refuses a batch for the sake of some of its records.
type RecordsError struct {
	Err     kafka.Error
	Message string
	Records []RecordError
}

func (e *RecordsError) Error() string { return e.Message }
func (e *RecordsError) Unwrap() error { return e.Err }

// Append writes a client's batch at the log end offset. b must be exactly one batch of format v2; base offset and leader
// epoch are patched in place and b is kept until the ticket is done. A batch that is refused leaves no trace.
//
// Errors: InvalidRecord (format, control batch, damaged records), CorruptMessage (CRC), MessageTooLarge,
// InvalidTimestamp, OutOfOrderSequenceNumber, InvalidProducerEpoch, a *RecordsError that names records, ErrClosed, and
// wal.ErrNoSpace, which is worth a retry.
func (l *Log) Append(b []byte) (Appended, error) {
	c := l.config.Load()
	b, h, err := l.check(b, c)
	if err != nil {
		return Appended{}, err
	}
	logAppendTime := int64(-1)
	if c.LogAppendTime {
		logAppendTime = l.env.Now().UnixMilli()
		record.PatchLogAppendTime(b, logAppendTime)
		h.MaxTimestamp = logAppendTime
		h.Attributes |= record.AttributeLogAppendTime
	}
	a, err := l.append(b, infoOf(&h), c)
	if err != nil {
		return Appended{}, err
	}
	if !a.Duplicate {
		a.LogAppendTime = logAppendTime
	}
	return a, nil
}

// AppendInternal writes a batch that the node itself made, such as a coordinator's records: it is known to be well
// formed and obeys no limit of the topic.
func (l *Log) AppendInternal(b []byte) (Appended, error) {
	h, err := record.ParseHeader(b)
	if err != nil {
		return Appended{}, fmt.Errorf("append internal batch to %s: %w", l.id, err)
	}
	return l.append(b, infoOf(&h), l.config.Load())
}

func (l *Log) append(b []byte, info wal.BatchInfo, c *Config) (Appended, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return Appended{}, ErrClosed
	}
	if info.ProducerID >= 0 {
		if d, ok := l.producers.duplicate(&info); ok {
			return l.duplicateLocked(d)
		}
		if err := l.producers.check(&info); err != nil {
			return Appended{}, err
		}
	}
	info.BaseOffset = l.logEnd
	record.PatchOffset(b, info.BaseOffset, l.leaderEpoch)
	ticket, err := l.env.WAL.Append(l.stream, b, info)
	if err != nil {
		return Appended{}, err
	}
	l.applyLocked(&info, l.leaderEpoch, c)
	return Appended{BaseOffset: info.BaseOffset, LogAppendTime: -1, LogStartOffset: l.logStart, Records: info.RecordCount, Ticket: ticket}, nil
}

// duplicateLocked answers a batch that was sent before. The first one may still be in flight: the answer must not
// leave before it is durable. A barrier in the WAL, which keeps the order, says when.
func (l *Log) duplicateLocked(d sentBatch) (Appended, error) {
	a := Appended{BaseOffset: d.base, LogAppendTime: -1, LogStartOffset: l.logStart, Duplicate: true}
	if l.config.Load().LogAppendTime {
		a.LogAppendTime = d.timestamp
	}
	if d.last < l.highWatermark {
		return a, nil
	}
	a.Ticket = l.env.WAL.Barrier()
	return a, nil
}

// applyLocked is the one place where a batch changes the log's state; recovery runs it too.
func (l *Log) applyLocked(info *wal.BatchInfo, leaderEpoch int32, c *Config) {
	if n := len(l.epochs); n == 0 || l.epochs[n-1].Epoch < leaderEpoch {
		l.epochs = append(l.epochs, EpochStart{leaderEpoch, info.BaseOffset})
	}
	if info.ProducerID >= 0 && info.Attributes&record.AttributeControl == 0 {
		if l.producers == nil {
			l.producers = producers{}
		}
		l.producers.apply(info)
	}
	l.growLocked(info, c)
	l.logEnd = info.BaseOffset + int64(info.LastOffsetDelta) + 1
}

func infoOf(h *record.Header) wal.BatchInfo {
	return wal.BatchInfo{LastOffsetDelta: h.LastOffsetDelta, RecordCount: h.RecordCount, Bytes: int32(h.Size()),
		MinTimestamp: h.BaseTimestamp, MaxTimestamp: h.MaxTimestamp, Attributes: h.Attributes,
		ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence}
}

// check refuses what Kafka's log validator refuses, and recompresses where the topic asks. Compressed batches are only
// opened where their records matter: for recompression, key checks, or to name records with a bad timestamp.
func (l *Log) check(b []byte, c *Config) ([]byte, record.Header, error) {
	h, err := record.ParseHeader(b)
	if err != nil {
		return nil, h, kafka.Errorf(kafka.InvalidRecord, "%v", err)
	}
	switch {
	case h.Size() != int64(len(b)):
		return nil, h, kafka.Errorf(kafka.InvalidRecord, "the records hold %d bytes, their one batch says %d", len(b), h.Size())
	case !record.CheckCRC(b):
		return nil, h, kafka.CorruptMessage
	case h.RecordCount <= 0 || h.LastOffsetDelta != h.RecordCount-1:
		return nil, h, kafka.Errorf(kafka.InvalidRecord, "batch of %d records with last offset delta %d", h.RecordCount, h.LastOffsetDelta)
	case h.Control():
		return nil, h, kafka.Errorf(kafka.InvalidRecord, "clients may not write control records")
	case h.ProducerID >= 0 && (h.BaseSequence < 0 || h.ProducerEpoch < 0):
		return nil, h, kafka.Errorf(kafka.InvalidRecord, "sequence %d and epoch %d of producer %d, both must be 0 or more", h.BaseSequence, h.ProducerEpoch, h.ProducerID)
	case h.Codec() > record.Zstd:
		return nil, h, kafka.Errorf(kafka.InvalidRecord, "unknown compression codec %d", h.Codec())
	case int64(len(b)) > int64(c.MaxMessageBytes):
		return nil, h, kafka.Errorf(kafka.MessageTooLarge, "batch of %d bytes, the topic takes %d", len(b), c.MaxMessageBytes)
	}
	if err := l.checkRecords(b, &h, c); err != nil {
		return nil, h, err
	}
	if c.Recompress && h.Codec() != c.Codec {
		b, err = record.Recompress(b, c.Codec, c.Level, c.DecompressedBytesMax)
		if err != nil {
			return nil, h, kafka.Errorf(kafka.InvalidRecord, "recompress batch: %v", err)
		}
		if h, err = record.ParseHeader(b); err != nil {
			return nil, h, err
		}
		if int64(len(b)) > int64(c.MaxMessageBytes) {
			return nil, h, kafka.Errorf(kafka.MessageTooLarge, "recompressed batch of %d bytes, the topic takes %d", len(b), c.MaxMessageBytes)
		}
	}
	return b, h, nil
}

// recordErrorsMax is how many records an error's text names.
const recordErrorsMax = 3

func (l *Log) checkRecords(b []byte, h *record.Header, c *Config) error {
	now := l.env.Now().UnixMilli()
	low, high := int64(0), now+c.TimestampAfterMaxMs
	if c.TimestampBeforeMaxMs < now {
		low = now - c.TimestampBeforeMaxMs
	}
	timestamps := !c.LogAppendTime && (h.MaxTimestamp > high || low > 0)
	if h.LogAppendTime() && !c.LogAppendTime {
		return kafka.Errorf(kafka.InvalidTimestamp, "producers may not set the timestamp type to log append time")
	}
	if h.Codec() == record.None {
		if err := record.Validate(b, c.DecompressedBytesMax); err != nil {
			return kafka.Errorf(kafka.InvalidRecord, "%v", err)
		}
	}
	if !timestamps && !c.Compact {
		return nil
	}
	it, err := record.NewIterator(b, c.DecompressedBytesMax)
	if err != nil {
		return kafka.Errorf(kafka.InvalidRecord, "%v", err)
	}
	defer it.Close()
	var early, keyless []RecordError
	for i := int32(0); ; i++ {
		r, ok := it.Next()
		if !ok {
			break
		}
		if t := h.BaseTimestamp + r.TimestampDelta; timestamps && (t > high || t < low) {
			early = append(early, RecordError{i, fmt.Sprintf("Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]", t, r.OffsetDelta, low, high)})
		}
		if c.Compact && r.Key == nil {
			keyless = append(keyless, RecordError{i, "Compacted topic cannot accept message without key."})
		}
	}
	if err := it.Err(); err != nil {
		return kafka.Errorf(kafka.InvalidRecord, "%v", err)
	}
	if len(keyless) > 0 {
		return refuse(kafka.InvalidRecord, keyless, "One or more records have been rejected due to invalid records")
	}
	if len(early) > 0 {
		return refuse(kafka.InvalidTimestamp, early, "One or more records have been rejected due to invalid timestamp")
	}
	return nil
}

func refuse(code kafka.Error, records []RecordError, message string) error {
	return &RecordsError{Err: code, Message: message, Records: slices.Clip(records)}
}
