package wal

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/weir-stream/weir/internal/base/crc32c"
)

// Batches with and without a checksum that is known, of any size: what is joined is what going over the bytes would give.
func TestChecksumsOfFramesAreJoinedFromThoseOfBatches(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 2))
		g := &group{}
		g.reset(1)
		var streams []*Stream
		for i := range int32(1 + rng.IntN(6)) {
			streams = append(streams, NewStream(i/2, [16]byte{byte(i)}, i))
		}
		for i := range 1 + rng.IntN(60) {
			batch := make([]byte, 1+rng.IntN(3*joinBytes))
			for j := range batch {
				batch[j] = byte(rng.Uint32())
			}
			info := BatchInfo{BaseOffset: int64(i), RecordCount: 1, Bytes: int32(len(batch))}
			if rng.IntN(3) > 0 && len(batch) > 21 {
				info.CRC, info.CRCStart = crc32c.Sum(batch[21:]), 21
			}
			g.add(streams[rng.IntN(len(streams))], batch, info)
		}
		if rng.IntN(2) == 0 {
			g.addControl(Control{Shard: 1, Kind: ControlLeaderEpoch, Value: 3})
		}
		r := ring{limit: 1 << 20}
		g.block = r.take(maxFrameBytes(g.body, g.footer))
		g.build()
		for _, run := range g.frame.Runs {
			if want := crc32c.Sum(g.block.bytes[run.Pos:][:run.Bytes]); run.CRC != want {
				t.Fatalf("seed %d: a run has the checksum %#x, want %#x", seed, run.CRC, want)
			}
			for _, b := range run.Batches {
				if b.CRC != 0 || b.CRCStart != 0 {
					t.Fatalf("seed %d: the frame keeps what was for Append alone: %+v", seed, b)
				}
			}
		}
		if got, want := g.checksum(), crc32c.Sum(g.block.bytes); got != want {
			t.Fatalf("seed %d: the frame has the checksum %#x, want %#x", seed, got, want)
		}
	}
}

// A checksum that is wrong is not made good by the log: who reads the frame, or keeps the object, is to see it.
func TestAppendTakesTheCallersChecksum(t *testing.T) {
	t.Parallel()
	e := entry{batch: make([]byte, 2*joinBytes), crcStart: 21}
	binary.BigEndian.PutUint32(e.batch[17:], 5)
	e.crc = crc32c.Sum(e.batch[21:]) + 1
	if e.checksum(0) == crc32c.Sum(e.batch) {
		t.Error("the bytes were looked at")
	}
}
