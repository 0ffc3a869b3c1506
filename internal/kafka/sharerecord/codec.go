package sharerecord

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"

	"github.com/weir-stream/weir/internal/kafka"
)

// ErrUnknownKind is wrapped by the errors of the decoders for a record of a kind that is not kept here. Such a record is
// whole, only not ours.
var ErrUnknownKind = errors.New("unknown kind of share group record")

// valueVersion is the version of all values.
const valueVersion = 0

// reader reads the fields of a key or value. After the first wrong one all others are zero, and done tells.
type reader struct{ kbin.Reader }

func read(b []byte) *reader { return &reader{kbin.Reader{Src: b}} }

// valueOf returns a reader behind the version of a value.
func valueOf(b []byte) (*reader, error) {
	r := read(b)
	if v := r.Int16(); r.Ok() && v != valueVersion {
		return nil, fmt.Errorf("value version %d is not known, the highest is %d", v, valueVersion)
	}
	return r, nil
}

// count reads the length of a compact array whose elements take least bytes or more.
func (r *reader) count(least int) int {
	n := int(r.CompactArrayLen())
	if n > len(r.Src)/least {
		r.Src = nil
		r.Int64() // fails, and with it done
		return 0
	}
	return max(n, 0)
}

func (r *reader) id() kafka.TopicID { return r.Uuid() }

func (r *reader) partitions() []int32 {
	var out []int32
	for range r.count(4) {
		out = append(out, r.Int32())
	}
	return out
}

// tags passes over tagged fields but those that know takes: it is called with tag and contents.
func (r *reader) tags(know func(tag uint32, body *reader)) {
	for range r.Uvarint() {
		tag, size := r.Uvarint(), r.Uvarint()
		body := r.Span(int(min(size, 1<<30)))
		if !r.Ok() {
			return
		}
		if know != nil {
			know(tag, read(body))
		}
	}
}

func (r *reader) done() error {
	if err := r.Complete(); err != nil {
		return fmt.Errorf("malformed: %w", err)
	}
	if len(r.Src) > 0 {
		return fmt.Errorf("malformed: %d bytes too many", len(r.Src))
	}
	return nil
}

func appendID(b []byte, id kafka.TopicID) []byte { return append(b, id[:]...) }

func appendPartitions(b []byte, ps []int32) []byte {
	b = kbin.AppendCompactArrayLen(b, len(ps))
	for _, p := range ps {
		b = kbin.AppendInt32(b, p)
	}
	return b
}

// noTags ends a structure without tagged fields.
func noTags(b []byte) []byte { return append(b, 0) }

func kindOf(key []byte) (int16, error) {
	if len(key) < 2 {
		return 0, fmt.Errorf("key of %d bytes is too short", len(key))
	}
	return int16(binary.BigEndian.Uint16(key)), nil
}
