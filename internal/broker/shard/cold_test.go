package shard

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
)

// A broker that has just taken its shards has nothing of the past in memory. Its store stops answering reads, many clients wait for the past,
// and whoever writes and reads at the end does not wait a moment.
func TestReadersOfThePastDoNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions, readers = 4, 200
		c := newTestCluster(t, 2, 1)
		c.topics.set(topicA, partitions)
		c.settled(10 * time.Second)
		p := newProduced()
		p.spread(c, partitions, 50)
		c.remove(c.all()[0])
		m := c.start()
		c.settled(20 * time.Second)

		gate := make(chan struct{})
		var waiting atomic.Int64
		m.blob.Inject(func(op blob.Op) error {
			if op.Kind == blob.OpOpen || op.Kind == blob.OpRead {
				waiting.Add(1)
				<-gate
			}
			return nil
		})
		var past sync.WaitGroup
		for i := range readers {
			past.Go(func() {
				l, err := m.store.Log(topicA, int32(i%partitions))
				if err != nil {
					t.Error(err)
					return
				}
				if b, _, err := l.ReadBytes(t.Context(), 0, 1<<20); err != nil || len(b) == 0 {
					t.Errorf("read of the past: %d bytes, %v", len(b), err)
				}
			})
		}
		synctest.Wait()
		if waiting.Load() == 0 {
			t.Fatal("nobody waits for the store: the past is in memory")
		}
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 20 {
			for partition := range int32(partitions) {
				l, err := m.store.Log(topicA, partition)
				if err != nil {
					t.Fatal(err)
				}
				at := l.Offsets().HighWatermark
				if err := p.produce(ctx, m, partition); err != nil {
					t.Fatalf("write at the end: %v", err)
				}
				if b, _, err := l.ReadBytes(ctx, at, 1<<20); err != nil || len(b) == 0 {
					t.Fatalf("read at the end: %d bytes, %v", len(b), err)
				}
			}
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("the end waited %v", took)
		}
		close(gate)
		past.Wait()
		p.check(c, partitions)
	})
}
