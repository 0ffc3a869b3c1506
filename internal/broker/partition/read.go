package partition

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
	"sync"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blockcache"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// laterBytesMin is the size from which a stretch that is not in memory is read only when it is sent, a piece at a time; shorter
// ones are read at once into a buffer that they share. That costs a copy, so of a file on the disk little is; an object that is gone is
// to show before the answer begins, and many short ones that were looked at might be gone from memory before they are sent.
const (
	laterBytesMin      = 8 << 10
	laterBytesMinWhole = 64 << 10
)

// inPlaceBytesMin is the size from which a stretch that is in memory is sent from where it is; shorter ones are copied together.
const inPlaceBytesMin = 4 << 10

// Viewer is where the bytes of a chunk come from. View returns the bytes at off, n of them or fewer, but at least one; they stay
// valid until release, which must be called once.
type Viewer interface {
	View(off int64, n int) (p []byte, release func(), err error)
}

// Chunk is a stretch of whole batches: memory, or Len bytes at Off of From. Done, if not nil, must be called once when the
// bytes have been sent or are not wanted any more.
type Chunk struct {
	Bytes    []byte
	From     Viewer
	Off, Len int64
	Done     func()
}

// AppendTo appends the chunk's bytes to b.
func (c *Chunk) AppendTo(b []byte) ([]byte, error) {
	if c.From == nil {
		return append(b, c.Bytes...), nil
	}
	for at := int64(0); at < c.Len; {
		p, release, err := c.From.View(c.Off+at, int(c.Len-at))
		if err != nil {
			return b, err
		}
		b = append(b, p...)
		at += int64(len(p))
		release()
	}
	return b, nil
}

// ReadRequest asks for batches from Offset on.
type ReadRequest struct {
	Offset int64
	// MaxBytes bounds what is returned, in whole batches; with AtLeastOne the first batch comes whatever its size (KIP-74).
	MaxBytes   int64
	AtLeastOne bool
	// Committed limits the read to the last stable offset.
	Committed bool
}

// ReadResult holds whole batches, the first of which holds the offset asked for, and the offsets as of the same moment.
type ReadResult struct {
	Offsets
	Chunks []Chunk
	Bytes  int64
	// NextOffset is where a read that continues this one begins.
	NextOffset int64
	// Aborted are the aborted transactions that overlap what was read, as of the same moment; nil unless the request was for
	// committed records.
	Aborted []AbortedTxn
}

// Read returns the batches at req.Offset. An offset equal to the high watermark yields no bytes and no error.
//
// Errors: OffsetOutOfRange outside [log start, high watermark]; CorruptMessage (wrapping the place) where the bytes are
// damaged and nothing sound comes before them; ErrClosed.
func (l *Log) Read(ctx context.Context, req ReadRequest) (ReadResult, error) {
	res, err := l.readUncounted(ctx, req)
	if res.Bytes > 0 {
		l.env.Clients.Served(res.Bytes)
	}
	return res, err
}

func (l *Log) readUncounted(ctx context.Context, req ReadRequest) (ReadResult, error) {
	return retryMoved(l, func() (ReadResult, error) { return l.read(ctx, req) })
}

// movedRetries bounds how often a read starts over when its bytes were moved under it: each time takes a whole cut or
// merge, so even the second is rare.
const movedRetries = 3

// retryMoved calls read again while what it found in the index was gone before it was opened: a cut or merge has moved
// the batches, and the index says where to. An object that stays away is lost.
func retryMoved[T any](l *Log, read func() (T, error)) (T, error) {
	for i := 0; ; i++ {
		v, err := read()
		gone := errors.Is(err, blob.ErrNotFound)
		if !gone && !errors.Is(err, wal.ErrTrimmed) {
			return v, err
		}
		if i == movedRetries {
			if gone {
				err = l.corrupt(err)
			}
			return v, err
		}
	}
}

func (l *Log) read(ctx context.Context, req ReadRequest) (ReadResult, error) {
	var room [8]span
	l.mu.Lock()
	res := ReadResult{Offsets: l.offsetsLocked(), NextOffset: req.Offset}
	limit := res.HighWatermark
	if req.Committed {
		limit = res.LastStable
		res.Aborted = []AbortedTxn{}
	}
	switch {
	case l.closed:
		l.mu.Unlock()
		return res, ErrClosed
	case req.Offset < l.logStart || req.Offset > l.highWatermark:
		l.mu.Unlock()
		return res, kafka.OffsetOutOfRange
	case req.Offset >= limit || (req.MaxBytes <= 0 && !req.AtLeastOne):
		l.mu.Unlock()
		return res, nil
	}
	if q, ok := l.quarantineLocked(req.Offset); ok {
		if q.base <= req.Offset {
			l.mu.Unlock()
			return res, l.quarantineError(&q)
		}
		limit = min(limit, q.base)
	}
	apart := l.env.WAL != nil && l.env.WAL.Apart()
	wanted := max(req.MaxBytes, 1)
	if apart {
		wanted += fetchedAheadBytes
	}
	spans := l.spansLocked(room[:0], req.Offset, limit, wanted)
	var aborted abortedView
	if n := len(spans); req.Committed && n > 0 {
		aborted = l.abortedLocked(req.Offset, min(limit, spans[n-1].next))
	}
	l.mu.Unlock()

	if apart {
		l.fetchAhead(ctx, spans)
	}
	c := collector{log: l, res: &res, limit: limit, left: req.MaxBytes, atLeastOne: req.AtLeastOne}
	for i := range spans {
		more, err := c.take(ctx, &spans[i])
		if err != nil && res.Bytes == 0 {
			res.Drop()
			return res, err
		}
		if err != nil || !more {
			break // what was collected is sound; the damage is met by the next read
		}
	}
	c.flush()
	if req.Committed && res.Bytes > 0 {
		// Nothing of the data may leave without the list.
		list, err := aborted.find(ctx, l, req.Offset, res.NextOffset)
		if err != nil {
			res.Drop()
			return ReadResult{Offsets: res.Offsets, NextOffset: req.Offset}, err
		}
		res.Aborted = list
	}
	return res, nil //nolint:nilerr // see above
}

// fetchedAheadBytes is how much is fetched beyond what a read asks for, where every frame is an object of its own.
const fetchedAheadBytes = 2 << 20

// aheadShare is the share of an object, one in so many, from which a stretch is fetched with all that follows it there. Whoever reads one partition of
// a thousand has no use for that.
const aheadShare = 16

// fetchAhead begins to fetch the WAL objects of spans all at once, so that a read waits for the slowest of them and not for each in
// turn. Whoever reads what is in memory has no need of it.
func (l *Log) fetchAhead(ctx context.Context, spans []span) {
	for i := range spans {
		s := &spans[i]
		if s.object != nil {
			continue
		}
		if _, release, ok := l.env.WAL.Recent(s.pos, int64(s.bytes)); ok {
			release()
			return
		}
		if src, err := l.open(ctx, s); err == nil { // else the read says what is wrong
			if src.blocks != nil {
				if src.size*aheadShare >= src.blocks.Size() {
					src.blocks.AheadToEnd(src.base) // what follows is mostly wanted next, and comes with the same request
				} else {
					src.blocks.Ahead(src.base, src.size)
				}
			}
			src.done()
		}
	}
}

// Drop gives back what the result holds, when it will not be sent.
func (r *ReadResult) Drop() {
	for _, c := range r.Chunks {
		if c.Done != nil {
			c.Done()
		}
	}
	r.Chunks = nil
}

// collector gathers spans into chunks. Small stretches are copied one after another into one buffer.
type collector struct {
	log        *Log
	res        *ReadResult
	limit      int64
	left       int64
	atLeastOne bool
	buf        *[]byte
}

var bufferPool = sync.Pool{New: func() any { b := make([]byte, 0, 2*laterBytesMinWhole); return &b }}

func (c *collector) take(ctx context.Context, s *span) (more bool, err error) {
	src, err := c.log.open(ctx, s)
	if err != nil {
		return false, err
	}
	start, end, next, err := c.bounds(src, s)
	if err != nil || end <= start {
		src.done()
		return false, err
	}
	if err := src.verify(start, end-start); err != nil {
		src.done()
		return false, err
	}
	n := end - start
	switch {
	case src.bytes != nil && n >= inPlaceBytesMin:
		c.flush()
		c.res.Chunks = append(c.res.Chunks, Chunk{Bytes: src.bytes[start:end], Len: n, Done: src.done})
	case n >= laterBytesMinWhole, n >= laterBytesMin && !src.whole:
		if src.whole {
			if err := src.blocks.Touch(src.base+start, n); err != nil { // an object that is gone must show before the answer begins
				src.done()
				return false, c.log.damage(err)
			}
		}
		c.flush()
		c.res.Chunks = append(c.res.Chunks, Chunk{From: src.blocks, Off: src.base + start, Len: n, Done: src.done})
	default:
		err := c.copy(src, start, n)
		src.done()
		if err != nil {
			return false, err
		}
	}
	c.res.Bytes += n
	c.res.NextOffset = next
	c.left -= n
	c.atLeastOne = false
	return c.left > 0 && next >= s.next, nil
}

func (c *collector) copy(src *source, pos, n int64) error {
	if c.buf == nil {
		c.buf = bufferPool.Get().(*[]byte)
	}
	at := len(*c.buf)
	*c.buf = append(*c.buf, make([]byte, n)...)
	if err := src.readAt((*c.buf)[at:], pos); err != nil {
		*c.buf = (*c.buf)[:at]
		return err
	}
	return nil
}

func (c *collector) flush() {
	if c.buf == nil {
		return
	}
	b := c.buf
	c.buf = nil
	if len(*b) == 0 {
		bufferPool.Put(b)
		return
	}
	c.res.Chunks = append(c.res.Chunks, Chunk{Bytes: *b, Len: int64(len(*b)), Done: func() {
		if cap(*b) <= 1<<20 {
			*b = (*b)[:0]
			bufferPool.Put(b)
		}
	}})
}

// bounds returns the part [start, end) of the span's bytes to send, and the offset after it.
func (c *collector) bounds(src *source, s *span) (start, end, next int64, err error) {
	from := max(c.res.NextOffset, s.base)
	size := src.size
	if from == s.base && s.next <= c.limit && size <= c.left {
		return 0, size, s.next, nil
	}
	if s.object != nil && from > s.base {
		if start, err = src.reader.Locate(s.info, from); err != nil {
			return 0, 0, 0, c.log.damage(err)
		}
	}
	begun := false
	end, next = start, from
	err = src.walk(start, func(pos int64, h *batchHead) bool {
		if !begun && h.next() <= from {
			return true
		}
		if h.base >= c.limit || (end-start+h.size > c.left && (begun || !c.atLeastOne)) {
			return false
		}
		if !begun {
			start, begun = pos, true
		}
		end, next = pos+h.size, h.next()
		return end-start < c.left
	})
	if err != nil && begun && end > start {
		err = nil
	}
	if !begun {
		end = start
	}
	return start, end, next, err
}

// source is an opened span: its bytes are [0, size).
type source struct {
	log    *Log
	span   *span
	size   int64
	bytes  []byte // all of them, if they are in memory
	reader *segment.Reader
	base   int64              // where they begin in blocks
	blocks *blockcache.Reader // the file or object that holds them
	whole  bool               // blocks is a WAL object, which nobody has looked at yet
	done   func()
}

func (l *Log) open(ctx context.Context, s *span) (*source, error) {
	src := &source{log: l, span: s, size: int64(s.bytes)}
	if s.object != nil {
		r, release, err := l.env.Segments.Get(ctx, s.object.Key)
		if err != nil {
			return nil, l.damage(fmt.Errorf("open %s: %w", s.object.Key, err))
		}
		src.reader, src.done, src.size, src.base = r, release, s.info.Bytes, s.info.Pos
		src.blocks = r.Blocks()
		return src, nil
	}
	if b, release, ok := l.env.WAL.Recent(s.pos, src.size); ok {
		src.bytes, src.done = b, release
		return src, nil
	}
	pin, err := l.env.WAL.Pin(ctx, s.pos)
	if err != nil {
		return nil, fmt.Errorf("pin WAL position %d for %s: %w", s.pos, l.id, err)
	}
	src.done, src.base = pin.Release, pin.Off
	reader := l.env.Blocks.Reader
	if src.whole = pin.Whole; pin.Whole {
		reader = l.env.Blocks.Object
	}
	src.blocks = reader(pin.ID, pin.Source, pin.Durable, func() (func(), bool) {
		again, err := l.env.WAL.Pin(context.WithoutCancel(ctx), s.pos)
		return again.Release, err == nil
	})
	return src, nil
}

func (s *source) readAt(p []byte, pos int64) error {
	if s.bytes != nil {
		copy(p, s.bytes[pos:])
		return nil
	}
	_, err := s.blocks.ReadAt(p, s.base+pos)
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// verify checks the bytes against the checksums that were written with them, once in a process's life: damage that was
// there at start is never served, and sound bytes are sent without being touched again.
func (s *source) verify(pos, n int64) error {
	if s.reader != nil {
		if err := s.reader.Verify(s.span.info, pos, n); err != nil {
			return s.log.damage(err)
		}
		return nil
	}
	switch s.span.state {
	case extentVerified:
		return nil
	case extentCorrupt:
		return s.log.quarantineError(&s.span.extent)
	}
	b := make([]byte, s.size)
	sum := func() (uint32, error) {
		if err := s.readAt(b, 0); err != nil {
			return 0, fmt.Errorf("read WAL position %d for %s: %w", s.span.pos, s.log.id, err)
		}
		return crc32.Checksum(b, castagnoli), nil
	}
	found, err := sum()
	if err == nil && found != s.span.crc && s.blocks != nil { // it may have been damaged on the way from an object store
		s.blocks.Forget(s.base, s.size)
		found, err = sum()
	}
	if err != nil {
		return err
	}
	if found != s.span.crc {
		s.log.mark(s.span.base, extentCorrupt)
		return s.log.corrupt(fmt.Errorf("WAL position %d, offsets [%d, %d): checksum mismatch", s.span.pos, s.span.base, s.span.next))
	}
	s.log.mark(s.span.base, extentVerified)
	return nil
}

func (l *Log) mark(base int64, st extentState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.extents), func(i int) bool { return l.extents[i].base >= base })
	if i < len(l.extents) && l.extents[i].base == base {
		l.extents[i].state = st
	}
}

func (l *Log) quarantineError(e *extent) error {
	return fmt.Errorf("offsets [%d, %d) of %s, at WAL position %d, are quarantined: %w", e.base, e.next, l.id, e.pos, kafka.CorruptMessage)
}

// damage reports err if it tells of damaged bytes in an object, and says whose log it is in any case.
func (l *Log) damage(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*segment.CorruptError](err); ok {
		return l.corrupt(err)
	}
	return fmt.Errorf("%s: %w", l.id, err)
}

func (l *Log) corrupt(err error) error {
	err = fmt.Errorf("damaged bytes in %s: %w", l.id, err)
	if l.env.OnCorrupt != nil {
		l.env.OnCorrupt(err)
	}
	return fmt.Errorf("%w: %w", kafka.CorruptMessage, err)
}

// batchHead is what a walk needs of a batch header.
type batchHead struct {
	base            int64
	size            int64
	lastOffsetDelta int32
	maxTimestamp    int64
}

func (h *batchHead) next() int64 { return h.base + int64(h.lastOffsetDelta) + 1 }

// walkBufferBytes is read at once while walking headers: enough for many small batches, little for large ones.
const walkBufferBytes = 16 << 10

// walk visits the headers of the batches from pos, the begin of one, to the end of the span, until visit says stop.
func (s *source) walk(pos int64, visit func(pos int64, h *batchHead) bool) error {
	var small [record.HeaderBytes]byte
	buf, have, at := small[:], 0, pos
	for pos+record.HeaderBytes <= s.size {
		if pos < at || pos+record.HeaderBytes > at+int64(have) {
			n := min(int64(len(buf)), s.size-pos)
			if err := s.readAt(buf[:n], pos); err != nil {
				return s.log.damage(fmt.Errorf("walk batches: %w", err))
			}
			at, have = pos, int(n)
		}
		h, err := record.ParseHeader(buf[pos-at : have])
		if err != nil || h.Size() < record.HeaderBytes || h.Size() > s.size-pos {
			return s.log.corrupt(fmt.Errorf("no batch at byte %d of %d in the stretch from offset %d: %w", pos, s.size, s.span.base, errOr(err)))
		}
		head := batchHead{h.BaseOffset, h.Size(), h.LastOffsetDelta, h.MaxTimestamp}
		if !visit(pos, &head) {
			return nil
		}
		pos += h.Size()
		if len(buf) < walkBufferBytes && h.Size() < walkBufferBytes/4 {
			buf = make([]byte, walkBufferBytes)
			have = 0
		}
	}
	return nil
}

func errOr(err error) error {
	if err != nil {
		return err
	}
	return record.ErrTruncated
}

// ReadBytes returns whole batches from offset on as one piece of memory, about maxBytes of them but at least one batch,
// and the offset after them. It is for the broker's own work, which counts as no client's.
func (l *Log) ReadBytes(ctx context.Context, offset, maxBytes int64) (b []byte, next int64, err error) {
	r, err := l.readUncounted(ctx, ReadRequest{Offset: offset, MaxBytes: maxBytes, AtLeastOne: true})
	if err != nil {
		return nil, offset, err
	}
	defer r.Drop()
	b = make([]byte, 0, r.Bytes)
	for i := range r.Chunks {
		if b, err = r.Chunks[i].AppendTo(b); err != nil {
			return nil, offset, fmt.Errorf("read %s at offset %d: %w", l.id, offset, err)
		}
	}
	return b, r.NextOffset, nil
}
