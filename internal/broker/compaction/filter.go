package compaction

import (
	"fmt"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// Index notes the last offset of each key. Make it with NewIndex.
type Index struct {
	keys       *OffsetMap
	txns       *transactions
	from       int64
	limitBytes int
}

// NewIndex returns an index that fills keys with the records from offset from on. aborted are the aborted transactions of
// the stretch that it will be given; limitBytes bounds what a batch may expand to.
func NewIndex(keys *OffsetMap, from int64, aborted []Aborted, limitBytes int) *Index {
	return &Index{keys: keys, txns: newTransactions(aborted), from: from, limitBytes: limitBytes}
}

// Batch takes the next batch. It returns false if there is no room for all of its keys: the cleaning then ends before it.
// Damage is an error that wraps kafka.CorruptMessage or kafka.InvalidRecord.
func (x *Index) Batch(b []byte) (bool, error) {
	h, err := check(b)
	if err != nil {
		return false, err
	}
	if h.Control() {
		key, err := controlKey(b, x.limitBytes)
		if err != nil {
			return false, fmt.Errorf("control batch at offset %d: %w", h.BaseOffset, err)
		}
		x.txns.control(&h, key)
		return true, nil
	}
	if x.txns.data(&h) {
		return true, nil
	}
	it, err := record.NewIterator(b, x.limitBytes)
	if err != nil {
		return false, fmt.Errorf("open batch at offset %d: %w", h.BaseOffset, err)
	}
	defer it.Close()
	for r, ok := it.Next(); ok; r, ok = it.Next() {
		offset := h.BaseOffset + int64(r.OffsetDelta)
		if r.Key != nil && offset >= x.from && !x.keys.Put(r.Key, offset) {
			return false, nil
		}
	}
	if it.Err() != nil {
		return false, fmt.Errorf("read batch at offset %d: %w", h.BaseOffset, it.Err())
	}
	return true, nil
}

func check(b []byte) (record.Header, error) {
	h, err := record.ParseHeader(b)
	if err != nil {
		return h, err
	}
	if !record.CheckCRC(b) {
		return h, fmt.Errorf("checksum of the batch at offset %d does not match: %w", h.BaseOffset, kafka.CorruptMessage)
	}
	return h, nil
}

// Options of a Filter.
type Options struct {
	// Keys are those of the records below End; batches from End on stay as they are.
	Keys *OffsetMap
	End  int64
	// Aborted are the aborted transactions of the whole log.
	Aborted []Aborted
	// NowMs is the time of the cleaning, DeleteRetentionMs how long tombstones stay from then on (delete.retention.ms).
	NowMs, DeleteRetentionMs int64
	// LastOfProducer returns the last offset of the data that a producer has written, -1 if it has written none in its
	// epoch, and that epoch; false if the log does not know the producer.
	LastOfProducer func(id int64) (last int64, epoch int16, ok bool)
	// LimitBytes bounds what a batch may expand to; Level is the effort of a codec, 0 for its default.
	LimitBytes int
	Level      func(record.Codec) int
}

// Filter drops what a cleaning drops. Make it with NewFilter.
type Filter struct {
	o     Options
	txns  *transactions
	stats Stats
}

// Stats count what a Filter did.
type Stats struct {
	Records, RecordsKept int64
	Bytes, BytesKept     int64
	// Keyless are the records without a key, which a compacted topic does not take; its policy was another one then.
	Keyless int64
}

// NewFilter returns a filter that is to be given the log's batches from the first one on.
func NewFilter(o Options) *Filter { return &Filter{o: o, txns: newTransactions(o.Aborted)} }

// Stats returns the counts so far.
func (f *Filter) Stats() Stats { return f.stats }

// Needs tells whether readers still have to know of an aborted transaction whose marker has been passed: there was a batch of it,
// maybe one that only goes now, so that who reads while the log is cleaned knows of it either way.
func (f *Filter) Needs(a Aborted) bool {
	_, met := f.txns.met[a]
	return met || a.LastOffset >= f.o.End
}

// Batch returns what stays of the next batch: b itself, another batch, or nil. With keep something stays in any case, if
// only its offsets. Errors are those of Index.Batch.
func (f *Filter) Batch(b []byte, keep bool) ([]byte, error) {
	h, err := check(b)
	if err != nil {
		return nil, err
	}
	out := b
	if h.BaseOffset < f.o.End {
		if out, err = f.filter(b, &h, keep); err != nil {
			return nil, fmt.Errorf("clean batch at offset %d: %w", h.BaseOffset, err)
		}
	} else {
		f.stats.Records += int64(h.RecordCount)
		f.stats.RecordsKept += int64(h.RecordCount)
	}
	f.stats.Bytes += int64(len(b))
	f.stats.BytesKept += int64(len(out))
	return out, nil
}

func (f *Filter) filter(b []byte, h *record.Header, keep bool) ([]byte, error) {
	keep = keep || f.lastOfProducer(h)
	discard, marker := false, false
	if h.Control() {
		key, err := controlKey(b, f.o.LimitBytes)
		if err != nil {
			return nil, err
		}
		marker = f.txns.control(h, key)
		discard = marker && f.expired(h)
	} else {
		discard = f.txns.data(h)
	}
	kept := record.Retained{Removed: h.RecordCount}
	if !discard {
		o := record.RetainOptions{LimitBytes: f.o.LimitBytes, Horizon: f.o.NowMs + f.o.DeleteRetentionMs, Marker: marker, Level: f.o.Level(h.Codec())}
		var err error
		if kept, err = record.Retain(b, o, func(r *record.Record) bool { return h.Control() || f.stays(h, r) }); err != nil {
			return nil, err
		}
	}
	f.stats.Records += int64(kept.Kept + kept.Removed)
	f.stats.RecordsKept += int64(kept.Kept)
	if kept.Kept == 0 && keep {
		return record.Empty(*h), nil
	}
	return kept.Batch, nil
}

// stays tells whether a record is the last one of its key and, if it is a tombstone, still to be seen.
func (f *Filter) stays(h *record.Header, r *record.Record) bool {
	if r.Key == nil {
		f.stats.Keyless++
		return false
	}
	return h.BaseOffset+int64(r.OffsetDelta) >= f.o.Keys.Get(r.Key) && (r.Value != nil || !f.expired(h))
}

// expired tells whether the batch has a delete horizon that has passed.
func (f *Filter) expired(h *record.Header) bool {
	horizon := h.DeleteHorizon()
	return horizon != record.NoHorizon && horizon <= f.o.NowMs
}

// lastOfProducer tells whether the batch carries the last sequence of a producer that may go on with the next one.
func (f *Filter) lastOfProducer(h *record.Header) bool {
	if h.ProducerID < 0 || f.o.LastOfProducer == nil {
		return false
	}
	last, epoch, ok := f.o.LastOfProducer(h.ProducerID)
	switch {
	case !ok:
		return false
	case last >= 0:
		return h.LastOffset() == last
	}
	return h.Control() && h.ProducerEpoch == epoch
}
