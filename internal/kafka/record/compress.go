package record

import (
	"bytes"
	"encoding/binary"
	"math"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// compress appends to dst the compressed form of src. It cannot fail: all goes to memory, and levels are moved into
// range.
func compress(codec Codec, level int, dst, src []byte) []byte {
	switch codec {
	case Gzip:
		return compressGzip(level, dst, src)
	case Snappy:
		return compressSnappy(dst, src)
	case LZ4:
		return compressLZ4(level, dst, src)
	case Zstd:
		return compressZstd(level, dst, src)
	}
	return append(dst, src...)
}

// must turns an error that a writer into memory cannot yield into a panic.
func must(err error) {
	if err != nil {
		panic("record: compress to memory: " + err.Error())
	}
}

// gzipWriters holds a pool for each level, 1 to 9; index 0 is the default level.
var gzipWriters [10]sync.Pool

func compressGzip(level int, dst, src []byte) []byte {
	if level < 0 {
		level = DefaultLevel
	}
	level = min(level, gzip.BestCompression)
	out := bytes.NewBuffer(dst)
	w, ok := gzipWriters[level].Get().(*gzip.Writer)
	if ok {
		w.Reset(out)
	} else {
		gzipLevel := level
		if level == DefaultLevel {
			gzipLevel = gzip.DefaultCompression
		}
		var err error
		w, err = gzip.NewWriterLevel(out, gzipLevel)
		must(err)
	}
	_, err := w.Write(src)
	must(err)
	must(w.Close())
	w.Reset(nil)
	gzipWriters[level].Put(w)
	return out.Bytes()
}

// snappyBlockBytes is the block size of snappy-java's streams. Java readers set aside a block at a time.
const snappyBlockBytes = 32 << 10

// compressSnappy writes snappy-java's framing, as Kafka does: every client reads it, and some read nothing else.
func compressSnappy(dst, src []byte) []byte {
	dst = append(dst, xerialMagic...)
	dst = append(dst, 0, 0, 0, 1, 0, 0, 0, 1) // version and oldest compatible version
	scratch := getBuffer()
	defer putBuffer(scratch)
	if need := snappy.MaxEncodedLen(min(len(src), snappyBlockBytes)); cap(*scratch) < need {
		*scratch = make([]byte, need)
	}
	for len(src) > 0 {
		n := min(len(src), snappyBlockBytes)
		block := snappy.Encode((*scratch)[:cap(*scratch)], src[:n])
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(block)))
		dst = append(dst, block...)
		src = src[n:]
	}
	return dst
}

// lz4Levels maps 0 to 9 to the library's levels. Kafka uses the fast compressor at its default, 9, and the slow one for
// every level that was chosen by hand; so does this.
var lz4Levels = [...]lz4.CompressionLevel{
	lz4.Fast, lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5, lz4.Level6, lz4.Level7, lz4.Level8, lz4.Level9,
}

const lz4DefaultLevel = 9

var lz4Writers [len(lz4Levels)]sync.Pool

func compressLZ4(level int, dst, src []byte) []byte {
	if level <= 0 || level == lz4DefaultLevel {
		level = 0
	}
	level = min(level, len(lz4Levels)-1)
	out := bytes.NewBuffer(dst)
	w, ok := lz4Writers[level].Get().(*lz4.Writer)
	if ok {
		w.Reset(out)
	} else {
		w = lz4.NewWriter(out)
		// The batch has a checksum of its own. Blocks of 64 KiB keep the memory of every reader small.
		must(w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1),
			lz4.CompressionLevelOption(lz4Levels[level])))
	}
	_, err := w.Write(src)
	must(err)
	must(w.Close())
	w.Reset(nil)
	lz4Writers[level].Put(w)
	return out.Bytes()
}

var zstdEncoders [zstd.SpeedBestCompression + 1]sync.Pool

func compressZstd(level int, dst, src []byte) []byte {
	speed := zstd.SpeedDefault
	if level != DefaultLevel {
		speed = zstd.EncoderLevelFromZstd(max(min(level, 22), math.MinInt16))
	}
	e, ok := zstdEncoders[speed].Get().(*zstd.Encoder)
	if !ok {
		var err error
		e, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(speed),
			zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false))
		must(err)
	}
	dst = e.EncodeAll(src, dst)
	zstdEncoders[speed].Put(e)
	return dst
}
