package partition

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// Appended is the answer to an Append.
type Appended struct {
	BaseOffset int64
	// LogAppendTime is the time that the records got, in ms, or -1 where they keep their own. For a duplicate it is the
	// largest time of the first one's records.
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
// Errors: InvalidRecord (format, control batch, damaged records), UnknownServerError (a codec that does not exist, or
// records that do not decompress), CorruptMessage (CRC), MessageTooLarge,
// InvalidTimestamp, OutOfOrderSequenceNumber, InvalidProducerEpoch, InvalidTxnState (a transactional batch without an open
// transaction, or any other while one is open), a *RecordsError that names records, ErrClosed, and wal.ErrNoSpace, which is
// worth a retry.
func (l *Log) Append(b []byte) (Appended, error) { return l.AppendVerified(b, nil) }

// AppendVerified is Append for a batch that may open a transaction: v is what BeginVerification returned before the
// transaction's coordinator was asked. If a marker has come meanwhile the batch is refused, with InvalidTxnState.
func (l *Log) AppendVerified(b []byte, v *Verification) (Appended, error) {
	return l.AppendInspected(b, v, nil)
}

// AppendInspected is AppendVerified for a batch that somebody looks into; nil is nobody.
func (l *Log) AppendInspected(b []byte, v *Verification, inspect Inspector) (Appended, error) {
	c := l.config.Load()
	b, h, err := l.check(b, c)
	if err != nil {
		return Appended{}, err
	}
	if inspect != nil {
		a, done, err := l.inspect(&b, &h, c, v, inspect)
		if done || err != nil {
			return a, err
		}
	}
	logAppendTime := int64(-1)
	switch {
	case c.LogAppendTime:
		logAppendTime = l.env.Now().UnixMilli()
		record.PatchLogAppendTime(b, logAppendTime)
		h.MaxTimestamp = logAppendTime
		h.Attributes |= record.AttributeLogAppendTime
	case h.LogAppendTime(): // the topic decides, not the producer
		record.ClearLogAppendTime(b)
		h.Attributes &^= record.AttributeLogAppendTime
	}
	info := infoOf(&h)
	crc, start := record.Checksum(b) // it fits: check looked, and what changed the batch renewed it
	info.CRC, info.CRCStart = crc, int32(start)
	a, err := l.append(b, info, c, origin{client: true, verification: v})
	if err != nil {
		return Appended{}, err
	}
	if !a.Duplicate {
		a.LogAppendTime = logAppendTime
	}
	return a, nil
}

// AppendInternal writes a batch that the node itself made, such as a coordinator's records: it is known to be well
// formed and obeys no limit of the topic. It may be transactional, and it may be a transaction marker; its producer's epoch is
// checked then, but no sequence. Whoever opens a transaction with it answers for its being known to the transaction's
// coordinator, best by AppendInternalVerified.
func (l *Log) AppendInternal(b []byte) (Appended, error) {
	return l.appendInternal(b, origin{trusted: true})
}

// AppendInternalVerified is AppendInternal for a batch that may open a transaction, as AppendVerified is Append.
func (l *Log) AppendInternalVerified(b []byte, v *Verification) (Appended, error) {
	return l.appendInternal(b, origin{verification: v})
}

func (l *Log) appendInternal(b []byte, o origin) (Appended, error) {
	h, err := record.ParseHeader(b)
	if err != nil {
		return Appended{}, fmt.Errorf("append internal batch to %s: %w", l.id, err)
	}
	info := infoOf(&h)
	if h.Control() {
		m, err := record.ParseMarker(b)
		if err != nil {
			return Appended{}, fmt.Errorf("append control batch to %s: %w", l.id, err)
		}
		markInfo(&info, m)
	}
	return l.append(b, info, l.config.Load(), o)
}

// origin says who appends a batch, and so what is checked of it.
type origin struct {
	// client batches obey sequences and may be repetitions.
	client bool
	// trusted batches may open a transaction as they are, others need the log's present verification for it.
	trusted      bool
	verification *Verification
	// version of the transaction that a marker ends.
	version int8
}

func (l *Log) append(b []byte, info wal.BatchInfo, c *Config, o origin) (Appended, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return Appended{}, ErrClosed
	}
	if info.ProducerID >= 0 {
		a, done, err := l.checkProducerLocked(&info, &o)
		if done || err != nil {
			return a, err
		}
	}
	info.BaseOffset = l.logEnd
	record.PatchOffset(b, info.BaseOffset, l.leaderEpoch)
	ticket, err := l.env.WAL.Append(l.stream, b, info)
	if err != nil {
		return Appended{}, err
	}
	l.applyLocked(&info, l.leaderEpoch, c)
	l.env.Clients.Served(int64(len(b)))
	return Appended{BaseOffset: info.BaseOffset, LogAppendTime: -1, LogStartOffset: l.logStart, Records: info.RecordCount, Ticket: ticket}, nil
}

// duplicateLocked answers a batch that was sent before. The first one may still be in flight: the answer must not
// leave before it is durable. A barrier in the WAL, which keeps the order, says when.
func (l *Log) duplicateLocked(d sentBatch) (Appended, error) {
	a := Appended{BaseOffset: d.base, LogAppendTime: d.timestamp, LogStartOffset: l.logStart, Duplicate: true}
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
	if info.ProducerID >= 0 {
		l.applyProducerLocked(info)
	}
	l.growLocked(info, c)
	l.logEnd = info.BaseOffset + int64(info.LastOffsetDelta) + 1
}

// markInfo adds what the record of a marker says.
func markInfo(info *wal.BatchInfo, m record.Marker) {
	info.ControlType, info.CoordinatorEpoch = wal.ControlTypeAbort, m.CoordinatorEpoch
	if m.Commit {
		info.ControlType = wal.ControlTypeCommit
	}
}

func infoOf(h *record.Header) wal.BatchInfo {
	return wal.BatchInfo{
		LastOffsetDelta: h.LastOffsetDelta, RecordCount: h.RecordCount, Bytes: int32(h.Size()),
		MinTimestamp: h.BaseTimestamp, MaxTimestamp: h.MaxTimestamp, Attributes: h.Attributes,
		ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence,
	}
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
	case h.BaseOffset != 0:
		return nil, h, kafka.Errorf(kafka.InvalidRecord, "batch with base offset %d from a client", h.BaseOffset)
	case int64(len(b)) > int64(c.MaxMessageBytes):
		return nil, h, kafka.Errorf(kafka.MessageTooLarge, "batch of %d bytes, the topic takes %d", len(b), c.MaxMessageBytes)
	case !record.CheckCRC(b):
		return nil, h, kafka.CorruptMessage
	case h.RecordCount <= 0 || h.LastOffsetDelta != h.RecordCount-1:
		return nil, h, kafka.Errorf(kafka.InvalidRecord, "batch of %d records with last offset delta %d", h.RecordCount, h.LastOffsetDelta)
	case h.Control():
		return nil, h, kafka.Errorf(kafka.InvalidRecord, "clients may not write control records")
	case h.ProducerID >= 0 && h.BaseSequence < 0:
		return nil, h, kafka.Errorf(kafka.InvalidRecord, "sequence %d of producer %d", h.BaseSequence, h.ProducerID)
	case h.Codec() > record.Zstd:
		return nil, h, kafka.Errorf(kafka.UnknownServerError, "unknown compression codec %d", h.Codec())
	}
	if err := l.checkRecords(b, &h, c); err != nil {
		return nil, h, err
	}
	if c.Recompress && h.Codec() != c.Codec {
		b, err = record.Recompress(b, c.Codec, c.Level, c.DecompressedBytesMax)
		if err != nil {
			return nil, h, damaged("recompress batch", err)
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

// noTimestamp is the time of a record that has none.
const noTimestamp = -1

// damaged refuses a batch whose compressed records cannot be read, with the code that Kafka has for it.
func damaged(what string, err error) error {
	if errors.Is(err, record.ErrCompression) {
		return kafka.Errorf(kafka.UnknownServerError, "%s: %v", what, err)
	}
	return kafka.Errorf(kafka.InvalidRecord, "%s: %v", what, err)
}

func (l *Log) checkRecords(b []byte, h *record.Header, c *Config) error {
	now := l.env.Now().UnixMilli()
	low, high := now-c.TimestampBeforeMaxMs, int64(math.MaxInt64)
	if c.TimestampAfterMaxMs < high-now {
		high = now + c.TimestampAfterMaxMs
	}
	timestamps := !c.LogAppendTime && (h.MaxTimestamp > high || low > 0)
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
		return damaged("open batch", err)
	}
	defer it.Close()
	var early, keyless []RecordError
	for i := int32(0); ; i++ {
		r, ok := it.Next()
		if !ok {
			break
		}
		if r.OffsetDelta != i {
			return kafka.Errorf(kafka.InvalidRecord, "record %d of the batch has offset delta %d", i, r.OffsetDelta)
		}
		if t := h.BaseTimestamp + r.TimestampDelta; timestamps && t != noTimestamp && (t > high || t < low) {
			early = append(early, RecordError{i, fmt.Sprintf("Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]", t, r.OffsetDelta, low, high)})
		}
		if c.Compact && r.Key == nil {
			keyless = append(keyless, RecordError{i, "A compacted topic keeps no record without a key."})
		}
	}
	if err := it.Err(); err != nil {
		return damaged("read batch", err)
	}
	if len(keyless) > 0 {
		return refuse(kafka.InvalidRecord, keyless, fmt.Sprintf("Records of the batch are refused, %d in all: %s", len(keyless), keyless[0].Message))
	}
	if len(early) > 0 {
		return refuse(kafka.InvalidTimestamp, early, "One or more records have been rejected due to invalid timestamp")
	}
	return nil
}

func refuse(code kafka.Error, records []RecordError, message string) error {
	return &RecordsError{Err: code, Message: message, Records: slices.Clip(records)}
}
