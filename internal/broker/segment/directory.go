package segment

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
)

// RunInfo describes a run: the batches of one partition in one object.
type RunInfo struct {
	Topic                      [16]byte
	Partition                  int32
	BaseOffset, NextOffset     int64 // offsets of the run lie in [BaseOffset, NextOffset); compaction leaves gaps
	Pos, Bytes                 int64 // the batches lie in [Pos, Pos+Bytes) of the object
	RecordCount                int64
	MinTimestamp, MaxTimestamp int64 // ms; lowest base timestamp, highest maximum timestamp of its batches
}

// entry is a run's row in the directory.
type entry struct {
	RunInfo
	sectionPos   int64
	sectionBytes int64
	sectionCRC   uint32
	aborted      int64 // number of aborted transactions in the section
	abortedFrom  int64 // lowest first offset of them, -1 if there are none; the Writer's alone
	firstBlock   int64 // blocks of all runs before it: the place of its first block in the bitmap
	ordinal      int   // place in the directory
}

// minEntryBytes is the least that an entry takes in the directory.
const minEntryBytes = 13

// restartRuns is how many entries a lookup may have to decode after its binary search.
const restartRuns = 8

// appendDirectory encodes the directory: the header again, the run count, then the runs in order. What follows
// from the entries before is left out: runs and sections lie side by side.
func appendDirectory(b []byte, h header, entries []entry) []byte {
	b = h.append(b)
	b = binary.AppendUvarint(b, uint64(len(entries)))
	for i := range entries {
		e := &entries[i]
		if i > 0 && e.Topic == entries[i-1].Topic {
			b = binary.AppendUvarint(b, uint64(e.Partition-entries[i-1].Partition))
		} else {
			b = append(b, 0)
			b = append(b, e.Topic[:]...)
			b = binary.AppendUvarint(b, uint64(e.Partition))
		}
		b = binary.AppendUvarint(b, uint64(e.BaseOffset))
		b = binary.AppendUvarint(b, uint64(e.NextOffset-e.BaseOffset))
		b = binary.AppendUvarint(b, uint64(e.Bytes))
		b = binary.AppendUvarint(b, uint64(e.RecordCount))
		// Against the creation time these are short; the subtraction may wrap and is undone by the same wrap.
		b = appendInt(b, e.MinTimestamp-h.created)
		b = binary.AppendUvarint(b, uint64(e.MaxTimestamp-e.MinTimestamp))
		b = binary.AppendUvarint(b, uint64(e.aborted))
		b = binary.AppendUvarint(b, uint64(e.sectionBytes))
		b = binary.BigEndian.AppendUint32(b, e.sectionCRC)
	}
	return b
}

// cursor walks the encoded directory. A copy of it is a place to start from again.
type cursor struct {
	off        int32 // in directory.raw, of the next entry
	ordinal    int32 // of the next entry
	topicOff   int32 // in directory.raw, of the topic of the entry before; 0 before the first
	partition  int32 // of the entry before
	pos        int64 // of the next run
	sectionPos int64 // of the next section
	block      int64 // first block of the next run
}

// directory is the encoded directory and, for every restartRuns entries, a cursor to start from.
type directory struct {
	header
	raw         []byte
	runs        int
	restarts    []cursor
	sectionsPos int64 // end of the body
	end         int64 // end of the sections
	blocks      int64 // checksummed blocks of all runs
}

// parseDirectory checks a whole directory, whose checksum is right, and prepares lookups. It keeps raw.
func parseDirectory(raw []byte) (*directory, string) {
	if len(raw) < headerBytes+1 {
		return nil, "directory is too short"
	}
	d := &directory{raw: raw}
	var reason string
	if d.header, _, reason = parseHeader(raw); reason != "" {
		return nil, "in directory: " + reason
	}
	v := varints{b: raw[headerBytes:]}
	runs := v.natural()
	if v.bad || runs > int64(len(v.b)/minEntryBytes) {
		return nil, "directory has an impossible run count"
	}
	d.runs = int(runs)
	d.restarts = make([]cursor, 0, (d.runs+restartRuns-1)/restartRuns)

	// The body's end is known only after the last entry: section positions are first counted from zero.
	c := cursor{off: int32(len(raw) - len(v.b)), pos: headerBytes}
	var last entry
	var lastTopic int32
	for i := range d.runs {
		if i%restartRuns == 0 {
			d.restarts = append(d.restarts, c)
		}
		e, ok := d.decode(&c)
		if !ok {
			return nil, "directory entry is malformed"
		}
		if i > 0 && compareKey(e.Topic, e.Partition, last.Topic, last.Partition) <= 0 {
			return nil, "directory is not sorted"
		}
		if i > 0 && e.Topic == last.Topic && c.topicOff != lastTopic {
			return nil, "directory repeats a topic"
		}
		last, lastTopic = e, c.topicOff
	}
	if int(c.off) != len(raw) {
		return nil, "directory is longer than its entries"
	}
	for i := range d.restarts {
		d.restarts[i].sectionPos += c.pos
	}
	d.sectionsPos, d.end, d.blocks = c.pos, c.pos+c.sectionPos, c.block
	return d, ""
}

// decode returns the entry at c and moves c behind it. It fails on what no Writer makes.
func (d *directory) decode(c *cursor) (entry, bool) {
	v := varints{b: d.raw[c.off:]}
	e := entry{ordinal: int(c.ordinal), firstBlock: c.block, sectionPos: c.sectionPos}
	topicOff := c.topicOff
	delta := v.natural()
	partition := int64(c.partition) + min(delta, math.MaxInt32)
	if delta == 0 {
		topicOff = int32(len(d.raw) - len(v.b))
		v.take(len(e.Topic))
		partition = v.natural()
	}
	e.BaseOffset = v.natural()
	span := v.natural()
	e.Pos, e.Bytes = c.pos, v.natural()
	e.RecordCount = v.natural()
	e.MinTimestamp = d.created + v.int()
	e.MaxTimestamp = e.MinTimestamp + int64(v.uint())
	e.aborted = v.natural()
	e.sectionBytes = v.natural()
	e.sectionCRC = v.uint32()
	ok := !v.bad && topicOff != 0 && partition <= math.MaxInt32 &&
		span > 0 && e.BaseOffset <= math.MaxInt64-span &&
		e.Bytes > 0 && e.Bytes <= math.MaxInt64/4-e.Pos && e.MaxTimestamp >= e.MinTimestamp &&
		e.sectionBytes > 0 && e.sectionBytes <= maxSectionBytes && e.aborted < e.sectionBytes
	if !ok {
		return entry{}, false
	}
	copy(e.Topic[:], d.raw[topicOff:])
	e.Partition = int32(partition)
	e.NextOffset = e.BaseOffset + span
	*c = cursor{
		off: int32(len(d.raw) - len(v.b)), ordinal: c.ordinal + 1, topicOff: topicOff, partition: e.Partition,
		pos: e.Pos + e.Bytes, sectionPos: e.sectionPos + e.sectionBytes,
		block: e.firstBlock + blocksOf(e.Bytes, d.indexBytes),
	}
	return e, true
}

// target is what a lookup is for: a key, or a position if byPos is set.
type target struct {
	topic     [16]byte
	partition int32
	pos       int64
	byPos     bool
}

// reached tells whether e is at or before t.
func (t *target) reached(e *entry) bool {
	if t.byPos {
		return e.Pos <= t.pos
	}
	return compareKey(e.Topic, e.Partition, t.topic, t.partition) <= 0
}

// search returns the last entry at or before t.
func (d *directory) search(t *target) (found entry, ok bool) {
	lo, hi := 0, len(d.restarts)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		c := d.restarts[mid]
		if e, _ := d.decode(&c); t.reached(&e) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return entry{}, false
	}
	c := d.restarts[lo-1]
	found, _ = d.decode(&c)
	for int(c.ordinal) < min(lo*restartRuns, d.runs) {
		e, _ := d.decode(&c)
		if !t.reached(&e) {
			break
		}
		found = e
	}
	return found, true
}

// find returns the entry of a partition.
func (d *directory) find(topic [16]byte, partition int32) (entry, bool) {
	e, ok := d.search(&target{topic: topic, partition: partition})
	return e, ok && e.Topic == topic && e.Partition == partition
}

// at returns the entry whose run holds the byte at pos.
func (d *directory) at(pos int64) (entry, bool) {
	e, ok := d.search(&target{pos: pos, byPos: true})
	return e, ok && pos < e.Pos+e.Bytes
}

// all yields the entries in order.
func (d *directory) all(yield func(entry) bool) {
	if d.runs == 0 {
		return
	}
	for c := d.restarts[0]; int(c.ordinal) < d.runs; {
		e, _ := d.decode(&c)
		if !yield(e) {
			return
		}
	}
}

func compareKey(t1 [16]byte, p1 int32, t2 [16]byte, p2 int32) int {
	return cmp.Or(bytes.Compare(t1[:], t2[:]), cmp.Compare(p1, p2))
}
