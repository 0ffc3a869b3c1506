package compaction

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

const limit = 1 << 20

// testLog is a log in memory.
type testLog struct {
	rng     *rand.Rand
	batches [][]byte
	end     int64
	aborted []Aborted
	// open are the first offsets of open transactions.
	open      map[int64]int64
	sequences map[int64]int32
	last      map[int64]int64 // of each producer
	now       int64
}

func newTestLog(seed uint64) *testLog {
	return &testLog{rng: rand.New(rand.NewPCG(seed, 3)), open: map[int64]int64{}, sequences: map[int64]int32{}, last: map[int64]int64{}, now: 1_000_000}
}

func (l *testLog) put(b []byte) {
	h, err := record.ParseHeader(b)
	if err != nil {
		panic(err)
	}
	l.batches = append(l.batches, b)
	l.end = h.NextOffset()
}

func (l *testLog) append(pid int64, transactional bool) {
	build := record.NewBuilder(record.Codec(l.rng.IntN(5)), 0)
	n := 1 + l.rng.IntN(4)
	for i := range n {
		var value []byte
		if l.rng.IntN(4) > 0 {
			value = fmt.Append(nil, "v", l.end+int64(i))
		}
		build.Append(l.now, fmt.Append(nil, "k", l.rng.IntN(12)), value, nil)
	}
	o := record.BuildOptions{BaseOffset: l.end, Transactional: transactional}
	if pid >= 0 {
		o.Producer = &record.Producer{ID: pid, Sequence: l.sequences[pid]}
		l.sequences[pid] += int32(n)
		l.last[pid] = l.end + int64(n) - 1
	}
	if _, ok := l.open[pid]; transactional && !ok {
		l.open[pid] = l.end
	}
	l.put(build.Build(o))
}

func (l *testLog) finish(pid int64, commit bool) {
	first, ok := l.open[pid]
	if !ok {
		return
	}
	delete(l.open, pid)
	key := make([]byte, 4)
	if commit {
		key[3] = controlCommit
	} else {
		l.aborted = append(l.aborted, Aborted{pid, first, l.end})
	}
	build := record.NewBuilder(record.None, 0)
	build.Append(l.now, key, []byte{0, 0, 0, 0, 0, 0}, nil)
	l.put(build.Build(record.BuildOptions{BaseOffset: l.end, Transactional: true, Control: true, Producer: &record.Producer{ID: pid, Sequence: -1}}))
}

// step makes the log longer by something random.
func (l *testLog) step() {
	l.now += l.rng.Int64N(20)
	switch pid := int64(l.rng.IntN(4)); l.rng.IntN(6) {
	case 0:
		l.append(-1, false)
	case 1, 2:
		l.append(pid, true)
	case 3:
		l.finish(pid, true)
	case 4:
		l.finish(pid, false)
	default:
		l.append(10+pid, false)
	}
}

// stable is the last stable offset.
func (l *testLog) stable() int64 {
	out := l.end
	for _, first := range l.open {
		out = min(out, first)
	}
	return out
}

// clean is one cleaning of the log up to its last stable offset. It returns up to where it came.
func (l *testLog) clean(t *testing.T, from int64, keys *OffsetMap, retention int64) int64 {
	t.Helper()
	x := NewIndex(keys, from, l.aborted, limit)
	end := from
	for _, b := range l.batches {
		h, _ := record.ParseHeader(b)
		if h.LastOffset() < from || h.BaseOffset >= l.stable() {
			continue
		}
		fits, err := x.Batch(b)
		if err != nil {
			t.Fatal(err)
		}
		if !fits {
			break
		}
		end = h.NextOffset()
	}
	f := NewFilter(Options{
		Keys: keys, End: end, Aborted: l.aborted, NowMs: l.now, DeleteRetentionMs: retention, LimitBytes: limit, Level: func(record.Codec) int { return 0 },
		LastOfProducer: func(id int64) (int64, int16, bool) { last, ok := l.last[id]; return last, 0, ok },
	})
	var out [][]byte
	for i, b := range l.batches {
		got, err := f.Batch(b, i == len(l.batches)-1)
		if err != nil {
			t.Fatal(err)
		}
		if got != nil {
			out = append(out, got)
		}
	}
	l.batches = out
	return end
}

// seen is a record as a reader sees it.
type seen struct {
	key       string
	value     string
	tombstone bool
	time      int64
}

// committed returns what a reader of committed records sees, by offset, and the keys' last offsets.
func (l *testLog) committed(t *testing.T) (map[int64]seen, map[string]int64) {
	t.Helper()
	out, last := map[int64]seen{}, map[string]int64{}
	aborting := newTransactions(l.aborted)
	at := int64(-1)
	for _, b := range l.batches {
		h, err := record.ParseHeader(b)
		if err != nil || h.BaseOffset <= at || !record.CheckCRC(b) {
			t.Fatalf("batch at %d after %d, %v", h.BaseOffset, at, err)
		}
		at = h.LastOffset()
		if h.BaseOffset >= l.stable() {
			break
		}
		if h.Control() {
			key, err := controlKey(b, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(key) == 4 && binary.BigEndian.Uint16(key[2:]) == controlAbort {
				aborting.control(&h, key)
			}
			continue
		}
		if aborting.data(&h) {
			continue
		}
		it, err := record.NewIterator(b, limit)
		if err != nil {
			t.Fatal(err)
		}
		for r, ok := it.Next(); ok; r, ok = it.Next() {
			offset := h.BaseOffset + int64(r.OffsetDelta)
			out[offset] = seen{string(r.Key), string(r.Value), r.Value == nil, h.BaseTimestamp + r.TimestampDelta}
			last[string(r.Key)] = offset
		}
		it.Close()
	}
	return out, last
}

func values(records map[int64]seen, last map[string]int64) map[string]string {
	out := map[string]string{}
	for k, offset := range last {
		if r := records[offset]; !r.tombstone {
			out[k] = r.value
		}
	}
	return out
}

// However often a log is cleaned while it grows: a reader of committed records ends with the same values; the last record of
// each key stays where it was, a tombstone for delete.retention.ms at least; and nothing appears that was not there.
func TestCleaningKeepsTheLastOfEachKey(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		l := newTestLog(seed)
		retention := l.rng.Int64N(400)
		cleaned := int64(0)
		firstSeen := map[int64]int64{} // tombstones, by offset: when a cleaning first saw them
		for range 12 {
			for range l.rng.IntN(25) {
				l.step()
			}
			before, last := l.committed(t)
			keys := NewOffsetMap(slotBytes*int64(8+l.rng.IntN(40)), 0.9)
			cleaned = l.clean(t, cleaned, keys, retention)
			after, lastAfter := l.committed(t)
			if !maps.Equal(values(before, last), values(after, lastAfter)) {
				t.Fatalf("seed %d: values were %v, are %v", seed, values(before, last), values(after, lastAfter))
			}
			for offset, r := range after {
				if before[offset] != r {
					t.Fatalf("seed %d: offset %d holds %+v, was %+v", seed, offset, r, before[offset])
				}
				if r.tombstone && offset < cleaned {
					if _, ok := firstSeen[offset]; !ok {
						firstSeen[offset] = l.now
					}
				}
			}
			for key, offset := range last {
				if _, ok := after[offset]; ok {
					continue
				}
				since, ok := firstSeen[offset]
				if !before[offset].tombstone || !ok || l.now < since+retention {
					t.Fatalf("seed %d: the last record of %s at %d, %+v, has gone after %d ms", seed, key, offset, before[offset], l.now-since)
				}
			}
		}
		if h, _ := record.ParseHeader(l.batches[len(l.batches)-1]); h.NextOffset() != l.end {
			t.Fatalf("seed %d: the log ends at %d, was %d", seed, h.NextOffset(), l.end)
		}
	}
}

// When all is decided and old, what stays is one record a key, and no more markers than producers.
func TestCleaningEndsWithWhatIsNeeded(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		l := newTestLog(seed)
		for range 200 {
			l.step()
		}
		for pid := range int64(4) {
			l.finish(pid, pid%2 == 0)
		}
		cleaned := int64(0)
		for range 4 {
			l.append(-1, false)
			cleaned = l.clean(t, cleaned, NewOffsetMap(1<<20, 0.9), 10)
			l.now += 1000
		}
		records, last := l.committed(t)
		if len(records) > len(last)+4 { // the tail that was appended for the last cleaning may hold a key twice
			t.Errorf("seed %d: %d records of %d keys stay", seed, len(records), len(last))
		}
		met := map[int64]bool{}
		for _, b := range l.batches[:len(l.batches)-1] {
			h, _ := record.ParseHeader(b)
			if h.Control() && h.RecordCount > 0 && h.DeleteHorizon() == record.NoHorizon && !met[h.ProducerID] {
				t.Errorf("seed %d: a marker at %d waits for nothing", seed, h.BaseOffset)
			}
			met[h.ProducerID] = !h.Control()
			if h.RecordCount == 0 && h.LastOffset() != l.last[h.ProducerID] {
				t.Errorf("seed %d: an empty batch at %d stays for nobody", seed, h.BaseOffset)
			}
		}
	}
}

func TestRecordsWithoutKeyGo(t *testing.T) {
	t.Parallel()
	build := record.NewBuilder(record.None, 0)
	build.Append(1, nil, []byte("a"), nil)
	build.Append(2, []byte("k"), []byte("b"), nil)
	f := NewFilter(Options{Keys: NewOffsetMap(1<<10, 0.9), End: 10, LimitBytes: limit, Level: func(record.Codec) int { return 0 }})
	out, err := f.Batch(build.Build(record.BuildOptions{}), false)
	if err != nil {
		t.Fatal(err)
	}
	if h, _ := record.ParseHeader(out); h.RecordCount != 1 || f.Stats().Keyless != 1 {
		t.Errorf("%d records stay, %+v", h.RecordCount, f.Stats())
	}
}

func TestDamagedBatchIsRefused(t *testing.T) {
	t.Parallel()
	l := newTestLog(1)
	l.append(-1, false)
	for i := range l.batches[0] {
		if i < record.LogOverhead+4 {
			continue // outside the checksum
		}
		b := append([]byte(nil), l.batches[0]...)
		b[i] ^= 4
		f := NewFilter(Options{Keys: NewOffsetMap(1<<10, 0.9), End: 10, LimitBytes: limit, Level: func(record.Codec) int { return 0 }})
		if _, err := f.Batch(b, true); err == nil {
			t.Fatalf("byte %d: a damaged batch passes", i)
		} else if _, isKafka := errors.AsType[kafka.Error](err); !isKafka {
			t.Fatalf("byte %d: %v", i, err)
		}
		if _, err := NewIndex(NewOffsetMap(1<<10, 0.9), 0, nil, limit).Batch(b); err == nil {
			t.Fatalf("byte %d: a damaged batch is indexed", i)
		}
	}
}

func TestOffsetMapIsAMapWithinItsBound(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(8, 9))
	for _, fullness := range []float64{0.5, 0.9, 1} {
		for _, slots := range []int64{2, 3, 10, 5000} {
			m := NewOffsetMap(slots*slotBytes, fullness)
			want := map[string]int64{}
			full := false
			for i := range 3 * slots {
				key := fmt.Append(nil, rng.Int64N(2*slots))
				if m.Put(key, i) {
					want[string(key)] = i
				} else {
					_, known := want[string(key)]
					full = true
					if known {
						t.Fatal("a known key was refused")
					}
				}
			}
			for k := range 2 * slots {
				key := fmt.Append(nil, k)
				if got, ok := want[string(key)]; m.Get(key) != got && ok || !ok && m.Get(key) != -1 {
					t.Fatalf("%s: %d, want %d, %v", key, m.Get(key), got, ok)
				}
			}
			if m.Len() != len(want) || int64(len(m.slots)) > slots || m.Fullness() > fullness || !full {
				t.Errorf("%d keys, want %d; %d slots of %d, full %v: %v", m.Len(), len(want), len(m.slots), slots, m.Fullness(), full)
			}
		}
	}
}

func BenchmarkIndex(b *testing.B) {
	build := record.NewBuilder(record.None, 0)
	for i := range 1000 {
		build.Append(1, fmt.Append(nil, "some-key-", i), make([]byte, 100), nil)
	}
	batch := build.Build(record.BuildOptions{})
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	x := NewIndex(NewOffsetMap(1<<20, 0.9), 0, nil, limit)
	for b.Loop() {
		if _, err := x.Batch(batch); err != nil {
			b.Fatal(err)
		}
	}
}
