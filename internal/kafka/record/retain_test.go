package record

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// placed is a record with its absolute place.
type placed struct {
	offset, timestamp int64
	key, value        string
	tombstone         bool
}

func placedOf(tb testing.TB, b []byte) []placed {
	tb.Helper()
	h, err := ParseHeader(b)
	if err != nil {
		tb.Fatal(err)
	}
	if !CheckCRC(b) || h.Size() != int64(len(b)) {
		tb.Fatalf("batch of %d bytes: size %d, checksum right: %v", len(b), h.Size(), CheckCRC(b))
	}
	it, err := NewIterator(b, 1<<24)
	if err != nil {
		tb.Fatal(err)
	}
	defer it.Close()
	var out []placed
	for r, ok := it.Next(); ok; r, ok = it.Next() {
		out = append(out, placed{h.BaseOffset + int64(r.OffsetDelta), h.BaseTimestamp + r.TimestampDelta, string(r.Key), string(r.Value), r.Value == nil})
	}
	if it.Err() != nil {
		tb.Fatal(it.Err())
	}
	return out
}

func keyed(codec Codec, n int, rng *rand.Rand) []byte {
	b := NewBuilder(codec, 0)
	for i := range n {
		var value []byte
		if rng.IntN(3) > 0 {
			value = bytes.Repeat([]byte{byte('a' + i%26)}, rng.IntN(50))
		}
		b.Append(1_000_000+rng.Int64N(5000), fmt.Append(nil, "key", i), value, []RecordHeader{{Key: "h", Value: []byte("x")}})
	}
	epoch := int32(7)
	return b.Build(BuildOptions{BaseOffset: 500, LeaderEpoch: &epoch, Producer: &Producer{ID: 9, Epoch: 2, Sequence: 40}, Transactional: rng.IntN(2) == 0})
}

// What Retain leaves has the offsets, times and bytes that it had, in every codec, whether a horizon is set or not; and
// another client reads it the same.
func TestRetainKeepsWhatItIsAskedTo(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		codec := Codec(i % 5)
		b := keyed(codec, 1+rng.IntN(20), rng)
		before := placedOf(t, b)
		was, _ := ParseHeader(b)
		keep := map[int64]bool{}
		var want []placed
		tombstone, most := false, int64(0)
		for _, r := range before {
			if rng.IntN(3) > 0 {
				keep[r.offset] = true
				want = append(want, r)
				tombstone = tombstone || r.tombstone
				most = max(most, r.timestamp)
			}
		}
		o := RetainOptions{LimitBytes: 1 << 20, Horizon: NoHorizon}
		if rng.IntN(2) == 0 {
			o.Horizon = 5_000_000_000 + rng.Int64N(100)
		}
		got, err := Retain(b, o, func(r *Record) bool { return keep[500+int64(r.OffsetDelta)] })
		if err != nil {
			t.Fatal(err)
		}
		if int(got.Kept) != len(want) || int(got.Removed) != len(before)-len(want) {
			t.Fatalf("kept %d, removed %d, want %d of %d", got.Kept, got.Removed, len(want), len(before))
		}
		if len(want) == 0 {
			if got.Batch != nil {
				t.Fatal("a batch without records")
			}
			continue
		}
		h, _ := ParseHeader(got.Batch)
		if fmt.Sprint(placedOf(t, got.Batch)) != fmt.Sprint(want) {
			t.Fatalf("%v: got %v, want %v", codec, placedOf(t, got.Batch), want)
		}
		horizon := o.Horizon
		if !tombstone {
			horizon = NoHorizon
		}
		if h.DeleteHorizon() != horizon || h.MaxTimestamp != most || h.LastOffsetDelta != was.LastOffsetDelta || h.BaseOffset != 500 || h.LeaderEpoch != 7 ||
			h.ProducerID != 9 || h.ProducerEpoch != 2 || h.BaseSequence != 40 || h.Codec() != codec || h.Transactional() != was.Transactional() {
			t.Fatalf("header %+v of %+v, want horizon %d, largest time %d", h, was, horizon, most)
		}
		requireFranzReads(t, got.Batch, want)
		again, err := Retain(got.Batch, RetainOptions{LimitBytes: 1 << 20, Horizon: 9_000_000_000}, func(*Record) bool { return true })
		if err != nil || horizon != NoHorizon && !bytes.Equal(again.Batch, got.Batch) {
			t.Fatalf("a horizon that was set is moved: %v", err)
		}
	}
}

func requireFranzReads(t *testing.T, batch []byte, want []placed) {
	t.Helper()
	p, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: 0, DisableCRCValidation: false}, &kmsg.FetchResponseTopicPartition{RecordBatches: batch, HighWatermark: 1 << 40}, kgo.DefaultDecompressor(), nil)
	if p.Err != nil || len(p.Records) != len(want) {
		t.Fatalf("franz-go reads %d records, %v, want %d", len(p.Records), p.Err, len(want))
	}
	for i, r := range p.Records {
		if w := want[i]; r.Offset != w.offset || r.Timestamp.UnixMilli() != w.timestamp || string(r.Key) != w.key || string(r.Value) != w.value {
			t.Fatalf("franz-go reads %+v, want %+v", r, w)
		}
	}
}

func TestEmptyBatchKeepsOffsetsAndProducer(t *testing.T) {
	t.Parallel()
	was, err := ParseHeader(keyed(Zstd, 5, rand.New(rand.NewPCG(3, 4))))
	if err != nil {
		t.Fatal(err)
	}
	was.Attributes |= AttributeDeleteHorizon
	b := Empty(was)
	h, err := ParseHeader(b)
	if err != nil || !CheckCRC(b) || len(b) != HeaderBytes {
		t.Fatalf("%d bytes, checksum right: %v, %v", len(b), CheckCRC(b), err)
	}
	if len(placedOf(t, b)) != 0 || h.BaseOffset != was.BaseOffset || h.LastOffset() != was.LastOffset() || h.MaxTimestamp != was.MaxTimestamp || h.LastSequence() != was.LastSequence() ||
		h.ProducerID != was.ProducerID || h.DeleteHorizon() != NoHorizon || h.Codec() != None {
		t.Errorf("empty batch %+v of %+v", h, was)
	}
}

func FuzzRetain(f *testing.F) {
	for i := range 5 {
		f.Add(keyed(Codec(i), 4, rand.New(rand.NewPCG(5, 6))), uint8(i), int64(i)*1000)
	}
	f.Fuzz(func(t *testing.T, b []byte, every uint8, horizon int64) {
		n := 0
		got, err := Retain(b, RetainOptions{LimitBytes: 1 << 20, Horizon: horizon}, func(*Record) bool { n++; return n%(int(every%4)+1) == 0 })
		if err != nil || got.Batch == nil {
			return
		}
		it, err := NewIterator(got.Batch, 1<<22)
		if err != nil {
			t.Fatalf("what Retain made does not open: %v", err)
		}
		defer it.Close()
		kept := int32(0)
		for _, ok := it.Next(); ok; _, ok = it.Next() {
			kept++
		}
		if it.Err() != nil || kept != got.Kept {
			t.Fatalf("what Retain made: %d records, %v, want %d", kept, it.Err(), got.Kept)
		}
	})
}
