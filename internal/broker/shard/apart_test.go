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
		// Shards may be on their way from one broker to another.
		spread := func() {
			for partition := range int32(partitions) {
				for begun := time.Now(); !slices.ContainsFunc(c.all(), func(m *testMember) bool { return p.produce(t.Context(), m, partition) == nil }); <-time.After(100 * time.Millisecond) {
					if time.Since(begun) > time.Minute {
						t.Fatalf("nobody takes a record for partition %d", partition)
					}
				}
			}
		}
		<-time.After(20 * time.Second)
		c.settled(30 * time.Second)
		spread()
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
		spread()
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
