package wal

import (
	"math/bits"
	"slices"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// ring keeps the bytes of the last frames in memory, for those who read at the tail: frames are written past the page cache, so
// without it every read would go to the device. Its buffers are the ones that frames are laid out in, and go round: a block
// leaves the ring when newer ones need its share, and its memory is used again when nobody reads it any more.
// It is guarded by Log.mu.
type ring struct {
	limit  int64 // bytes of blocks kept
	kept   int64
	blocks []*ringBlock   // complete frames, oldest first, ascending by position
	spare  [][]*ringBlock // by size class, not in use
	spares int64          // bytes of spare
}

// ringBlock holds one frame. bytes may be read while pins is not 0, or by the lane that lays it out.
type ringBlock struct {
	pos   Position
	bytes []byte // address and capacity are aligned for direct writes
	pins  int
	out   bool // of the ring
}

// maxSpareBytes bounds the memory that waits to be used again.
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

// take returns a block for n bytes.
func (r *ring) take(n int64) *ringBlock {
	c := blockClass(n)
	if c < len(r.spare) {
		if have := r.spare[c]; len(have) > 0 {
			b := have[len(have)-1]
			r.spare[c] = have[:len(have)-1]
			r.spares -= int64(cap(b.bytes))
			return b
		}
	}
	return &ringBlock{bytes: vfs.AlignedBuffer(blockBytes(c))[:0]}
}

// add puts a complete frame into the ring and drops the oldest ones beyond the limit.
func (r *ring) add(b *ringBlock) {
	r.blocks = append(r.blocks, b)
	r.kept += int64(cap(b.bytes))
	n := 0
	for r.kept > r.limit && n < len(r.blocks) {
		old := r.blocks[n]
		r.kept -= int64(cap(old.bytes))
		old.out = true
		r.giveBack(old)
		n++
	}
	r.blocks = slices.Delete(r.blocks, 0, n)
}

// giveBack keeps the memory of a block for reuse, unless it is being read or there is enough.
func (r *ring) giveBack(b *ringBlock) {
	size := int64(cap(b.bytes))
	if b.pins > 0 || r.spares+size > maxSpareBytes {
		return
	}
	c := blockClass(size)
	for len(r.spare) <= c {
		r.spare = append(r.spare, nil)
	}
	b.bytes, b.out = b.bytes[:0], false
	r.spare[c] = append(r.spare[c], b)
	r.spares += size
}

// find returns the block that holds [pos, pos+n).
func (r *ring) find(pos Position, n int64) *ringBlock {
	i, found := slices.BinarySearchFunc(r.blocks, pos, func(b *ringBlock, p Position) int {
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
	if i < 0 || pos+Position(n) > r.blocks[i].pos+Position(len(r.blocks[i].bytes)) {
		return nil
	}
	return r.blocks[i]
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
	if b.pins--; b.pins == 0 && b.out {
		l.ring.giveBack(b)
	}
}
