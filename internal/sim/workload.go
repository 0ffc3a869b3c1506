package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/weir-stream/weir/internal/broker/placement"
)

// topic is a topic of the workload: its partitions lie in consecutive shards from first on, as package topics lays them.
type topic struct {
	partitions, first int
	rate              float64 // bytes per second and partition, on the average of a day
	phase             float64 // of its day, in radians
	burst             float64 // factor on top, 1 without
	burstEnd          time.Duration
}

// workload makes the load of shards.
type workload struct {
	r          *rand.Rand
	topics     []topic
	partitions []int32 // by shard
	load       []placement.Load
	measured   []placement.Load // smoothed, as brokers report it
}

// How many partitions topics have: many small ones, few large ones, 15 on the average.
var partitionCounts = []struct {
	partitions int
	share      float64
}{{1, 0.25}, {3, 0.20}, {6, 0.20}, {12, 0.15}, {24, 0.10}, {48, 0.06}, {96, 0.03}, {256, 0.01}}

// newWorkload makes topics until there are enough partitions. The rate of a topic's partitions falls with its rank as Zipf's law has
// it; all of them together are written at bytesPerSecond.
func newWorkload(r *rand.Rand, shards, partitions int, bytesPerSecond float64) *workload {
	w := &workload{r: r, partitions: make([]int32, shards), load: make([]placement.Load, shards), measured: make([]placement.Load, shards)}
	for left := partitions; left > 0; {
		x, n := r.Float64(), 1
		for _, c := range partitionCounts {
			if n = c.partitions; x < c.share {
				break
			}
			x -= c.share
		}
		n = min(n, left)
		left -= n
		w.topics = append(w.topics, topic{partitions: n, first: r.IntN(shards), phase: r.Float64() * 2 * math.Pi, burst: 1})
	}
	total := 0.0
	for rank, i := range r.Perm(len(w.topics)) {
		w.topics[i].rate = 1 / float64(rank+1)
		total += w.topics[i].rate * float64(w.topics[i].partitions)
	}
	for i := range w.topics {
		t := &w.topics[i]
		t.rate *= bytesPerSecond / total
		for p := range t.partitions {
			w.partitions[(t.first+p)%shards]++
		}
	}
	w.step(0, 1)
	return w
}

// step computes the loads at a time. fresh is how much of what brokers report comes from the last minute.
func (w *workload) step(now time.Duration, fresh float64) {
	for i := range w.load {
		w.load[i] = placement.Load{Partitions: w.partitions[i]}
	}
	hour := now.Hours()
	for i := range w.topics {
		t := &w.topics[i]
		if now >= t.burstEnd {
			t.burst = 1
		}
		rate := t.rate * t.burst * (1 + 0.6*math.Sin(hour*2*math.Pi/24+t.phase))
		for p := range t.partitions {
			w.load[(t.first+p)%len(w.load)].BytesInPerSecond += rate
		}
	}
	for i := range w.load {
		l, m := &w.load[i], &w.measured[i]
		l.BytesOutPerSecond = 2 * l.BytesInPerSecond
		l.RequestsPerSecond = l.BytesInPerSecond/16e3 + 0.2*float64(l.Partitions) // a poll now and then of each
		noise := 0.95 + 0.1*w.r.Float64()
		m.BytesInPerSecond += fresh * (noise*l.BytesInPerSecond - m.BytesInPerSecond)
		m.BytesOutPerSecond += fresh * (noise*l.BytesOutPerSecond - m.BytesOutPerSecond)
		m.RequestsPerSecond += fresh * (noise*l.RequestsPerSecond - m.RequestsPerSecond)
		m.Partitions = l.Partitions
	}
}

// startBurst makes a topic two to six times as busy for a while: that of a byte picked by chance, since a burst of what nobody uses is none.
func (w *workload) startBurst(now time.Duration) {
	total := 0.0
	for i := range w.topics {
		total += w.topics[i].rate * float64(w.topics[i].partitions)
	}
	at, i := w.r.Float64()*total, 0
	for ; i < len(w.topics)-1; i++ {
		if at -= w.topics[i].rate * float64(w.topics[i].partitions); at < 0 {
			break
		}
	}
	w.topics[i].burst = 2 + 4*w.r.Float64()
	w.topics[i].burstEnd = now + 20*time.Minute + time.Duration(w.r.Int64N(int64(40*time.Minute)))
}
