package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/broker/shard"
)

// health asks both stores for something small, and says what is not well. It returns an error only if ctx ends.
func (c *clusterAdmin) health(ctx context.Context) (ClusterHealth, error) {
	select {
	case c.asking <- struct{}{}:
	case <-ctx.Done():
		return ClusterHealth{}, ctx.Err()
	}
	if c.last.at.IsZero() || c.now().Sub(c.last.at) > storesFresh {
		c.last = storesAnswer{}
		var asking sync.WaitGroup
		asking.Go(func() {
			c.last.meta = ask(ctx, func(ctx context.Context) error {
				_, err := c.meta.Get(ctx, shardsKey)
				return err
			})
		})
		asking.Go(func() {
			c.last.objects = ask(ctx, func(ctx context.Context) error {
				o, err := c.objects.Open(ctx, absentObject)
				if errors.Is(err, blob.ErrNotFound) {
					return nil
				}
				if err == nil {
					err = o.Close()
				}
				return err
			})
		})
		asking.Wait()
		if ctx.Err() == nil { // else the answers are no news of the stores
			c.last.at = c.now()
		}
	}
	stores := c.last
	<-c.asking
	h := ClusterHealth{ClusterStatus: c.status(), Metadata: stores.meta, Objects: stores.objects, Problems: []string{}}
	if c.member == nil && c.storage != nil {
		h.Disk = diskStatus(c.storage)
	}
	h.Problems = append(h.Problems, h.judge()...)
	h.Healthy = len(h.Problems) == 0
	return h, nil
}

func diskStatus(s *shard.Store) *DiskStatus {
	bytes, age := s.Pending()
	d := &DiskStatus{Full: s.NoSpace(), Waiting: bytes, WaitingMs: age.Milliseconds(), WaitsFor: s.Waits()}
	if usage, err := s.Free(); err == nil {
		d.FreeBytes = int64(usage.FreeBytes)
	}
	return d
}

// absentObject is the key of an object that never exists: the store says so, which is an answer.
const absentObject = "health/absent"

func ask(ctx context.Context, question func(context.Context) error) StoreStatus {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	asked := time.Now()
	err := question(ctx)
	s := StoreStatus{OK: err == nil, AnswerMs: float64(time.Since(asked).Microseconds()) / 1000}
	if !s.OK {
		s.Error = err.Error()
	}
	return s
}

// judge says what an operator should know, worst first.
func (h *ClusterHealth) judge() (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if d := h.Disk; d != nil {
		if d.Full {
			say("the log of broker %d has all of the local disk that it may take, so producers are refused until it has room: %d MiB in it wait to be moved into segments, %d MiB of the disk are free",
				h.Broker, d.Waiting>>20, d.FreeBytes>>20)
		}
		if d.WaitsFor != "" {
			say("broker %d cannot move what is in its log into segments, the oldest of it %d s old: %s", h.Broker, d.WaitingMs/1000, d.WaitsFor)
		}
	}
	if !h.Objects.OK && h.Alone {
		say("broker %d does not reach the object store, so what is only there cannot be read: %s", h.Broker, h.Objects.Error)
	} else if !h.Objects.OK {
		say("broker %d does not reach the object store, so it can acknowledge nothing: %s", h.Broker, h.Objects.Error)
	}
	if !h.Metadata.OK {
		say("broker %d does not reach the metadata store, so shards cannot move and topics cannot change: %s", h.Broker, h.Metadata.Error)
	}
	if h.LeaseMs > 0 && h.LeaseAgeMs > h.LeaseMs {
		say("broker %d has not renewed its lease of %d ms for %d ms: others may take it for dead", h.Broker, h.LeaseMs, h.LeaseAgeMs)
	}
	if h.Controller < 0 {
		say("there is no controller, so shards of dead brokers are not taken over")
	}
	if n := len(h.Unowned); n > 0 {
		say("%d of %d shards have no owner, first %d: their partitions cannot be written or read", n, h.Shards, h.Unowned[0])
	}
	for i := range h.Brokers {
		b := &h.Brokers[i]
		if b.Draining && b.Owned > 0 && len(h.Brokers) == h.draining() {
			say("broker %d drains, and there is no other to take its %d shards", b.ID, b.Owned)
		}
		if n := len(b.Stuck); n > 0 {
			say("broker %d cannot load %d of its shards, first %d: their partitions cannot be written or read; its log says why, 'weir cluster scrub' finds what is missing or damaged", b.ID, n, b.Stuck[0])
		}
		if !b.Ready {
			say("broker %d is starting: it has no listener yet", b.ID)
		}
	}
	for _, id := range h.Drains {
		say("broker %d is not there, and will get no shards when it comes: 'weir cluster drain %d --undo' ends that", id, id)
	}
	return problems
}

func (h *ClusterHealth) draining() (n int) {
	for i := range h.Brokers {
		if h.Brokers[i].Draining {
			n++
		}
	}
	return n
}
