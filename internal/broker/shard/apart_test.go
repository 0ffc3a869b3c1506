package shard

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A broker that reaches the metadata store and not the object store serves nothing, and says so: others take its shards, and it takes part again once it can.
func TestABrokerWithoutTheObjectStoreLeavesItsShardsToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions = 6
		c := newTestCluster(t, 6, 3)
		c.topics.set(topicA, partitions)
		c.settled(30 * time.Second)
		p := newProduced()
		p.spread(c, partitions, 2)
		apart := c.all()[0]
		if len(apart.store.Owned()) == 0 {
			t.Fatal("the broker has no shard to lose")
		}
		apart.cut(true, false)
		served := func() (n int) {
			for _, m := range c.all() {
				if m == apart {
					continue
				}
				for _, id := range m.store.Owned() {
					if m.member.Directory().View().Local(id) {
						n++
					}
				}
			}
			return n
		}
		for begun := time.Now(); served() < int(c.shards); <-time.After(100 * time.Millisecond) {
			if time.Since(begun) > 20*time.Second { // 8 s until its log gives up, if somebody writes or checkpoints
				t.Fatalf("others serve %d of %d shards", served(), c.shards)
			}
			for partition := range int32(partitions) {
				_ = p.produce(t.Context(), apart, partition) // for the log to notice
			}
		}
		p.spread(c, partitions, 2)
		apart.heal()
		for begun := time.Now(); len(apart.store.Owned()) == 0; <-time.After(100 * time.Millisecond) {
			if time.Since(begun) > time.Minute {
				t.Fatal("the broker gets nothing when it can serve again")
			}
		}
		c.settled(30 * time.Second)
		p.check(c, partitions)
		if !slices.Contains(c.all(), apart) {
			t.Error("the broker has ended")
		}
	})
}
