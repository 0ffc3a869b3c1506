package crc32c

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestJoinIsTheSumOfTheConcatenation(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{3}).Read(data)
	for range 2000 {
		from := rng.IntN(len(data))
		to := from + rng.IntN(len(data)-from+1)
		if rng.IntN(2) == 0 {
			to = min(to, from+rng.IntN(600)) // short ones as often as long ones
		}
		mid := from + rng.IntN(to-from+1)
		got := Join(Sum(data[from:mid]), Sum(data[mid:to]), int64(to-mid))
		if want := Sum(data[from:to]); got != want || Update(Sum(data[from:mid]), data[mid:to]) != want {
			t.Fatalf("[%d, %d) and [%d, %d): got %#x, want %#x", from, mid, mid, to, got, want)
		}
	}
}

// Lengths of which each byte counts, beyond what fits in memory: zeros are joined to zeros, twice as many each time.
func TestJoinOfLongStretches(t *testing.T) {
	t.Parallel()
	const piece = 1<<16 - 1
	want, bytesLong := Sum(make([]byte, piece)), int64(piece)
	sums := map[int64]uint32{bytesLong: want}
	for bytesLong < 1<<30 {
		want = Join(want, want, bytesLong)
		bytesLong *= 2
		sums[bytesLong] = want
	}
	// The same lengths made of other pieces.
	zeros := Sum(bytes.Repeat([]byte{0}, 3*piece))
	if got := Join(sums[piece], sums[2*piece], 2*piece); got != zeros {
		t.Errorf("three pieces: got %#x, want %#x", got, zeros)
	}
	a := Join(sums[piece], sums[bytesLong], bytesLong)
	if b := Join(sums[bytesLong], sums[piece], piece); a != b {
		t.Errorf("zeros in another order: %#x and %#x", a, b)
	}
	if got := Join(0, 7, math.MaxUint32); got != 7 {
		t.Errorf("nothing before: got %#x, want 7", got)
	}
}

func BenchmarkJoin(b *testing.B) {
	for _, n := range []int64{100, 16 << 10, 4 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			crc := uint32(1)
			for b.Loop() {
				crc = Join(crc, 0x12345678, n)
			}
		})
	}
}

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{100, 16 << 10, 4 << 20} {
		data := make([]byte, n)
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				Sum(data)
			}
		})
	}
}
