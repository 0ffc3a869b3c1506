package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
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

const (
	simWAL     = "wal"
	simObjects = "objects"
)

// world is what outlives a node: a disk, the metadata, and the topics that there are.
type world struct {
	disk   *vfs.Mem
	meta   *meta.Mem
	topics map[kafka.TopicID]int32
	// compact says that the topics have cleanup.policy=compact.
	compact bool
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{disk: vfs.NewMem(), meta: meta.NewMem(meta.SystemClock()), topics: map[kafka.TopicID]int32{}}
	if err := vfs.MakeDirs(w.disk, simWAL); err != nil {
		tb.Fatal(err)
	}
	return w
}

// copyMeta returns a store that holds what m does.
func copyMeta(m meta.Store) *meta.Mem {
	ctx := context.Background()
	c := meta.NewMem(meta.SystemClock())
	entries, err := m.Range(ctx, "", "", 0)
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		if _, err := c.Txn(ctx, nil, []meta.Op{{Kind: meta.Put, Key: e.Key, Value: e.Value}}); err != nil {
			panic(err)
		}
	}
	return c
}

// simNode is a store on a world.
type simNode struct {
	*Store
	topics *fakeTopics
	cancel context.CancelFunc
	done   chan error
}

// simSeams are what stands between a node and its world; nil ones are the world's own.
type simSeams struct {
	fs    vfs.FS
	blobs func(blob.Store) blob.Store
	meta  meta.Store
}

// start runs a node on w. The error is that of a node which did not get ready.
func (w *world) start(ctx context.Context, seams simSeams, change func(*Options)) (*simNode, error) {
	n := &simNode{topics: newFakeTopics(), done: make(chan error, 1)}
	for id, partitions := range w.topics {
		n.topics.set(id, partitions)
	}
	if w.compact {
		n.topics.compact()
	}
	fs := seams.fs
	if fs == nil {
		fs = w.disk
	}
	dir, err := blob.NewDir(fs, simObjects)
	if err != nil {
		return nil, err
	}
	o := Options{
		FS: fs, WALDir: simWAL, Blob: dir, Meta: w.meta, Topics: n.topics, Shards: 2, Now: time.Now,
		Nonce: func() [16]byte { return [16]byte{1} }, Logger: slog.New(slog.DiscardHandler), WALFileBytes: 64 << 10, WALGroupBytes: 16 << 10,
		WALKeepBytes: 1 << 40, CheckpointInterval: time.Hour, RetentionInterval: time.Hour, ProducerExpiry: func() time.Duration { return 1 << 62 }, ReserveBytes: 64 << 10,
		Cleaner: func() CleanerOptions { return CleanerOptions{Disabled: true} }, // scripts clean when they want to
	}
	if seams.blobs != nil {
		o.Blob = seams.blobs(dir)
	}
	if seams.meta != nil {
		o.Meta = seams.meta
	}
	if change != nil {
		change(&o)
	}
	n.Store = New(o)
	ctx, n.cancel = context.WithCancel(ctx)
	ready := make(chan struct{})
	go func() { n.done <- n.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
		return n, nil
	case err := <-n.done:
		n.cancel()
		return nil, err
	}
}

// stop ends the node and returns what Run returned.
func (n *simNode) stop() error {
	n.cancel()
	return <-n.done
}

// do runs f where maintenance runs. It returns the error of a node that has ended instead.
func (n *simNode) do(ctx context.Context, f func(context.Context) error) error {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { done <- n.inMaintenance(ctx, f) }()
	select {
	case err := <-done:
		return err
	case err := <-n.done:
		n.done <- err
		return errors.Join(errors.New("node has ended"), err)
	}
}

// simBatch is one batch that a node took.
type simBatch struct {
	base, next int64
	bytes      []byte // as patched by the log
	ticket     wal.Ticket
	producer   int64
	// txn is the transactional producer, 0 for a plain batch; marker is what a marker says.
	txn    int64
	marker *record.Marker
}

func (b *simBatch) acked() bool {
	select {
	case <-b.ticket.Done():
		return b.ticket.Err() == nil
	default:
		return false
	}
}

// simLog is what a node was told and answered about one log.
type simLog struct {
	log     *partition.Log
	batches []*simBatch
	// startAsked is the highest log start that anybody asked for.
	startAsked int64
	deletes    []simDelete
	sequences  map[int64]int32
	// transactions are the transactional producers, by id.
	transactions map[int64]*simProducer
}

type simDelete struct {
	offset int64
	ticket wal.Ticket
}

// logView is a simLog as of one moment: what was promised and what may be.
type logView struct {
	batches          []*simBatch
	ackedEnd         int64 // the log end may not be lower
	startAcked, most int64 // the log start may not be lower, or higher
}

// simulation drives a node through a random script and remembers what it promised.
type simulation struct {
	ctx  context.Context
	rng  *rand.Rand
	w    *world
	node *simNode

	// mu keeps a view together with the clone of the disk: nothing is appended while it is held. No I/O happens under it
	// but that of a clone.
	mu   sync.Mutex
	logs map[logKey]*simLog
	made byte
}

func newSimulation(ctx context.Context, seed uint64, w *world) *simulation {
	return &simulation{ctx: ctx, rng: rand.New(rand.NewPCG(seed, 7)), w: w, logs: map[logKey]*simLog{}}
}

// view returns what the node has promised until now. mu is held.
func (s *simulation) view() map[logKey]logView {
	out := make(map[logKey]logView, len(s.logs))
	for k, l := range s.logs {
		v := logView{batches: slices.Clone(l.batches), most: l.startAsked}
		for _, b := range l.batches {
			if b.acked() {
				v.ackedEnd = b.next
			}
		}
		for _, d := range l.deletes {
			if b := (simBatch{ticket: d.ticket}); b.acked() {
				v.startAcked = max(v.startAcked, d.offset)
			}
		}
		if l.log != nil {
			o := l.log.Offsets()
			v.ackedEnd, v.startAcked = max(v.ackedEnd, o.HighWatermark), max(v.startAcked, o.LogStart)
		}
		out[k] = v
	}
	return out
}

func (s *simulation) createTopic(partitions int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	id := kafka.TopicID{s.made, 0xcc}
	s.w.topics[id] = partitions
	s.node.topics.set(id, partitions)
	for p := range partitions {
		s.logs[logKey{id, p}] = &simLog{sequences: map[int64]int32{}, transactions: map[int64]*simProducer{}}
	}
}

func (s *simulation) dropTopic() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.w.topics) < 2 {
		return
	}
	ids := slices.SortedFunc(maps.Keys(s.w.topics), func(a, b kafka.TopicID) int { return bytes.Compare(a[:], b[:]) })
	id := ids[s.rng.IntN(len(ids))]
	partitions := s.w.topics[id]
	delete(s.w.topics, id)
	s.node.topics.set(id, 0)
	s.node.Drop(id, partitions)
	for p := range partitions {
		delete(s.logs, logKey{id, p})
	}
}

// pick returns a random log. mu is held.
func (s *simulation) pick() (logKey, *simLog) {
	keys := slices.SortedFunc(maps.Keys(s.logs), compareKeys)
	k := keys[s.rng.IntN(len(keys))]
	return k, s.logs[k]
}

func compareKeys(a, b logKey) int {
	if c := bytes.Compare(a.topic[:], b.topic[:]); c != 0 {
		return c
	}
	return int(a.partition - b.partition)
}

// append hands a batch to a random log and does not wait for it.
func (s *simulation) append() error {
	if err := s.node.Admit(s.ctx, 30_000); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, l := s.pick()
	log, err := s.node.Log(k.topic, k.partition)
	if err != nil {
		return err
	}
	l.log = log
	n := 1 + s.rng.IntN(3)
	pid := int64(s.rng.IntN(3)) - 1
	size := 1 << s.rng.IntN(13)
	build := record.NewBuilder(record.None, 0)
	for i := range n {
		var key []byte
		value := bytes.Repeat([]byte{byte('a' + (i+size)%26)}, size)
		if s.w.compact {
			key = []byte{byte('a' + s.rng.IntN(8))}
			if s.rng.IntN(4) == 0 {
				value = nil
			}
		}
		build.Append(1_700_000_000_000+int64(s.rng.IntN(1000)), key, value, nil)
	}
	o := record.BuildOptions{}
	if pid >= 0 {
		o.Producer = &record.Producer{ID: pid, Sequence: l.sequences[pid]}
	}
	b := build.Build(o)
	a, err := log.Append(b)
	if err != nil {
		return err
	}
	if pid >= 0 {
		l.sequences[pid] += int32(n)
	}
	if want := l.end(); a.BaseOffset != want || a.Duplicate {
		return fmt.Errorf("%v: append answered offset %d, duplicate %v, want %d", k, a.BaseOffset, a.Duplicate, want)
	}
	l.batches = append(l.batches, &simBatch{base: a.BaseOffset, next: a.BaseOffset + int64(n), bytes: b, ticket: a.Ticket, producer: pid})
	return nil
}

func (l *simLog) end() int64 {
	if n := len(l.batches); n > 0 {
		return l.batches[n-1].next
	}
	return 0
}

func (s *simulation) deleteRecords() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, l := s.pick()
	if l.log == nil {
		return nil
	}
	hw := l.log.Offsets().HighWatermark
	offset := s.rng.Int64N(hw + 1)
	_, t, err := l.log.DeleteRecords(offset)
	if err != nil {
		return fmt.Errorf("%v: delete below %d: %w", k, offset, err)
	}
	l.startAsked = max(l.startAsked, offset)
	if !t.IsZero() { // else the log starts there already, and nothing is on its way to the disk
		l.deletes = append(l.deletes, simDelete{offset, t})
	}
	return nil
}

// wait waits until everything that was appended is durable.
func (s *simulation) wait() error {
	s.mu.Lock()
	var tickets []wal.Ticket
	for _, l := range s.logs {
		if n := len(l.batches); n > 0 {
			tickets = append(tickets, l.batches[n-1].ticket)
		}
		if n := len(l.deletes); n > 0 {
			tickets = append(tickets, l.deletes[n-1].ticket)
		}
	}
	s.mu.Unlock()
	for _, t := range tickets {
		if err := t.Wait(s.ctx); err != nil {
			return err
		}
	}
	return nil
}

// mergeAny merges a random stretch of objects of a random shard.
func (s *simulation) mergeAny(ctx context.Context) error {
	sh := s.node.shards[s.rng.IntN(len(s.node.shards))]
	if n := len(sh.objects); n > 0 {
		from := s.rng.IntN(n)
		return s.node.merge(ctx, sh, nil, from, from+1+s.rng.IntN(n-from))
	}
	return nil
}

// step does one random thing.
func (s *simulation) step() error {
	if s.w.compact && s.rng.IntN(12) == 0 {
		return s.node.clean(s.ctx)
	}
	switch x := s.rng.IntN(100); {
	case x < 35:
		return s.append()
	case x < 60:
		return s.transact()
	case x < 66:
		return s.readCommitted()
	case x < 75:
		return s.wait()
	case x < 82:
		return s.deleteRecords()
	case x < 87:
		return s.node.do(s.ctx, s.node.cutAll)
	case x < 91:
		return s.node.do(s.ctx, s.node.checkpointAll)
	case x < 94:
		return s.node.do(s.ctx, s.mergeAny)
	case x < 96:
		return s.node.do(s.ctx, s.node.mergeIfDue)
	case x < 98:
		s.dropTopic()
	default:
		s.createTopic(1 + int32(s.rng.IntN(2)))
	}
	return nil
}

// restarted takes a new node after an orderly stop of the one before.
func (s *simulation) restarted(n *simNode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node = n
	for _, l := range s.logs {
		l.log = nil
	}
}

// begin makes the first topics.
func (s *simulation) begin() {
	s.createTopic(2)
	s.createTopic(2)
	s.createTopic(1)
}

// readAll returns the bytes of the batches in [from, high watermark), read in pieces of at most maxBytes.
func readAll(ctx context.Context, l *partition.Log, from, maxBytes int64) ([]byte, error) {
	var out []byte
	for offset := from; ; {
		b, next, err := l.ReadBytes(ctx, offset, maxBytes)
		if err != nil {
			return out, fmt.Errorf("read at %d: %w", offset, err)
		}
		if len(b) == 0 {
			return out, nil
		}
		out = append(out, b...)
		offset = next
	}
}

// verify checks a node that was recovered against what was promised, writes to each log, and leaves the node running.
func verify(ctx context.Context, n *simNode, promised map[logKey]logView) error {
	for _, k := range slices.SortedFunc(maps.Keys(promised), compareKeys) {
		if err := verifyLog(ctx, n, k, promised[k]); err != nil {
			return fmt.Errorf("partition %d of topic %x: %w", k.partition, k.topic[:1], err)
		}
	}
	return nil
}

func verifyLog(ctx context.Context, n *simNode, k logKey, v logView) error {
	l, err := n.Log(k.topic, k.partition)
	if err != nil {
		return err
	}
	o := l.Offsets()
	if o.HighWatermark != o.LogEnd || o.HighWatermark < v.ackedEnd {
		return fmt.Errorf("offsets %+v, promised was an end of %d", o, v.ackedEnd)
	}
	if o.LogStart < v.startAcked || o.LogStart > v.most {
		return fmt.Errorf("log start %d, want it in [%d, %d]", o.LogStart, v.startAcked, v.most)
	}
	if n.topics.config.Compact {
		if err := verifyCompacted(ctx, l, v); err != nil {
			return err
		}
	}
	var want []byte
	end := int64(0)
	var kept []*simBatch
	for _, b := range v.batches {
		if b.base >= o.HighWatermark {
			break
		}
		kept = append(kept, b)
		end = b.next
		if b.next > o.LogStart {
			want = append(want, b.bytes...)
			h, err := record.ParseHeader(b.bytes)
			if err != nil {
				return err
			}
			if e := l.EpochAt(max(b.base, o.LogStart)); e != h.LeaderEpoch {
				return fmt.Errorf("epoch of offset %d is %d, was %d", b.base, e, h.LeaderEpoch)
			}
		}
	}
	if end != o.HighWatermark {
		return fmt.Errorf("high watermark %d is no end of a batch, nearest below is %d", o.HighWatermark, end)
	}
	got, err := readAll(ctx, l, o.LogStart, 1+rand.Int64N(20_000))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) && !n.topics.config.Compact {
		return fmt.Errorf("holds %d bytes, which are not the %d that were written", len(got), len(want))
	}
	if err := verifyTransactions(ctx, l, kept, 1+rand.Int64N(20_000)); err != nil {
		return err
	}
	if err := verifyProducers(l, kept); err != nil {
		return err
	}
	a, err := l.Append(keyedBatch("after", "after", 10))
	if err != nil || a.BaseOffset != end {
		return fmt.Errorf("append after recovery: offset %d, %w, want offset %d", a.BaseOffset, err, end)
	}
	if err := a.Ticket.Wait(ctx); err != nil {
		return err
	}
	if got, err = readAll(ctx, l, end, 1<<20); err != nil || len(got) == 0 {
		return fmt.Errorf("read of what was appended after recovery: %d bytes, %w", len(got), err)
	}
	return nil
}

// verifyProducers sends the last five batches of each producer again.
func verifyProducers(l *partition.Log, kept []*simBatch) error {
	seen := map[int64]int{}
	for _, b := range slices.Backward(kept) {
		if b.producer < 0 || seen[b.producer] == 5 {
			continue
		}
		seen[b.producer]++
		again := bytes.Clone(b.bytes)
		record.PatchOffset(again, 0, -1)
		a, err := l.Append(again)
		if err != nil || !a.Duplicate || a.BaseOffset != b.base {
			return fmt.Errorf("retry of the batch at %d of producer %d: offset %d, duplicate %v, %w", b.base, b.producer, a.BaseOffset, a.Duplicate, err)
		}
	}
	return nil
}
