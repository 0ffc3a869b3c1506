package record

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Record is one record of a batch. Key, Value and Headers point into memory of the iterator or of the batch: they are
// valid until the iterator's Close, Headers only until the next call of Next. nil is Kafka's null, which differs from
// empty.
type Record struct {
	Attributes     int8
	TimestampDelta int64 // ms after the batch's base timestamp
	OffsetDelta    int32 // after the batch's base offset
	Key, Value     []byte
	Headers        []RecordHeader
}

// RecordHeader is a header of a record; the same key may come several times.
type RecordHeader struct {
	Key   string
	Value []byte // nil: null
}

// Iterator walks through the records of one batch, in order. It must be closed.
type Iterator struct {
	rest      []byte
	remaining int32 // records not yet returned
	headers   []RecordHeader
	buffer    *[]byte // pooled; nil if the records were not compressed
	err       error
}

// NewIterator starts at the first record of the batch at the start of batch, of which it neither checks the checksum
// nor keeps more than it needs: uncompressed records are read in place, so batch must stay unchanged until Close.
// limitBytes bounds the records' uncompressed size. It fails with ErrTruncated, ErrBadMagic, ErrInvalid, ErrCompression
// or ErrTooLarge; there is nothing to close then.
func NewIterator(batch []byte, limitBytes int) (*Iterator, error) {
	h, records, err := split(batch)
	if err != nil {
		return nil, err
	}
	it := &Iterator{rest: records, remaining: h.RecordCount}
	if h.Codec() == None {
		if len(records) > limitBytes {
			return nil, ErrTooLarge
		}
	} else {
		it.buffer = getBuffer()
		*it.buffer, err = decompress(h.Codec(), *it.buffer, records, limitBytes)
		if err != nil {
			it.Close()
			return nil, err
		}
		it.rest = *it.buffer
	}
	// The shortest record takes 7 bytes, its length included.
	if int64(h.RecordCount)*minRecordBytes > int64(len(it.rest)) {
		it.Close()
		return nil, fmt.Errorf("%d records in %d bytes: %w", h.RecordCount, len(records), ErrInvalid)
	}
	return it, nil
}

const minRecordBytes = 7

// split checks that batch starts with a whole batch, and returns its header and the stored form of its records.
func split(batch []byte) (Header, []byte, error) {
	h, err := ParseHeader(batch)
	if err != nil {
		return Header{}, nil, err
	}
	if h.Size() > int64(len(batch)) {
		return Header{}, nil, ErrTruncated
	}
	if h.RecordCount < 0 {
		return Header{}, nil, fmt.Errorf("record count %d: %w", h.RecordCount, ErrInvalid)
	}
	if !h.Codec().Valid() {
		return Header{}, nil, fmt.Errorf("%s: %w", h.Codec(), ErrCompression)
	}
	return h, batch[HeaderBytes:h.Size():h.Size()], nil
}

// Next returns the next record, or false after the last one or at the first malformed one; Err tells which. After the
// last record no byte may follow.
func (it *Iterator) Next() (Record, bool) {
	if it.err != nil {
		return Record{}, false
	}
	if it.remaining == 0 {
		if len(it.rest) > 0 {
			it.err = fmt.Errorf("%d bytes after the last record: %w", len(it.rest), ErrInvalid)
		}
		return Record{}, false
	}
	d := decoder{rest: it.rest}
	body := d.bytes(d.varint())
	if d.bad || body == nil {
		it.err = fmt.Errorf("record of a wrong length: %w", ErrInvalid)
		return Record{}, false
	}
	r, ok := it.parse(body)
	if !ok {
		it.err = fmt.Errorf("record with contents that do not fit its length: %w", ErrInvalid)
		return Record{}, false
	}
	it.rest = d.rest
	it.remaining--
	return r, true
}

func (it *Iterator) parse(body []byte) (Record, bool) {
	d := decoder{rest: body}
	var r Record
	r.Attributes = d.int8()
	r.TimestampDelta = d.varlong()
	r.OffsetDelta = d.varint()
	r.Key = d.bytes(d.varint())
	r.Value = d.bytes(d.varint())
	count := d.varint()
	// A header takes at least 2 bytes, so the count cannot make the slice grow beyond what came in.
	if d.bad || count < 0 || int(count) > len(d.rest)/2 {
		return Record{}, false
	}
	if count > 0 {
		it.headers = it.headers[:0]
		for range count {
			key := d.bytes(d.varint())
			value := d.bytes(d.varint())
			if d.bad || key == nil {
				return Record{}, false
			}
			it.headers = append(it.headers, RecordHeader{Key: string(key), Value: value})
		}
		r.Headers = it.headers
	}
	return r, !d.bad && len(d.rest) == 0
}

// Err returns what ended the walk early: ErrInvalid, or nil.
func (it *Iterator) Err() error { return it.err }

// Close gives the iterator's memory back. Records that it returned must not be used any more. Calling it again does
// nothing.
func (it *Iterator) Close() {
	if it.buffer != nil {
		putBuffer(it.buffer)
		it.buffer = nil
	}
	it.rest, it.remaining = nil, 0
}

// decoder reads the fields of a record. After the first wrong one bad is set and all values are zero.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) int8() int8 {
	if len(d.rest) == 0 {
		d.bad = true
		return 0
	}
	v := int8(d.rest[0])
	d.rest = d.rest[1:]
	return v
}

func (d *decoder) varlong() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int32 {
	v := d.varlong()
	if v < math.MinInt32 || v > math.MaxInt32 {
		d.bad = true
		return 0
	}
	return int32(v)
}

// bytes returns the next n bytes; nil for n = -1, which is null.
func (d *decoder) bytes(n int32) []byte {
	if d.bad || n < -1 || int64(n) > int64(len(d.rest)) {
		d.bad = true
		return nil
	}
	if n == -1 {
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}
