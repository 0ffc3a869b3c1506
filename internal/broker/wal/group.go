package wal

import (
	"hash/crc32"
	"slices"
)

// copyBelowBytes is the size below which a batch is copied to the staging buffer: many small buffers cost the kernel more than
// the copy costs us.
const copyBelowBytes = 4096

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
	frame   Frame
	order   []int32 // of runs
	infos   []BatchInfo
	head    [headerBytes]byte
	header  frameHeader
	staging []byte
	tail    []byte // footer and trailer
	iovecs  [][]byte
}

// entry is a batch; next is the index of the next entry of its run, or -1.
type entry struct {
	batch []byte
	info  BatchInfo
	next  int32
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
	g.entries = append(g.entries, entry{batch: batch, info: info, next: -1})
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
	clear(g.iovecs)
	clear(g.frame.Runs)
	g.entries, g.runs, g.controls, g.iovecs = g.entries[:0], g.runs[:0], g.controls[:0], g.iovecs[:0]
}

// zeroPage pads frames. It is only read.
var zeroPage [pageBytes]byte

// build lays out the frame at g.header.Pos: it fills g.frame and g.iovecs. The header has all fields set that do not follow
// from the contents.
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
	g.staging = slices.Grow(g.staging[:0], g.smallBytes()) // enough: slices of it must not move
	g.iovecs = append(g.iovecs[:0], g.head[:])
	at, staged := f.Pos+headerBytes, 0
	for _, i := range g.order {
		r := g.gather(&g.runs[i], &staged)
		r.Pos = at
		at += Position(r.Bytes)
		f.Runs = append(f.Runs, r)
	}
	g.flushStaging(&staged)

	h := &g.header
	var dirCRC uint32
	h.BodyBytes = g.body
	g.tail, h.Shards, dirCRC = appendFooter(g.tail[:0], f)
	h.FooterBytes = uint32(len(g.tail))
	h.encode(g.head[:])
	g.tail = append(g.tail, zeroPage[:trailerBytes]...)
	encodeTrailer(g.tail[h.FooterBytes:], h, dirCRC)
	f.Bytes = h.frameBytes()
	g.iovecs = append(g.iovecs, g.tail)
	if pad := f.Bytes - h.contentBytes(); pad > 0 {
		g.iovecs = append(g.iovecs, zeroPage[:pad])
	}
}

// gather adds the batches of r to the gather list.
func (g *group) gather(r *openRun, staged *int) Run {
	out := Run{Stream: r.stream, Shard: r.stream.Shard, Topic: r.stream.Topic, Partition: r.stream.Partition}
	first := len(g.infos)
	for i := r.first; i >= 0; i = g.entries[i].next {
		e := &g.entries[i]
		out.Bytes += int64(len(e.batch))
		out.CRC = crc32.Update(out.CRC, castagnoli, e.batch)
		g.infos = append(g.infos, e.info)
		if len(e.batch) < copyBelowBytes {
			g.staging = append(g.staging, e.batch...)
			continue
		}
		g.flushStaging(staged)
		g.iovecs = append(g.iovecs, e.batch)
	}
	out.Batches = g.infos[first:len(g.infos):len(g.infos)]
	out.summarise()
	return out
}

// flushStaging adds what has been staged since the last call to the gather list.
func (g *group) flushStaging(staged *int) {
	if n := len(g.staging); n > *staged {
		g.iovecs = append(g.iovecs, g.staging[*staged:n])
		*staged = n
	}
}

func (g *group) smallBytes() int {
	n := 0
	for i := range g.entries {
		if b := len(g.entries[i].batch); b < copyBelowBytes {
			n += b
		}
	}
	return n
}
