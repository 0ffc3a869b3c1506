package wal

import (
	"math/bits"
	"slices"

	"github.com/weir-stream/weir/internal/base/invariant"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// ring keeps the bytes of the last frames in memory, for those who read at the tail: frames are written past the page cache, so
// without it every read would go to the device. Its buffers are the ones that frames are laid out in, and go round: a block
// leaves the ring when newer ones need its share, and its memory is used again when nobody reads it any more.
// It is guarded by Log.mu.
type ring struct {
	limit  int64 // bytes of blocks kept
	kept   int64
	blocks []*ringBlock  // complete frames, oldest first, ascending by position
	spare  []spareBlocks // by size class
	spares int64         // bytes of spare
	least  int64         // that spares has been since shed was called
	takes  int64         // blocks ever taken
	added  int64         // bytes of blocks ever added
	// whole says that spare blocks may have all that the limit and what may be lent leave, for a ring that is trimmed by large pieces.
	whole bool
	// lent counts bytes of blocks that were taken for something else than new frames, of which there are to be lendable at the most.
	lent, lendable int64
}

// spareBlocks are blocks of one size class that are not in use.
type spareBlocks struct {
	blocks []*ringBlock
	wanted int64 // ring.takes when one of the class was last asked for
}

// ringBlock holds one frame. bytes may be read while pins is not 0, or by the lane that lays it out.
type ringBlock struct {
	pos   Position
	bytes []byte // address and capacity are aligned for direct writes
	pins  int
	out   bool // of the ring
}

// maxSpareBytes bounds the memory that waits to be used again, unless the ring is whole. Larger blocks do not wait.
const maxSpareBytes = 8 << 20

// Size classes of blocks: powers of two from a page to half a MiB, then steps of a quarter MiB, so that a full group wastes
// little.
const (
	powerClasses  = 8 // 4 KiB << 0..7
	stepBytesLog2 = 18
)

func blockClass(n int64) int {
	if n <= pageBytes<<(powerClasses-1) {
		return max(bits.Len64(uint64(n-1)), 12) - 12
	}
	return powerClasses + int((n-1)>>stepBytesLog2) - 2
}

func blockBytes(class int) int {
	if class < powerClasses {
		return pageBytes << class
	}
	return (class - powerClasses + 3) << stepBytesLog2
}

// largerClasses is how many classes above its own a frame may take a block of, rather than have new memory made and cleared.
const largerClasses = 2

// take returns a block for n bytes.
func (r *ring) take(n int64) *ringBlock {
	c := blockClass(n)
	for len(r.spare) <= c {
		r.spare = append(r.spare, spareBlocks{})
	}
	r.takes++
	r.spare[c].wanted = r.takes
	for i := c; i <= c+largerClasses && i < len(r.spare); i++ {
		if b := r.takeSpare(i); b != nil {
			return b
		}
	}
	size := blockBytes(c)
	for r.whole && r.spares > 0 && r.spares+int64(size) > r.mostSpare() {
		r.takeSpare(r.unwanted()) // or what is spare and what is new would be more than the limit
	}
	return &ringBlock{bytes: vfs.AlignedBuffer(size)[:0]}
}

// unwanted is the class with spare blocks that was not asked for in the longest time, -1 if nothing is spare.
func (r *ring) unwanted() int {
	class := -1
	for i := range r.spare {
		if len(r.spare[i].blocks) > 0 && (class < 0 || r.spare[i].wanted < r.spare[class].wanted) {
			class = i
		}
	}
	return class
}

// takeSpare returns a spare block of a class; nil if there is none.
func (r *ring) takeSpare(class int) *ringBlock {
	s := &r.spare[class]
	n := len(s.blocks)
	if n == 0 {
		return nil
	}
	b := s.blocks[n-1]
	s.blocks[n-1] = nil
	s.blocks = s.blocks[:n-1]
	r.spares -= int64(cap(b.bytes))
	r.least = min(r.least, r.spares)
	return b
}

// add puts a complete frame into the ring and drops the oldest ones beyond the limit.
func (r *ring) add(b *ringBlock) {
	r.blocks = append(r.blocks, b)
	r.kept += int64(cap(b.bytes))
	r.added += int64(cap(b.bytes))
	r.drop(func(*ringBlock) bool { return r.kept > r.limit })
}

// trim drops the frames that end at or below before, which nobody can ask for any more.
func (r *ring) trim(before Position) {
	r.drop(func(b *ringBlock) bool { return b.pos+Position(len(b.bytes)) <= before })
}

// drop drops the oldest frames as long as they are to go.
func (r *ring) drop(goes func(*ringBlock) bool) {
	n := 0
	for n < len(r.blocks) && goes(r.blocks[n]) {
		old := r.blocks[n]
		r.kept -= int64(cap(old.bytes))
		old.out = true
		r.giveBack(old)
		n++
	}
	r.blocks = slices.Delete(r.blocks, 0, n)
}

// unpin says that one of those who read a block does so no more.
func (r *ring) unpin(b *ringBlock) {
	if b.pins--; b.pins == 0 && b.out {
		r.giveBack(b)
	}
}

// giveBack keeps the memory of a block for reuse, unless it is being read or there is enough. Sizes that nobody has asked for in a long
// time make room for those that are asked for: when the load has changed, what was right for the one before is of no use.
func (r *ring) giveBack(b *ringBlock) {
	size := int64(cap(b.bytes))
	if b.pins > 0 || size > maxSpareBytes {
		return
	}
	c := blockClass(size)
	for r.spares+size > r.mostSpare() {
		oldest := r.unwanted()
		if oldest < 0 || r.spare[c].wanted <= r.spare[oldest].wanted {
			return
		}
		r.takeSpare(oldest)
	}
	if invariant.Enabled {
		poison(b.bytes)
	}
	b.bytes, b.out = b.bytes[:0], false
	r.spare[c].blocks = append(r.spare[c].blocks, b)
	r.spares += size
}

// mostSpare bounds the bytes of spare blocks.
func (r *ring) mostSpare() int64 {
	if r.whole {
		return max(maxSpareBytes, r.limit+r.lendable-r.kept-r.lent)
	}
	return maxSpareBytes
}

// poison makes sure that who reads memory which he has released finds no batch in it.
func poison(b []byte) {
	if len(b) == 0 {
		return
	}
	b[0] = 0xdb
	for n := 1; n < len(b); n *= 2 { // a write of each byte is slow with the race detector
		copy(b[n:], b[:n])
	}
}

// shed drops the blocks that were not needed since it was last called, but for some.
func (r *ring) shed() {
	for most := max(r.spares-r.least, maxSpareBytes); r.spares > most; {
		r.takeSpare(r.unwanted())
	}
	r.least = r.spares
}

// find returns the block that holds [pos, pos+n).
func (r *ring) find(pos Position, n int64) *ringBlock { return findBlock(r.blocks, pos, n) }

// findBlock returns that of the blocks, which ascend by position, that holds [pos, pos+n), or nil.
func findBlock(blocks []*ringBlock, pos Position, n int64) *ringBlock {
	i, found := slices.BinarySearchFunc(blocks, pos, func(b *ringBlock, p Position) int {
		switch {
		case b.pos < p:
			return -1
		case b.pos > p:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	if i < 0 || pos+Position(n) > blocks[i].pos+Position(len(blocks[i].bytes)) {
		return nil
	}
	return blocks[i]
}

// Recent returns the n bytes at pos if they are still in memory. They must not be changed, and stay valid until release, which
// must be called once. The range must lie in one frame.
func (l *Log) Recent(pos Position, n int64) (p []byte, release func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.ring.find(pos, n)
	if b == nil {
		return nil, nil, false
	}
	b.pins++
	at := int64(pos - b.pos)
	return b.bytes[at : at+n : at+n], func() { l.unpinBlock(b) }, true
}

func (l *Log) unpinBlock(b *ringBlock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring.unpin(b)
}
