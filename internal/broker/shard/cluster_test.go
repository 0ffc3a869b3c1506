package shard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/placement"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// testCluster is some brokers on one object store and one metadata store, in a bubble of fake time.
type testCluster struct {
	t       *testing.T
	blob    blob.Store
	meta    meta.Store
	topics  *fakeTopics
	shards  int32
	log     *slog.Logger
	nonces  atomic.Int64
	keep    time.Duration // CheckpointInterval
	gaps    *gaps         // nil: nobody looks
	ring    int64         // RingBytes
	recall  int64         // RecallBytes
	extents int           // ExtentsMax
	clocks  bool          // brokers begin with clocks that are off by minutes

	mu      sync.Mutex
	members []*testMember
}

func (c *testCluster) all() []*testMember {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.members)
}

// testMember is a broker and its connections to the stores.
type testMember struct {
	c       *testCluster
	blob    *blob.Fault
	meta    *meta.Fault
	member  *cluster.Member
	store   *Store
	off     atomic.Int64 // by how much the broker's clock is ahead
	cancel  context.CancelFunc
	done    chan error
	metrics *prometheus.Registry
}

// now is the broker's clock, which may be set.
func (m *testMember) now() time.Time {
	if !m.c.clocks {
		return time.Now()
	}
	return time.Now().Add(time.Duration(m.off.Load())).Round(0)
}

// setClock sets the broker's clock to something within a quarter of an hour.
func (m *testMember) setClock(rng *rand.Rand) {
	m.off.Store(int64(time.Duration(rng.IntN(1800)-900) * time.Second))
}

var errCut = errors.New("connection cut")

func newTestCluster(t *testing.T, shards int32, brokers int) *testCluster {
	c := &testCluster{t: t, blob: blob.NewMem(), meta: meta.NewMem(meta.SystemClock()), topics: newFakeTopics(), shards: shards, keep: 3 * time.Second}
	c.topics.shards = shards
	c.log = testLogger()
	t.Cleanup(func() {
		for _, m := range c.all() {
			m.stop()
		}
		if err := c.meta.Close(); err != nil {
			t.Error(err)
		}
	})
	for range brokers {
		c.start()
	}
	return c
}

// start adds a broker, which takes the lowest free id. One whose storage ends before it is ready is not among the cluster's members.
func (c *testCluster) start() *testMember {
	c.t.Helper()
	m := &testMember{c: c, metrics: prometheus.NewRegistry(), blob: blob.NewFault(c.blob, nil), meta: meta.NewFault(c.meta, nil), done: make(chan error, 2)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	m.cancel = cancel
	n := c.nonces.Add(1)
	m.setClock(rand.New(rand.NewPCG(uint64(n), 9)))
	var err error
	m.member, err = cluster.Join(ctx, cluster.Options{
		Meta: m.meta, Nonce: fmt.Sprint(n), ID: -1, Shards: c.shards, Logger: c.log, Now: m.now, Stuck: func() []int32 { return m.store.Stuck() },
		Placement: func() placement.Settings { return placement.Settings{Cooldown: -1, Settle: -1} },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	m.store = New(Options{
		Blob: m.blob, Meta: m.meta, Topics: c.topics, Shards: c.shards, Broker: m.member.ID(), Now: m.now, Logger: c.log,
		Registerer: m.metrics, ExtentsMax: c.extents,
		Nonce:              func() [16]byte { return [16]byte{1, byte(c.nonces.Add(1)), byte(c.nonces.Load() >> 8)} },
		CheckpointInterval: c.keep, RetentionInterval: time.Hour,
		Cluster: &ClusterOptions{Directory: m.member.Directory(), Announce: m.member.Announce, CollectInterval: 4 * time.Second, Log: wal.ObjectOptions{GiveUp: 8 * time.Second, GroupBytes: 4 << 10, RingBytes: c.ring, RecallBytes: c.recall}},
	})
	if c.gaps != nil {
		c.gaps.watch(m.store)
	}
	ready := make(chan struct{}, 2)
	go func() {
		err := m.member.Run(ctx, func() { ready <- struct{}{} })
		cancel() // a server ends with its parts
		m.done <- err
	}()
	<-ready
	go func() { m.done <- m.store.Run(ctx, func() { ready <- struct{}{} }) }()
	select {
	case <-ready:
	case err := <-m.done:
		m.done <- err
		return m
	}
	if err := m.member.SetEndpoints(ctx, []cluster.Endpoint{{Listener: "T", Host: "h", Port: 1}}); err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = append(c.members, m)
	return m
}

// cut breaks a broker's connections: nothing it asks is done any more.
func (m *testMember) cut(fromBlob, fromMeta bool) {
	if fromBlob {
		m.blob.Inject(func(blob.Op) error { return errCut })
	}
	if fromMeta {
		m.meta.Inject(func(meta.FaultOp) error { return errCut })
	}
}

func (m *testMember) heal() {
	m.blob.Inject(nil)
	m.meta.Inject(nil)
}

// stop ends a broker in order; after a cut it is as good as killed.
func (m *testMember) stop() {
	m.cancel()
	for range 2 {
		if err := <-m.done; err != nil && !errors.Is(err, errCut) && !errors.Is(err, cluster.ErrTaken) && !strings.Contains(err.Error(), "wal:") {
			m.c.t.Errorf("broker %d ended with %v", m.member.ID(), err)
		}
	}
	m.done <- nil
	m.done <- nil
}

func (c *testCluster) remove(m *testMember) {
	c.mu.Lock()
	c.members = slices.DeleteFunc(c.members, func(x *testMember) bool { return x == m })
	c.mu.Unlock()
	m.stop()
}

// settled waits until every shard is served by exactly one broker, as assigned.
func (c *testCluster) settled(limit time.Duration) time.Duration {
	c.t.Helper()
	began := time.Now()
	for time.Since(began) < limit {
		served := map[int32]int{}
		for _, m := range c.all() {
			for _, id := range m.store.Owned() {
				if m.member.Directory().View().Local(id) {
					served[id]++
				}
			}
		}
		if len(served) == int(c.shards) && !slices.ContainsFunc(slices.Collect(maps.Values(served)), func(n int) bool { return n != 1 }) {
			return time.Since(began)
		}
		<-time.After(10 * time.Millisecond)
	}
	for _, m := range c.all() {
		v := m.member.Directory().View()
		c.t.Logf("broker %d serves %v; controller %d, assigned %v, owners %v", m.member.ID(), m.store.Owned(), v.Controller, v.Assigned, v.Shards)
	}
	c.t.Fatal("the cluster does not settle")
	return 0
}

// produced is what a client knows: values whose append was acknowledged by offset, and all that it sent.
type produced struct {
	mu    sync.Mutex
	acked map[int32]map[int64]string // by partition
	sent  map[string]bool
	n     int
	size  int // of a batch; 0: 100 bytes
}

func newProduced() *produced {
	return &produced{acked: map[int32]map[int64]string{}, sent: map[string]bool{}}
}

// produce appends a value to a partition at any broker that takes it, and waits for at most 5 s.
func (p *produced) produce(ctx context.Context, m *testMember, partition int32) error {
	l, err := m.store.Log(topicA, partition)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.n++
	value := fmt.Sprintf("v%d;", p.n)
	p.sent[value] = true
	p.mu.Unlock()
	a, err := l.Append(testBatch(value, cmp.Or(p.size, 100)))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := a.Ticket.Wait(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.acked[partition] == nil {
		p.acked[partition] = map[int64]string{}
	}
	if was, twice := p.acked[partition][a.BaseOffset]; twice {
		return fmt.Errorf("partition %d offset %d was acknowledged for %s and for %s", partition, a.BaseOffset, was, value)
	}
	p.acked[partition][a.BaseOffset] = value
	return nil
}

// check reads everything and compares.
func (p *produced) check(c *testCluster, partitions int32) {
	c.t.Helper()
	for partition := range partitions {
		var values map[int64]string
		for _, m := range c.all() {
			l, err := m.store.Log(topicA, partition)
			if errors.Is(err, kafka.NotLeaderOrFollower) {
				continue
			}
			if err != nil {
				c.t.Fatal(err)
			}
			values = map[int64]string{}
			o := l.Offsets()
			for offset := o.LogStart; offset < o.HighWatermark; {
				b, next, err := l.ReadBytes(c.t.Context(), offset, 1<<20)
				if err != nil {
					c.t.Fatalf("read partition %d at %d of %+v: %v", partition, offset, o, err)
				}
				for len(b) > 0 {
					h, err := record.ParseHeader(b)
					if err != nil {
						c.t.Fatal(err)
					}
					value := valueOf(c.t, b[:h.Size()])
					if h.BaseOffset != offset {
						c.t.Errorf("partition %d: batch at %d, expected %d", partition, h.BaseOffset, offset)
					}
					values[h.BaseOffset] = value
					offset = h.NextOffset()
					b = b[h.Size():]
				}
				offset = next
			}
		}
		seen := map[string]int64{}
		for offset, v := range values {
			if other, twice := seen[v]; twice {
				c.t.Errorf("partition %d: %s at %d and %d", partition, v, other, offset)
			}
			seen[v] = offset
		}
		for offset, v := range p.acked[partition] {
			if values[offset] != v {
				c.t.Errorf("partition %d: %s was acknowledged at %d, there is %q", partition, v, offset, values[offset])
			}
		}
	}
}

// valueOf returns what the one record of a batch says, without what fills it up.
func valueOf(t *testing.T, batch []byte) string {
	t.Helper()
	it, err := record.NewIterator(batch, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	r, ok := it.Next()
	if !ok {
		t.Fatalf("a batch without a record: %v", it.Err())
	}
	value, _, _ := strings.Cut(string(r.Value), ".")
	return value
}

// spread produces n values for each partition, to whoever has it.
func (p *produced) spread(c *testCluster, partitions int32, n int) {
	c.t.Helper()
	for range n {
		for partition := range partitions {
			if !slices.ContainsFunc(c.all(), func(m *testMember) bool { return p.produce(c.t.Context(), m, partition) == nil }) {
				c.t.Fatalf("nobody takes a record for partition %d", partition)
			}
		}
	}
}

func TestClusterSharesItsShards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 6, 1)
		c.topics.set(topicA, 12)
		c.settled(10 * time.Second)
		p := newProduced()
		p.spread(c, 12, 5)
		c.start()
		c.start()
		<-time.After(20 * time.Second)
		c.settled(20 * time.Second)
		for _, m := range c.all() {
			if n := len(m.store.Owned()); n != 2 {
				t.Errorf("broker %d has %d of 6 shards", m.member.ID(), n)
			}
		}
		p.spread(c, 12, 5)
		p.check(c, 12)
	})
}

func TestClusterOutlivesABroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 6, 3)
		c.topics.set(topicA, 12)
		<-time.After(20 * time.Second)
		c.settled(20 * time.Second)
		p := newProduced()
		p.spread(c, 12, 5)
		victim := c.members[0]
		victim.cut(true, true)
		c.remove(victim)
		if took := c.settled(20 * time.Second); took > 6500*time.Millisecond {
			t.Errorf("fail-over took %v", took)
		}
		p.spread(c, 12, 5)
		p.check(c, 12)
	})
}

func TestStoppedBrokerHandsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 6, 2)
		c.topics.set(topicA, 12)
		<-time.After(20 * time.Second)
		c.settled(20 * time.Second)
		p := newProduced()
		p.spread(c, 12, 5)
		m := c.members[0]
		if err := m.member.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.remove(m)
		if took := c.settled(time.Second); took > 500*time.Millisecond {
			t.Errorf("the hand-over took %v more", took)
		}
		p.check(c, 12)
	})
}

// TestClusterLosesNothing lets brokers be cut from one store or both, stall, lose answers, die and come, while clients write to
// whoever says that it owns a partition.
func TestClusterLosesNothing(t *testing.T) {
	t.Parallel()
	for seed := range chaosSeeds() {
		if s := os.Getenv("TEST_SEED"); s != "" && s != fmt.Sprint(seed) {
			continue
		}
		synctest.Test(t, func(t *testing.T) { clusterChaos(t, seed, func(*testCluster) {}) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// The same with clocks that are minutes apart and are set, forward and back, while the brokers run; and with listings that are older than a take-over.
func TestClusterLosesNothingWhateverClocksAndListingsSay(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testCluster){
		"clocks":   func(c *testCluster) { c.clocks = true },
		"listings": func(c *testCluster) { c.blob = newOldLists(c.blob, 20*time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range chaosSeeds() / 2 {
				synctest.Test(t, func(t *testing.T) { clusterChaos(t, seed, change) })
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

func chaosSeeds() uint64 {
	if os.Getenv("TEST_THOROUGH") != "" {
		return 400
	}
	return 6
}

func clusterChaos(t *testing.T, seed uint64, change func(*testCluster)) {
	const partitions = 6
	rng := rand.New(rand.NewPCG(seed, 5))
	c := newTestCluster(t, 4, 0)
	c.ring = []int64{0, 16 << 10}[seed%2] // all that is cut is in memory, or hardly anything
	change(c)
	for range 3 {
		c.start()
	}
	c.topics.set(topicA, partitions)
	c.settled(30 * time.Second)
	p := newProduced()
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	for partition := range int32(partitions) {
		own := rand.New(rand.NewPCG(seed, uint64(partition)))
		writing.Go(func() {
			for ctx.Err() == nil {
				all := c.all()
				m := all[own.IntN(len(all))]
				_ = p.produce(ctx, m, partition) // what was not acknowledged may be there or not
				<-time.After(time.Duration(own.IntN(200)) * time.Millisecond)
			}
		})
	}
	for range 12 {
		all := c.all()
		m := all[rng.IntN(len(all))]
		if c.clocks {
			all[rng.IntN(len(all))].setClock(rng)
		}
		switch rng.IntN(7) {
		case 0:
			m.cut(true, false)
		case 1:
			m.cut(false, true)
		case 2:
			m.cut(true, true)
		case 3: // everything takes longer than a lease
			var n atomic.Int64
			m.blob.Inject(func(blob.Op) error {
				<-time.After(time.Duration(n.Add(1)*3517%9000) * time.Millisecond)
				return nil
			})
			m.meta.Inject(func(meta.FaultOp) error { <-time.After(7 * time.Second); return nil })
		case 4: // answers get lost
			var n atomic.Int64
			m.blob.Inject(func(op blob.Op) error {
				if n.Add(1)%3 == 0 && (op.Kind == blob.OpPutIfAbsent || op.Kind == blob.OpDelete) {
					return blob.Lost(errCut)
				}
				return nil
			})
		case 5: // it dies
			m.cut(true, true)
			c.start()
			c.remove(m)
		case 6: // it is stopped in order
			c.start()
			if err := m.member.Drain(t.Context()); err != nil && !errors.Is(err, cluster.ErrTaken) && !errors.Is(err, meta.ErrLeaseNotFound) {
				t.Error(err)
			}
			c.remove(m)
		}
		<-time.After(time.Duration(rng.IntN(12000)) * time.Millisecond)
		if rng.IntN(3) > 0 {
			m.heal()
		}
		<-time.After(time.Duration(rng.IntN(4000)) * time.Millisecond)
		m.heal()
	}
	<-time.After(20 * time.Second)
	cancel()
	writing.Wait()
	c.settled(30 * time.Second)
	n := 0
	for _, acked := range p.acked {
		n += len(acked)
	}
	if n < 100 {
		t.Errorf("seed %d: only %d values were acknowledged", seed, n)
	}
	p.check(c, partitions)
}

// testLogger shows what brokers say if $TEST_LOG is set.
func testLogger() *slog.Logger {
	if os.Getenv("TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}
