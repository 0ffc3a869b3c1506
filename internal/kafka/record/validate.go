package record

import "fmt"

// Validate checks the batch at the start of batch to the last record: lengths and varints fit, the count is that of the
// header, and offset deltas are 0 to count-1, the last being the header's LastOffsetDelta, as a producer has to send
// them; a batch that went through compaction does not pass. It does not check the checksum. limitBytes bounds the
// records' uncompressed size. Errors are those of NewIterator.
func Validate(batch []byte, limitBytes int) error {
	h, err := ParseHeader(batch)
	if err != nil {
		return err
	}
	if h.RecordCount <= 0 || h.LastOffsetDelta != h.RecordCount-1 {
		return fmt.Errorf("%d records with last offset delta %d: %w", h.RecordCount, h.LastOffsetDelta, ErrInvalid)
	}
	if h.Codec() == None && h.Size() <= int64(len(batch)) && h.Size() <= int64(limitBytes) && plainIsValid(batch[HeaderBytes:h.Size()], h.RecordCount) {
		return nil
	}
	it, err := NewIterator(batch, limitBytes)
	if err != nil {
		return err
	}
	defer it.Close()
	var want int32
	for {
		r, ok := it.Next()
		if !ok {
			break
		}
		if r.OffsetDelta != want {
			return fmt.Errorf("record %d has offset delta %d: %w", want, r.OffsetDelta, ErrInvalid)
		}
		want++
	}
	return it.Err()
}

// Recompress returns a new batch with the same header fields and records, compressed by codec at level (see
// DefaultLevel); length, codec bits and checksum are renewed. It does not look into the records; limitBytes bounds their
// uncompressed size. batch is not changed and not kept. Errors are those of NewIterator.
func Recompress(batch []byte, codec Codec, level int, limitBytes int) ([]byte, error) {
	h, records, err := split(batch)
	if err != nil {
		return nil, err
	}
	if !codec.Valid() {
		return nil, fmt.Errorf("recompress to %s: %w", codec, ErrInvalid)
	}
	buffer := getBuffer()
	defer putBuffer(buffer)
	if h.Codec() != None {
		if *buffer, err = decompress(h.Codec(), *buffer, records, limitBytes); err != nil {
			return nil, err
		}
		records = *buffer
	} else if len(records) > limitBytes {
		return nil, ErrTooLarge
	}
	return assemble(h, codec, level, records), nil
}

// assemble makes a batch of h and the plain form of records, and sets length, codec and checksum.
func assemble(h Header, codec Codec, level int, records []byte) []byte {
	capacity := HeaderBytes + len(records)
	if codec != None {
		capacity = HeaderBytes + len(records)/2
	}
	batch := make([]byte, HeaderBytes, capacity)
	batch = compress(codec, level, batch, records)
	h.Magic = 2
	h.Length = int32(len(batch) - LogOverhead)
	h.Attributes = h.Attributes&^AttributeCodecMask | int16(codec)
	h.put(batch)
	sealCRC(batch)
	return batch
}
