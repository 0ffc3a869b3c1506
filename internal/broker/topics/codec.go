package topics

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
)

// A value in the metadata store is
//
//	version 1 B = 1 | CRC-32C of the rest 4 B little endian | body
//
// and its body is made of varints (uvarint unless said otherwise) and strings (length, bytes):
//
//	topic:   id 16 B | created, Unix ms, signed | partitions | first shard | shards | configs
//	configs: count | (name, value)*, sorted by name
//	cluster id: 16 B;   producer ids: first id that no block covers
//
// A later version appends to the body; a reader refuses versions that it does not know, and bytes left over.
const valueVersion = 1

// errBadValue marks a stored value that this package cannot have written.
var errBadValue = fmt.Errorf("damaged value: %w", meta.ErrCorrupt)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const valueHeaderBytes = 5

func seal(body []byte) []byte {
	out := make([]byte, valueHeaderBytes, valueHeaderBytes+len(body))
	out[0] = valueVersion
	binary.LittleEndian.PutUint32(out[1:], crc32.Checksum(body, castagnoli))
	return append(out, body...)
}

func unseal(value []byte) ([]byte, error) {
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

func encodeTopic(t *Topic) []byte {
	b := append(make([]byte, 0, 64), t.ID[:]...)
	b = binary.AppendVarint(b, t.CreatedAt.UnixMilli())
	b = binary.AppendUvarint(b, uint64(t.Partitions))
	b = binary.AppendUvarint(b, uint64(t.FirstShard))
	b = binary.AppendUvarint(b, uint64(t.Shards))
	return seal(appendConfigs(b, t.Configs))
}

func decodeTopic(name string, value []byte) (*Topic, error) {
	body, err := unseal(value)
	if err != nil {
		return nil, err
	}
	r := &reader{b: body}
	t := &Topic{Name: name, ID: kafka.TopicID(r.id())}
	t.CreatedAt = time.UnixMilli(r.varint()).UTC()
	t.Partitions, t.FirstShard, t.Shards = r.int32(), r.int32(), r.int32()
	t.Configs = r.configs()
	if err := r.end(); err != nil {
		return nil, err
	}
	if t.Partitions < 1 || t.Shards < 1 || t.FirstShard >= t.Shards || t.ID.IsZero() {
		return nil, fmt.Errorf("topic of %d partitions from shard %d of %d: %w", t.Partitions, t.FirstShard, t.Shards, errBadValue)
	}
	return t, nil
}

func encodeConfigs(c map[string]string) []byte { return seal(appendConfigs(nil, c)) }

func decodeConfigs(value []byte) (map[string]string, error) {
	body, err := unseal(value)
	if err != nil {
		return nil, err
	}
	r := &reader{b: body}
	c := r.configs()
	return c, r.end()
}

func encodeProducerBlock(next int64) []byte { return seal(binary.AppendUvarint(nil, uint64(next))) }

func decodeProducerBlock(value []byte) (int64, error) {
	body, err := unseal(value)
	if err != nil {
		return 0, err
	}
	r := &reader{b: body}
	next := r.uvarint()
	if err := r.end(); err != nil {
		return 0, err
	}
	if int64(next) < 0 {
		return 0, fmt.Errorf("producer id %d: %w", next, errBadValue)
	}
	return int64(next), nil
}

func encodeClusterID(id kafka.TopicID) []byte { return seal(id[:]) }

func decodeClusterID(value []byte) (kafka.TopicID, error) {
	body, err := unseal(value)
	if err != nil {
		return kafka.TopicID{}, err
	}
	r := &reader{b: body}
	id := kafka.TopicID(r.id())
	return id, r.end()
}

func appendConfigs(b []byte, c map[string]string) []byte {
	b = binary.AppendUvarint(b, uint64(len(c)))
	for _, name := range slices.Sorted(maps.Keys(c)) {
		for _, s := range []string{name, c[name]} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	return b
}

// reader takes a body apart. After the first mistake everything reads as zero, and end tells it.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) id() (id [16]byte) {
	copy(id[:], r.take(16))
	return id
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int32() int32 {
	v := r.uvarint()
	if v > 1<<31-1 {
		r.bad = true
		return 0
	}
	return int32(v)
}

func (r *reader) configs() map[string]string {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.b))/2 { // a pair takes two bytes at least
		r.bad = true
		return nil
	}
	if n == 0 {
		return nil
	}
	out := make(map[string]string, n)
	for range n {
		name := string(r.take(r.uvarint()))
		value := string(r.take(r.uvarint()))
		if r.bad {
			return nil
		}
		out[name] = value
	}
	return out
}

func (r *reader) end() error {
	if r.bad {
		return fmt.Errorf("cut short: %w", errBadValue)
	}
	if len(r.b) > 0 {
		return fmt.Errorf("%d bytes left over: %w", len(r.b), errBadValue)
	}
	return nil
}
