package record

import (
	"encoding/binary"
	"math"
)

// NoHorizon says that a batch has no delete horizon.
const NoHorizon = math.MinInt64

// DeleteHorizon returns the time, in ms, from which the batch's tombstones or its marker may be removed (KIP-534). A
// cleaning sets it when it first meets them; it stands in the place of the base timestamp, to which the records' deltas
// then refer, so that readers who know nothing of it still see the right times. NoHorizon if it was not set.
func (h Header) DeleteHorizon() int64 {
	if h.Attributes&AttributeDeleteHorizon == 0 {
		return NoHorizon
	}
	return h.BaseTimestamp
}

// RetainOptions say how Retain writes.
type RetainOptions struct {
	// LimitBytes bounds the records' uncompressed size.
	LimitBytes int
	// Level of compression, see DefaultLevel. The codec stays what it was.
	Level int
	// Horizon is the delete horizon, in ms, that the batch gets if it has none yet and a tombstone stays in it, or if
	// Marker is set. NoHorizon: none.
	Horizon int64
	Marker  bool
}

// Retained is what Retain has made of a batch.
type Retained struct {
	// Batch is the new batch, in memory of its own; the old one's bytes where nothing had to change; nil if no record is left.
	Batch []byte
	// Kept and Removed count records.
	Kept, Removed int32
}

// Retain returns the batch at the start of batch with only those records for which keep is true, each with its offset,
// time and bytes, in the same codec. Base offset, last offset delta and the producer's fields stay, so offsets and
// sequences mean what they meant. Errors are those of NewIterator and of the Iterator.
func Retain(batch []byte, o RetainOptions, keep func(*Record) bool) (Retained, error) {
	h, err := ParseHeader(batch)
	if err != nil {
		return Retained{}, err
	}
	it, err := NewIterator(batch, o.LimitBytes)
	if err != nil {
		return Retained{}, err
	}
	defer it.Close()
	scratch := getBuffer()
	defer putBuffer(scratch)
	plain := (*scratch)[:0]
	var out Retained
	tombstones, most := false, int64(math.MinInt64)
	for {
		before := it.rest
		r, ok := it.Next()
		if !ok {
			break
		}
		if !keep(&r) {
			out.Removed++
			continue
		}
		out.Kept++
		tombstones = tombstones || r.Value == nil
		most = max(most, h.BaseTimestamp+r.TimestampDelta)
		plain = append(plain, before[:len(before)-len(it.rest)]...)
	}
	*scratch = plain
	if it.Err() != nil {
		return Retained{}, it.Err()
	}
	rebase := o.Horizon != NoHorizon && h.DeleteHorizon() == NoHorizon && (tombstones || o.Marker)
	switch {
	case out.Kept == 0:
		return out, nil
	case out.Removed == 0 && !rebase:
		out.Batch = batch[:h.Size():h.Size()]
		return out, nil
	case rebase:
		plain = rebased(plain, h.BaseTimestamp, o.Horizon)
		h.BaseTimestamp = o.Horizon
		h.Attributes |= AttributeDeleteHorizon
	}
	if !h.LogAppendTime() {
		h.MaxTimestamp = most
	}
	h.RecordCount = out.Kept
	out.Batch = assemble(h, h.Codec(), o.Level, plain)
	return out, nil
}

// rebased returns well-formed records with their time deltas counted from another base.
func rebased(plain []byte, from, to int64) []byte {
	out := make([]byte, 0, len(plain)+len(plain)/8)
	for len(plain) > 0 {
		length, n := binary.Varint(plain)
		body := plain[n : n+int(length)]
		plain = plain[n+int(length):]
		delta, n := binary.Varint(body[1:])
		rest := body[1+n:]
		delta += from - to
		out = binary.AppendVarint(out, int64(1+varintLen(delta)+len(rest)))
		out = append(out, body[0])
		out = binary.AppendVarint(out, delta)
		out = append(out, rest...)
	}
	return out
}

// Empty returns a batch without records that stands for the batch with header h: it has the same offsets, largest time and
// producer fields. Compaction keeps it where these must not be forgotten.
func Empty(h Header) []byte {
	h.Attributes &^= AttributeDeleteHorizon
	h.BaseTimestamp, h.RecordCount = -1, 0
	return assemble(h, None, 0, nil)
}
