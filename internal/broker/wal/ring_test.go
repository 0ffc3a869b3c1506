package wal

import "testing"

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
