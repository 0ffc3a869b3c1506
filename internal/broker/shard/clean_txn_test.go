package shard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// txnScript writes transactions to one compacted log, and knows what a reader of committed records must end with.
type txnScript struct {
	t   *testing.T
	n   *node
	rng *rand.Rand
	// open holds, by producer, the records of the open transaction; decided are all others' offsets and fates.
	open      map[int64][]keptRecord
	committed map[int64]keptRecord
	sequences map[int64]int32
}

func (s *txnScript) log() *partition.Log {
	s.t.Helper()
	l, err := s.n.Log(topicA, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

func (s *txnScript) wait(a partition.Appended, err error) int64 {
	s.t.Helper()
	if err == nil {
		err = a.Ticket.Wait(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return a.BaseOffset
}

func (s *txnScript) append(pid int64) {
	s.t.Helper()
	b := record.NewBuilder(record.Snappy, 0)
	var records []keptRecord
	for i := range 1 + s.rng.IntN(3) {
		r := keptRecord{offset: int64(i), time: s.n.o.Now().UnixMilli(), key: fmt.Sprint("k", s.rng.IntN(6)), tombstone: s.rng.IntN(4) == 0}
		if r.tombstone {
			b.Append(r.time, []byte(r.key), nil, nil)
		} else {
			r.value = fmt.Sprint(s.rng.Int64())
			b.Append(r.time, []byte(r.key), []byte(r.value), nil)
		}
		records = append(records, r)
	}
	base := s.wait(s.log().AppendInternal(b.Build(record.BuildOptions{
		Transactional: pid >= 0, Producer: &record.Producer{ID: pid, Sequence: s.sequences[pid]},
	})))
	s.sequences[pid] += int32(len(records))
	for i := range records {
		records[i].offset += base
		if pid < 0 {
			s.committed[records[i].offset] = records[i]
		}
	}
	if pid >= 0 {
		s.open[pid] = append(s.open[pid], records...)
	}
}

func (s *txnScript) finish(pid int64, commit bool) {
	s.t.Helper()
	if len(s.open[pid]) == 0 {
		return
	}
	s.wait(s.log().AppendMarker(partition.Marker{ProducerID: pid, Commit: commit}))
	if commit {
		for _, r := range s.open[pid] {
			s.committed[r.offset] = r
		}
	}
	delete(s.open, pid)
}

// check reads what is committed, from the log start and from a random offset, and compares.
func (s *txnScript) check(what string) {
	s.t.Helper()
	l := s.log()
	o := l.Offsets()
	want := map[string]keptRecord{}
	for _, offset := range slices.Sorted(mapsKeys(s.committed)) {
		if r := s.committed[offset]; offset < o.LastStable {
			want[r.key] = r
		}
	}
	from := s.rng.Int64N(o.LastStable + 1)
	for _, start := range []int64{o.LogStart, from} {
		got := map[string]keptRecord{}
		for _, r := range readCommitted(s.t, l, start) {
			if s.committed[r.offset] != r {
				s.t.Fatalf("%s: offset %d holds %+v, committed was %+v", what, r.offset, r, s.committed[r.offset])
			}
			got[r.key] = r
		}
		for key, r := range want {
			if got[key] != r && r.offset >= start && !r.tombstone {
				s.t.Fatalf("%s: a reader from %d ends with %+v for %s, want %+v", what, start, got[key], key, r)
			}
			if g, ok := got[key]; ok && g.offset < r.offset && !(r.tombstone && g.tombstone) {
				s.t.Fatalf("%s: a reader from %d ends with the old %+v for %s, want %+v", what, start, g, key, r)
			}
		}
	}
}

func mapsKeys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// readCommitted reads like a consumer with isolation.level=read_committed.
func readCommitted(t *testing.T, l *partition.Log, from int64) []keptRecord {
	t.Helper()
	var out []keptRecord
	for offset := from; ; {
		r, err := l.Read(t.Context(), partition.ReadRequest{Offset: offset, MaxBytes: 700, AtLeastOne: true, Committed: true})
		if err != nil {
			t.Fatalf("read at %d: %v", offset, err)
		}
		if r.Bytes == 0 {
			r.Drop()
			return out
		}
		var b []byte
		for i := range r.Chunks {
			if b, err = r.Chunks[i].AppendTo(b); err != nil {
				t.Fatal(err)
			}
		}
		aborted := slices.Clone(r.Aborted)
		r.Drop()
		slices.SortFunc(aborted, func(a, b partition.AbortedTxn) int { return int(a.FirstOffset - b.FirstOffset) })
		skip := map[int64]bool{}
		for ; len(b) > 0; b = nextBatch(t, b) {
			h, err := record.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			for len(aborted) > 0 && aborted[0].FirstOffset <= h.LastOffset() {
				skip[aborted[0].ProducerID] = true
				aborted = aborted[1:]
			}
			if h.Control() {
				if m, err := record.ParseMarker(b[:h.Size()]); err == nil && !m.Commit {
					delete(skip, h.ProducerID)
				}
				continue
			}
			if h.Transactional() && skip[h.ProducerID] {
				continue
			}
			records, _, err := recordsOf(b[:h.Size()])
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range records {
				if k.offset >= from {
					out = append(out, k)
				}
			}
		}
		offset = r.NextOffset
	}
}

func nextBatch(t *testing.T, b []byte) []byte {
	t.Helper()
	h, err := record.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[h.Size():]
}

// Whatever is committed, aborted or open, cut, merged, cleaned and recovered: a reader of committed records sees what was
// committed, ends with the last value of each key, and nothing at or above the last stable offset is touched.
func TestCompactionOfTransactions(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			n := newNode(t, vfs.NewMem(), "wal", func(o *Options) {
				o.Cleaner = func() CleanerOptions { return CleanerOptions{Disabled: true} }
				o.ReserveBytes = 64 << 10
				f := o.Topics.(*fakeTopics)
				f.compact()
				f.config.SegmentBytes = 700
				f.set(topicA, 1)
			})
			s := &txnScript{t: t, n: n, rng: rand.New(rand.NewPCG(seed, 21)), open: map[int64][]keptRecord{}, committed: map[int64]keptRecord{}, sequences: map[int64]int32{}}
			for i := range 260 {
				if err := n.Admit(t.Context(), 1000); err != nil {
					t.Fatal(err)
				}
				switch x := s.rng.IntN(20); {
				case x < 8:
					s.append(int64(s.rng.IntN(4)))
				case x < 9:
					s.append(-1)
				case x < 14:
					s.finish(int64(s.rng.IntN(4)), s.rng.IntN(2) == 0)
				case x < 15:
					n.maintenance(n.cutAll)
				case x < 16:
					n.maintenance(func(ctx context.Context) error {
						sh := n.shards[n.topics.Shard(topicA, 0)]
						if len(sh.objects) < 2 {
							return nil
						}
						from := s.rng.IntN(len(sh.objects))
						return n.merge(ctx, sh, nil, from, from+1+s.rng.IntN(len(sh.objects)-from))
					})
				case x < 19:
					n.cleanNow(CleanerOptions{MapBytes: 24 * int64(8+s.rng.IntN(20))})
					s.check(fmt.Sprint("cleaned at step ", i))
				default:
					s.restart()
				}
			}
			s.end()
		})
	}
}

func (s *txnScript) restart() {
	s.n.restart(true)
	s.check("restarted")
}

// end decides everything and cleans until nothing is left to do: then of each key one record stays, and few markers.
func (s *txnScript) end() {
	for pid := range int64(4) {
		s.finish(pid, pid%2 == 0)
	}
	for range 4 {
		s.n.roll(topicA, 0)
		s.committed[s.log().Offsets().LogEnd-1] = keptRecord{offset: s.log().Offsets().LogEnd - 1, time: 0, key: "rolled", value: "x"}
		s.n.cleanNow(CleanerOptions{})
	}
	b, err := readAll(s.t.Context(), s.log(), 0, 1<<20)
	if err != nil {
		s.t.Fatal(err)
	}
	markers, records := 0, 0
	for ; len(b) > 0; b = nextBatch(s.t, b) {
		h, err := record.ParseHeader(b)
		if err != nil {
			s.t.Fatal(err)
		}
		if h.Control() {
			markers++
		} else {
			records += int(h.RecordCount)
		}
	}
	if records > 6+2 || markers > 6+4 {
		s.t.Errorf("%d records of 6 keys and %d markers stay", records, markers)
	}
	if list, err := s.log().AllAborted(s.t.Context()); err != nil || len(list) > 4 {
		s.t.Errorf("%d aborted transactions are still listed, %v; of 4 producers at most the last one has a batch left", len(list), err)
	}
}

// Nothing at or above the last stable offset is cleaned.
func TestOpenTransactionHoldsTheCleaner(t *testing.T) {
	t.Parallel()
	n := compactNode(t, func(c *partition.Config) { c.SegmentBytes = 1 })
	n.put(topicA, 0, "a=1", "a=2")
	l, err := n.Log(topicA, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := record.NewBuilder(record.None, 0)
	b.Append(1, []byte("b"), []byte("1"), nil)
	a, err := l.AppendInternal(b.Build(record.BuildOptions{Transactional: true, Producer: &record.Producer{ID: 7}}))
	if err := errors.Join(err, a.Ticket.Wait(t.Context())); err != nil {
		t.Fatal(err)
	}
	n.put(topicA, 0, "a=3", "a=4", "c=5")
	n.cleanNow(CleanerOptions{})
	n.want(topicA, 0, "1=2 2=1 3=3 4=4 5=5")
	if u := l.Unmarked(); u.Next != 2 || len(u.Open) > 0 {
		t.Errorf("after a cleaning of what was in the write-ahead log objects end at %d with %+v open, want 2 and none", u.Next, u.Open)
	}
	if a, err = l.AppendMarker(partition.Marker{ProducerID: 7, Commit: true}); err != nil {
		t.Fatal(err)
	}
	if err := a.Ticket.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.put(topicA, 0, "d=6")
	n.cleanNow(CleanerOptions{})
	n.want(topicA, 0, "2=1 4=4 5=5 6=\x00\x00\x00\x00\x00\x00 7=6")
	if u := l.Unmarked(); u.Next != 7 || len(u.Open) > 0 {
		t.Errorf("objects end at %d with %+v open, want 7 and none", u.Next, u.Open)
	}
}
