package shard

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/broker/ownership"
)

// What was deleted, or is in segments, does not stay in the frames of the log because a shard that nobody writes to has not moved its pointer since.
func TestIdleShardsDoNotKeepFramesForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, 1)
		c.topics.set(topicA, 3)
		c.settled(10 * time.Second)
		p := newProduced()
		p.spread(c, 3, 5)
		<-time.After(time.Minute)
		m := c.all()[0]
		for range 20 {
			if err := p.produce(t.Context(), m, 1); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(heldBackMax + 2*time.Minute)
		if left, err := c.blob.List(t.Context(), "w/", "", 0); err != nil || len(left) > 0 {
			t.Errorf("left are %v, %v", left, err)
		}
		version, before := c.pointer(0).Version, c.revision()
		<-time.After(2 * heldBackMax)
		if after := c.revision(); after != before {
			t.Errorf("nobody writes, and the metadata goes from revision %d to %d", before, after)
		}
		if got := c.pointer(0).Version; got != version {
			t.Errorf("a shard that nobody writes to has manifest %d, and then %d", version, got)
		}
		p.check(c, 3)
	})
}

// revision is that of the shards' pointers.
func (c *testCluster) revision() (sum int64) {
	c.t.Helper()
	for id := range c.shards {
		e, err := c.meta.Get(c.t.Context(), ownership.ShardKey(id))
		if err != nil {
			c.t.Fatal(err)
		}
		sum += e.Revision
	}
	return sum
}

// A frame that is durable, and is being applied while a checkpoint begins, is not in that checkpoint. The next one has it: the pointer must not be moved past it
// as if nothing had been written.
func TestCheckpointBesideAFrameOnItsWayIsNotTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 2, 1)
		c.topics.set(topicA, 2)
		c.settled(10 * time.Second)
		p := newProduced()
		p.spread(c, 2, 2)
		<-time.After(2 * c.keep)
		s := c.all()[0].store
		sh := s.shard(0)
		s.noteChange(0, 0, sh.life.mark().Seq) // the first that is done with a frame; the mark moves last
		if err := s.onShard(t.Context(), sh, nil, func(ctx context.Context) error { return s.checkpointIfChanged(ctx, sh, sh.life.mark()) }); err != nil {
			t.Fatal(err)
		}
		before := c.pointer(0)
		other := int32(0) // a partition of the other shard
		if l, err := s.Log(topicA, other); err != nil || l.Identity().Shard == 0 {
			other = 1
		}
		for range checkpointObjectFrames {
			if err := p.produce(t.Context(), c.all()[0], other); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(2 * c.keep)
		after := c.pointer(0)
		if from, _ := after.Needs(sh.life.incarnation); from > before.History[0].From && after.Version == before.Version {
			t.Errorf("the pointer was moved from frame %d to %d without a checkpoint", before.History[0].From, from)
		}
		p.check(c, 2)
	})
}
