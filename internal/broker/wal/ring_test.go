package wal

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBlockClassesHoldWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	for n := int64(1); n < 5<<20; n += 509 {
		if size := int64(blockBytes(blockClass(n))); size < n || (n > pageBytes && size >= 2*n) {
			t.Fatalf("a block for %d bytes has %d", n, size)
		}
	}
}

func TestRingKeepsTheLastFramesAndNeverWhatIsRead(t *testing.T) {
	t.Parallel()
	r := ring{limit: 3 * pageBytes}
	add := func(pos Position) *ringBlock {
		b := r.take(pageBytes)
		b.pos, b.bytes = pos, append(b.bytes, make([]byte, pageBytes)...)
		b.bytes[0] = byte(pos / pageBytes)
		r.add(b)
		return b
	}
	first := add(0)
	first.pins++
	for i := Position(1); i < 20; i++ {
		add(i * pageBytes)
		if b := r.find(i*pageBytes+5, 100); b == nil || b.pos != i*pageBytes {
			t.Fatalf("frame %d is not found", i)
		}
		if r.kept > r.limit {
			t.Fatalf("the ring keeps %d bytes of %d", r.kept, r.limit)
		}
	}
	if r.find(0, 1) != nil {
		t.Error("a frame that left the ring is found")
	}
	if first.bytes[0] != 0 || len(first.bytes) != pageBytes {
		t.Error("memory was used again while it was being read")
	}
	if r.find(19*pageBytes, pageBytes+1) != nil {
		t.Error("a range beyond the frame is found")
	}
}

// What is spare from one load is no use to another: it must not stand in the way of what is.
func TestBlocksAreUsedAgainWhateverSizesCameBefore(t *testing.T) {
	t.Parallel()
	r := ring{limit: 16 << 20}
	pos := Position(0)
	write := func(frames int, n int64) (blocks map[*ringBlock]bool) {
		blocks = map[*ringBlock]bool{}
		for range frames {
			b := r.take(n)
			b.pos, b.bytes = pos, b.bytes[:n]
			pos += Position(n)
			blocks[b] = true
			r.add(b)
		}
		return blocks
	}
	for _, n := range []int64{pageBytes, 1 << 20, 16 << 10, 600 << 10, 1 << 20} {
		room := int((r.limit + maxSpareBytes) / n)
		write(2*room, n) // until the ring holds nothing else
		if got := len(write(4*room, n)); got > room+1 {
			t.Errorf("%d frames of %d bytes took %d blocks, there is room for %d", 4*room, n, got, room)
		}
		if r.spares > maxSpareBytes || r.kept > r.limit {
			t.Errorf("%d bytes spare, %d kept", r.spares, r.kept)
		}
	}
}

func TestRingForgetsWhatNobodyCanAskFor(t *testing.T) {
	t.Parallel()
	r := ring{limit: 100 * pageBytes}
	for i := range Position(10) {
		b := r.take(pageBytes)
		b.pos, b.bytes = i*pageBytes, append(b.bytes, make([]byte, pageBytes)...)
		r.add(b)
	}
	read := r.find(2*pageBytes, 1)
	read.pins++
	r.trim(4*pageBytes + 1) // within the fifth, which stays
	for i := range Position(10) {
		if found := r.find(i*pageBytes, 1) != nil; found != (i >= 4) {
			t.Errorf("frame %d is found: %v", i, found)
		}
	}
	if r.kept != 6*pageBytes || r.spares != 3*pageBytes || len(read.bytes) != pageBytes {
		t.Errorf("%d bytes kept, %d to be used again, %d of what is read", r.kept, r.spares, len(read.bytes))
	}
}

// A checkpoint trims most of the ring at once: what comes then needs no new memory, and what nobody needs is given back.
func TestTrimmedMemoryOfAWholeRingIsUsedAgain(t *testing.T) {
	t.Parallel()
	const frame = 512 << 10
	r := ring{limit: 32 * frame, whole: true}
	pos, blocks := Position(0), map[*ringBlock]bool{}
	write := func(frames int) {
		for range frames {
			b := r.take(frame)
			b.pos, b.bytes = pos, b.bytes[:frame]
			pos += frame
			blocks[b] = true
			r.add(b)
		}
	}
	for range 5 {
		write(20)
		r.trim(pos)
		if r.spares != 20*frame || r.kept != 0 {
			t.Fatalf("after a trim %d bytes are spare and %d kept, want %d and none", r.spares, r.kept, 20*frame)
		}
		r.shed()
	}
	if len(blocks) != 20 {
		t.Errorf("100 frames took %d blocks, want 20", len(blocks))
	}
	write(4)
	r.trim(pos)
	r.shed() // 16 of them were not needed since the last time
	if got := r.spares; got != maxSpareBytes {
		t.Errorf("%d bytes are spare, want %d", got, maxSpareBytes)
	}
}

// Random frames, readers and trims: the ring and what it keeps to use again stay below the limit, and what is read does not change.
func TestRingBoundsItsMemoryAndKeepsWhatIsRead(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := ring{limit: int64(9+rng.IntN(8)) << 20, whole: seed%2 == 0}
		type reading struct {
			block *ringBlock
			stamp byte
		}
		var readers []reading
		pos := Position(0)
		for range 300 {
			switch n := int64(1 + rng.IntN(1<<20)); rng.IntN(8) {
			case 0:
				r.trim(pos - Position(rng.Int64N(2<<20)))
			case 1:
				r.shed()
			case 2:
				if len(r.blocks) > 0 {
					b := r.blocks[rng.IntN(len(r.blocks))]
					b.pins++
					readers = append(readers, reading{b, b.bytes[0]})
				}
			case 3:
				if len(readers) > 0 {
					i := rng.IntN(len(readers))
					b := readers[i].block
					if first, last := b.bytes[0], b.bytes[len(b.bytes)-1]; first != readers[i].stamp || last != first {
						t.Fatalf("seed %d: what is read became %d and %d, want %d", seed, first, last, readers[i].stamp)
					}
					readers = slices.Delete(readers, i, i+1)
					if b.pins--; b.pins == 0 && b.out {
						r.giveBack(b)
					}
				}
			default:
				b := r.take(n)
				b.pos, b.bytes = pos, b.bytes[:n]
				b.bytes[0], b.bytes[n-1] = byte(pos>>7), byte(pos>>7)
				pos += Position(n)
				r.add(b)
			}
			if most := max(r.limit, maxSpareBytes) + maxSpareBytes; r.kept > r.limit || r.kept+r.spares > most {
				t.Fatalf("seed %d: %d bytes kept and %d spare, the limit is %d", seed, r.kept, r.spares, r.limit)
			}
		}
	}
}
