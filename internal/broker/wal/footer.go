package wal

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Upper bounds of what a thing adds to the footer, in bytes: varints at their longest. The reservation of room leans on them.
const (
	maxBatchFooterBytes   = 5 + 10 + 5 + 5 + 10 + 10 + 3 + 10 + 3 + 5 + 3 + 5
	maxRunFooterBytes     = 16 + 5 + 1 + 10 + 10 + 10 + 4 + 10 + 5 + 10 + 10
	maxControlFooterBytes = 1 + 16 + 5 + 10
	maxShardFooterBytes   = dirEntryBytes + 5 + 5
	// Lower bounds, against counts that lie.
	minBatchFooterBytes   = 10
	minRunFooterBytes     = 16 + 1 + 1 + 1 + 1 + 1 + 4 + 1 + 1 + 1 + 1
	minControlFooterBytes = 1 + 16 + 1 + 1
)

// controlBatch is the bit of a batch's attributes that names a control batch.
const controlBatch = 1 << 5

// payloadInline says that the bytes of a run lie in the body of its frame. Other kinds are for frames in an object store.
const payloadInline = 0

// appendFooter appends directory and sections of f to b, and returns the number of sections and the directory's checksum.
// Runs and controls must be in order of shard, and the runs must tile the body.
func appendFooter(b []byte, f *Frame) (out []byte, shards uint32, dirCRC uint32) {
	for r, c := 0, 0; r < len(f.Runs) || c < len(f.Controls); shards++ {
		shard := nextShard(f, r, c)
		for r < len(f.Runs) && f.Runs[r].Shard == shard {
			r++
		}
		for c < len(f.Controls) && f.Controls[c].Shard == shard {
			c++
		}
	}
	start := len(b)
	dirBytes := int(shards) * dirEntryBytes
	b = append(slices.Grow(b, dirBytes), make([]byte, dirBytes)...)
	r, c := 0, 0
	for i := range int(shards) {
		shard := nextShard(f, r, c)
		r0, c0 := r, c
		for r < len(f.Runs) && f.Runs[r].Shard == shard {
			r++
		}
		for c < len(f.Controls) && f.Controls[c].Shard == shard {
			c++
		}
		at := len(b)
		b = appendSection(b, f, f.Runs[r0:r], f.Controls[c0:c])
		entry := b[start+i*dirEntryBytes:]
		binary.LittleEndian.PutUint32(entry[0:], uint32(shard))
		binary.LittleEndian.PutUint32(entry[4:], uint32(at-start))
		binary.LittleEndian.PutUint32(entry[8:], uint32(len(b)-at))
		binary.LittleEndian.PutUint32(entry[12:], checksum(b[at:]))
	}
	return b, shards, checksum(b[start : start+dirBytes])
}

// nextShard is the lower of the shards of the next run and the next control.
func nextShard(f *Frame, r, c int) int32 {
	switch {
	case r == len(f.Runs):
		return f.Controls[c].Shard
	case c == len(f.Controls):
		return f.Runs[r].Shard
	}
	return min(f.Runs[r].Shard, f.Controls[c].Shard)
}

func appendSection(b []byte, f *Frame, runs []Run, controls []Control) []byte {
	b = binary.AppendUvarint(b, uint64(len(runs)))
	b = binary.AppendUvarint(b, uint64(len(controls)))
	for i := range runs {
		r := &runs[i]
		b = append(b, r.Topic[:]...)
		b = binary.AppendUvarint(b, uint64(uint32(r.Partition)))
		b = append(b, payloadInline)
		b = binary.AppendUvarint(b, uint64(r.Pos-f.Pos))
		b = binary.AppendUvarint(b, uint64(r.Bytes))
		b = binary.LittleEndian.AppendUint32(b, r.CRC)
		b = binary.AppendUvarint(b, uint64(r.BaseOffset))
		b = binary.AppendUvarint(b, uint64(len(r.Batches)))
		prev := firstBefore(r.BaseOffset)
		for j := range r.Batches {
			b = appendBatch(b, &prev, &r.Batches[j])
			prev = r.Batches[j]
		}
	}
	for i := range controls {
		c := &controls[i]
		b = append(b, byte(c.Kind))
		b = append(b, c.Topic[:]...)
		b = binary.AppendUvarint(b, uint64(uint32(c.Partition)))
		b = binary.AppendVarint(b, c.Value)
	}
	return b
}

// firstBefore is the batch that the first batch of a run is coded against.
func firstBefore(baseOffset int64) BatchInfo {
	return BatchInfo{BaseOffset: baseOffset, LastOffsetDelta: -1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
}

// expectedSequence is the base sequence that needs no bytes: the one that follows prev, in a run of one producer.
func expectedSequence(prev *BatchInfo) int32 {
	if prev.ProducerID < 0 || prev.BaseSequence < 0 {
		return -1
	}
	return int32((int64(prev.BaseSequence) + int64(prev.LastOffsetDelta) + 1) & math.MaxInt32)
}

// appendBatch codes cur by its differences from prev: a batch like its neighbour costs ten bytes. Differences wrap, so every
// value survives.
func appendBatch(b []byte, prev, cur *BatchInfo) []byte {
	b = binary.AppendUvarint(b, uint64(uint32(cur.Bytes)))
	b = binary.AppendUvarint(b, uint64(cur.BaseOffset-prev.NextOffset()))
	b = binary.AppendUvarint(b, uint64(uint32(cur.LastOffsetDelta)))
	b = binary.AppendVarint(b, int64(cur.LastOffsetDelta)+1-int64(cur.RecordCount))
	b = binary.AppendVarint(b, cur.MinTimestamp-prev.MinTimestamp)
	b = binary.AppendVarint(b, cur.MaxTimestamp-cur.MinTimestamp)
	b = binary.AppendUvarint(b, uint64(uint16(cur.Attributes^prev.Attributes)))
	b = binary.AppendVarint(b, cur.ProducerID-prev.ProducerID)
	b = binary.AppendVarint(b, int64(cur.ProducerEpoch)-int64(prev.ProducerEpoch))
	b = binary.AppendVarint(b, int64(cur.BaseSequence)-int64(expectedSequence(prev)))
	if cur.Attributes&controlBatch != 0 {
		b = binary.AppendVarint(b, int64(cur.ControlType))
		b = binary.AppendVarint(b, int64(cur.CoordinatorEpoch))
	}
	return b
}

// cursor reads from b; after a read beyond its end bad is set and all reads give zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) bytes(n int) []byte {
	if n > len(c.b) {
		c.bad, c.b = true, nil
		return nil
	}
	v := c.b[:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) byte() byte {
	if v := c.bytes(1); v != nil {
		return v[0]
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if v := c.bytes(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

// narrow reads an unsigned varint of at most 32 bits.
func (c *cursor) narrow() uint32 {
	v := c.uvarint()
	if v > math.MaxUint32 {
		c.bad = true
	}
	return uint32(v)
}

// count reads a number of things that take at least least bytes each, so that it can be allocated for.
func (c *cursor) count(least int) int {
	v := c.uvarint()
	if v > uint64(len(c.b)/least) {
		c.bad, c.b = true, nil
		return 0
	}
	return int(v)
}

// decodeFooter fills f.Runs and f.Controls from footer, the directory and sections of the frame that h begins. It accepts
// only what appendFooter can have made of a legal frame. Slices of f are reused.
func decodeFooter(footer []byte, h *frameHeader, dirCRC uint32, f *Frame) error {
	f.Runs, f.Controls = f.Runs[:0], f.Controls[:0]
	dirBytes := int(h.Shards) * dirEntryBytes
	if dirBytes > len(footer) {
		return errShape
	}
	if checksum(footer[:dirBytes]) != dirCRC {
		return fmt.Errorf("directory: %w", errChecksum)
	}
	at := dirBytes
	bodyAt := int64(headerBytes)
	for i := range int(h.Shards) {
		entry := footer[i*dirEntryBytes:]
		shard := int32(binary.LittleEndian.Uint32(entry[0:]))
		off, n := binary.LittleEndian.Uint32(entry[4:]), binary.LittleEndian.Uint32(entry[8:])
		if i > 0 && shard <= int32(binary.LittleEndian.Uint32(footer[(i-1)*dirEntryBytes:])) {
			return fmt.Errorf("directory: %w", errShape)
		}
		if int64(off) != int64(at) || int64(n) > int64(len(footer)-at) {
			return fmt.Errorf("directory: %w", errShape)
		}
		section := footer[at : at+int(n)]
		at += int(n)
		if checksum(section) != binary.LittleEndian.Uint32(entry[12:]) {
			return fmt.Errorf("section of shard %d: %w", shard, errChecksum)
		}
		if err := decodeSection(section, shard, h, f, &bodyAt); err != nil {
			return fmt.Errorf("section of shard %d: %w", shard, err)
		}
	}
	if at != len(footer) || bodyAt != h.footerOffset() {
		return errShape
	}
	return nil
}

func decodeSection(section []byte, shard int32, h *frameHeader, f *Frame, bodyAt *int64) error {
	c := cursor{b: section}
	runs := c.count(minRunFooterBytes)
	controls := c.count(minControlFooterBytes)
	if runs == 0 && controls == 0 {
		return errShape
	}
	first := len(f.Runs)
	for range runs {
		f.Runs = growRun(f.Runs)
		r := &f.Runs[len(f.Runs)-1]
		if err := decodeRun(&c, shard, h, r, bodyAt); err != nil {
			return err
		}
		if n := len(f.Runs); n-1 > first && compareRuns(&f.Runs[n-2], r) >= 0 {
			return errShape
		}
	}
	for range controls {
		k := Control{Shard: shard, Kind: ControlKind(c.byte())}
		copy(k.Topic[:], c.bytes(16))
		k.Partition = int32(c.narrow())
		k.Value = c.varint()
		if k.Kind < ControlDeleteRecords || k.Kind > ControlLeaderEpoch {
			return errShape
		}
		f.Controls = append(f.Controls, k)
	}
	if c.bad || len(c.b) != 0 {
		return errShape
	}
	return nil
}

// growRun adds an empty run, keeping the Batches that an earlier use left in its place.
func growRun(runs []Run) []Run {
	if n := len(runs); n < cap(runs) {
		runs = runs[:n+1]
		runs[n] = Run{Batches: runs[n].Batches[:0]}
		return runs
	}
	return append(runs, Run{})
}

func decodeRun(c *cursor, shard int32, h *frameHeader, r *Run, bodyAt *int64) error {
	r.Shard = shard
	copy(r.Topic[:], c.bytes(16))
	r.Partition = int32(c.narrow())
	kind := c.byte()
	pos, size := c.uvarint(), c.uvarint()
	r.CRC = c.uint32()
	r.BaseOffset = int64(c.uvarint())
	batches := c.count(minBatchFooterBytes)
	if c.bad || kind != payloadInline || batches == 0 || r.BaseOffset < 0 || r.Partition < 0 ||
		pos != uint64(*bodyAt) || size > uint64(h.footerOffset()-*bodyAt) {
		return errShape
	}
	r.Pos, r.Bytes = h.Pos+Position(pos), int64(size)
	*bodyAt += r.Bytes
	r.Batches = slices.Grow(r.Batches, batches)
	prev := firstBefore(r.BaseOffset)
	var sum int64
	for range batches {
		b, ok := decodeBatch(c, &prev, h.Version1)
		if !ok {
			return errShape
		}
		sum += int64(b.Bytes)
		r.Batches = append(r.Batches, b)
		prev = b
	}
	if sum != r.Bytes || r.Batches[0].BaseOffset != r.BaseOffset {
		return errShape
	}
	r.summarise()
	return nil
}

func decodeBatch(c *cursor, prev *BatchInfo, version1 bool) (b BatchInfo, ok bool) {
	b.Bytes = int32(c.narrow())
	b.BaseOffset = prev.NextOffset() + int64(c.uvarint())
	b.LastOffsetDelta = int32(c.narrow())
	missing := c.varint()
	b.MinTimestamp = prev.MinTimestamp + c.varint()
	b.MaxTimestamp = b.MinTimestamp + c.varint()
	attributes := c.uvarint()
	b.Attributes = prev.Attributes ^ int16(uint16(attributes))
	b.ProducerID = prev.ProducerID + c.varint()
	epoch := int64(prev.ProducerEpoch) + c.varint()
	b.ProducerEpoch = int16(epoch)
	sequence := int64(expectedSequence(prev)) + c.varint()
	b.BaseSequence = int32(sequence)
	var control, coordinator int64
	if b.Attributes&controlBatch != 0 && !version1 {
		control, coordinator = c.varint(), c.varint()
		b.ControlType, b.CoordinatorEpoch = int16(control), int32(coordinator)
	}
	records := int64(b.LastOffsetDelta) + 1 - missing
	b.RecordCount = int32(records)
	ok = !c.bad && b.Bytes > 0 && b.LastOffsetDelta >= 0 && b.BaseOffset >= prev.NextOffset() &&
		b.BaseOffset <= math.MaxInt64-math.MaxInt32-1 && int64(b.RecordCount) == records && records >= 0 &&
		attributes <= math.MaxUint16 && int64(b.ProducerEpoch) == epoch && int64(b.BaseSequence) == sequence &&
		int64(b.ControlType) == control && int64(b.CoordinatorEpoch) == coordinator
	return b, ok
}

// summarise fills the fields of a run that follow from its batches.
func (r *Run) summarise() {
	first, last := &r.Batches[0], &r.Batches[len(r.Batches)-1]
	r.BaseOffset, r.NextOffset = first.BaseOffset, last.NextOffset()
	r.RecordCount, r.MinTimestamp, r.MaxTimestamp = 0, first.MinTimestamp, first.MaxTimestamp
	for i := range r.Batches {
		b := &r.Batches[i]
		r.RecordCount += int64(b.RecordCount)
		r.MinTimestamp = min(r.MinTimestamp, b.MinTimestamp)
		r.MaxTimestamp = max(r.MaxTimestamp, b.MaxTimestamp)
	}
}

// sortControls brings the controls of a frame into the order of their shards and keeps their order within one.
func sortControls(controls []Control) {
	slices.SortStableFunc(controls, func(a, b Control) int { return int(min(1, max(-1, int64(a.Shard)-int64(b.Shard)))) })
}
