package shard

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stuckShards are the shards that an incarnation was to serve and could not, at the last try: an object that they need is gone or damaged, say, or the
// bucket does not answer. The mutex is held for a few instructions.
type stuckShards struct {
	mu     sync.Mutex
	shards map[int32]stuckShard
}

type stuckShard struct {
	epoch int32 // in which this incarnation has it by the pointer and has served nothing; -1 if it is not known to
	pause time.Duration
	again time.Time
}

// failed notes a try that failed. The next is to come after a pause that doubles, up to lastLifePause; what soon passes is not made longer by it, since
// all shards are looked at each lookAgain.
func (b *stuckShards) failed(id, epoch int32, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shards == nil {
		b.shards = map[int32]stuckShard{}
	}
	pause := lookAgain / 8
	if before, ok := b.shards[id]; ok {
		pause = min(2*before.pause, lastLifePause)
	}
	b.shards[id] = stuckShard{epoch: epoch, pause: pause, again: now.Add(pause)}
}

// forget is for a shard that is served, or for others to serve.
func (b *stuckShards) forget(id int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.shards, id)
}

// rests reports whether it is too early for another try.
func (b *stuckShards) rests(id int32, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.shards[id]
	return ok && now.Before(s.again)
}

// idle reports whether the incarnation took the shard in this epoch and has served nothing of it, so that it need not be taken again.
func (b *stuckShards) idle(id, epoch int32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.shards[id]
	return ok && s.epoch >= 0 && s.epoch == epoch
}

// ids returns the shards, ascending; nil if there are none.
func (b *stuckShards) ids() []int32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.shards))
}

// Stuck returns the shards that this broker is to serve and could not take or load when it tried last, ascending. It tries again every few seconds.
func (s *Store) Stuck() []int32 { return s.present.Load().stuck.ids() }

func (s *Store) registerStuck(r prometheus.Registerer) {
	if r == nil || s.o.Cluster == nil {
		return
	}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_storage_stuck_shards", Help: "Shards that this broker of a cluster is to serve and could not take or load when it tried last.",
	}, func() float64 { return float64(len(s.Stuck())) }))
}
