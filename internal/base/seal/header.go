package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The header of a sealed file or object, little endian, docs/format/seal.md:
//
//	magic "WEIRSEAL" 8 | version u16 | kind u8 | 0 u8 | ring key u32 | nonce 12 | wrapped data key 48 | CRC-32C of what is before u32
const (
	headerBytes   = 8 + 2 + 1 + 1 + 4 + nonceBytes + keyBytes + tagBytes + 4
	headerVersion = 1
	nonceBytes    = 12
	tagBytes      = 16
)

// Kinds of sealed bytes.
const (
	kindObject = 1 // AES-256-GCM in chunks
	kindFile   = 2 // AES-256-CTR
)

var magic = []byte("WEIRSEAL")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errPlain says that bytes do not begin as sealed ones do.
var errPlain = errors.New("not sealed")

// newHeader draws a data key and returns it with the header that holds it, bound to name.
func (r *Ring) newHeader(kind byte, name string) (header, key []byte) {
	h := make([]byte, 0, headerBytes)
	h = append(h, magic...)
	h = binary.LittleEndian.AppendUint16(h, headerVersion)
	h = append(h, kind, 0)
	h = binary.LittleEndian.AppendUint32(h, r.active)
	var nonce [nonceBytes]byte
	rand.Read(nonce[:]) //nolint:errcheck // crypto/rand.Read never fails
	h = append(h, nonce[:]...)
	key = make([]byte, keyBytes)
	rand.Read(key) //nolint:errcheck // crypto/rand.Read never fails
	h = r.keys[r.active].Seal(h, nonce[:], key, bound(kind, name))
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli)), key
}

// bound is what a data key is bound to.
func bound(kind byte, name string) []byte { return append([]byte{kind}, name...) }

// openHeader returns the data key in a header: errPlain if b does not begin as one, ErrCorrupt if it is damaged, ErrKey if
// its key is not in the ring.
func (r *Ring) openHeader(b []byte, kind byte, name string) (key []byte, err error) {
	if !bytes.HasPrefix(b, magic) {
		return nil, errPlain
	}
	if len(b) < headerBytes || crc32.Checksum(b[:headerBytes-4], castagnoli) != binary.LittleEndian.Uint32(b[headerBytes-4:]) {
		return nil, fmt.Errorf("header of %s: %w", name, ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v != headerVersion || b[10] != kind {
		return nil, fmt.Errorf("%s is sealed in version %d, kind %d, which this version does not know: %w", name, v, b[10], ErrCorrupt)
	}
	if r == nil {
		return nil, fmt.Errorf("%s: %w", name, ErrNoKey)
	}
	id := binary.LittleEndian.Uint32(b[12:])
	aead := r.keys[id]
	if aead == nil {
		return nil, fmt.Errorf("%s is sealed by key %d, which is not in the ring: %w", name, id, ErrKey)
	}
	nonce, wrapped := b[16:16+nonceBytes], b[16+nonceBytes:headerBytes-4]
	if key, err = aead.Open(nil, nonce, wrapped, bound(kind, name)); err != nil {
		return nil, fmt.Errorf("data key of %s: %w", name, ErrCorrupt)
	}
	return key, nil
}
