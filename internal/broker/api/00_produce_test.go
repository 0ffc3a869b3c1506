package api

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

func oneBatch(t testing.TB) []byte {
	t.Helper()
	b := record.NewBuilder(record.None, 0)
	b.Append(1, nil, []byte("value"), nil)
	return b.Build(record.BuildOptions{})
}

func TestProduceTakesOneBatchAndPassesOverAPieceOfAnother(t *testing.T) {
	t.Parallel()
	one := oneBatch(t)
	for n := range len(one) {
		got, err := soleBatch(slices.Concat(one, one[:n]))
		if err != nil || len(got) != len(one) {
			t.Errorf("a batch and %d bytes more: %d bytes, %v", n, len(got), err)
		}
		if _, err := soleBatch(one[:n]); codeOf(err) != kafka.InvalidRecord {
			t.Errorf("%d bytes of a batch: %v", n, err)
		}
	}
	if _, err := soleBatch(slices.Concat(one, one)); codeOf(err) != kafka.InvalidRecord {
		t.Errorf("two batches: %v", err)
	}
}

func TestProduceTellsNoBatchesFromOldOnes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		at   int
		to   []byte
		want kafka.Error
	}{
		{"format 0", magicAt, []byte{0}, kafka.InvalidRecord},
		{"format 1", magicAt, []byte{1}, kafka.InvalidRecord},
		{"format 3", magicAt, []byte{3}, kafka.CorruptMessage},
		{"format -1", magicAt, []byte{255}, kafka.CorruptMessage},
		{"length 13", lengthAt, binary.BigEndian.AppendUint32(nil, 13), kafka.CorruptMessage},
		{"length -1", lengthAt, []byte{255, 255, 255, 255}, kafka.CorruptMessage},
		{"length of 2 GiB", lengthAt, []byte{127, 255, 255, 255}, kafka.InvalidRecord},
	} {
		b := oneBatch(t)
		copy(b[c.at:], c.to)
		if _, err := soleBatch(b); codeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want.Name())
		}
	}
}

// FuzzSoleBatch looks for bytes that make the search for the batch leave its bounds.
func FuzzSoleBatch(f *testing.F) {
	one := oneBatch(f)
	f.Add(one)
	f.Add(slices.Concat(one, one[:20]))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := soleBatch(b)
		if err == nil && (len(got) < record.LogOverhead+leastLength || len(got) > len(b)) {
			t.Errorf("%d bytes of %d", len(got), len(b))
		}
	})
}
