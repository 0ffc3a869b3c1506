package auth

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/secret"
)

// A value in the metadata store is
//
//	version 1 B = 1 | CRC-32C of the rest 4 B little endian | body
//
// and its body is made of varints (uvarint unless said otherwise) and strings (length, bytes):
//
//	credential: iterations | salt | stored key | server key
//	token:      owner | requester | count, renewer* | issued | expires | latest, Unix ms, signed;   a principal is type, name
//	seed:       32 B
//
// A later version appends to the body; a reader refuses versions that it does not know, and bytes left over.
const valueVersion = 1

// errBadValue marks a stored value that this package cannot have written.
var errBadValue = fmt.Errorf("damaged value: %w", meta.ErrCorrupt)

const valueHeaderBytes = 5

func sealValue(body []byte) []byte {
	out := make([]byte, valueHeaderBytes, valueHeaderBytes+len(body))
	out[0] = valueVersion
	binary.LittleEndian.PutUint32(out[1:], crc32.Checksum(body, castagnoli))
	return append(out, body...)
}

func unsealValue(value []byte) ([]byte, error) {
	if len(value) < valueHeaderBytes {
		return nil, fmt.Errorf("%d bytes: %w", len(value), errBadValue)
	}
	if value[0] != valueVersion {
		return nil, fmt.Errorf("version %d, this program knows %d: %w", value[0], valueVersion, errBadValue)
	}
	body := value[valueHeaderBytes:]
	if got, want := crc32.Checksum(body, castagnoli), binary.LittleEndian.Uint32(value[1:]); got != want {
		return nil, fmt.Errorf("checksum %08x, want %08x: %w", got, want, errBadValue)
	}
	return body, nil
}

func appendString[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func encodeCredential(c Credential) []byte {
	b := binary.AppendUvarint(nil, uint64(c.Iterations))
	for _, s := range [][]byte{c.Salt, c.StoredKey, c.ServerKey} {
		b = appendString(b, s)
	}
	return sealValue(b)
}

func decodeCredential(value []byte) (Credential, error) {
	body, err := unsealValue(value)
	if err != nil {
		return Credential{}, err
	}
	r := &valueReader{b: body}
	c := Credential{Iterations: int(min(r.uvarint(), 1<<31-1)), Salt: []byte(r.text()), StoredKey: []byte(r.text()), ServerKey: []byte(r.text())}
	if err := r.end(); err != nil {
		return Credential{}, err
	}
	if c.Iterations < 1 || len(c.Salt) == 0 || len(c.StoredKey) == 0 || len(c.StoredKey) != len(c.ServerKey) {
		return Credential{}, fmt.Errorf("credential of %d iterations, %d bytes of salt: %w", c.Iterations, len(c.Salt), errBadValue)
	}
	return c, nil
}

func encodeToken(t Token) []byte {
	b := appendPrincipal(nil, t.Owner)
	b = appendPrincipal(b, t.Requester)
	b = binary.AppendUvarint(b, uint64(len(t.Renewers)))
	for _, p := range t.Renewers {
		b = appendPrincipal(b, p)
	}
	for _, at := range []time.Time{t.Issued, t.Expires, t.Latest} {
		b = binary.AppendVarint(b, at.UnixMilli())
	}
	return sealValue(b)
}

func appendPrincipal(b []byte, p Principal) []byte {
	return appendString(appendString(b, p.Type), p.Name)
}

func decodeToken(id string, value []byte) (Token, error) {
	body, err := unsealValue(value)
	if err != nil {
		return Token{}, err
	}
	r := &valueReader{b: body}
	t := Token{ID: id, Owner: r.principal(), Requester: r.principal()}
	n := r.uvarint()
	if n > uint64(len(r.b))/2 { // a principal takes two bytes at least
		r.bad, n = true, 0
	}
	for range n {
		t.Renewers = append(t.Renewers, r.principal())
	}
	t.Issued, t.Expires, t.Latest = r.millis(), r.millis(), r.millis()
	return t, r.end()
}

// valueReader takes a body apart. After the first mistake everything reads as zero, and end tells it.
type valueReader struct {
	b   []byte
	bad bool
}

func (r *valueReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *valueReader) millis() time.Time {
	v, n := binary.Varint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return time.Time{}
	}
	r.b = r.b[n:]
	return time.UnixMilli(v).UTC()
}

func (r *valueReader) text() string {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	out := string(r.b[:n])
	r.b = r.b[n:]
	return out
}

func (r *valueReader) principal() Principal { return Principal{Type: r.text(), Name: r.text()} }

func (r *valueReader) end() error {
	if r.bad {
		return fmt.Errorf("cut short: %w", errBadValue)
	}
	if len(r.b) > 0 {
		return fmt.Errorf("%d bytes left over: %w", len(r.b), errBadValue)
	}
	return nil
}

// StoredCredential is what may be shown of a value that this package keeps: nothing that a password could be tried against.
type StoredCredential struct {
	User, Mechanism string
	Iterations      int
}

// StoredToken is what may be shown of a delegation token.
type StoredToken struct {
	ID, Owner, Requester string
	Renewers             []string
	Issued, Expires      time.Time
	Latest               time.Time
}

// DescribeStored decodes a value of the metadata store for people; ok is false for keys of others. Of the seed of salts
// there is nothing to show.
func DescribeStored(key string, value []byte) (kind string, shown any, ok bool, err error) {
	switch {
	case key == seedKey:
		_, err := unsealValue(value)
		return "seed of salts", secret.Hidden, true, err
	case strings.HasPrefix(key, userPrefix):
		name, m, err := parseUserKey(key)
		if err != nil {
			return "credential", nil, true, err
		}
		c, err := decodeCredential(value)
		return "credential", StoredCredential{name, m.String(), c.Iterations}, true, err
	case strings.HasPrefix(key, tokenPrefix):
		t, err := decodeToken(strings.TrimPrefix(key, tokenPrefix), value)
		s := StoredToken{ID: t.ID, Owner: t.Owner.String(), Requester: t.Requester.String(), Issued: t.Issued, Expires: t.Expires, Latest: t.Latest}
		for _, p := range t.Renewers {
			s.Renewers = append(s.Renewers, p.String())
		}
		return "delegation token", s, true, err
	}
	return "", nil, false, nil
}
