// Package blockcache keeps blocks of files in memory for those who read what is not in memory any more. Files are read past the
// operating system's page cache in blocks of a MiB, into buffers that are used again and again: on a machine whose memory is
// not warm, filling the page cache costs more than reading the device does.
//
// Blocks are shared: the partitions of a write-ahead log lie mixed in its frames, so what one consumer has read serves the
// next. A read that goes past the middle of a block has the following ones read in the background, so a consumer that
// catches up finds them there. A block that is wanted by many is read once.
//
// The cache holds at most its limit of blocks. Those that were used go first, the least recently used of them before the others;
// what was read ahead stays until somebody comes for it, or until so much else was read meanwhile that nobody will. At most half of
// the cache is such blocks, and the more there are, the fewer a reader gets read ahead: one alone is served from far ahead, and
// dozens (the partitions of a fetch, each in a place of its own) do not drive out each other's blocks before they are used.
// What is being looked at by View stays where it is until it is released, even if its block has left the cache. A file is known by an id of the caller's, which stands for the same bytes for ever: a position that is never used
// twice, or the key of an immutable object. Of a file only bytes below the limit that the caller names are kept, since those beyond it
// may still change; of an object, which does not change, the last block is kept too, short as it is.
//
// A source that makes a request for each read is asked for a few neighbouring blocks with one.
//
// At most maxBackground blocks are read ahead at a time, for all readers together: those who read the past leave the device, or the
// network, to those who read the present.
//
// All methods may be called together. mu is never held during I/O.
package blockcache

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// BlockBytes is the unit of reading.
const BlockBytes = 1 << 20

// aheadBlocks is how many blocks after the present one are read in the background: more than what a consumer takes at once, so that
// the device works while the consumer does.
const aheadBlocks = 8

// aheadEvery is how many bytes of a block are looked at until it is seen again whether more is to be read ahead: who looks at little at a
// time does not pay for that each time. It divides BlockBytes.
const aheadEvery = 128 << 10

// maxBackground bounds the blocks that are being read ahead.
const maxBackground = 32

// Source is what a block is read from, see vfs.File.
type Source interface {
	ReadRange(buf []byte, off int64, n int) ([]byte, error)
}

// vectorSource is a Source on which one read of neighbouring blocks costs less than a read of each: it makes a request for it. p is
// filled from off on.
type vectorSource interface {
	ReadVector(p [][]byte, off int64) error
	Vectored() bool // whether that is so
}

// vectorBlocks is how many blocks are read ahead with one such read: a quarter of the requests, and still several at a time.
const vectorBlocks = 4

type key struct {
	id    any
	block int64
}

// block is in the cache from the moment at which somebody begins to read it. bytes and err are set before ready is closed.
type block struct {
	key   key
	ready chan struct{}
	bytes []byte
	err   error
	buf   []byte // what bytes are part of

	// Guarded by Cache.mu.
	users int           // who copy from it or wait for it
	gone  bool          // from the cache
	early bool          // was read ahead, and nobody has come for it yet
	born  int64         // Cache.added when it came
	place *list.Element // in Cache.early or Cache.recent
}

// Cache is a bounded set of blocks. Make it with New.
type Cache struct {
	max int
	wg  sync.WaitGroup

	mu     sync.Mutex
	blocks map[key]*block
	recent *list.List // of *block that were used, the most recently used first
	early  *list.List // of *block that were read ahead and not used yet, the newest first
	added  int64      // blocks that ever came
	free   [][]byte
	ahead  int // blocks that are being read ahead
	closed bool
	hits   int64
	misses int64
}

// staleTurns is after how many times its size in new blocks the cache gives up what was read ahead and not used.
const staleTurns = 4

// New returns a cache of at most maxBytes, which is rounded down to whole blocks and at least four of them.
func New(maxBytes int64) *Cache {
	return &Cache{max: int(max(maxBytes/BlockBytes, 4)), blocks: map[key]*block{}, recent: list.New(), early: list.New()}
}

// Close waits for reads in the background. Reads after it bypass the cache.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.wg.Wait()
}

// Stats returns how many block reads found their block, or somebody reading it, and how many did not.
func (c *Cache) Stats() (hits, misses int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.misses
}

// Reader returns a Source that reads the file known as id through the cache. source must stay usable until all reads have
// returned, hold is called before a read in the background and gives what ends the use that it needs. Bytes at and beyond limit are
// read, but not kept.
func (c *Cache) Reader(id any, source Source, limit int64, hold func() (release func(), ok bool)) *Reader {
	return &Reader{cache: c, id: id, source: source, limit: limit, hold: hold}
}

// Object returns a Source that reads an object of size bytes, which never changes, through the cache. The rest is as with Reader; a read
// beyond the end is io.ErrUnexpectedEOF.
func (c *Cache) Object(id any, source Source, size int64, hold func() (release func(), ok bool)) *Reader {
	return &Reader{cache: c, id: id, source: source, limit: size, hold: hold, whole: true}
}

// Reader reads one file through a Cache.
type Reader struct {
	cache  *Cache
	id     any
	source Source
	limit  int64
	hold   func() (release func(), ok bool)
	whole  bool // limit is the end, for ever
}

// blockBytes returns how many bytes of a block are kept, 0 for none.
func (r *Reader) blockBytes(number int64) int {
	switch n := r.limit - number*BlockBytes; {
	case n >= BlockBytes:
		return BlockBytes
	case r.whole && n > 0:
		return int(n)
	}
	return 0
}

// ReadAt fills p with the bytes at off.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	for read := 0; read < len(p); {
		b, release, err := r.View(off+int64(read), len(p)-read)
		if err != nil {
			return read, err
		}
		read += copy(p[read:], b)
		release()
	}
	return len(p), nil
}

// View returns the bytes at off, n of them or fewer, but at least one. They must not be changed, and stay valid until release,
// which must be called once.
func (r *Reader) View(off int64, n int) (p []byte, release func(), err error) {
	number := off / BlockBytes
	begin := off - number*BlockBytes
	n = int(min(int64(n), BlockBytes-begin))
	kept := r.blockBytes(number)
	if r.whole {
		if n = int(min(int64(n), int64(kept)-begin)); n <= 0 {
			return nil, nil, fmt.Errorf("read %v at %d of %d: %w", r.id, off, r.limit, io.ErrUnexpectedEOF)
		}
	}
	if kept == 0 {
		return r.bypass(off, n)
	}
	b, mine := r.cache.get(key{r.id, number}, begin+int64(n) == BlockBytes)
	if b == nil {
		return r.bypass(off, n)
	}
	if mine {
		r.fill(b)
	}
	if end := begin + int64(n); end > BlockBytes/2 && begin/aheadEvery != end/aheadEvery {
		r.background(number+1, number+1+aheadBlocks, true)
	}
	<-b.ready
	if err := b.err; err != nil {
		r.cache.put(b)
		return nil, nil, err
	}
	return b.bytes[begin : begin+int64(n) : begin+int64(n)], func() { r.cache.put(b) }, nil
}

// Ahead has the blocks with the n bytes at off read in the background, as far as there is room for that.
func (r *Reader) Ahead(off, n int64) {
	r.background(off/BlockBytes, (off+n-1)/BlockBytes+1, false)
}

// AheadToEnd has the blocks from off to the end of the object read in the background, as far as there is room for that.
func (r *Reader) AheadToEnd(off int64) {
	r.background(off/BlockBytes, (r.limit+BlockBytes-1)/BlockBytes, false)
}

// Size is the limit of the reader.
func (r *Reader) Size() int64 { return r.limit }

// Touch waits until the blocks with the n bytes at off are in the cache. Its error is that of View.
func (r *Reader) Touch(off, n int64) error {
	for at := off; at < off+n; {
		p, release, err := r.View(at, int(min(n-(at-off), BlockBytes)))
		if err != nil {
			return err
		}
		at += int64(len(p))
		release()
	}
	return nil
}

// Forget drops the blocks with the n bytes at off: they are not what was written, and who looks again reads them anew. Views of them stay valid.
func (r *Reader) Forget(off, n int64) {
	c := r.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	for number := off / BlockBytes; number*BlockBytes < off+n; number++ {
		if b := c.blocks[key{r.id, number}]; b != nil {
			c.removeLocked(b)
			if b.users == 0 {
				c.recycleLocked(b.buf)
			}
		}
	}
}

// bypass reads what is not to be kept.
func (r *Reader) bypass(off int64, n int) ([]byte, func(), error) {
	buf := r.cache.buffer()
	p, err := r.source.ReadRange(buf, off, n)
	if err != nil {
		r.cache.recycle(buf)
		return nil, nil, err
	}
	return p, func() { r.cache.recycle(buf) }, nil
}

func (r *Reader) fill(b *block) {
	b.buf = r.cache.buffer()
	b.bytes, b.err = r.source.ReadRange(b.buf, b.key.block*BlockBytes, r.blockBytes(b.key.block))
	r.filled(b)
}

// filled lets those go who wait for b, whose bytes or err are set.
func (r *Reader) filled(b *block) {
	if b.err != nil {
		b.err = fmt.Errorf("read block %d of %v: %w", b.key.block, b.key.id, b.err)
		r.cache.drop(b)
	}
	close(b.ready)
}

// fillAll fills neighbouring blocks with one read, if there are several; then the source is a vectorSource.
func (r *Reader) fillAll(run []*block) {
	if len(run) == 1 {
		r.fill(run[0])
		return
	}
	pieces := make([][]byte, len(run))
	for i, b := range run {
		b.buf = r.cache.buffer()
		pieces[i] = b.buf[:r.blockBytes(b.key.block)]
	}
	err := r.source.(vectorSource).ReadVector(pieces, run[0].key.block*BlockBytes)
	for i, b := range run {
		if b.err = err; err == nil {
			b.bytes = pieces[i]
		}
		r.filled(b)
	}
}

// background has the blocks from number up to end read in the background; those of a guess only as far as others leave room.
func (r *Reader) background(number, end int64, guess bool) {
	most := 1
	if v, ok := r.source.(vectorSource); ok && v.Vectored() {
		most = vectorBlocks
	}
	for n := number; n < end && r.blockBytes(n) > 0; {
		var run []*block
		for ; n < end && r.blockBytes(n) > 0 && len(run) < most; n++ {
			depth := 0
			if guess {
				depth = int(n-number) + 1
			}
			b := r.cache.begin(key{r.id, n}, depth)
			if b != nil {
				run = append(run, b)
			} else if len(run) > 0 {
				break
			}
		}
		if len(run) > 0 && !r.start(run) {
			return
		}
	}
}

// start has neighbouring blocks that were begun filled in the background. It returns false, and gives them up, if the file is gone.
func (r *Reader) start(run []*block) bool {
	release, ok := r.hold()
	if !ok {
		for _, b := range run {
			b.err = errGone
			r.filled(b)
			r.cache.put(b)
			r.cache.end()
		}
		return false
	}
	go func() {
		r.fillAll(run)
		for _, b := range run {
			r.cache.put(b)
		}
		release()
		for range run {
			r.cache.end()
		}
	}()
	return true
}

var errGone = errors.New("the file is gone")

// get returns a block in use by the caller. mine says that the caller has to fill it. It returns nil if the cache is closed.
// last says that its end is wanted: whoever reads on has no more use for it then, so that is no reason to keep it longer.
func (c *Cache) get(k key, last bool) (b *block, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false
	}
	if b = c.blocks[k]; b != nil {
		c.hits++
		b.users++
		if b.early {
			b.early = false
			c.early.Remove(b.place)
			b.place = c.recent.PushFront(b)
		} else if !last {
			c.recent.MoveToFront(b.place)
		}
		return b, false
	}
	c.misses++
	return c.addLocked(k, false), true
}

// begin returns a new block for a read in the background, or nil if it is there, too many are read or the cache is closed. depth is how
// far ahead of its reader it lies, 0 if it is wanted for sure.
func (c *Cache) begin(k key, depth int) *block {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.blocks[k] != nil || c.ahead == maxBackground {
		return nil
	}
	// All of the half for those next to their reader and the ones behind them, less for what lies further ahead.
	if half := c.max / 2; depth > 0 && c.early.Len() >= min(half, 2*half/depth) {
		return nil
	}
	c.wg.Add(1)
	c.ahead++
	return c.addLocked(k, true)
}

// end is what follows a begin.
func (c *Cache) end() {
	c.mu.Lock()
	c.ahead--
	c.mu.Unlock()
	c.wg.Done()
}

func (c *Cache) addLocked(k key, early bool) *block {
	c.added++
	b := &block{key: k, ready: make(chan struct{}), users: 1, early: early, born: c.added}
	c.blocks[k] = b
	b.place = c.listOf(b).PushFront(b)
	c.evictLocked(c.early, func(old *block) bool { return c.added-old.born > int64(staleTurns*c.max) })
	over := func(*block) bool { return len(c.blocks) > c.max }
	c.evictLocked(c.recent, over)
	c.evictLocked(c.early, over)
	return b
}

// listOf is where the place of b is.
func (c *Cache) listOf(b *block) *list.List {
	if b.early {
		return c.early
	}
	return c.recent
}

// evictLocked takes blocks that nobody uses out of the cache, from the end of a list, while the next one is to go.
func (c *Cache) evictLocked(from *list.List, goes func(*block) bool) {
	for e := from.Back(); e != nil && goes(e.Value.(*block)); {
		old := e.Value.(*block)
		e = e.Prev()
		if old.users == 0 {
			c.removeLocked(old)
			c.recycleLocked(old.buf)
		}
	}
}

// removeLocked takes a block out of the cache.
func (c *Cache) removeLocked(b *block) {
	if !b.gone {
		b.gone = true
		delete(c.blocks, b.key)
		c.listOf(b).Remove(b.place)
	}
}

// drop takes a block that could not be read out of the cache; those who wait for it get its error.
func (c *Cache) drop(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(b)
}

// put ends the use of a block.
func (c *Cache) put(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.users--
	if b.users == 0 && b.gone {
		c.recycleLocked(b.buf)
	}
}

// maxFree bounds the buffers that wait to be used again.
const maxFree = 12

func (c *Cache) buffer() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.free); n > 0 {
		b := c.free[n-1]
		c.free = c.free[:n-1]
		return b
	}
	return vfs.AlignedBuffer(vfs.RangeBytes(BlockBytes))
}

func (c *Cache) recycle(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recycleLocked(b)
}

func (c *Cache) recycleLocked(b []byte) {
	if b != nil && len(c.free) < maxFree {
		c.free = append(c.free, b)
	}
}
