package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/weir-stream/weir/internal/kafka"
)

// withRecords wraps the stored form of records in a batch with a right checksum.
func withRecords(codec Codec, count int32, stored []byte) []byte {
	batch := append(make([]byte, HeaderBytes), stored...)
	Header{Magic: 2, Length: int32(len(batch) - LogOverhead), Attributes: int16(codec), LastOffsetDelta: count - 1, RecordCount: count}.put(batch)
	sealCRC(batch)
	return batch
}

func TestBombsStopAtTheLimit(t *testing.T) {
	bomb := make([]byte, 64<<20)
	for _, codec := range []Codec{Gzip, Snappy, LZ4, Zstd} {
		batch := withRecords(codec, 1, compress(codec, DefaultLevel, nil, bomb))
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := NewIterator(batch, 1<<20)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrTooLarge) || kafka.CodeOf(err) != kafka.MessageTooLarge {
			t.Errorf("%s: got %v, want ErrTooLarge", codec, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
			t.Errorf("%s: took %d bytes for a limit of 1 MiB", codec, grown)
		}
	}
}

func TestLyingSizesCostLittle(t *testing.T) {
	lies := map[string][]byte{
		// zstd: single segment, 8-byte content size of 64 MiB, then a raw block of 1 byte.
		"zstd": withRecords(Zstd, 1, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 4, 0, 0, 0, 0, 0x09, 0, 0, 'x'}),
		// snappy: 64 MiB announced, two bytes given.
		"snappy": withRecords(Snappy, 1, append(binary.AppendUvarint(nil, 64<<20), 0, 'x')),
		"xerial": withRecords(Snappy, 1, append(append(append([]byte{}, xerialMagic...), 0, 0, 0, 1, 0, 0, 0, 1), 0xff, 0xff, 0xff, 0xff)),
		"count":  withRecords(None, 1<<30, []byte{1, 2, 3}),
	}
	for name, batch := range lies {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := NewIterator(batch, 100<<20)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
			t.Errorf("%s: took %d bytes", name, grown)
		}
	}
}

func TestValidateRefusesMalformedBatches(t *testing.T) {
	t.Parallel()
	good := build(None, randomRecords(rand.New(rand.NewPCG(1, 1)), 3), BuildOptions{})
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	put32 := func(at int, v int32) []byte {
		return change(func(b []byte) []byte { binary.BigEndian.PutUint32(b[at:], uint32(v)); return b })
	}
	record := func(body ...byte) []byte { return append(binary.AppendVarint(nil, int64(len(body))), body...) }
	for name, c := range map[string]struct {
		batch []byte
		want  error
	}{
		"empty":             {nil, ErrTruncated},
		"header only":       {good[:HeaderBytes], ErrTruncated},
		"half a header":     {good[:40], ErrTruncated},
		"last byte missing": {good[:len(good)-1], ErrTruncated},
		"length negative":   {put32(8, -1), ErrInvalid},
		"length too small":  {put32(8, 48), ErrInvalid},
		"length too big":    {put32(8, int32(len(good))), ErrTruncated},
		"magic 1":           {change(func(b []byte) []byte { b[16] = 1; return b }), ErrBadMagic},
		"magic 3":           {change(func(b []byte) []byte { b[16] = 3; return b }), ErrBadMagic},
		"codec 7":           {change(func(b []byte) []byte { b[22] = 7; return b }), ErrCompression},
		"count negative":    {put32(57, -1), ErrInvalid},
		"count zero":        {put32(57, 0), ErrInvalid},
		"count too small": {change(func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[57:], 2)
			binary.BigEndian.PutUint32(b[23:], 1)
			return b
		}), ErrInvalid},
		"count too big": {change(func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[57:], 4)
			binary.BigEndian.PutUint32(b[23:], 3)
			return b
		}), ErrInvalid},
		"last offset delta":      {put32(23, 7), ErrInvalid},
		"offset delta 1":         {withRecords(None, 1, record(0, 0, 2, 1, 1, 0)), ErrInvalid},
		"key length -2":          {withRecords(None, 1, record(0, 0, 0, 3, 1, 0)), ErrInvalid},
		"key too long":           {withRecords(None, 1, record(0, 0, 0, 200, 1, 1, 0)), ErrInvalid},
		"header count negative":  {withRecords(None, 1, record(0, 0, 0, 1, 1, 1)), ErrInvalid},
		"header count too big":   {withRecords(None, 1, record(0, 0, 0, 1, 1, 0x7e)), ErrInvalid},
		"header key null":        {withRecords(None, 1, record(0, 0, 0, 1, 1, 2, 1, 1)), ErrInvalid},
		"byte after the record":  {withRecords(None, 1, record(0, 0, 0, 1, 1, 0, 9)), ErrInvalid},
		"byte after the records": {withRecords(None, 1, append(record(0, 0, 0, 1, 1, 0), 0)), ErrInvalid},
		"record length null":     {withRecords(None, 1, []byte{1, 0, 0, 0, 0, 0, 0, 0}), ErrInvalid},
		"varint without end":     {withRecords(None, 1, bytes.Repeat([]byte{0xff}, 20)), ErrInvalid},
		"empty gzip":             {withRecords(Gzip, 1, nil), ErrCompression},
		"empty snappy":           {withRecords(Snappy, 1, nil), ErrCompression},
		"empty lz4":              {withRecords(LZ4, 1, nil), ErrCompression},
		"empty zstd":             {withRecords(Zstd, 1, nil), ErrCompression},
		"garbage lz4":            {withRecords(LZ4, 1, []byte("no such stream at all")), ErrCompression},
		"garbage zstd":           {withRecords(Zstd, 1, []byte("no such stream at all")), ErrCompression},
		"garbage gzip":           {withRecords(Gzip, 1, []byte("no such stream at all")), ErrCompression},
	} {
		if err := Validate(c.batch, testLimitBytes); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if err := Validate(withRecords(None, 1, record(0, 0, 0, 1, 1, 0)), testLimitBytes); err != nil {
		t.Errorf("the smallest record is refused: %v", err)
	}
	if err := Validate(good, len(good)-HeaderBytes-1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("over the limit: got %v", err)
	}
}

func TestCutStreamsAreRefused(t *testing.T) {
	t.Parallel()
	records := randomRecords(rand.New(rand.NewPCG(1, 9)), 50)
	for _, codec := range []Codec{Gzip, Snappy, LZ4, Zstd} {
		batch := build(codec, records, BuildOptions{})
		stored := batch[HeaderBytes:]
		for cutAt := range len(stored) {
			err := Validate(withRecords(codec, 50, stored[:cutAt]), testLimitBytes)
			if err == nil && cutAt < len(stored)-8 {
				t.Fatalf("%s cut at %d of %d passes", codec, cutAt, len(stored))
			}
		}
	}
}

func TestJoinedXerialStreamsReadAsOne(t *testing.T) {
	t.Parallel()
	a, b := bytes.Repeat([]byte("abc"), 30_000), []byte("tail")
	packed := compress(Snappy, 0, compress(Snappy, 0, nil, a), b)
	got, err := decompress(Snappy, nil, packed, testLimitBytes)
	if err != nil || !bytes.Equal(got, append(a, b...)) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func seeds(f *testing.F) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, codec := range allCodecs {
		f.Add(build(codec, randomRecords(rng, 3), BuildOptions{}))
		f.Add(readFile(f, "java-magic2-"+codec.String()+".bin"))
	}
	f.Add(readFile(f, "java-magic0-none.bin")[:80])
	f.Add(readFile(f, "java-magic1-none.bin")[:80])
	f.Add([]byte{})
}

func FuzzParseHeader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		CheckCRC(b)
		if err != nil {
			return
		}
		out := make([]byte, HeaderBytes)
		h.put(out)
		if !bytes.Equal(out, b[:HeaderBytes]) {
			t.Fatalf("header does not survive: %x, was %x", out, b[:HeaderBytes])
		}
	})
}

func FuzzIterator(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		it, err := NewIterator(b, 1<<20)
		if err != nil {
			if kafka.CodeOf(err) == kafka.UnknownServerError {
				t.Fatalf("error without a code: %v", err)
			}
			return
		}
		defer it.Close()
		for {
			if _, ok := it.Next(); !ok {
				break
			}
		}
	})
}

func FuzzValidate(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if Validate(b, 1<<20) != nil {
			return
		}
		// What passes reads back, and building it anew keeps the records.
		got := readBack(t, b)
		requireSameRecords(t, readBack(t, build(None, got, BuildOptions{})), got)
	})
}

func FuzzRecompress(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, to := range []Codec{None, LZ4} {
			out, err := Recompress(b, to, DefaultLevel, 1<<20)
			if err != nil {
				return
			}
			if !CheckCRC(out) {
				t.Fatal("wrong checksum")
			}
			if Validate(b, 1<<20) == nil {
				requireSameRecords(t, readBack(t, out), readBack(t, b))
			}
		}
	})
}
