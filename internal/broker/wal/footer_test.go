package wal

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// sampleFrame makes a frame with random legal contents at pos, and the header that goes with it.
func sampleFrame(rng *rand.Rand, pos Position) (*Frame, *frameHeader) {
	f := &Frame{Incarnation: 7, Seq: rng.Uint64(), Pos: pos}
	at := pos + headerBytes
	for shard := int32(rng.IntN(3)); shard < 6; shard += 1 + int32(rng.IntN(3)) {
		for p := range int32(rng.IntN(4)) {
			r := Run{Shard: shard, Topic: [16]byte{byte(shard)}, Partition: p * 1000, Pos: at, CRC: rng.Uint32()}
			next := rng.Int64N(1 << 40)
			for range 1 + rng.IntN(4) {
				b := sampleBatch(rng, next)
				next = b.NextOffset()
				r.Bytes += int64(b.Bytes)
				r.Batches = append(r.Batches, b)
			}
			r.summarise()
			at += Position(r.Bytes)
			f.Runs = append(f.Runs, r)
		}
		if rng.IntN(2) == 0 {
			f.Controls = append(f.Controls, Control{Shard: shard, Kind: ControlLeaderEpoch, Partition: 3, Value: rng.Int64() - 1<<62})
		}
	}
	h := &frameHeader{Incarnation: 7, Seq: f.Seq, Pos: pos, BodyBytes: int64(at - pos - headerBytes)}
	return f, h
}

func sampleBatch(rng *rand.Rand, next int64) BatchInfo {
	b := BatchInfo{
		BaseOffset: next, LastOffsetDelta: 9, RecordCount: 10, Bytes: 1 + rng.Int32N(5000), MinTimestamp: 1_700_000_000_000,
		MaxTimestamp: 1_700_000_000_123, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
	}
	if rng.IntN(2) == 0 {
		b.ProducerID, b.ProducerEpoch, b.BaseSequence = rng.Int64(), int16(rng.Uint32()), int32(rng.Uint32())
	}
	if rng.IntN(3) == 0 {
		b.BaseOffset += rng.Int64N(1 << 33)
		b.LastOffsetDelta, b.RecordCount = math.MaxInt32, rng.Int32()
		b.MinTimestamp, b.MaxTimestamp = int64(rng.Uint64()), int64(rng.Uint64())
		b.Attributes = int16(rng.Uint32())
	}
	if b.Attributes&controlBatch != 0 {
		b.ControlType, b.CoordinatorEpoch = int16(rng.Uint32()), int32(rng.Uint32())
	}
	return b
}

func encodeSample(f *Frame, h *frameHeader) (footer []byte, dirCRC uint32) {
	footer, h.Shards, dirCRC = appendFooter(nil, f)
	h.FooterBytes = uint32(len(footer))
	return footer, dirCRC
}

func TestFooterReturnsWhatWasPutIn(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	var got Frame // reused, as the scan does
	for range 2000 {
		want, h := sampleFrame(rng, Position(rng.Int64N(1<<50)))
		footer, dirCRC := encodeSample(want, h)
		if err := decodeFooter(footer, h, dirCRC, &got); err != nil {
			t.Fatalf("decode: %v", err)
		}
		if len(want.Runs)+len(got.Runs) > 0 && !reflect.DeepEqual(got.Runs, want.Runs) {
			t.Fatalf("runs:\n got %+v\nwant %+v", got.Runs, want.Runs)
		}
		if len(want.Controls)+len(got.Controls) > 0 && !reflect.DeepEqual(got.Controls, want.Controls) {
			t.Fatalf("controls:\n got %+v\nwant %+v", got.Controls, want.Controls)
		}
	}
}

// Files of version 1 are still read. They hold no control batches, and if they did these would have no fields of their own.
func TestFramesOfVersionOneAreRead(t *testing.T) {
	t.Parallel()
	var page [fileHeaderBytes]byte
	(&fileHeader{FileBytes: 1 << 20}).encode(page[:])
	page[8] = 1
	putChecksum(page[:], 88)
	var file fileHeader
	if err := file.decode(page[:]); err != nil {
		t.Errorf("file header: %v", err)
	}
	h := frameHeader{Pos: 1 << 20, BodyBytes: 100}
	var b [headerBytes]byte
	h.encode(b[:])
	b[8] = 1
	putChecksum(b[:], 124)
	if err := h.decode(b[:]); err != nil || !h.Version1 {
		t.Fatalf("frame header: version 1 %v, %v", h.Version1, err)
	}
	prev := firstBefore(5)
	plain := BatchInfo{BaseOffset: 5, RecordCount: 1, Bytes: 70, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	control := plain
	control.Attributes = controlBatch
	for _, want := range []BatchInfo{plain, control} {
		coded := appendBatch(nil, &prev, &want)
		if want.Attributes != 0 {
			coded = coded[:len(coded)-2]
		}
		c := cursor{b: coded}
		if got, ok := decodeBatch(&c, &prev, true); !ok || got != want || len(c.b) != 0 {
			t.Errorf("got %+v, %v with %d bytes left, want %+v", got, ok, len(c.b), want)
		}
	}
	for _, v := range []byte{0, 3} {
		b[8] = v
		putChecksum(b[:], 124)
		if err := h.decode(b[:]); !errors.Is(err, errVersion) {
			t.Errorf("version %d: %v, want %v", v, err, errVersion)
		}
	}
}

func TestFooterStaysBelowItsBound(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		f, h := sampleFrame(rng, Position(rng.Int64N(1<<50)))
		footer, _ := encodeSample(f, h)
		bound := len(f.Controls) * (maxControlFooterBytes + maxShardFooterBytes)
		for i := range f.Runs {
			bound += maxRunFooterBytes + maxShardFooterBytes + len(f.Runs[i].Batches)*maxBatchFooterBytes
		}
		if len(footer) > bound {
			t.Fatalf("footer of %d bytes, bound %d", len(footer), bound)
		}
	}
}

func TestFooterOfLikeBatchesIsSmall(t *testing.T) {
	t.Parallel()
	r := Run{Pos: headerBytes}
	for i := range int64(1000) {
		r.Batches = append(r.Batches, BatchInfo{
			BaseOffset: i * 10, LastOffsetDelta: 9, RecordCount: 10, Bytes: 1100, MinTimestamp: 1000 + i,
			MaxTimestamp: 1000 + i, ProducerID: 4711, BaseSequence: int32(i * 10),
		})
		r.Bytes += 1100
	}
	r.summarise()
	footer, _, _ := appendFooter(nil, &Frame{Runs: []Run{r}})
	if per := float64(len(footer)) / 1000; per > 11.5 {
		t.Errorf("%.1f bytes a batch, want at most 11.5", per)
	}
}

func TestFooterRefusesEveryFlippedBit(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	f, h := sampleFrame(rng, 1<<20)
	footer, dirCRC := encodeSample(f, h)
	var got Frame
	for i := range len(footer) * 8 {
		bad := bytes.Clone(footer)
		bad[i/8] ^= 1 << (i % 8)
		if err := decodeFooter(bad, h, dirCRC, &got); err == nil {
			t.Fatalf("bit %d flipped and not noticed", i)
		}
	}
}

func TestHeadersReturnWhatWasPutIn(t *testing.T) {
	t.Parallel()
	var page [fileHeaderBytes]byte
	fh := fileHeader{Cluster: [16]byte{1}, Incarnation: 2, Nonce: [16]byte{3}, Base: 5 << 20, FileBytes: 1 << 20, Start: 2 << 20, Recovered: 1<<20 + 77}
	fh.encode(page[:])
	var gotFile fileHeader
	if err := gotFile.decode(page[:]); err != nil || gotFile != fh {
		t.Errorf("file header: got %+v, %v, want %+v", gotFile, err, fh)
	}
	h := frameHeader{
		Flags: flagMark, Shards: 2, Cluster: [16]byte{1}, Incarnation: 2, Seq: 3, Nonce: [16]byte{4}, Pos: 1 << 20, LastSynced: 1<<20 - 5,
		BodyBytes: 100, FooterBytes: 99, PrevChain: 6,
	}
	var b [headerBytes]byte
	h.encode(b[:])
	var got frameHeader
	if err := got.decode(b[:]); err != nil || got != h {
		t.Errorf("frame header: got %+v, %v, want %+v", got, err, h)
	}
	for i := range headerBytes * 8 {
		bad := b
		bad[i/8] ^= 1 << (i % 8)
		if err := got.decode(bad[:]); err == nil {
			t.Errorf("frame header: bit %d flipped and not noticed", i)
		}
	}
	var end [trailerBytes]byte
	encodeTrailer(end[:], &h, 77)
	if crc, err := decodeTrailer(end[:], &h); err != nil || crc != 77 {
		t.Errorf("trailer: got %d, %v", crc, err)
	}
	for i := range trailerBytes * 8 {
		bad := end
		bad[i/8] ^= 1 << (i % 8)
		if _, err := decodeTrailer(bad[:], &h); err == nil {
			t.Errorf("trailer: bit %d flipped and not noticed", i)
		}
	}
}

func TestFileNamesSortAsPositions(t *testing.T) {
	t.Parallel()
	last := ""
	for _, p := range []Position{0, 4096, 1 << 27, 1 << 36, 1 << 61} {
		name := fileName(p)
		if got, ok := parseFileName(name); !ok || got != p {
			t.Errorf("%s: got %v, %v, want %v", name, got, ok, p)
		}
		if strings.Compare(last, name) >= 0 {
			t.Errorf("%s does not sort after %s", name, last)
		}
		last = name
	}
	for _, bad := range []string{"", "x.wal", "00000000000000AB.wal", "8000000000000000.wal", "0000000000001000", "000000000001000.wal", "+000000000001000.wal"} {
		if _, ok := parseFileName(bad); ok {
			t.Errorf("%q passed for a file name", bad)
		}
	}
}

func FuzzDecodeFooter(f *testing.F) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 20 {
		fr, h := sampleFrame(rng, 4096)
		footer, _ := encodeSample(fr, h)
		f.Add(footer, h.Shards, h.BodyBytes, true)
	}
	f.Add([]byte{}, uint32(0), int64(0), true)
	f.Fuzz(func(t *testing.T, footer []byte, shards uint32, body int64, repair bool) {
		h := &frameHeader{Pos: 4096, Shards: shards, FooterBytes: uint32(len(footer)), BodyBytes: body}
		if int64(shards)*dirEntryBytes > int64(len(footer)) || body < 0 || body >= maxFileBytes {
			return // refused by the header's decoder
		}
		if repair { // make the checksums right, so that the fuzzer gets behind them
			footer = bytes.Clone(footer)
			repairDirectory(footer, int(shards))
		}
		var first, second Frame
		if decodeFooter(footer, h, checksum(footer[:shards*dirEntryBytes]), &first) != nil {
			return
		}
		first.Pos = h.Pos
		again, h2 := &first, *h
		out, dirCRC := encodeSample(again, &h2)
		if err := decodeFooter(out, &h2, dirCRC, &second); err != nil {
			t.Fatalf("decode what was encoded: %v", err)
		}
		if !reflect.DeepEqual(first.Runs, second.Runs) || !reflect.DeepEqual(first.Controls, second.Controls) {
			t.Fatalf("not the same:\n%+v\n%+v", first, second)
		}
	})
}

func FuzzDecodeFrameHeader(f *testing.F) {
	h := frameHeader{Seq: 3, Pos: 1 << 20, BodyBytes: 100, FooterBytes: 99}
	var b [headerBytes]byte
	h.encode(b[:])
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) >= headerBytes {
			in = bytes.Clone(in)
			copy(in, frameMagic)
			putChecksum(in, 124)
		}
		var h frameHeader
		if h.decode(in) == nil && (h.frameBytes() <= 0 || h.footerOffset() < headerBytes || h.contentBytes() > maxFileBytes) {
			t.Fatalf("accepted %+v", h)
		}
	})
}

func FuzzDecodeFileHeader(f *testing.F) {
	var page [fileHeaderBytes]byte
	h := fileHeader{Base: 5 << 20, FileBytes: 1 << 20, Start: 2 << 20}
	h.encode(page[:])
	f.Add(page[:128])
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) >= 92 {
			in = bytes.Clone(in)
			copy(in, fileMagic)
			putChecksum(in, 88)
		}
		var h fileHeader
		if h.decode(in) == nil && (!validFileBytes(h.FileBytes) || h.Base < h.Start || h.Base+Position(h.FileBytes) <= h.Base) {
			t.Fatalf("accepted %+v", h)
		}
	})
}
