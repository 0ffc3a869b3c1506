package shard

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// keepBusy makes a store's clients busy until the returned function is called.
func keepBusy(t *testing.T, s *Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.clients.Served(1 << 20)
			}
		}
	}()
	return func() { cancel(); <-done }
}

// after lets d pass in a bubble.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestACutOfFilesYieldsToClientsWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keep = 8 << 20
		n := newNode(t, vfs.NewMem(), "/wal", func(o *Options) {
			o.WALKeepBytes, o.WALFileBytes, o.CheckpointInterval = keep, 1<<20, time.Minute
		})
		n.topics.set(topicA, 1)
		held := func() int64 { return n.present.Load().files.Bytes() }
		fill := func(to int64) {
			for i := 0; held() < to; i++ {
				n.append(topicA, 0, fmt.Sprint(i), 50_000)
			}
		}
		cuts := func() float64 { return testutil.ToFloat64(n.metrics.cuts) }
		stop := keepBusy(t, n.Store)
		after(time.Second)

		fill(keep + 200<<10)
		after(20 * time.Second)
		if cuts() != 0 {
			t.Errorf("a cut has not yielded to clients")
		}
		after(12 * time.Second)
		if cuts() != 1 || held() > keep/2+2<<20 {
			t.Errorf("%v cuts after half an interval, the log holds %d bytes", cuts(), held())
		}

		fill(keep + 200<<10)
		after(time.Second)
		fill(keep + keep/4 + 400<<10)
		after(time.Second)
		if cuts() != 2 {
			t.Errorf("%v cuts when the log has no room, want 2", cuts())
		}

		fill(keep + 200<<10)
		stop()
		after(2 * time.Second)
		if cuts() != 3 {
			t.Errorf("%v cuts 2 s after clients have ended, want 3", cuts())
		}
		if lines := n.contents(topicA, 0); lines == "" {
			t.Error("nothing to read")
		}
	})
}

// paced is a cluster of one broker for tests of cuts, and counts requests for its log.
type paced struct {
	*testCluster
	m    *testMember
	gets atomic.Int64
	sent *produced
}

func newPaced(t *testing.T, ring int64, extents int) *paced {
	t.Helper()
	c := &paced{testCluster: newTestCluster(t, 2, 0), sent: newProduced()}
	c.sent.size = 100_000
	c.ring, c.keep, c.extents = ring, time.Minute, extents
	c.topics.set(topicA, 2)
	c.m = c.start()
	<-time.After(10 * time.Second)
	c.settled(20 * time.Second)
	c.m.blob.Inject(func(op blob.Op) error {
		if op.Kind == blob.OpRead && strings.HasPrefix(op.Key, wal.ObjectPrefix+"/") {
			c.gets.Add(1)
		}
		return nil
	})
	return c
}

// fill appends batches of 100 kB, each a frame of its own, until the ring has taken so many bytes for them.
func (c *paced) fill(bytes int64) (frames int) {
	c.t.Helper()
	log := c.m.store.present.Load().objects
	for begun := log.Remembered(); log.Remembered()-begun < bytes; frames++ {
		if err := c.sent.produce(c.t.Context(), c.m, int32(frames%2)); err != nil {
			c.t.Fatal(err)
		}
	}
	return frames
}

// metric is the value of a counter.
func (c *paced) metric(name string) float64 {
	c.t.Helper()
	families, err := c.m.metrics.Gather()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	c.t.Fatalf("there is no metric %s", name)
	return 0
}

func (c *paced) cuts() float64 { return testutil.ToFloat64(c.m.store.metrics.cuts) }

func TestACutOfObjectsYieldsAndIsMadeFromMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const ring = 16 << 20
		c := newPaced(t, ring, 0)
		stop := keepBusy(t, c.m.store)
		defer stop()
		c.fill(ring / 8 * 7)
		after(c.keep - 5*time.Second) // the last checkpoint was at least 10 s ago, and most of the interval is over
		if c.cuts() != 0 {
			t.Errorf("%v cuts soon after one was due, beside busy clients", c.cuts())
		}
		after(c.keep/2 + 5*time.Second)
		if c.cuts() != 2 {
			t.Errorf("%v cuts after half an interval, want one of each shard", c.cuts())
		}
		if n := c.gets.Load(); n != 0 {
			t.Errorf("%d reads of the log for cuts from memory", n)
		}
	})
}

// A burst is cut when it is over, or has made so many frames that a fail-over would take its time. What has left memory then comes back frame by frame.
func TestABurstIsCutAfterwardsFromWholeFrames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const ring = 16 << 20
		c := newPaced(t, ring, 0)
		begun := time.Now()
		stop := keepBusy(t, c.m.store)
		frames := c.fill(3 * ring)
		if took := time.Since(begun); took > burst || frames > checkpointBurstFrames {
			t.Fatalf("%d frames in %v are no burst", frames, took)
		}
		if c.cuts() != 0 {
			t.Errorf("%v cuts beside a burst", c.cuts())
		}
		c.fill(128<<10*checkpointBurstFrames - 3*ring + 1<<20)
		stop()
		after(2 * time.Second)
		written := int64(c.m.store.present.Load().objects.Durable().Pos - wal.OwnStart)
		if want := 2 * float64((written+ring-1)/ring); c.cuts() < want-2 || c.cuts() > want+2 { // of two shards, in stretches of 16 MiB
			t.Errorf("%v cuts after it, want about %v", c.cuts(), want)
		}
		left := checkpointBurstFrames - ring/(128<<10)
		if n := int(c.gets.Load()); n < left-64 || n > left+64 {
			t.Errorf("%d reads for %d frames that have left memory", n, left)
		}
		if recalled := c.metric("weir_wal_recalled_frames_total"); recalled != float64(c.gets.Load()) {
			t.Errorf("%v frames were read back whole, with %d reads", recalled, c.gets.Load())
		}
		if bytes, _, _ := c.m.store.pendingExtents(); bytes > 4<<20 {
			t.Errorf("%d bytes are uncut", bytes)
		}
		c.sent.check(c.testCluster, 2)
	})
}

// Many small batches are cut for the memory of their index, also in a burst.
func TestManyExtentsAreCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newPaced(t, 16<<20, 200)
		c.sent.size = 100
		stop := keepBusy(t, c.m.store)
		defer stop()
		for i := range int32(400) {
			if err := c.sent.produce(t.Context(), c.m, i%2); err != nil {
				t.Fatal(err)
			}
		}
		after(2 * pauseOfCuts)
		if n := c.m.store.present.Load().env.Extents(); n > 200 || c.cuts() == 0 {
			t.Errorf("%d extents after %v cuts", n, c.cuts())
		}
		c.sent.check(c.testCluster, 2)
	})
}

// A shard to which nothing was written is given away with nothing to replay, also after a burst in others.
func TestAnIdleShardIsReleasedWithNothingToReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newPaced(t, 4<<20, 0)
		for p := range int32(2) {
			if err := c.sent.produce(t.Context(), c.m, p); err != nil {
				t.Fatal(err)
			}
		}
		after(c.keep + 10*time.Second)
		stop := keepBusy(t, c.m.store)
		defer stop()
		for range checkpointObjectFrames / 2 { // fewer are not worth moving a pointer for
			if err := c.sent.produce(t.Context(), c.m, 0); err != nil {
				t.Fatal(err)
			}
		}
		l, err := c.m.store.Log(topicA, 1)
		if err != nil {
			t.Fatal(err)
		}
		idle := l.Identity().Shard
		if err := c.m.store.release(t.Context(), c.m.store.shard(idle)); err != nil {
			t.Fatal(err)
		}
		p := c.pointer(idle)
		for _, tenure := range p.History {
			if tenure.To > tenure.From {
				t.Errorf("frames [%d, %d) are left to replay, in which the shard has nothing", tenure.From, tenure.To)
			}
		}
	})
}
