package partition

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
)

// A broker that does not own a partition reads it from the object store by places: the owner says in which objects the batches of a
// stretch lie, and the other fetches them itself (KIP-392). What the owner says is an answer to one read, good for as long as the objects
// are there.
//
//	version 1 | limit | objects: key, bytes, level, data | runs: object, info, abortedFrom | extents: object, offset in it, base, next, bytes, crc
//	          | aborted: producer, first, last, last stable offset | quarantined: base, next
//
// Numbers are zig-zag varints, keys have their length before them, checksums are four bytes, little-endian.

const placesVersion = 1

// ErrNoPlaces is returned by Places where the batches lie in files of this machine.
var ErrNoPlaces = fmt.Errorf("the batches of the log do not lie in an object store: %w", kafka.NotLeaderOrFollower)

// ErrBadPlaces is wrapped for places that cannot be read.
var ErrBadPlaces = errors.New("places are damaged")

// Places is Read for another broker: in the place of the batches the result has one chunk that says where they are, to be read by
// ReadPlaces there. Bytes counts the batches, roughly. Nothing is fetched. Errors: those of Read, and ErrNoPlaces.
func (l *Log) Places(req ReadRequest) (ReadResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	res := ReadResult{Offsets: l.offsetsLocked(), NextOffset: req.Offset}
	limit := res.HighWatermark
	if req.Committed {
		limit = res.LastStable
		res.Aborted = []AbortedTxn{}
	}
	switch {
	case l.closed:
		return res, ErrClosed
	case req.Offset < l.logStart || req.Offset > l.highWatermark:
		return res, kafka.OffsetOutOfRange
	case req.Offset >= limit || (req.MaxBytes <= 0 && !req.AtLeastOne):
		return res, nil
	}
	q, damaged := l.quarantineLocked(req.Offset)
	spans := l.spansLocked(nil, req.Offset, limit, max(req.MaxBytes, 1))
	e := placesEncoder{numbers: map[string]int{}}
	for i := range spans {
		if err := e.span(l, &spans[i]); err != nil {
			return res, err
		}
		if spans[i].object != nil {
			res.Bytes += spans[i].info.Bytes
		} else {
			res.Bytes += int64(spans[i].bytes)
		}
	}
	if n := len(spans); n > 0 {
		res.NextOffset = min(limit, spans[n-1].next)
	}
	var aborted []segment.AbortedTxn
	if req.Committed {
		v := l.abortedLocked(req.Offset, res.NextOffset)
		aborted = v.listed
		for i := range v.runs { // those that list a transaction without holding batches of the read
			if err := e.run(&v.runs[i]); err != nil {
				return res, err
			}
		}
	}
	var quarantined []extent
	if damaged {
		quarantined = append(quarantined, q)
	}
	// Runs that only list transactions lie beyond what is read: the limit keeps them from being taken for what comes next.
	b := e.encode(res.NextOffset, aborted, quarantined)
	res.Chunks = []Chunk{{Bytes: b, Len: int64(len(b))}}
	res.Bytes = max(res.Bytes, 1)
	return res, nil
}

// placesEncoder gathers places, each object once.
type placesEncoder struct {
	numbers               map[string]int
	objects               []byte
	runs, extents         []byte
	runCount, extentCount int64
	seen                  []int64 // base offsets of the runs
}

func (e *placesEncoder) object(key string, size, level, data int64) int64 {
	if n, ok := e.numbers[key]; ok {
		return int64(n)
	}
	n := len(e.numbers)
	e.numbers[key] = n
	e.objects = binary.AppendVarint(e.objects, int64(len(key)))
	e.objects = append(e.objects, key...)
	e.objects = appendVarints(e.objects, size, level, data)
	return int64(n)
}

func (e *placesEncoder) span(l *Log, s *span) error {
	if s.object == nil {
		at, ok := l.env.WAL.Place(s.pos)
		if !ok {
			return ErrNoPlaces
		}
		e.extents = appendVarints(e.extents, e.object(at.Key, at.Bytes, 0, 0), at.Off, s.base, s.next, int64(s.bytes))
		e.extents = binary.LittleEndian.AppendUint32(e.extents, s.crc)
		e.extentCount++
		return nil
	}
	i := sort.Search(len(l.runs), func(i int) bool { return l.runs[i].info.NextOffset > s.base })
	return e.run(&l.runs[i])
}

func (e *placesEncoder) run(r *run) error {
	if slices.Contains(e.seen, r.info.BaseOffset) {
		return nil
	}
	e.seen = append(e.seen, r.info.BaseOffset)
	o := e.object(r.object.Key, r.object.Bytes, int64(r.object.Level), r.object.Data)
	e.runs = appendVarints(e.runs, o, r.info.BaseOffset, r.info.NextOffset, r.info.Pos, r.info.Bytes, r.info.RecordCount, r.info.MinTimestamp, r.info.MaxTimestamp, r.abortedFrom)
	e.runCount++
	return nil
}

func (e *placesEncoder) encode(limit int64, aborted []segment.AbortedTxn, quarantined []extent) []byte {
	b := appendVarints([]byte{placesVersion}, limit, int64(len(e.numbers)))
	b = append(b, e.objects...)
	b = append(appendVarints(b, e.runCount), e.runs...)
	b = append(appendVarints(b, e.extentCount), e.extents...)
	b = appendVarints(b, int64(len(aborted)))
	for _, a := range aborted {
		b = appendVarints(b, a.ProducerID, a.FirstOffset, a.LastOffset, a.LastStableOffset)
	}
	b = appendVarints(b, int64(len(quarantined)))
	for _, q := range quarantined {
		b = appendVarints(b, q.base, q.next)
	}
	return b
}

func appendVarints(b []byte, values ...int64) []byte {
	for _, v := range values {
		b = binary.AppendVarint(b, v)
	}
	return b
}

// ReadPlaces reads, from objects, what places of the log id speak of: env and objects are those of this broker. The offsets of
// the result are not set; the owner has told them apart from the places. The error wraps ErrBadPlaces for places that are none, and
// blob.ErrNotFound where objects are gone, so that the owner has to be asked anew; else it is as Read's.
func ReadPlaces(ctx context.Context, id Identity, env *Env, objects blob.Store, places []byte, req ReadRequest) (ReadResult, error) {
	l, limit, err := decodePlaces(id, env, objects, places)
	if err != nil {
		return ReadResult{}, err
	}
	if req.Offset >= limit {
		return ReadResult{NextOffset: req.Offset}, nil
	}
	return l.read(ctx, req)
}

// decodePlaces returns a log that holds what the places name and nothing else.
func decodePlaces(id Identity, env *Env, objects blob.Store, places []byte) (*Log, int64, error) {
	d := placesDecoder{Reader: bytes.NewReader(places)}
	if v, err := d.ReadByte(); err != nil || v != placesVersion {
		return nil, 0, fmt.Errorf("%w: version %d, not %d", ErrBadPlaces, v, placesVersion)
	}
	limit := d.number()
	w := &placesWAL{objects: objects}
	keys := make([]Object, 0, d.count(4))
	for range cap(keys) {
		keys = append(keys, Object{Key: d.key(), Bytes: d.number(), Level: uint8(d.number()), Data: d.number()})
	}
	object := func() *Object {
		if n := d.number(); n >= 0 && n < int64(len(keys)) {
			return &keys[n]
		}
		d.bad = true
		return &Object{}
	}
	shell := &Env{WAL: w, Segments: env.Segments, Blocks: env.Blocks, Now: env.Now, Logger: env.Logger, OnCorrupt: env.OnCorrupt}
	l := &Log{id: id, env: shell, highWatermark: limit, logEnd: limit, logStart: math.MinInt64}
	for range d.count(9) {
		r := run{object: object()}
		r.info = segment.RunInfo{Topic: id.Topic, Partition: id.Partition, BaseOffset: d.number(), NextOffset: d.number(), Pos: d.number(), Bytes: d.number(), RecordCount: d.number(), MinTimestamp: d.number(), MaxTimestamp: d.number()}
		r.abortedFrom = d.number()
		l.runs = append(l.runs, r)
	}
	sort.Slice(l.runs, func(i, j int) bool { return l.runs[i].info.BaseOffset < l.runs[j].info.BaseOffset })
	for range d.count(9) {
		o := object()
		at := wal.Place{Key: o.Key, Bytes: o.Bytes, Off: d.number()}
		e := extent{base: d.number(), next: d.number(), pos: wal.Position(len(w.places)), bytes: uint32(d.bounded(math.MaxInt32)), crc: d.sum()}
		w.places = append(w.places, at)
		d.bad = d.bad || at.Off < 0 || at.Off > at.Bytes-int64(e.bytes)
		l.extents = append(l.extents, e)
	}
	for range d.count(4) {
		l.aborted = append(l.aborted, segment.AbortedTxn{ProducerID: d.number(), FirstOffset: d.number(), LastOffset: d.number(), LastStableOffset: d.number()})
	}
	for range d.count(2) {
		l.quarantined = append(l.quarantined, extent{base: d.number(), next: d.number()})
	}
	if d.bad || d.Len() > 0 || !l.ascending() {
		return nil, 0, fmt.Errorf("%w: %d bytes", ErrBadPlaces, len(places))
	}
	return l, limit, nil
}

// ascending says whether stretches follow one another, none of them empty.
func (l *Log) ascending() bool {
	at := int64(math.MinInt64)
	for i := range l.runs {
		if r := &l.runs[i].info; r.BaseOffset < at || r.NextOffset <= r.BaseOffset || r.Bytes < 0 || r.Pos < 0 {
			return false
		}
		at = l.runs[i].info.NextOffset
	}
	for i := range l.extents {
		if e := &l.extents[i]; e.base < at || e.next <= e.base {
			return false
		}
		at = l.extents[i].next
	}
	return true
}

// placesDecoder reads numbers; bad says that one was not there or out of range.
type placesDecoder struct {
	*bytes.Reader
	bad bool
}

func (d *placesDecoder) number() int64 {
	v, err := binary.ReadVarint(d)
	d.bad = d.bad || err != nil
	return v
}

func (d *placesDecoder) bounded(most int64) int64 {
	v := d.number()
	if v < 0 || v > most {
		d.bad = true
		return 0
	}
	return v
}

// count reads the length of a list whose entries take least bytes each.
func (d *placesDecoder) count(least int) int { return int(d.bounded(int64(d.Len() / least))) }

func (d *placesDecoder) key() string {
	b := make([]byte, d.bounded(int64(d.Len())))
	_, err := d.Read(b)
	d.bad = d.bad || err != nil && len(b) > 0
	return string(b)
}

func (d *placesDecoder) sum() uint32 {
	var b [4]byte
	n, _ := d.Read(b[:])
	d.bad = d.bad || n < len(b)
	return binary.LittleEndian.Uint32(b[:])
}

// placesWAL finds the objects of a log that was made from places: the position of an extent is its number.
type placesWAL struct {
	WAL // nothing is written

	objects blob.Store
	places  []wal.Place
}

func (w *placesWAL) Apart() bool { return true }

func (w *placesWAL) Recent(wal.Position, int64) ([]byte, func(), bool) { return nil, nil, false }

func (w *placesWAL) Pin(ctx context.Context, pos wal.Position) (wal.Pinned, error) {
	at := w.places[pos]
	r, err := blob.OpenSized(ctx, w.objects, at.Key, at.Bytes)
	if err != nil {
		return wal.Pinned{}, fmt.Errorf("open %s: %w", at.Key, err)
	}
	return wal.Pinned{Source: r, Off: at.Off, ID: at.Key, Durable: at.Bytes, Whole: true, Release: func() { r.Close() }}, nil //nolint:errcheck // it was only read
}
