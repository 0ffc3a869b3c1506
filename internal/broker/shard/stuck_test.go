package shard

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/broker/ownership"
)

func (c *testCluster) pointer(id int32) ownership.Pointer {
	c.t.Helper()
	e, err := c.meta.Get(c.t.Context(), ownership.ShardKey(id))
	if err != nil {
		c.t.Fatal(err)
	}
	p, err := ownership.DecodePointer(e)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// A shard that cannot be loaded, because an object is gone, is tried for as long as it takes. Nothing grows by that, whatever else the broker writes, the
// others are told, and the shard is served once the object is back.
func TestShardThatCannotBeLoadedCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 2, 1)
		c.topics.set(topicA, 2)
		c.settled(10 * time.Second)
		p := newProduced()
		p.spread(c, 2, 5)
		<-time.After(2 * c.keep) // for a checkpoint
		victim := c.all()[0]
		victim.cut(true, true)
		c.remove(victim)

		lost := c.pointer(0)
		body := c.object(lost.Checkpoint)
		if err := c.blob.Delete(t.Context(), lost.Checkpoint); err != nil {
			t.Fatal(err)
		}
		heir := c.start()
		for range 1200 { // ten minutes in which it writes to the other shard
			<-time.After(500 * time.Millisecond)
			for partition := range int32(2) {
				_ = p.produce(t.Context(), heir, partition) // one of them is refused
			}
		}
		if got := heir.store.Owned(); !slices.Equal(got, []int32{1}) {
			t.Errorf("it serves %v, want shard 1", got)
		}
		if got := heir.store.Stuck(); !slices.Equal(got, []int32{0}) {
			t.Errorf("stuck are %v, want shard 0", got)
		}
		v := heir.member.Directory().View()
		if b, _ := v.Broker(v.Self); !slices.Equal(b.Stuck, []int32{0}) {
			t.Errorf("others hear that %v are stuck, want shard 0", b.Stuck)
		}
		now := c.pointer(0)
		if now.Epoch > lost.Epoch+1 || len(now.History) > len(lost.History)+1 {
			t.Errorf("epoch %d and %d tenures have become %d and %d", lost.Epoch, len(lost.History), now.Epoch, len(now.History))
		}

		if err := c.blob.PutIfAbsent(t.Context(), lost.Checkpoint, body); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * lastLifePause)
		c.settled(time.Second)
		if got := heir.store.Stuck(); len(got) > 0 {
			t.Errorf("stuck are still %v", got)
		}
		v = heir.member.Directory().View()
		if b, _ := v.Broker(v.Self); len(b.Stuck) > 0 {
			t.Errorf("others still hear that %v are stuck", b.Stuck)
		}
		p.spread(c, 2, 5)
		p.check(c, 2)
	})
}

// object returns the bytes of an object.
func (c *testCluster) object(key string) []byte {
	c.t.Helper()
	body, err := readObject(c.t.Context(), c.blob, key)
	if err != nil || !strings.HasPrefix(key, "c/") {
		c.t.Fatalf("%s: %d bytes, %v", key, len(body), err)
	}
	return body
}
