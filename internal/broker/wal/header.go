package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/weir-stream/weir/internal/base/crc32c"
)

// Sizes of the fixed parts, in bytes. A page is the unit in which devices tear writes.
const (
	pageBytes       = 4096
	fileHeaderBytes = pageBytes
	headerBytes     = 128
	trailerBytes    = 32
	dirEntryBytes   = 16

	// Version 1, which is still read, knows nothing of control batches: they had no fields of their own.
	formatVersion = 2
	// maxFileBytes bounds FileBytes, and with it every length read from a file.
	maxFileBytes = 4 << 30
	minFileBytes = 4 * pageBytes
)

const (
	fileMagic    = "WEIRWAL1"
	frameMagic   = "WEIRWALF"
	trailerMagic = "WEND"
)

// Flags of a frame. The last two are for incarnations whose log lies in an object store.
const (
	flagMark    uint16 = 1 << 0 // no content: written to carry lastSynced
	flagClose   uint16 = 1 << 1 // last frame of an incarnation that ended in order
	flagSeal    uint16 = 1 << 2
	flagHandoff uint16 = 1 << 3
	knownFlags         = flagMark | flagClose | flagSeal | flagHandoff
)

func checksum(b []byte) uint32 { return crc32c.Sum(b) }

// Decoding errors say what is wrong with a piece; whether that is corruption or a torn tail is judged by the scan.
var (
	errMagic    = errors.New("bad magic")
	errChecksum = errors.New("bad checksum")
	errVersion  = errors.New("unknown format version")
	errShape    = errors.New("impossible values")
	errShort    = errors.New("cut short")
)

// fileHeader is the first page of a file.
type fileHeader struct {
	Cluster     [16]byte
	Incarnation uint64
	Nonce       [16]byte
	Base        Position // position of the file's first byte
	FileBytes   int64    // positions the file covers
	Start       Position // base of the first file of the incarnation
	Recovered   Position // where the log ended when the incarnation began: nothing in [Recovered, Start) belongs to the log
}

// encode fills b, a whole page.
func (h *fileHeader) encode(b []byte) {
	clear(b[:fileHeaderBytes])
	copy(b[0:8], fileMagic)
	binary.LittleEndian.PutUint16(b[8:], formatVersion)
	copy(b[16:32], h.Cluster[:])
	binary.LittleEndian.PutUint64(b[32:], h.Incarnation)
	copy(b[40:56], h.Nonce[:])
	binary.LittleEndian.PutUint64(b[56:], uint64(h.Base))
	binary.LittleEndian.PutUint64(b[64:], uint64(h.FileBytes))
	binary.LittleEndian.PutUint64(b[72:], uint64(h.Start))
	binary.LittleEndian.PutUint64(b[80:], uint64(h.Recovered))
	binary.LittleEndian.PutUint32(b[88:], checksum(b[:88]))
}

// decode reads the header from b, at least 92 bytes, and checks that its values can be true.
func (h *fileHeader) decode(b []byte) error {
	switch {
	case len(b) < 92:
		return errShort
	case string(b[0:8]) != fileMagic:
		return errMagic
	case checksum(b[:88]) != binary.LittleEndian.Uint32(b[88:]):
		return errChecksum
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v < 1 || v > formatVersion {
		return fmt.Errorf("%w %d", errVersion, v)
	}
	copy(h.Cluster[:], b[16:32])
	h.Incarnation = binary.LittleEndian.Uint64(b[32:])
	copy(h.Nonce[:], b[40:56])
	h.Base = Position(binary.LittleEndian.Uint64(b[56:]))
	h.FileBytes = int64(binary.LittleEndian.Uint64(b[64:]))
	h.Start = Position(binary.LittleEndian.Uint64(b[72:]))
	h.Recovered = Position(binary.LittleEndian.Uint64(b[80:]))
	ok := validFileBytes(h.FileBytes) && h.Base >= 0 && h.Base%pageBytes == 0 && h.Base <= maxPosition-Position(h.FileBytes) &&
		h.Start >= 0 && h.Start <= h.Base && (h.Base-h.Start)%Position(h.FileBytes) == 0 && h.Recovered >= 0 && h.Recovered <= h.Start
	if !ok {
		return errShape
	}
	return nil
}

// maxPosition leaves the sum of a position and a file's length far from overflow.
const maxPosition = Position(1) << 62

func validFileBytes(n int64) bool { return n >= minFileBytes && n <= maxFileBytes && n%pageBytes == 0 }

// frameHeader is the first 128 bytes of a frame.
type frameHeader struct {
	Version1    bool // set by decode; frames are written in the present version
	Flags       uint16
	Shards      uint32 // sections in the footer
	Cluster     [16]byte
	Incarnation uint64
	Seq         uint64
	Nonce       [16]byte
	Pos         Position
	LastSynced  Position // the log up to here was durable when the frame was written
	BodyBytes   int64
	FooterBytes uint32 // directory and sections, without the trailer
	PrevChain   uint32 // CRC field of the header before it in the incarnation, 0 for the first
	CRC         uint32 // set by encode and decode
}

// footerOffset is where the footer begins, from the start of the frame.
func (h *frameHeader) footerOffset() int64 { return headerBytes + h.BodyBytes }

// contentBytes is the length of the frame without its padding.
func (h *frameHeader) contentBytes() int64 {
	return h.footerOffset() + int64(h.FooterBytes) + trailerBytes
}

// frameBytes is the length of the frame with its padding.
func (h *frameHeader) frameBytes() int64 { return roundUp(h.contentBytes()) }

func roundUp(n int64) int64 { return (n + pageBytes - 1) &^ (pageBytes - 1) }

// encode fills b[:128].
func (h *frameHeader) encode(b []byte) {
	clear(b[:headerBytes])
	copy(b[0:8], frameMagic)
	binary.LittleEndian.PutUint16(b[8:], formatVersion)
	binary.LittleEndian.PutUint16(b[10:], h.Flags)
	binary.LittleEndian.PutUint32(b[12:], h.Shards)
	copy(b[16:32], h.Cluster[:])
	binary.LittleEndian.PutUint64(b[32:], h.Incarnation)
	binary.LittleEndian.PutUint64(b[40:], h.Seq)
	copy(b[48:64], h.Nonce[:])
	binary.LittleEndian.PutUint64(b[64:], uint64(h.Pos))
	binary.LittleEndian.PutUint64(b[72:], uint64(h.LastSynced))
	binary.LittleEndian.PutUint64(b[80:], uint64(h.BodyBytes))
	binary.LittleEndian.PutUint64(b[88:], uint64(h.footerOffset()))
	binary.LittleEndian.PutUint32(b[96:], h.FooterBytes)
	binary.LittleEndian.PutUint32(b[100:], h.PrevChain)
	h.CRC = checksum(b[:124])
	binary.LittleEndian.PutUint32(b[124:], h.CRC)
}

// decode reads the header from b and checks that its values can be true of a frame in a file.
func (h *frameHeader) decode(b []byte) error {
	switch {
	case len(b) < headerBytes:
		return errShort
	case string(b[0:8]) != frameMagic:
		return errMagic
	case checksum(b[:124]) != binary.LittleEndian.Uint32(b[124:]):
		return errChecksum
	}
	v := binary.LittleEndian.Uint16(b[8:])
	if v < 1 || v > formatVersion {
		return fmt.Errorf("%w %d", errVersion, v)
	}
	h.Version1 = v == 1
	h.Flags = binary.LittleEndian.Uint16(b[10:])
	h.Shards = binary.LittleEndian.Uint32(b[12:])
	copy(h.Cluster[:], b[16:32])
	h.Incarnation = binary.LittleEndian.Uint64(b[32:])
	h.Seq = binary.LittleEndian.Uint64(b[40:])
	copy(h.Nonce[:], b[48:64])
	h.Pos = Position(binary.LittleEndian.Uint64(b[64:]))
	h.LastSynced = Position(binary.LittleEndian.Uint64(b[72:]))
	h.BodyBytes = int64(binary.LittleEndian.Uint64(b[80:]))
	footer := binary.LittleEndian.Uint64(b[88:])
	h.FooterBytes = binary.LittleEndian.Uint32(b[96:])
	h.PrevChain = binary.LittleEndian.Uint32(b[100:])
	h.CRC = binary.LittleEndian.Uint32(b[124:])
	ok := h.Flags&^knownFlags == 0 && h.BodyBytes >= 0 && h.BodyBytes < maxFileBytes && footer == uint64(h.footerOffset()) &&
		int64(h.Shards)*dirEntryBytes <= int64(h.FooterBytes) && h.contentBytes() <= maxFileBytes &&
		h.Pos >= 0 && h.Pos <= maxPosition && h.LastSynced >= 0 && h.LastSynced <= h.Pos
	if !ok {
		return errShape
	}
	return nil
}

// encodeTrailer fills b[:32] with the end of the frame that h begins and whose directory has the given checksum.
func encodeTrailer(b []byte, h *frameHeader, dirCRC uint32) {
	binary.LittleEndian.PutUint64(b[0:], h.Seq)
	binary.LittleEndian.PutUint64(b[8:], uint64(h.BodyBytes))
	binary.LittleEndian.PutUint32(b[16:], h.FooterBytes)
	binary.LittleEndian.PutUint32(b[20:], dirCRC)
	copy(b[24:28], trailerMagic)
	binary.LittleEndian.PutUint32(b[28:], checksum(b[:28]))
}

// decodeTrailer checks that b[:32] ends the frame that h begins, and returns the checksum of its directory.
func decodeTrailer(b []byte, h *frameHeader) (dirCRC uint32, err error) {
	switch {
	case len(b) < trailerBytes:
		return 0, errShort
	case string(b[24:28]) != trailerMagic:
		return 0, errMagic
	case checksum(b[:28]) != binary.LittleEndian.Uint32(b[28:]):
		return 0, errChecksum
	case binary.LittleEndian.Uint64(b[0:]) != h.Seq || binary.LittleEndian.Uint64(b[8:]) != uint64(h.BodyBytes) ||
		binary.LittleEndian.Uint32(b[16:]) != h.FooterBytes:
		return 0, errShape
	}
	return binary.LittleEndian.Uint32(b[20:]), nil
}
