package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// fakeTopics is a set of topics that a test may change.
type fakeTopics struct {
	mu     sync.Mutex
	topics map[kafka.TopicID]int32
	config partition.Config
	shards int32
}

func newFakeTopics() *fakeTopics {
	return &fakeTopics{shards: 2, topics: map[kafka.TopicID]int32{}, config: partition.Config{
		MaxMessageBytes: 1 << 20, TimestampBeforeMaxMs: math.MaxInt64,
		TimestampAfterMaxMs: math.MaxInt64 / 2, SegmentBytes: 1 << 30, SegmentMs: math.MaxInt64, RetentionMs: -1, RetentionBytes: -1, Delete: true, DecompressedBytesMax: 1 << 20,
	}}
}

func (f *fakeTopics) set(id kafka.TopicID, partitions int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if partitions == 0 {
		delete(f.topics, id)
		return
	}
	f.topics[id] = partitions
}

func (f *fakeTopics) LogConfig(id kafka.TopicID) (*partition.Config, int32, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, ok := f.topics[id]
	c := f.config
	return &c, n, ok
}

func (f *fakeTopics) Sync(context.Context) error { return nil }

func (f *fakeTopics) Shard(id kafka.TopicID, p int32) int32 { return (int32(id[0]) + p) % f.shards }

// node is a store with what survives its restarts.
type node struct {
	t      testing.TB
	o      Options
	topics *fakeTopics
	*Store
	stop func() error
}

func newNode(t *testing.T, fs vfs.FS, dir string, change func(*Options)) *node {
	t.Helper()
	if err := fs.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, topics: newFakeTopics()}
	n.o = Options{
		FS: fs, WALDir: dir, Blob: blob.NewMem(), Meta: meta.NewMem(meta.SystemClock()), Topics: n.topics, Shards: 2, Now: time.Now,
		Nonce: func() [16]byte { return [16]byte{1} }, Logger: slog.New(slog.DiscardHandler), WALFileBytes: 256 << 10, WALGroupBytes: 64 << 10,
		WALKeepBytes: 1 << 40, CheckpointInterval: time.Hour, RetentionInterval: time.Hour,
	}
	if change != nil {
		change(&n.o)
	}
	n.start()
	t.Cleanup(func() {
		if n.stop != nil {
			n.restart(false)
		}
	})
	return n
}

func (n *node) start() {
	n.t.Helper()
	n.Store = New(n.o)
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.t.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	s := n.Store
	go func() { done <- s.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		n.t.Fatalf("store did not start: %v", err)
	}
	n.stop = func() error {
		cancel()
		return <-done
	}
}

// restart stops the store, and starts it again if asked.
func (n *node) restart(again bool) {
	n.t.Helper()
	if err := n.stop(); err != nil {
		n.t.Errorf("store ended with %v", err)
	}
	n.stop = nil
	if again {
		n.start()
	}
}

func testBatch(value string, size int) []byte { return keyedBatch("", value, size) }

// keyedBatch returns a batch of one record; an empty key is null.
func keyedBatch(key, value string, size int) []byte {
	b := record.NewBuilder(record.None, 0)
	k := []byte(key)
	if key == "" {
		k = nil
	}
	b.Append(time.Now().UnixMilli(), k, []byte(value+strings.Repeat(".", size)), nil)
	return b.Build(record.BuildOptions{})
}

func (n *node) append(topic kafka.TopicID, p int32, value string, size int) {
	n.t.Helper()
	l, err := n.Log(topic, p)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.Admit(n.t.Context(), int64(size)); err != nil {
		n.t.Fatal(err)
	}
	a, err := l.Append(testBatch(value, size))
	if err != nil {
		n.t.Fatal(err)
	}
	if err := a.Ticket.Wait(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
}

// contents returns OFFSET=VALUE of every record of a log, from its start.
func (n *node) contents(topic kafka.TopicID, p int32) string {
	n.t.Helper()
	l, err := n.Log(topic, p)
	if err != nil {
		return err.Error()
	}
	var out []string
	for offset := l.Offsets().LogStart; offset < l.Offsets().HighWatermark; {
		r, err := l.Read(n.t.Context(), partition.ReadRequest{Offset: offset, MaxBytes: 1 << 20, AtLeastOne: true})
		if err != nil {
			return fmt.Sprintf("read at %d: %v", offset, err)
		}
		for _, c := range r.Chunks {
			b := c.Bytes
			if c.From != nil {
				if b, err = c.AppendTo(nil); err != nil {
					n.t.Fatal(err)
				}
			}
			out = append(out, describe(n.t, b, offset)...)
		}
		offset = r.NextOffset
		r.Drop()
	}
	return strings.Join(out, " ")
}

func describe(t testing.TB, b []byte, from int64) []string {
	t.Helper()
	var out []string
	for len(b) > 0 {
		h, err := record.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if !record.CheckCRC(b[:h.Size()]) {
			t.Fatalf("batch at offset %d has a bad checksum", h.BaseOffset)
		}
		it, err := record.NewIterator(b[:h.Size()], 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for r, ok := it.Next(); ok; r, ok = it.Next() {
			if o := h.BaseOffset + int64(r.OffsetDelta); o >= from {
				out = append(out, fmt.Sprintf("%d=%s", o, strings.TrimRight(string(r.Value), ".")))
			}
		}
		it.Close()
		b = b[h.Size():]
	}
	return out
}

var topicA, topicB = kafka.TopicID{1, 0xa}, kafka.TopicID{2, 0xb}

func (n *node) want(topic kafka.TopicID, p int32, want string) {
	n.t.Helper()
	if got := n.contents(topic, p); got != want {
		n.t.Errorf("partition %d of %s holds %q, want %q", p, topic, got, want)
	}
}

func TestRecordsSurviveRestarts(t *testing.T) {
	t.Parallel()
	n := newNode(t, vfs.OS(), t.TempDir(), nil)
	n.topics.set(topicA, 3)
	n.append(topicA, 0, "a", 0)
	n.append(topicA, 1, "b", 0)
	n.restart(true)
	n.append(topicA, 0, "c", 0)
	n.restart(true)
	n.want(topicA, 0, "0=a 1=c")
	n.want(topicA, 1, "0=b")
	n.want(topicA, 2, "")
	if l, err := n.Log(topicA, 0); err != nil || l.Offsets().LeaderEpoch != 2 || l.EpochAt(0) != 0 || l.EpochAt(1) != 1 {
		t.Errorf("epochs after two restarts: now %d, of the records %d and %d", l.Offsets().LeaderEpoch, l.EpochAt(0), l.EpochAt(1))
	}
	if _, err := n.Log(topicB, 0); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("log of an unknown topic: %v", err)
	}
}

func TestCutsAndMergesKeepEveryRecordAtItsOffset(t *testing.T) {
	t.Parallel()
	n := newNode(t, vfs.OS(), t.TempDir(), nil)
	n.topics.set(topicA, 2)
	n.topics.set(topicB, 1)
	var want []string
	for i := range 40 {
		n.append(topicA, 0, fmt.Sprint("v", i), 500)
		n.append(topicB, 0, "other", 100)
		want = append(want, fmt.Sprintf("%d=v%d", i, i))
		if i%2 == 1 {
			n.maintenance(n.cutAll)
		}
	}
	n.want(topicA, 0, strings.Join(want, " "))
	n.maintenance(n.mergeIfDue)
	n.want(topicA, 0, strings.Join(want, " "))
	n.restart(true)
	n.append(topicA, 0, "last", 0)
	n.want(topicA, 0, strings.Join(append(want, "40=last"), " "))
}

func (n *node) maintenance(f func(context.Context) error) {
	n.t.Helper()
	if err := n.inMaintenance(n.t.Context(), f); err != nil {
		n.t.Fatal(err)
	}
}

func TestCutFreesTheWAL(t *testing.T) {
	t.Parallel()
	n := newNode(t, vfs.OS(), t.TempDir(), nil)
	n.topics.set(topicA, 1)
	for i := range 40 {
		n.append(topicA, 0, fmt.Sprint(i), 60_000)
	}
	before := n.present.Load().files.Bytes()
	n.maintenance(n.cutAll)
	if after := n.present.Load().files.Bytes(); after >= before/2 {
		t.Errorf("the WAL holds %d bytes after the cut, %d before", after, before)
	}
}

func TestDeletedTopicLeavesNothing(t *testing.T) {
	t.Parallel()
	n := newNode(t, vfs.OS(), t.TempDir(), nil)
	n.topics.set(topicA, 1)
	n.topics.set(topicB, 1)
	for i := range 5 {
		n.append(topicA, 0, fmt.Sprint(i), 10_000)
	}
	n.append(topicB, 0, "kept", 0)
	n.maintenance(n.cutAll)
	n.append(topicA, 0, "in the WAL", 0)
	n.topics.set(topicA, 0)
	l, err := n.Log(topicA, 0)
	if err != nil {
		t.Fatal(err)
	}
	n.Drop(topicA, 1)
	if _, err := l.Append(testBatch("late", 0)); !errors.Is(err, partition.ErrClosed) {
		t.Errorf("append to a deleted topic: %v, want ErrClosed", err)
	}
	n.restart(true)
	n.maintenance(n.mergeIfDue)
	var size int64
	for _, sh := range n.shards {
		for _, o := range sh.objects {
			size += o.Bytes
		}
	}
	if size > 5_000 {
		t.Errorf("objects hold %d bytes after the topic was deleted", size)
	}
	n.topics.set(topicA, 1)
	n.want(topicA, 0, "")
	n.want(topicB, 0, "0=kept")
}

func TestLogStartNeverGoesBackOverRestarts(t *testing.T) {
	t.Parallel()
	n := newNode(t, vfs.OS(), t.TempDir(), nil)
	n.topics.set(topicA, 1)
	for i := range 6 {
		n.append(topicA, 0, fmt.Sprint(i), 0)
	}
	n.maintenance(n.cutAll)
	l, err := n.Log(topicA, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, ticket, err := l.DeleteRecords(4)
	if err != nil {
		t.Fatal(err)
	}
	if err := ticket.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.want(topicA, 0, "4=4 5=5")
	n.restart(true)
	n.want(topicA, 0, "4=4 5=5")
}

func TestPlanMergePicksNeighboursOnly(t *testing.T) {
	t.Parallel()
	l1 := func(n int) []mergeInput {
		var in []mergeInput
		for range n {
			in = append(in, mergeInput{level: 1, data: 100, live: 100})
		}
		return in
	}
	l2 := mergeInput{level: 2, data: 100, live: 100}
	dead := mergeInput{level: 2, data: 100, live: 49}
	for _, c := range []struct {
		name     string
		in       []mergeInput
		from, to int
	}{
		{"nothing", nil, 0, 0},
		{"too few", l1(mergeObjects - 1), 0, 0},
		{"enough", l1(mergeObjects), 0, mergeObjects},
		{"the oldest of more", append([]mergeInput{l2, l2}, l1(mergeObjects+3)...), 2, mergeObjects + 2},
		{"half dead first", append(l1(mergeObjects), dead), mergeObjects, mergeObjects + 1},
		{"not across an L2", append(append(l1(8), l2), l1(9)...), 0, 0},
	} {
		if from, to := planMerge(c.in); from != c.from || to != c.to {
			t.Errorf("%s: [%d, %d), want [%d, %d)", c.name, from, to, c.from, c.to)
		}
	}
}

// cutAll moves all that is durable in the WAL into objects.
func (s *Store) cutAll(ctx context.Context) error {
	return s.cutBelow(ctx, nil, wal.Position(s.durable.Load()))
}
