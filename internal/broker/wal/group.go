package wal

import (
	"slices"

	"github.com/weir-stream/weir/internal/base/crc32c"
	"github.com/weir-stream/weir/internal/base/invariant"
)

// group gathers what will be one frame. While open it is guarded by Log.mu; from take until it is recycled it belongs
// to the lane that writes it, apart from written.
type group struct {
	number   uint64 // of this use, never 0
	commit   *commit
	entries  []entry
	runs     []openRun
	controls []Control
	body     int64 // batch bytes
	footer   int64 // most bytes the directory and the sections can take
	flags    uint16
	written  bool // synced, waiting for the frames before it; guarded by Log.mu

	// Filled by build.
	frame  Frame
	order  []int32 // of runs
	infos  []BatchInfo
	header frameHeader
	tail   []byte     // footer and trailer
	block  *ringBlock // the frame's bytes
}

// entry is a batch; next is the index of the next entry of its run, or -1.
type entry struct {
	batch    []byte
	info     BatchInfo
	next     int32
	crc      uint32 // of batch[crcStart:], unless crcStart is 0
	crcStart int32
}

// joinBytes is the length from which a checksum that is known is joined, rather than computed once more.
const joinBytes = 2 << 10

// checksum is that of what has the checksum crc, followed by the batch.
func (e *entry) checksum(crc uint32) uint32 {
	known := int64(len(e.batch)) - int64(e.crcStart)
	if e.crcStart <= 0 || known < joinBytes {
		return crc32c.Update(crc, e.batch)
	}
	return crc32c.Join(crc32c.Update(crc, e.batch[:e.crcStart]), e.crc, known)
}

// openRun is the chain of entries of one partition.
type openRun struct {
	stream      *Stream
	first, last int32
	batches     int32
}

func (g *group) empty() bool { return len(g.entries) == 0 && len(g.controls) == 0 }

// maxFrameBytes is the most that the frame can take in the file.
func maxFrameBytes(body, footer int64) int64 {
	return roundUp(headerBytes + body + footer + trailerBytes)
}

// batchFooterBytes is the most that a batch of s adds to the footer of g.
func (g *group) batchFooterBytes(s *Stream) int64 {
	if s.group == g.number {
		return maxBatchFooterBytes
	}
	return maxBatchFooterBytes + maxRunFooterBytes + maxShardFooterBytes
}

// nextOffset is where the next batch of s must begin at the least, if g holds one.
func (g *group) nextOffset(s *Stream) int64 {
	if s.group != g.number {
		return 0
	}
	return g.entries[g.runs[s.run].last].info.NextOffset()
}

func (g *group) add(s *Stream, batch []byte, info BatchInfo) {
	g.footer += g.batchFooterBytes(s)
	g.body += int64(len(batch))
	at := int32(len(g.entries))
	e := entry{batch: batch, info: info, next: -1, crc: info.CRC, crcStart: info.CRCStart}
	e.info.CRC, e.info.CRCStart = 0, 0
	g.entries = append(g.entries, e)
	if s.group != g.number {
		s.group, s.run = g.number, int32(len(g.runs))
		g.runs = append(g.runs, openRun{stream: s, first: at, last: at, batches: 1})
		return
	}
	r := &g.runs[s.run]
	g.entries[r.last].next = at
	r.last = at
	r.batches++
}

func (g *group) addControl(c Control) {
	g.footer += maxControlFooterBytes + maxShardFooterBytes
	g.controls = append(g.controls, c)
}

// reset makes g ready for another use.
func (g *group) reset(number uint64) {
	g.number, g.commit = number, newCommit()
	g.body, g.footer, g.flags, g.written = 0, 0, 0, false
}

// release lets go of the callers' buffers and streams and keeps its own.
func (g *group) release() {
	clear(g.entries)
	clear(g.runs)
	clear(g.frame.Runs)
	g.entries, g.runs, g.controls, g.block = g.entries[:0], g.runs[:0], g.controls[:0], nil
}

// zeroPage pads frames. It is only read.
var zeroPage [pageBytes]byte

// build lays out the frame at g.header.Pos in g.block, which has room for it: it fills g.frame and the block. The header has all
// fields set that do not follow from the contents.
func (g *group) build() {
	g.order = g.order[:0]
	for i := range g.runs {
		g.order = append(g.order, int32(i))
	}
	slices.SortFunc(g.order, func(a, b int32) int { return compareStreams(g.runs[a].stream, g.runs[b].stream) })
	sortControls(g.controls)
	f := &g.frame
	f.Incarnation, f.Seq, f.Pos = g.header.Incarnation, g.header.Seq, g.header.Pos
	f.Controls = g.controls
	f.Runs = f.Runs[:0]
	g.infos = slices.Grow(g.infos[:0], len(g.entries))
	out := g.block.bytes[:headerBytes]
	for _, i := range g.order {
		pos := f.Pos + Position(len(out))
		var r Run
		r, out = g.gather(&g.runs[i], out)
		r.Pos = pos
		f.Runs = append(f.Runs, r)
	}

	h := &g.header
	var dirCRC uint32
	h.BodyBytes = g.body
	g.tail, h.Shards, dirCRC = appendFooter(g.tail[:0], f)
	h.FooterBytes = uint32(len(g.tail))
	h.encode(out[:headerBytes])
	g.tail = append(g.tail, zeroPage[:trailerBytes]...)
	encodeTrailer(g.tail[h.FooterBytes:], h, dirCRC)
	f.Bytes = h.frameBytes()
	out = append(out, g.tail...)
	out = append(out, zeroPage[:f.Bytes-int64(len(out))]...)
	g.block.bytes, g.block.pos = out, f.Pos
}

// gather copies the batches of r to the end of out.
func (g *group) gather(r *openRun, out []byte) (Run, []byte) {
	run := Run{Stream: r.stream, Shard: r.stream.Shard, Topic: r.stream.Topic, Partition: r.stream.Partition}
	first, begin := len(g.infos), len(out)
	for i := r.first; i >= 0; i = g.entries[i].next {
		e := &g.entries[i]
		out = append(out, e.batch...)
		run.CRC = e.checksum(run.CRC)
		g.infos = append(g.infos, e.info)
	}
	run.Bytes = int64(len(out) - begin)
	if invariant.Enabled {
		invariant.Check(run.CRC == checksum(out[begin:]), "the checksum %#x of a run does not come of its batches", run.CRC)
	}
	run.Batches = g.infos[first:len(g.infos):len(g.infos)]
	run.summarise()
	return run, out
}

// checksum is the CRC-32C of all bytes of the frame that was built, joined from those of its parts.
func (g *group) checksum() uint32 {
	crc, end := checksum(g.block.bytes[:headerBytes]), int64(headerBytes)
	for i := range g.frame.Runs {
		crc = crc32c.Join(crc, g.frame.Runs[i].CRC, g.frame.Runs[i].Bytes)
		end += g.frame.Runs[i].Bytes
	}
	crc = crc32c.Update(crc, g.block.bytes[end:])
	if invariant.Enabled {
		invariant.Check(crc == checksum(g.block.bytes), "the checksum %#x of a frame does not come of its parts", crc)
	}
	return crc
}
