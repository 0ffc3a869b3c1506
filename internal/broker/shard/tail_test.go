package shard

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
)

// What was written is made a segment of while it is in memory: long before a checkpoint is due by the clock, and without reading an object of the log.
func TestSegmentsAreMadeOfWhatIsInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions = 4
		c := newTestCluster(t, 2, 0)
		c.keep, c.ring, c.recall = time.Hour, 448<<10, 360<<10
		m := c.start()
		c.topics.set(topicA, partitions)
		c.settled(10 * time.Second)
		var reads atomic.Int64
		m.blob.Inject(func(op blob.Op) error {
			if (op.Kind == blob.OpOpen || op.Kind == blob.OpRead) && strings.HasPrefix(op.Key, "w/") {
				reads.Add(1)
			}
			return nil
		})
		segments := func() int {
			infos, err := c.blob.List(t.Context(), objectPrefix+"/", "", 0)
			if err != nil {
				t.Fatal(err)
			}
			return len(infos)
		}
		p := newProduced()
		p.spread(c, partitions, 1)
		<-time.After(5 * time.Second)
		if n := segments(); n != 0 {
			t.Fatalf("%d segments of next to nothing", n)
		}
		p.spread(c, partitions, 20) // each a frame of a page at least: more than are cut together, and less than the ring holds
		<-time.After(burst + 2*time.Second)
		if n := segments(); n != 2 {
			t.Errorf("%d segments, want one of each of 2 shards", n)
		}
		if n := reads.Load(); n != 0 {
			t.Errorf("objects of the log were read %d times for what is in memory", n)
		}
		p.check(c, partitions)
	})
}
