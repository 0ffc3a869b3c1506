package offsetrecord

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/weir-stream/weir/internal/kafka"
)

// The values of the consumer protocol's records are in Kafka's flexible encoding, for which kmsg has no types: lengths are
// unsigned varints of the length plus one (0 is null), and structures end with tagged fields.

func appendLength(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)+1) }

func appendString(b []byte, s string) []byte { return append(appendLength(b, len(s)), s...) }

// appendNullable writes an empty string as null.
func appendNullable(b []byte, s string) []byte {
	if s == "" {
		return append(b, 0)
	}
	return appendString(b, s)
}

func appendStrings(b []byte, list []string) []byte {
	b = appendLength(b, len(list))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

func appendInt32s(b []byte, list []int32) []byte {
	b = appendLength(b, len(list))
	for _, n := range list {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return b
}

// appendTags ends a structure; tags are the encoded fields, nil for those that are left out.
func appendTags(b []byte, tags ...[]byte) []byte {
	count := 0
	for _, t := range tags {
		if t != nil {
			count++
		}
	}
	b = binary.AppendUvarint(b, uint64(count))
	for i, t := range tags {
		if t != nil {
			b = binary.AppendUvarint(b, uint64(i))
			b = append(binary.AppendUvarint(b, uint64(len(t))), t...)
		}
	}
	return b
}

// errShort is the error of a value that ends before its fields do.
var errShort = errors.New("the value is too short")

// reader reads fields one after another. After the first error, which err keeps, all of them are zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail(errShort)
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) int8() int8 {
	if b := r.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[size:]
	return n
}

// length reads the length of something whose elements take at least each bytes, -1 for null.
func (r *reader) length(each int) int {
	n := r.uvarint()
	if r.err != nil || n == 0 {
		return -1
	}
	if n-1 > uint64(len(r.b)/each) {
		r.fail(errShort)
		return -1
	}
	return int(n - 1)
}

// string reads a string; null is "".
func (r *reader) string() string { return string(r.take(max(r.length(1), 0))) }

func (r *reader) bytes() []byte { return slices.Clone(r.take(max(r.length(1), 0))) }

// keyString reads a string with the old kind of length, as keys have it.
func (r *reader) keyString() string { return string(r.take(int(r.int16()))) }

func (r *reader) strings() []string {
	n := r.length(1)
	if n <= 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, r.string())
	}
	return list
}

func (r *reader) int32s() []int32 {
	n := r.length(4)
	if n <= 0 {
		return nil
	}
	list := make([]int32, 0, n)
	for range n {
		list = append(list, r.int32())
	}
	return list
}

func (r *reader) topicID() (id kafka.TopicID) {
	copy(id[:], r.take(len(id)))
	return id
}

// tags ends a structure: known is called for every tagged field, with a reader of its bytes.
func (r *reader) tags(known func(tag uint64, field *reader)) {
	n := r.uvarint()
	for i := uint64(0); i < n && r.err == nil; i++ {
		tag, size := r.uvarint(), r.uvarint()
		if size > uint64(len(r.b)) {
			r.fail(errShort)
			return
		}
		field := reader{b: r.take(int(size))}
		if known == nil {
			continue
		}
		if known(tag, &field); field.err != nil {
			r.fail(fmt.Errorf("tagged field %d: %w", tag, field.err))
		}
	}
}
