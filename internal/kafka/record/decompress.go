package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

const (
	minBufferBytes = 4 << 10
	// maxPooledBytes keeps one huge batch from holding memory for good.
	maxPooledBytes = 4 << 20
)

var bufferPool = sync.Pool{New: func() any { return new([]byte) }}

func getBuffer() *[]byte { return bufferPool.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	if cap(*b) > maxPooledBytes {
		*b = nil
	}
	*b = (*b)[:0]
	bufferPool.Put(b)
}

// grow returns b with room for at least one more byte, of at most limit in all; false if b is at the limit.
func grow(b []byte, limit int) ([]byte, bool) {
	if len(b) < cap(b) && len(b) < limit {
		return b, true
	}
	if len(b) >= limit {
		return b, false
	}
	return append(make([]byte, 0, min(max(2*cap(b), minBufferBytes), limit)), b...), true
}

// decompress appends to dst[:0] what src holds, at most limit bytes. The returned slice may have other memory than dst.
// It fails with ErrTooLarge or ErrCompression.
func decompress(codec Codec, dst, src []byte, limit int) ([]byte, error) {
	limit = max(limit, 0)
	switch codec {
	case Gzip:
		return decompressGzip(dst[:0], src, limit)
	case Snappy:
		return decompressSnappy(dst[:0], src, limit)
	case LZ4:
		return decompressLZ4(dst[:0], src, limit)
	case Zstd:
		return decompressZstd(dst[:0], src, limit)
	}
	return dst, fmt.Errorf("%s: %w", codec, ErrCompression)
}

// readAll appends r's bytes to dst until r ends or limit is passed.
func readAll(dst []byte, r io.Reader, limit int) ([]byte, error) {
	for {
		bigger, ok := grow(dst, limit)
		if !ok {
			var probe [1]byte
			if n, err := io.ReadFull(r, probe[:]); n > 0 {
				return dst, ErrTooLarge
			} else if err != io.EOF {
				return dst, err
			}
			return dst, nil
		}
		dst = bigger
		n, err := r.Read(dst[len(dst):min(cap(dst), limit)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

func damaged(codec Codec, err error) error {
	if err == nil || errors.Is(err, ErrTooLarge) {
		return err
	}
	// The libraries' own text says where the stream broke; none of their errors is anything to test for.
	return fmt.Errorf("%s: %s: %w", codec, err.Error(), ErrCompression)
}

type gzipReader struct {
	src bytes.Reader
	gz  gzip.Reader
}

var gzipReaders = sync.Pool{New: func() any { return new(gzipReader) }}

func decompressGzip(dst, src []byte, limit int) ([]byte, error) {
	r := gzipReaders.Get().(*gzipReader)
	defer gzipReaders.Put(r)
	defer r.src.Reset(nil)
	r.src.Reset(src)
	if err := r.gz.Reset(&r.src); err != nil {
		return dst, damaged(Gzip, err)
	}
	dst, err := readAll(dst, &r.gz, limit)
	return dst, damaged(Gzip, err)
}

type lz4Reader struct {
	src bytes.Reader
	lz4 *lz4.Reader
}

var lz4Readers = sync.Pool{New: func() any { return &lz4Reader{lz4: lz4.NewReader(nil)} }}

func decompressLZ4(dst, src []byte, limit int) ([]byte, error) {
	if len(src) == 0 {
		// The library takes no bytes at all for an empty stream; a frame has at least its header.
		return dst, damaged(LZ4, io.ErrUnexpectedEOF)
	}
	r := lz4Readers.Get().(*lz4Reader)
	defer lz4Readers.Put(r)
	defer r.src.Reset(nil)
	r.src.Reset(src)
	r.lz4.Reset(&r.src)
	dst, err := readAll(dst, r.lz4, limit)
	return dst, damaged(LZ4, err)
}

// xerialMagic starts the framing of snappy-java, which Java clients and Kafka itself use: 16 bytes of header, then
// blocks of a 4-byte length and raw snappy. Other clients send one raw snappy block.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeaderBytes = 16

func decompressSnappy(dst, src []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(src, xerialMagic) {
		return snappyBlock(dst, src, limit)
	}
	for len(src) > 0 {
		// Streams may be written one behind the other, each with its header.
		if bytes.HasPrefix(src, xerialMagic) {
			if len(src) < xerialHeaderBytes {
				return dst, damaged(Snappy, io.ErrUnexpectedEOF)
			}
			src = src[xerialHeaderBytes:]
			continue
		}
		if len(src) < 4 {
			return dst, damaged(Snappy, io.ErrUnexpectedEOF)
		}
		size := int64(binary.BigEndian.Uint32(src))
		if size > int64(len(src)-4) {
			return dst, damaged(Snappy, io.ErrUnexpectedEOF)
		}
		var err error
		if dst, err = snappyBlock(dst, src[4:4+size], limit); err != nil {
			return dst, err
		}
		src = src[4+size:]
	}
	return dst, nil
}

// snappyMaxRatio: the densest element of a snappy block copies 64 bytes and takes 3. A block that claims more lies.
const snappyMaxRatio = 22

func snappyBlock(dst, src []byte, limit int) ([]byte, error) {
	size, err := snappy.DecodedLen(src)
	if err != nil {
		return dst, damaged(Snappy, err)
	}
	if size > limit-len(dst) {
		return dst, ErrTooLarge
	}
	if size > snappyMaxRatio*len(src) {
		return dst, damaged(Snappy, errors.New("length does not fit the input"))
	}
	if cap(dst)-len(dst) < size {
		dst = append(make([]byte, 0, min(max(len(dst)+size, 2*cap(dst), minBufferBytes), limit)), dst...)
	}
	out, err := snappy.Decode(dst[len(dst):len(dst)+size:len(dst)+size], src)
	if err != nil {
		return dst, damaged(Snappy, err)
	}
	return dst[:len(dst)+len(out)], nil
}

// zstdMaxWindowBytes is the largest window that Kafka's own library accepts without being asked (2^27). No memory is
// set aside for it: output is the window.
const zstdMaxWindowBytes = 128 << 20

var zstdDecoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdMaxWindowBytes), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("record: zstd options: " + err.Error()) // The options are constants.
	}
	return d
}}

// decompressZstd decodes into a buffer of a likely size, and again into one four times as large while that is too
// small. A frame may claim any size and any window, so neither decides how much memory is taken; decoding as a stream
// would take the window at once.
func decompressZstd(dst, src []byte, limit int) ([]byte, error) {
	d := zstdDecoders.Get().(*zstd.Decoder)
	defer zstdDecoders.Put(d)
	size := min(max(8*len(src), 64<<10), limit)
	var header zstd.Header
	if err := header.Decode(src); err != nil {
		return dst, damaged(Zstd, err)
	}
	// A block yields at most 128 KiB and takes at least 4 bytes, so a frame that claims more than this lies.
	if most := uint64(len(src)/4+1) * (128 << 10); header.HasFCS && header.FrameContentSize > most {
		return dst, damaged(Zstd, errors.New("content size does not fit the input"))
	}
	if header.HasFCS && header.FrameContentSize <= uint64(max(64*len(src), 1<<20)) {
		size = min(max(int(header.FrameContentSize), 1), limit)
	}
	for {
		if cap(dst) < size {
			dst = make([]byte, 0, size)
		}
		out, err := d.DecodeAll(src, dst[:0:min(cap(dst), limit)])
		if err == nil && len(out) <= limit {
			return out, nil
		}
		if err != nil && !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			return dst, damaged(Zstd, err)
		}
		if cap(dst) >= limit {
			return dst, ErrTooLarge
		}
		size = min(4*max(cap(dst), minBufferBytes), limit)
	}
}
