package segment

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"
)

// Level is the place of an object in the shard's log: L1 is cut from the write-ahead log, L2 is merged from others.
type Level uint8

// The levels whose objects this package writes.
const (
	L1 Level = 1
	L2 Level = 2
)

const (
	formatVersion = 1

	headerBytes  = 64
	trailerBytes = 32

	// DefaultIndexBytes is the distance between index entries of a run and the size of a checksummed block.
	DefaultIndexBytes = 64 << 10
	// A Reader allocates one block to verify it: so the block size of a foreign object must have a bound.
	minIndexBytes = 1 << 9
	maxIndexBytes = 16 << 20

	// maxDirectoryBytes bounds what Open reads into memory: more than 500,000 runs at their largest.
	maxDirectoryBytes = 64 << 20
	// maxSectionBytes bounds a run's section: 1 TiB of run has some 250 MiB of checksums and index.
	maxSectionBytes = 256 << 20
)

var (
	headerMagic  = [8]byte{'W', 'E', 'I', 'R', 'S', 'E', 'G', 0}
	trailerMagic = [4]byte{'W', 'S', 'E', 'G'}

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// header is the head of an object. The directory repeats it, so that Open needs no second read.
type header struct {
	shard      int32
	level      Level
	epoch      uint64
	created    int64 // ms since 1970
	indexBytes uint32
}

func (h header) append(b []byte) []byte {
	start := len(b)
	b = append(b, headerMagic[:]...)
	b = binary.BigEndian.AppendUint16(b, formatVersion)
	b = append(b, byte(h.level), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(h.shard))
	b = binary.BigEndian.AppendUint64(b, h.epoch)
	b = binary.BigEndian.AppendUint64(b, uint64(h.created))
	b = binary.BigEndian.AppendUint32(b, h.indexBytes)
	b = append(b, make([]byte, headerBytes-4-(len(b)-start))...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseHeader returns the reason of a refusal, or "" and the header; b has headerBytes bytes. An unknown version is
// told apart by version, since its bytes are not damaged.
func parseHeader(b []byte) (h header, version uint16, reason string) {
	if crc32.Checksum(b[:headerBytes-4], castagnoli) != binary.BigEndian.Uint32(b[headerBytes-4:]) {
		return h, 0, "header checksum does not match"
	}
	if [8]byte(b) != headerMagic {
		return h, 0, "header magic does not match"
	}
	h = header{
		level:      Level(b[10]),
		shard:      int32(binary.BigEndian.Uint32(b[12:])),
		epoch:      binary.BigEndian.Uint64(b[16:]),
		created:    int64(binary.BigEndian.Uint64(b[24:])),
		indexBytes: binary.BigEndian.Uint32(b[32:]),
	}
	if h.indexBytes < minIndexBytes || h.indexBytes > maxIndexBytes {
		return h, 0, "header has an impossible block size"
	}
	return h, binary.BigEndian.Uint16(b[8:]), ""
}

// trailer ends an object and leads to its directory.
type trailer struct {
	directoryPos   int64
	directoryBytes int64
	directoryCRC   uint32
}

func (t trailer) append(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint64(b, uint64(t.directoryPos))
	b = binary.BigEndian.AppendUint64(b, uint64(t.directoryBytes))
	b = binary.BigEndian.AppendUint32(b, t.directoryCRC)
	b = binary.BigEndian.AppendUint16(b, formatVersion)
	b = append(b, 0, 0)
	b = append(b, trailerMagic[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseTrailer returns the reason of a refusal, or "" and the trailer; b has trailerBytes bytes.
func parseTrailer(b []byte) (t trailer, version uint16, reason string) {
	if crc32.Checksum(b[:trailerBytes-4], castagnoli) != binary.BigEndian.Uint32(b[trailerBytes-4:]) {
		return t, 0, "trailer checksum does not match"
	}
	if [4]byte(b[24:]) != trailerMagic {
		return t, 0, "trailer magic does not match"
	}
	t = trailer{
		directoryPos:   int64(binary.BigEndian.Uint64(b)),
		directoryBytes: int64(binary.BigEndian.Uint64(b[8:])),
		directoryCRC:   binary.BigEndian.Uint32(b[16:]),
	}
	return t, binary.BigEndian.Uint16(b[20:]), ""
}

// blocksOf is the number of checksummed blocks of a run of n bytes.
func blocksOf(n int64, indexBytes uint32) int64 {
	return (n + int64(indexBytes) - 1) / int64(indexBytes)
}

func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// varints reads a sequence of shortest-form varints. The first fault sticks: later reads give zero, and bad tells.
type varints struct {
	b   []byte
	bad bool
}

func (v *varints) uint() uint64 {
	if len(v.b) > 0 && v.b[0] < 0x80 {
		x := v.b[0]
		v.b = v.b[1:]
		return uint64(x)
	}
	x, n := binary.Uvarint(v.b)
	// A longer form than needed is refused: one content has one encoding.
	if n <= 0 || n > 1 && v.b[n-1] == 0 {
		v.bad, v.b = true, nil
		return 0
	}
	v.b = v.b[n:]
	return x
}

// natural reads an unsigned number that must fit an int64.
func (v *varints) natural() int64 {
	x := v.uint()
	if x > math.MaxInt64 {
		v.bad, v.b = true, nil
		return 0
	}
	return int64(x)
}

// int reads a zigzag number.
func (v *varints) int() int64 {
	x := v.uint()
	return int64(x>>1) ^ -int64(x&1)
}

// take returns the next n bytes, or nil if there are fewer.
func (v *varints) take(n int) []byte {
	if n > len(v.b) {
		v.bad, v.b = true, nil
		return nil
	}
	p := v.b[:n]
	v.b = v.b[n:]
	return p
}

func (v *varints) uint32() uint32 {
	if p := v.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// appendInt appends x in zigzag form.
func appendInt(b []byte, x int64) []byte {
	return binary.AppendUvarint(b, uint64(x)<<1^uint64(x>>63))
}
