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

func TestACutOfObjectsYieldsAndIsMadeFromMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const ring = 16 << 20
		c := newTestCluster(t, 2, 0)
		c.ring, c.keep = ring, time.Minute
		c.topics.set(topicA, 2)
		m := c.start()
		<-time.After(10 * time.Second)
		c.settled(20 * time.Second)
		fill := func(bytes int64) {
			log := m.store.present.Load().objects
			for i, begun := 0, log.Remembered(); log.Remembered()-begun < bytes; i++ {
				l, err := m.store.Log(topicA, int32(i%2))
				if err != nil {
					t.Fatal(err)
				}
				a, err := l.Append(testBatch(fmt.Sprint(i), 100_000))
				if err != nil {
					t.Fatal(err)
				}
				if err := a.Ticket.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		var gets atomic.Int64
		m.blob.Inject(func(op blob.Op) error {
			if (op.Kind == blob.OpOpen || op.Kind == blob.OpRead) && strings.HasPrefix(op.Key, "w/") {
				gets.Add(1)
			}
			return nil
		})
		cuts := func() float64 { return testutil.ToFloat64(m.store.metrics.cuts) }
		stop := keepBusy(t, m.store)
		defer stop()
		fill(cutAtBytes(ring) + 500_000)
		after(10 * time.Second)
		if cuts() != 0 {
			t.Errorf("%v cuts 10 s after one was due, of a ring with room, beside busy clients", cuts())
		}
		after(21 * time.Second)
		if cuts() != 2 {
			t.Errorf("%v cuts after half an interval, want one of each shard", cuts())
		}
		fill(cutAtBytes(ring) + 500_000)
		after(time.Second)
		fill(ring / 4)
		after(time.Second)
		if cuts() != 4 {
			t.Errorf("%v cuts when the ring has no room, want 4", cuts())
		}
		if n := gets.Load(); n != 0 {
			t.Errorf("%d reads of the log for cuts from memory", n)
		}
	})
}
