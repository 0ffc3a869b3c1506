package record

import "encoding/binary"

// AnnotateOptions say how Annotate writes.
type AnnotateOptions struct {
	// LimitBytes bounds the records' uncompressed size.
	LimitBytes int
	// Level of compression, see DefaultLevel. The codec stays what it was.
	Level int
}

// Annotate returns the batch at the start of batch with more headers on some of its records, after those that they have: extra
// says which, by the place of the record in the batch. All else stays as it was: the other records to the byte, offsets, times,
// the producer's fields and the codec. The result is in memory of its own. Errors are those of NewIterator and of the Iterator.
func Annotate(batch []byte, o AnnotateOptions, extra func(i int32) []RecordHeader) ([]byte, error) {
	h, err := ParseHeader(batch)
	if err != nil {
		return nil, err
	}
	it, err := NewIterator(batch, o.LimitBytes)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	scratch := getBuffer()
	defer putBuffer(scratch)
	plain := (*scratch)[:0]
	for i := int32(0); ; i++ {
		before := it.rest
		r, ok := it.Next()
		if !ok {
			break
		}
		if more := extra(i); len(more) > 0 {
			plain = appendAnnotated(plain, &r, more)
			continue
		}
		plain = append(plain, before[:len(before)-len(it.rest)]...)
	}
	*scratch = plain
	if it.Err() != nil {
		return nil, it.Err()
	}
	return assemble(h, h.Codec(), o.Level, plain), nil
}

func appendAnnotated(plain []byte, r *Record, more []RecordHeader) []byte {
	count := int64(len(r.Headers) + len(more))
	size := 1 + varintLen(r.TimestampDelta) + varintLen(int64(r.OffsetDelta)) + bytesLen(r.Key, r.Key == nil) + bytesLen(r.Value, r.Value == nil) + varintLen(count)
	for _, headers := range [][]RecordHeader{r.Headers, more} {
		for _, h := range headers {
			size += bytesLen(h.Key, false) + bytesLen(h.Value, h.Value == nil)
		}
	}
	plain = binary.AppendVarint(plain, int64(size))
	plain = append(plain, byte(r.Attributes))
	plain = binary.AppendVarint(plain, r.TimestampDelta)
	plain = binary.AppendVarint(plain, int64(r.OffsetDelta))
	plain = appendBytes(plain, r.Key, r.Key == nil)
	plain = appendBytes(plain, r.Value, r.Value == nil)
	plain = binary.AppendVarint(plain, count)
	for _, headers := range [][]RecordHeader{r.Headers, more} {
		for _, h := range headers {
			plain = appendBytes(plain, h.Key, false)
			plain = appendBytes(plain, h.Value, h.Value == nil)
		}
	}
	return plain
}
