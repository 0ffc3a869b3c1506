package segment

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"

	"github.com/weir-stream/weir/internal/kafka/record"
)

// writeBufferBytes gathers small batches, so that each is not a write of its own; larger ones pass by the buffer. What an object is written to gathers them anyway: a
// larger buffer would be one more copy of every byte.
const writeBufferBytes = 16 << 10

// Options describe an object to write.
type Options struct {
	Shard      int32
	Level      Level
	Epoch      uint64    // of the shard, when the object was made
	CreatedAt  time.Time // kept to the millisecond
	IndexBytes int       // distance of index entries and size of checksummed blocks; 0: DefaultIndexBytes, range [512 B, 16 MiB]
}

// Footer tells what a finished object holds.
type Footer struct {
	Runs []RunInfo
	// AbortedFrom is, for each run, the lowest first offset of its aborted transactions; -1 where it has none.
	AbortedFrom  []int64
	Bytes        int64 // of the whole object
	RecordCount  int64
	MaxTimestamp int64 // of all batches; -1 if there are none
}

// Writer writes one object as a stream. It holds the index of the run being written and the encoded sections of
// those before it, never data. After an error that came from the io.Writer all calls fail; a refused run or batch
// changes nothing. Not for concurrent use.
type Writer struct {
	out    *bufio.Writer
	header header
	pos    int64
	err    error // sticky

	entries  []entry
	sections []byte // encoded sections of finished runs

	// The run being written.
	open     bool
	started  bool // some run was begun: run.Topic and run.Partition are the last key
	run      RunInfo
	current  section
	blockCRC uint32 // of the block's bytes so far
	indexed  int64  // position in the run of the last index entry
}

// NewWriter returns a Writer of an object that w receives from its first byte. The caller makes w durable and
// visible after Finish, and discards it if anything fails.
func NewWriter(w io.Writer, o Options) *Writer {
	if o.IndexBytes == 0 {
		o.IndexBytes = DefaultIndexBytes
	}
	wr := &Writer{out: bufio.NewWriterSize(w, writeBufferBytes)}
	if o.IndexBytes < minIndexBytes || o.IndexBytes > maxIndexBytes {
		wr.err = fmt.Errorf("segment index distance of %d bytes is outside [%d, %d]", o.IndexBytes, minIndexBytes, maxIndexBytes)
		return wr
	}
	wr.header = header{
		shard: o.Shard, level: o.Level, epoch: o.Epoch, created: o.CreatedAt.UnixMilli(), indexBytes: uint32(o.IndexBytes),
	}
	wr.write(wr.header.append(nil))
	return wr
}

// BeginRun ends the run before, if any, and starts that of a partition. Keys must ascend by topic id, then
// partition: else ErrOrder. A run to which no batch is appended leaves no trace in the object.
func (w *Writer) BeginRun(topic [16]byte, partition int32) error {
	if w.err != nil {
		return w.err
	}
	if partition < 0 {
		return fmt.Errorf("begin run of partition %d: %w", partition, ErrOrder)
	}
	if w.started && compareKey(topic, partition, w.run.Topic, w.run.Partition) <= 0 {
		return fmt.Errorf("begin run of %x-%d after %x-%d: %w", topic, partition, w.run.Topic, w.run.Partition, ErrOrder)
	}
	w.endRun()
	w.open, w.started = true, true
	w.run = RunInfo{Topic: topic, Partition: partition, Pos: w.pos}
	return nil
}

// AppendBatch appends one whole batch with its final offsets to the run. It does not keep batch. Offsets must
// ascend, gaps are allowed: else ErrOrder. Bytes that are not one batch of version 2 are ErrBadBatch. The CRC inside
// the batch is not checked.
func (w *Writer) AppendBatch(batch []byte) error {
	if w.err != nil {
		return w.err
	}
	if !w.open {
		return fmt.Errorf("append a batch before a run: %w", ErrOrder)
	}
	h, err := record.ParseHeader(batch)
	if err != nil {
		return fmt.Errorf("append to %x-%d: %w: %w", w.run.Topic, w.run.Partition, ErrBadBatch, err)
	}
	if h.Size() != int64(len(batch)) || h.LastOffsetDelta < 0 || h.RecordCount < 0 ||
		h.BaseOffset < 0 || h.BaseOffset >= math.MaxInt64-int64(h.LastOffsetDelta) {
		return fmt.Errorf("append to %x-%d at offset %d, %d bytes: %w",
			w.run.Topic, w.run.Partition, h.BaseOffset, len(batch), ErrBadBatch)
	}
	first := w.run.Bytes == 0
	if !first && h.BaseOffset < w.run.NextOffset {
		return fmt.Errorf("append to %x-%d at offset %d, run has reached %d: %w",
			w.run.Topic, w.run.Partition, h.BaseOffset, w.run.NextOffset, ErrOrder)
	}
	// Under LogAppendTime the base timestamp is still the producer's and may lie above the batch's maximum.
	lowest := min(h.BaseTimestamp, h.MaxTimestamp)
	if first {
		w.run.BaseOffset, w.run.MinTimestamp, w.run.MaxTimestamp = h.BaseOffset, lowest, h.MaxTimestamp
	} else if w.run.Bytes-w.indexed >= int64(w.header.indexBytes) {
		w.current.index = append(w.current.index, indexEntry{offset: h.BaseOffset, pos: w.run.Bytes, maxTs: w.run.MaxTimestamp})
		w.indexed = w.run.Bytes
	}
	w.sum(batch)
	w.run.NextOffset = h.BaseOffset + int64(h.LastOffsetDelta) + 1
	w.run.Bytes += int64(len(batch))
	w.run.RecordCount += int64(h.RecordCount)
	w.run.MinTimestamp = min(w.run.MinTimestamp, lowest)
	w.run.MaxTimestamp = max(w.run.MaxTimestamp, h.MaxTimestamp)
	w.write(batch)
	return w.err
}

// Aborted adds an aborted transaction to the run. They come in the order of their markers; a first offset below the
// run is right, if the transaction began in an earlier one. Else ErrOrder.
func (w *Writer) Aborted(a AbortedTxn) error {
	if w.err != nil {
		return w.err
	}
	var last int64
	if n := len(w.current.aborted); n > 0 {
		last = w.current.aborted[n-1].LastOffset
	}
	if !w.open || a.FirstOffset < 0 || a.FirstOffset > a.LastOffset || a.LastOffset < last {
		return fmt.Errorf("aborted transaction [%d, %d] of producer %d in %x-%d, last one ended at %d: %w",
			a.FirstOffset, a.LastOffset, a.ProducerID, w.run.Topic, w.run.Partition, last, ErrOrder)
	}
	w.current.aborted = append(w.current.aborted, a)
	return nil
}

// Finish ends the last run and writes sections, directory and trailer. All bytes have gone to the io.Writer when it
// returns. The Writer is of no use afterwards.
func (w *Writer) Finish() (Footer, error) {
	if w.err != nil {
		return Footer{}, w.err
	}
	w.endRun()
	for i, pos := 0, w.pos; i < len(w.entries); i++ {
		w.entries[i].sectionPos = pos
		pos += w.entries[i].sectionBytes
	}
	w.write(w.sections)
	raw := appendDirectory(nil, w.header, w.entries)
	if len(raw) > maxDirectoryBytes {
		return Footer{}, w.fail(fmt.Errorf("segment directory of %d runs takes %d bytes, most is %d", len(w.entries), len(raw), maxDirectoryBytes))
	}
	t := trailer{directoryPos: w.pos, directoryBytes: int64(len(raw)), directoryCRC: crc32.Checksum(raw, castagnoli)}
	w.write(raw)
	w.write(t.append(nil))
	if w.err != nil {
		return Footer{}, w.err
	}
	if err := w.out.Flush(); err != nil {
		return Footer{}, w.fail(fmt.Errorf("write segment: %w", err))
	}
	f := Footer{Runs: make([]RunInfo, len(w.entries)), AbortedFrom: make([]int64, len(w.entries)), Bytes: w.pos, MaxTimestamp: -1}
	for i := range w.entries {
		f.Runs[i], f.AbortedFrom[i] = w.entries[i].RunInfo, w.entries[i].abortedFrom
		f.RecordCount += f.Runs[i].RecordCount
		f.MaxTimestamp = max(f.MaxTimestamp, f.Runs[i].MaxTimestamp)
	}
	w.fail(fmt.Errorf("write segment: already finished")) //nolint:errcheck // it keeps the error for later calls
	return f, nil
}

// Bytes is the size of the object so far, without what Finish adds. Callers cut by it.
func (w *Writer) Bytes() int64 { return w.pos }

// endRun turns the open run into an entry and an encoded section.
func (w *Writer) endRun() {
	if !w.open {
		return
	}
	w.open = false
	if w.run.Bytes > 0 {
		if w.run.Bytes%int64(w.header.indexBytes) != 0 {
			w.current.blocks = append(w.current.blocks, w.blockCRC)
		}
		start := len(w.sections)
		w.sections = w.current.append(w.sections, w.run)
		raw := w.sections[start:]
		if len(raw) > maxSectionBytes {
			w.fail(fmt.Errorf("segment section of a run of %d bytes takes %d bytes, most is %d", w.run.Bytes, len(raw), maxSectionBytes)) //nolint:errcheck // it keeps the error for later calls
		}
		w.entries = append(w.entries, entry{
			RunInfo: w.run, sectionBytes: int64(len(raw)), sectionCRC: crc32.Checksum(raw, castagnoli), aborted: int64(len(w.current.aborted)), abortedFrom: w.current.abortedFrom(),
		})
	}
	w.current = section{index: w.current.index[:0], blocks: w.current.blocks[:0], aborted: w.current.aborted[:0]}
	w.blockCRC, w.indexed = 0, 0
}

// sum adds the bytes that follow in the run to the checksums of its blocks.
func (w *Writer) sum(p []byte) {
	size := int64(w.header.indexBytes)
	for at := w.run.Bytes; len(p) > 0; {
		n := min(int64(len(p)), size-at%size)
		w.blockCRC = crc32.Update(w.blockCRC, castagnoli, p[:n])
		p, at = p[n:], at+n
		if at%size == 0 {
			w.current.blocks = append(w.current.blocks, w.blockCRC)
			w.blockCRC = 0
		}
	}
}

func (w *Writer) write(p []byte) {
	if w.err != nil {
		return
	}
	n, err := w.out.Write(p)
	w.pos += int64(n)
	if err != nil {
		w.fail(fmt.Errorf("write segment: %w", err)) //nolint:errcheck // it keeps the error for later calls
	}
}

// fail makes err the answer of every later call.
func (w *Writer) fail(err error) error {
	w.err = err
	return err
}
