package record

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// slowIsValid is what Validate says without the fast way.
func slowIsValid(t *testing.T, batch []byte) bool {
	t.Helper()
	it, err := NewIterator(batch, 1<<20)
	if err != nil {
		return false
	}
	defer it.Close()
	var want int32
	for r, ok := it.Next(); ok; r, ok = it.Next() {
		if r.OffsetDelta != want {
			return false
		}
		want++
	}
	return it.Err() == nil
}

func TestFastValidationNeverAcceptsWhatTheSlowOneRefuses(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(4, 2))
	accepted := 0
	for range 20_000 {
		b := NewBuilder(None, 0)
		n := 1 + rng.IntN(5)
		for range n {
			var key, value []byte
			if rng.IntN(2) == 0 {
				key = make([]byte, rng.IntN(100))
			}
			if rng.IntN(4) > 0 {
				value = make([]byte, rng.IntN(300))
			}
			b.Append(rng.Int64N(1<<40), key, value, nil)
		}
		batch := b.Build(BuildOptions{})
		for range rng.IntN(3) {
			batch[HeaderBytes+rng.IntN(len(batch)-HeaderBytes)] ^= 1 << rng.IntN(8)
		}
		h, err := ParseHeader(batch)
		if err != nil {
			t.Fatal(err)
		}
		fast := plainIsValid(batch[HeaderBytes:], h.RecordCount)
		if fast && !slowIsValid(t, batch) {
			t.Fatalf("accepted %x", batch)
		}
		if fast {
			accepted++
		}
	}
	if accepted < 5000 {
		t.Errorf("the fast way took %d of 20,000", accepted)
	}
}

func TestVarintReadsWhatTheStandardLibraryWrites(t *testing.T) {
	t.Parallel()
	for _, v := range []int64{0, -1, 1, 63, -64, 64, 8191, -8192, 8192, math.MaxInt32, math.MinInt32, 1 << 50} {
		b := binary.AppendVarint(nil, v)
		if got, n := varint(b); got != v || n != len(b) {
			t.Errorf("varint(%x) = %d in %d bytes, want %d in %d", b, got, n, v, len(b))
		}
		if _, n := varint(b[:len(b)-1]); n != 0 {
			t.Errorf("a cut number is read: %x", b[:len(b)-1])
		}
	}
}
