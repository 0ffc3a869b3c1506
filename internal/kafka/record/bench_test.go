package record

import (
	"bytes"
	"fmt"
	"testing"
)

func benchBatch(codec Codec, size, count int) []byte {
	b := NewBuilder(codec, DefaultLevel)
	for i := range count {
		b.Append(1_700_000_000_000+int64(i), fmt.Appendf(nil, "key-%d", i), bytes.Repeat(fmt.Appendf(nil, "value %06d ", i), size/13+1)[:size], nil)
	}
	return b.Build(BuildOptions{})
}

func BenchmarkParseHeader(b *testing.B) {
	batch := benchBatch(None, 100, 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseHeader(batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckCRC(b *testing.B) {
	batch := benchBatch(None, 1024, 1000)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		if !CheckCRC(batch) {
			b.Fatal("bad batch")
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, codec := range allCodecs {
		for _, size := range []int{100, 1024} {
			b.Run(fmt.Sprintf("codec=%s/size=%d", codec, size), func(b *testing.B) {
				batch := benchBatch(codec, size, 1<<20/size)
				b.SetBytes(1 << 20)
				b.ReportAllocs()
				for b.Loop() {
					if err := Validate(batch, 16<<20); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkRecompress(b *testing.B) {
	batch := benchBatch(None, 1024, 1024)
	for _, codec := range allCodecs {
		b.Run(fmt.Sprintf("to=%s", codec), func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Recompress(batch, codec, DefaultLevel, 16<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	value := bytes.Repeat([]byte("v"), 1024)
	builder := NewBuilder(None, DefaultLevel)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		for range 1024 {
			builder.Append(1_700_000_000_000, nil, value, nil)
		}
		builder.Build(BuildOptions{})
	}
}
