package record

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// allRecords returns the records of a batch in memory of their own.
func allRecords(t testing.TB, batch []byte) []Record {
	t.Helper()
	it, err := NewIterator(batch, 1<<24)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var out []Record
	for r, ok := it.Next(); ok; r, ok = it.Next() {
		r.Key, r.Value, r.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), slices.Clone(r.Headers)
		for i := range r.Headers {
			r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
		}
		out = append(out, r)
	}
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	return out
}

func TestAnnotateAddsHeadersAndLeavesAllElse(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		codec := []Codec{None, Gzip, Snappy, LZ4, Zstd}[rng.IntN(5)]
		b := NewBuilder(codec, DefaultLevel)
		n := 1 + rng.IntN(30)
		for range n {
			var key, value []byte
			if rng.IntN(3) > 0 {
				key = fmt.Appendf(nil, "key %d", rng.IntN(100))
			}
			if rng.IntN(5) > 0 {
				value = bytes.Repeat([]byte{byte(rng.IntN(256))}, rng.IntN(200))
			}
			var headers []RecordHeader
			for range rng.IntN(3) {
				headers = append(headers, RecordHeader{Key: fmt.Sprint(rng.IntN(10)), Value: []byte("x")})
			}
			b.Append(1_000_000+rng.Int64N(1000), key, value, headers)
		}
		batch := b.Build(BuildOptions{Producer: &Producer{7, 3, rng.Int32N(1000)}, Transactional: seed%2 == 0})
		before := bytes.Clone(batch)
		chosen := map[int32]bool{}
		for i := range n {
			chosen[int32(i)] = rng.IntN(3) == 0
		}
		mark := []RecordHeader{{"a", []byte("1")}, {"b", nil}}
		out, err := Annotate(batch, AnnotateOptions{LimitBytes: 1 << 20, Level: DefaultLevel}, func(i int32) []RecordHeader {
			if chosen[i] {
				return mark
			}
			return nil
		})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !bytes.Equal(batch, before) {
			t.Fatalf("seed %d: the batch was changed", seed)
		}
		if !CheckCRC(out) || Validate(out, 1<<24) != nil {
			t.Fatalf("seed %d: not a right batch", seed)
		}
		was, _ := ParseHeader(batch)
		is, _ := ParseHeader(out)
		was.Length, was.CRC, is.Length, is.CRC = 0, 0, 0, 0
		if was != is {
			t.Fatalf("seed %d: header is %+v, was %+v", seed, is, was)
		}
		want := allRecords(t, batch)
		for i := range want {
			if chosen[int32(i)] {
				want[i].Headers = append(want[i].Headers, mark...)
			}
		}
		if got := allRecords(t, out); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
	}
}

func FuzzAnnotate(f *testing.F) {
	b := NewBuilder(LZ4, DefaultLevel)
	b.Append(1, []byte("k"), []byte("v"), []RecordHeader{{"h", nil}})
	b.Append(2, nil, nil, nil)
	f.Add(b.Build(BuildOptions{}), uint8(1))
	f.Add([]byte("no batch"), uint8(0))
	f.Fuzz(func(t *testing.T, batch []byte, every uint8) {
		out, err := Annotate(batch, AnnotateOptions{LimitBytes: 1 << 16, Level: DefaultLevel}, func(i int32) []RecordHeader {
			if uint8(i)&every == 0 {
				return []RecordHeader{{"mark", []byte("x")}}
			}
			return nil
		})
		if err == nil && !CheckCRC(out) {
			t.Error("a batch that does not fit its checksum")
		}
	})
}
