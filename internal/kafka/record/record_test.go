package record

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka"
)

const testLimitBytes = 8 << 20

var allCodecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// plainRecord is a record in memory of its own.
type plainRecord struct {
	ts         int64
	key, value []byte
	headers    []RecordHeader
}

func randomRecords(rng *rand.Rand, n int) []plainRecord {
	randomBytes := func(most int) []byte {
		switch n := rng.IntN(most + 2); n {
		case most + 1:
			return nil
		default:
			b := make([]byte, n)
			for i := range b {
				b[i] = byte('a' + rng.IntN(4))
			}
			return b
		}
	}
	records := make([]plainRecord, n)
	for i := range records {
		r := plainRecord{ts: 1_700_000_000_000 + rng.Int64N(2_000_000) - 1_000_000, key: randomBytes(20), value: randomBytes(400)}
		for range rng.IntN(4) {
			r.headers = append(r.headers, RecordHeader{Key: string(randomBytes(8)), Value: randomBytes(30)})
		}
		records[i] = r
	}
	return records
}

func build(codec Codec, records []plainRecord, o BuildOptions) []byte {
	b := NewBuilder(codec, DefaultLevel)
	for _, r := range records {
		b.Append(r.ts, r.key, r.value, r.headers)
	}
	return b.Build(o)
}

func readBack(t testing.TB, batch []byte) []plainRecord {
	t.Helper()
	h, err := ParseHeader(batch)
	if err != nil {
		t.Fatal(err)
	}
	it, err := NewIterator(batch, testLimitBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var out []plainRecord
	for {
		r, ok := it.Next()
		if !ok {
			break
		}
		p := plainRecord{ts: h.BaseTimestamp + r.TimestampDelta, key: bytes.Clone(r.Key), value: bytes.Clone(r.Value)}
		for _, rh := range r.Headers {
			p.headers = append(p.headers, RecordHeader{rh.Key, bytes.Clone(rh.Value)})
		}
		out = append(out, p)
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func sameBytes(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func requireSameRecords(t testing.TB, got, want []plainRecord) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d records, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		same := g.ts == w.ts && sameBytes(g.key, w.key) && sameBytes(g.value, w.value) && len(g.headers) == len(w.headers)
		for j := 0; same && j < len(w.headers); j++ {
			same = g.headers[j].Key == w.headers[j].Key && sameBytes(g.headers[j].Value, w.headers[j].Value)
		}
		if !same {
			t.Fatalf("record %d: got %+v, want %+v", i, g, w)
		}
	}
}

func TestBuiltBatchesReadBackInEveryCodec(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	epoch := int32(7)
	for _, codec := range allCodecs {
		for _, n := range []int{1, 2, 63, 1000} {
			records := randomRecords(rng, n)
			batch := build(codec, records, BuildOptions{BaseOffset: 5, LeaderEpoch: &epoch, Producer: &Producer{ID: 9, Epoch: 3, Sequence: 11}, Transactional: true})
			if !CheckCRC(batch) {
				t.Fatalf("%s: wrong checksum", codec)
			}
			if err := Validate(batch, testLimitBytes); err != nil {
				t.Fatalf("%s: %v", codec, err)
			}
			h, _ := ParseHeader(batch)
			if h.Size() != int64(len(batch)) || h.Codec() != codec || h.BaseOffset != 5 || h.LeaderEpoch != 7 || h.ProducerID != 9 || h.ProducerEpoch != 3 ||
				h.BaseSequence != 11 || !h.Transactional() || h.Control() || h.LogAppendTime() || h.LastOffset() != 5+int64(n)-1 || h.NextOffset() != 5+int64(n) {
				t.Fatalf("%s: bad header %+v", codec, h)
			}
			requireSameRecords(t, readBack(t, batch), records)
		}
	}
}

func TestFranzReadsBuiltBatches(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, codec := range allCodecs {
		for _, level := range []int{DefaultLevel, -1, 1, 3, 9, 12, 100} {
			records := randomRecords(rng, 300)
			b := NewBuilder(codec, level)
			for _, r := range records {
				b.Append(r.ts, r.key, r.value, r.headers)
			}
			batch := b.Build(BuildOptions{BaseOffset: 100})
			in := &kmsg.FetchResponseTopicPartition{HighWatermark: 1 << 30, LastStableOffset: 1 << 30, RecordBatches: batch}
			out, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: 100}, in, kgo.DefaultDecompressor(), nil)
			if out.Err != nil {
				t.Fatalf("%s level %d: %v", codec, level, out.Err)
			}
			var got []plainRecord
			for _, r := range out.Records {
				p := plainRecord{ts: r.Timestamp.UnixMilli(), key: r.Key, value: r.Value}
				for _, h := range r.Headers {
					p.headers = append(p.headers, RecordHeader{h.Key, h.Value})
				}
				got = append(got, p)
			}
			requireSameRecords(t, got, records)
		}
	}
}

func TestFranzCompressionReadsBack(t *testing.T) {
	t.Parallel()
	plain := []byte(strings.Repeat("the quick brown fox ", 20_000))
	for codec, option := range map[Codec]kgo.CompressionCodec{Gzip: kgo.GzipCompression(), Snappy: kgo.SnappyCompression(), LZ4: kgo.Lz4Compression(), Zstd: kgo.ZstdCompression()} {
		c, err := kgo.DefaultCompressor(option)
		if err != nil {
			t.Fatal(err)
		}
		packed, _ := c.Compress(new(bytes.Buffer), plain)
		got, err := decompress(codec, nil, packed, len(plain))
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: got %d bytes, %v; want %d", codec, len(got), err, len(plain))
		}
		if _, err := decompress(codec, nil, packed, len(plain)-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: one byte over the limit: got %v, want ErrTooLarge", codec, err)
		}
	}
}

// The files were written by kafka-clients 4.3.1: 50 records from offset 1000, as wantJava makes them.
func TestJavaBatchesReadBack(t *testing.T) {
	t.Parallel()
	var want []plainRecord
	for i := range 50 {
		r := plainRecord{ts: 1_700_000_000_000 + int64(i)*10}
		if i%5 != 0 {
			r.key = fmt.Appendf(nil, "key-%d", i)
		}
		if i%7 != 0 {
			r.value = fmt.Appendf(nil, "value-%d-%s", i, strings.Repeat("x", i*40))
		}
		if i%3 == 0 {
			r.headers = []RecordHeader{{fmt.Sprintf("h%d", i), fmt.Appendf(nil, "hv%d", i)}, {"n", nil}}
		}
		want = append(want, r)
	}
	for _, codec := range allCodecs {
		batch := readFile(t, fmt.Sprintf("java-magic2-%s.bin", codec))
		h, err := ParseHeader(batch)
		if err != nil {
			t.Fatal(err)
		}
		if h.Codec() != codec || h.BaseOffset != 1000 || h.ProducerID != 77 || h.ProducerEpoch != 3 || h.BaseSequence != 5 || h.LeaderEpoch != 9 || h.LastSequence() != 54 {
			t.Errorf("%s: bad header %+v", codec, h)
		}
		if !CheckCRC(batch) {
			t.Errorf("%s: wrong checksum", codec)
		}
		if err := Validate(batch, testLimitBytes); err != nil {
			t.Errorf("%s: %v", codec, err)
		}
		requireSameRecords(t, readBack(t, batch), want)
		if codec == None {
			epoch := int32(9)
			if got := build(None, want, BuildOptions{BaseOffset: 1000, LeaderEpoch: &epoch, Producer: &Producer{77, 3, 5}}); !bytes.Equal(got, batch) {
				t.Error("the builder's bytes differ from Java's")
			}
		}
	}
	for _, name := range []string{"java-magic0-none.bin", "java-magic1-none.bin"} {
		if _, err := ParseHeader(readFile(t, name)); !errors.Is(err, ErrBadMagic) || kafka.CodeOf(err) != kafka.InvalidRecord {
			t.Errorf("%s: got %v, want ErrBadMagic", name, err)
		}
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecompressKeepsHeaderAndRecords(t *testing.T) {
	t.Parallel()
	records := randomRecords(rand.New(rand.NewPCG(5, 6)), 200)
	for _, from := range allCodecs {
		batch := build(from, records, BuildOptions{BaseOffset: 42, Producer: &Producer{1, 2, 3}, Transactional: true})
		PatchLogAppendTime(batch, 1_800_000_000_000)
		before := bytes.Clone(batch)
		for _, to := range allCodecs {
			out, err := Recompress(batch, to, DefaultLevel, testLimitBytes)
			if err != nil {
				t.Fatalf("%s to %s: %v", from, to, err)
			}
			if !CheckCRC(out) {
				t.Fatalf("%s to %s: wrong checksum", from, to)
			}
			old, _ := ParseHeader(batch)
			h, _ := ParseHeader(out)
			if h.Codec() != to || h.Size() != int64(len(out)) {
				t.Fatalf("%s to %s: %+v", from, to, h)
			}
			h.Attributes, h.CRC, h.Length = old.Attributes, old.CRC, old.Length
			if h != old {
				t.Fatalf("%s to %s: header %+v, want %+v", from, to, h, old)
			}
			requireSameRecords(t, readBack(t, out), records)
		}
		if !bytes.Equal(before, batch) {
			t.Fatalf("%s: the input was changed", from)
		}
	}
	if _, err := Recompress(build(None, records, BuildOptions{}), 5, 0, testLimitBytes); !errors.Is(err, ErrInvalid) {
		t.Errorf("codec 5: got %v", err)
	}
}

func TestPatchesKeepTheChecksumRight(t *testing.T) {
	t.Parallel()
	batch := build(LZ4, randomRecords(rand.New(rand.NewPCG(7, 8)), 10), BuildOptions{})
	PatchOffset(batch, 1<<40, 12)
	h, _ := ParseHeader(batch)
	if h.BaseOffset != 1<<40 || h.LeaderEpoch != 12 || !CheckCRC(batch) {
		t.Errorf("after PatchOffset: %+v", h)
	}
	PatchLogAppendTime(batch, 99)
	h, _ = ParseHeader(batch)
	if !h.LogAppendTime() || h.MaxTimestamp != 99 || h.Codec() != LZ4 || !CheckCRC(batch) {
		t.Errorf("after PatchLogAppendTime: %+v", h)
	}
	for i := crcStart; i < len(batch); i += 7 {
		batch[i] ^= 1
		if CheckCRC(batch) {
			t.Fatalf("a flip in byte %d goes unseen", i)
		}
		batch[i] ^= 1
	}
}

func TestLastSequenceWraps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ base, delta, want int32 }{
		{0, 0, 0}, {5, 4, 9}, {math.MaxInt32, 0, math.MaxInt32}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 5, 3}, {-1, 5, -1},
	} {
		if got := (Header{BaseSequence: c.base, LastOffsetDelta: c.delta}).LastSequence(); got != c.want {
			t.Errorf("base %d, delta %d: got %d, want %d", c.base, c.delta, got, c.want)
		}
	}
}

func TestCodecNames(t *testing.T) {
	t.Parallel()
	for _, c := range allCodecs {
		if back, err := ParseCodec(c.String()); err != nil || back != c {
			t.Errorf("%s: %v, %v", c, back, err)
		}
	}
	if c, err := ParseCodec("uncompressed"); err != nil || c != None {
		t.Errorf("uncompressed: %v, %v", c, err)
	}
	if _, err := ParseCodec("brotli"); err == nil {
		t.Error("brotli was accepted")
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	batch := build(None, randomRecords(rand.New(rand.NewPCG(9, 9)), 100), BuildOptions{})
	if n := testing.AllocsPerRun(100, func() {
		h, err := ParseHeader(batch)
		if err != nil || !CheckCRC(batch) {
			t.Fatal("bad batch")
		}
		PatchOffset(batch, h.BaseOffset+1, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
