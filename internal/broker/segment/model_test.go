package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
)

var testTime = time.UnixMilli(1_700_000_000_000)

// batch returns the bytes of a batch whose header is as told and whose records are noise: this package does not look
// at them.
func batch(base int64, lastDelta, count int32, minTs, maxTs int64, payload []byte) []byte {
	b := make([]byte, 61+len(payload))
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2
	binary.BigEndian.PutUint32(b[23:], uint32(lastDelta))
	binary.BigEndian.PutUint64(b[27:], uint64(minTs))
	binary.BigEndian.PutUint64(b[35:], uint64(maxTs))
	binary.BigEndian.PutUint32(b[57:], uint32(count))
	copy(b[61:], payload)
	return b
}

// modelBatch is a batch as the model remembers it.
type modelBatch struct {
	base, last, maxTs int64
	pos               int64 // in the object
	bytes             []byte
}

// modelRun is what a run must be, kept as plain lists.
type modelRun struct {
	info    RunInfo
	batches []modelBatch
	aborted []AbortedTxn
}

// locate is the linear scan that Reader.Locate must equal.
func (m *modelRun) locate(offset int64) int64 {
	for _, b := range m.batches {
		if b.last >= offset {
			return b.pos - m.info.Pos
		}
	}
	return m.info.Bytes
}

// locateTime is the linear scan that Reader.LocateTime must equal.
func (m *modelRun) locateTime(ts int64) (int64, bool) {
	for _, b := range m.batches {
		if b.maxTs >= ts {
			return b.pos - m.info.Pos, true
		}
	}
	return 0, false
}

// shape bounds the random objects of a test.
type shape struct {
	runs, batches, payload int
	indexBytes             int
}

// randomObject writes an object of random runs and returns it with its model.
func randomObject(t testing.TB, rng *rand.Rand, s shape) ([]byte, []*modelRun, Footer) {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, Options{Shard: 3, Level: L1, Epoch: 9, CreatedAt: testTime, IndexBytes: s.indexBytes})
	var model []*modelRun
	topic, partition := [16]byte{1}, int32(-1)
	pos := int64(headerBytes)
	for range rng.IntN(s.runs + 1) {
		if partition >= 0 && rng.IntN(3) == 0 {
			topic[rng.IntN(2)]++
			topic[15] = byte(rng.Uint32())
			if topic[0] == 0 {
				break
			}
			partition = -1
		}
		partition += 1 + int32(rng.IntN(3))
		m := &modelRun{info: RunInfo{Topic: topic, Partition: partition, Pos: pos}}
		must(t, w.BeginRun(topic, partition))
		next := int64(rng.IntN(1000))
		for range rng.IntN(s.batches + 1) {
			next += int64(rng.IntN(4)) * int64(rng.IntN(50))
			delta := int32(rng.IntN(20))
			ts := testTime.UnixMilli() + int64(rng.IntN(2000)-1000)
			if rng.IntN(20) == 0 {
				ts = -1
			}
			payload := make([]byte, rng.IntN(s.payload+1))
			for i := range payload {
				payload[i] = byte(rng.Uint32())
			}
			count := delta + 1 - int32(rng.IntN(int(delta)+2))
			b := batch(next, delta, count, ts-int64(rng.IntN(5)), ts, payload)
			must(t, w.AppendBatch(b))
			if len(m.batches) == 0 {
				m.info.BaseOffset, m.info.MinTimestamp, m.info.MaxTimestamp = next, ts, ts
			}
			mb := modelBatch{base: next, last: next + int64(delta), maxTs: ts, pos: pos, bytes: b}
			m.batches = append(m.batches, mb)
			m.info.MinTimestamp = min(m.info.MinTimestamp, int64(binary.BigEndian.Uint64(b[27:])))
			m.info.MaxTimestamp = max(m.info.MaxTimestamp, ts)
			m.info.NextOffset = mb.last + 1
			m.info.Bytes += int64(len(b))
			m.info.RecordCount += int64(count)
			pos += int64(len(b))
			next = mb.last + 1
			if rng.IntN(6) == 0 {
				a := AbortedTxn{ProducerID: rng.Int64N(100), FirstOffset: rng.Int64N(mb.last + 1), LastOffset: mb.last, LastStableOffset: rng.Int64N(mb.last + 2)}
				must(t, w.Aborted(a))
				m.aborted = append(m.aborted, a)
			}
		}
		if len(m.batches) > 0 {
			model = append(model, m)
		}
	}
	footer, err := w.Finish()
	must(t, err)
	return out.Bytes(), model, footer
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t testing.TB, object []byte) *Reader {
	t.Helper()
	r, err := Open("o", &memObject{b: object})
	must(t, err)
	return r
}

func mustRead(t testing.TB, r *Reader, p []byte, pos int64) {
	t.Helper()
	n, err := r.ReadAt(p, pos)
	if err != nil || n != len(p) {
		t.Fatalf("ReadAt(%d bytes at %d): got %d, %v", len(p), pos, n, err)
	}
}

// memObject is an object in memory.
type memObject struct {
	b      []byte
	closed func()
}

func (m *memObject) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, off)
}
func (m *memObject) Size() int64 { return int64(len(m.b)) }
func (m *memObject) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	_, err := m.ReadAt(buf[:n], off)
	return buf[:n], err
}

func (m *memObject) Close() error {
	if m.closed != nil {
		m.closed()
	}
	return nil
}

// memStore is a store of objects in memory that counts what is open.
type memStore struct {
	blob.Store // only Open is called

	mu      sync.Mutex
	objects map[string][]byte
	opened  map[string]int
	openNow int
	before  func(ctx context.Context, key string) error // if set, called at each Open
}

func newMemStore() *memStore {
	return &memStore{objects: make(map[string][]byte), opened: make(map[string]int)}
}

func (s *memStore) Open(ctx context.Context, key string) (blob.Reader, error) {
	if s.before != nil {
		if err := s.before(ctx, key); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.objects[key]
	if !ok {
		return nil, fmt.Errorf("get %s: %w", key, blob.ErrNotFound)
	}
	s.opened[key]++
	s.openNow++
	var once sync.Once
	return &memObject{b: b, closed: func() {
		once.Do(func() {
			s.mu.Lock()
			s.openNow--
			s.mu.Unlock()
		})
	}}, nil
}

func (s *memStore) counts(key string) (opened, openNow int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened[key], s.openNow
}

// failingWriter takes n bytes and then fails.
type failingWriter struct{ n int }

func (f *failingWriter) Write(p []byte) (int, error) {
	if len(p) > f.n {
		return f.n, io.ErrShortWrite
	}
	f.n -= len(p)
	return len(p), nil
}
