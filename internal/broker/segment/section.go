package segment

import (
	"encoding/binary"
	"math"
	"sort"
	"unsafe"
)

// AbortedTxn is an aborted transaction, as read_committed consumers need it to skip its records.
type AbortedTxn struct {
	ProducerID       int64
	FirstOffset      int64 // of the transaction's first record, maybe in an earlier run
	LastOffset       int64 // of its abort marker
	LastStableOffset int64 // the partition's when the marker was written
}

// indexEntry is a batch to start a search at. The first batch of a run has none: it is always known.
type indexEntry struct {
	offset int64 // base offset of the batch
	pos    int64 // of the batch, from the start of the run
	maxTs  int64 // highest timestamp of all batches of the run before this one
}

// section is what the object tells of one run beside its batches.
type section struct {
	index   []indexEntry
	blocks  []uint32 // CRC-32C of each block
	aborted []AbortedTxn
}

// bytes is what a section costs in memory, roughly.
func (s *section) bytes() int64 {
	return int64(unsafe.Sizeof(section{})) + int64(len(s.index))*int64(unsafe.Sizeof(indexEntry{})) +
		int64(len(s.blocks))*4 + int64(len(s.aborted))*int64(unsafe.Sizeof(AbortedTxn{}))
}

// abortedFrom is the lowest first offset of the aborted transactions, -1 if there are none.
func (s *section) abortedFrom() int64 {
	lowest := int64(-1)
	for _, a := range s.aborted {
		if lowest < 0 || a.FirstOffset < lowest {
			lowest = a.FirstOffset
		}
	}
	return lowest
}

// append encodes s, the section of run.
func (s *section) append(b []byte, run RunInfo) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.index)))
	prev := indexEntry{offset: run.BaseOffset, maxTs: run.MinTimestamp}
	for _, e := range s.index {
		b = binary.AppendUvarint(b, uint64(e.offset-prev.offset))
		b = binary.AppendUvarint(b, uint64(e.pos-prev.pos))
		b = binary.AppendUvarint(b, uint64(e.maxTs-prev.maxTs))
		prev = e
	}
	for _, crc := range s.blocks {
		b = binary.BigEndian.AppendUint32(b, crc)
	}
	var last int64
	for _, a := range s.aborted {
		b = appendInt(b, a.ProducerID)
		b = binary.AppendUvarint(b, uint64(a.LastOffset-last))
		b = binary.AppendUvarint(b, uint64(a.LastOffset-a.FirstOffset))
		b = appendInt(b, a.LastStableOffset-a.LastOffset)
		last = a.LastOffset
	}
	return b
}

// parseSection decodes the section of e, whose checksum is right.
func parseSection(raw []byte, e *entry, indexBytes uint32) (*section, string) {
	v := varints{b: raw}
	blocks := blocksOf(e.Bytes, indexBytes)
	count := v.natural()
	const minIndexEntry, minAborted = 3, 4
	if v.bad || count > int64(len(v.b)/minIndexEntry) || blocks > int64(len(v.b)/4) || e.aborted > int64(len(v.b)/minAborted) {
		return nil, "section has impossible counts"
	}
	s := &section{index: make([]indexEntry, count), blocks: make([]uint32, blocks)}
	prev := indexEntry{offset: e.BaseOffset, maxTs: e.MinTimestamp}
	for i := range s.index {
		offset, pos, maxTs := v.natural(), v.natural(), v.uint()
		// offsets and positions ascend strictly and stay in the run; then no sum can overflow.
		if offset == 0 || offset >= e.NextOffset-prev.offset || pos == 0 || pos >= e.Bytes-prev.pos ||
			maxTs > uint64(e.MaxTimestamp-prev.maxTs) {
			return nil, "section index is not within its run"
		}
		prev = indexEntry{offset: prev.offset + offset, pos: prev.pos + pos, maxTs: prev.maxTs + int64(maxTs)}
		s.index[i] = prev
	}
	for i := range s.blocks {
		s.blocks[i] = v.uint32()
	}
	if e.aborted > 0 {
		s.aborted = make([]AbortedTxn, e.aborted)
	}
	var last int64
	for i := range s.aborted {
		pid, step, span, lso := v.int(), v.natural(), v.natural(), v.int()
		if step > math.MaxInt64-last || span > last+step {
			return nil, "section has impossible aborted transactions"
		}
		last += step
		s.aborted[i] = AbortedTxn{ProducerID: pid, FirstOffset: last - span, LastOffset: last, LastStableOffset: last + lso}
	}
	if v.bad || len(v.b) != 0 {
		return nil, "section does not end where it should"
	}
	return s, ""
}

// stretchOf returns where, in the run, the batch holding offset must start to be searched, and where the search
// reaches the next index entry (or the run's end).
func (s *section) stretchOf(offset, runBytes int64) (start, end int64) {
	n := sort.Search(len(s.index), func(i int) bool { return s.index[i].offset > offset })
	return s.stretch(n, runBytes)
}

// stretchOfTime is stretchOf for the first batch with a timestamp of ts or later.
func (s *section) stretchOfTime(ts, runBytes int64) (start, end int64) {
	n := sort.Search(len(s.index), func(i int) bool { return s.index[i].maxTs >= ts })
	return s.stretch(n, runBytes)
}

// stretch returns the part of the run before entry n and behind the one before it.
func (s *section) stretch(n int, runBytes int64) (start, end int64) {
	end = runBytes
	if n > 0 {
		start = s.index[n-1].pos
	}
	if n < len(s.index) {
		end = s.index[n].pos
	}
	return start, end
}
