package sim

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/placement"
)

// Report is what a simulation found.
type Report struct {
	Config Config

	Moves     [3]int // by placement.Kind
	Txns      int    // of the metadata store, for owners
	Decisions int
	Gaps      [causes]Gaps
	// Busiest is the use of the busiest broker over the mean of all, at each tick. Uneven is the same for brokers without a hot
	// shard, over their target. Use is what package placement balances.
	Busiest, Uneven []float64
	Metadata        Metadata
	// Unserved is how many shards nobody served at the end whose owner was not on its way.
	Unserved int
	Brokers  int // at the end

	deciding []time.Duration
}

// Gaps are the times in which a shard was not served.
type Gaps struct {
	Count            int
	PartitionSeconds float64
	Longest          time.Duration
	all              []time.Duration
}

// Quantile returns a quantile of the lengths.
func (g *Gaps) Quantile(q float64) time.Duration {
	if len(g.all) == 0 {
		return 0
	}
	slices.Sort(g.all)
	return g.all[min(int(q*float64(len(g.all))), len(g.all)-1)]
}

// gap notes the end of a gap of a shard with so many partitions.
func (r *Report) gap(now time.Duration, s *shard, partitions int32) {
	g, d := &r.Gaps[s.cause], now-s.gapFrom
	g.Count++
	g.Longest = max(g.Longest, d)
	g.all = append(g.all, d)
	g.PartitionSeconds += d.Seconds() * float64(partitions)
}

// Availability is the share of all partition-seconds in which a partition was served.
func (r *Report) Availability() float64 {
	lost := 0.0
	for i := range r.Gaps {
		lost += r.Gaps[i].PartitionSeconds
	}
	return 1 - lost/(float64(r.Config.Partitions)*r.Config.Duration.Seconds())
}

// Deciding returns a quantile of how long one decision took, in real time.
func (r *Report) Deciding(q float64) time.Duration { return quantile(r.deciding, q) }

func quantile[T float64 | time.Duration](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// note takes what a decision says of how even things are.
func (r *Report) note(d placement.Decision) {
	total, n, busiest, uneven := 0.0, 0, 0.0, 0.0
	for _, b := range d.Brokers {
		if !b.Settled {
			continue
		}
		total += b.UseBefore
		n++
		busiest = max(busiest, b.UseBefore)
		if b.HotShard == placement.None {
			uneven = max(uneven, b.UseBefore/d.Target)
		}
	}
	if n > 0 && total > 0 {
		r.Busiest = append(r.Busiest, busiest/(total/float64(n)))
		r.Uneven = append(r.Uneven, uneven)
	}
}

func (r *Report) finish(c *cluster) {
	for i := range c.shards {
		if s := &c.shards[i]; !s.serving && !s.moving && c.now-s.gapFrom > time.Minute {
			r.Unserved++
		}
	}
	for _, b := range c.brokers {
		if b.alive {
			r.Brokers++
		}
	}
	r.Metadata = measureMetadata(c.work, r.Config.Brokers, r.Config.Partitions)
}

// WriteTable writes the report as a table in Markdown.
func (r *Report) WriteTable(w io.Writer) {
	hours := r.Config.Duration.Hours()
	row := func(what, format string, args ...any) {
		fmt.Fprintf(w, "| %s | %s |\n", what, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "| %d brokers, %d racks, %d shards, %d topics, %d partitions, %.0f h, seed %d | |\n|---|---|\n",
		r.Config.Brokers, r.Config.Racks, r.Config.Shards, r.Metadata.Topics, r.Config.Partitions, hours, r.Config.Seed)
	for i, name := range [causes]string{"planned move", "death of a broker", "loss of a rack"} {
		g := &r.Gaps[i]
		row("gaps by "+name, "%d shards; p50 %.2f s, p99 %.2f s, longest %.2f s; %.0f partition-seconds", g.Count, g.Quantile(0.5).Seconds(), g.Quantile(0.99).Seconds(), g.Longest.Seconds(), g.PartitionSeconds)
	}
	row("partition-seconds served", "%.5f %%", 100*r.Availability())
	row("moves an hour: orphans, drains, balance", "%.0f, %.0f, %.0f", float64(r.Moves[placement.Orphan])/hours, float64(r.Moves[placement.Drain])/hours, float64(r.Moves[placement.Balance])/hours)
	row("busiest broker's use over the mean: p50, p95, max", "%.2f, %.2f, %.2f", quantile(r.Busiest, 0.5), quantile(r.Busiest, 0.95), quantile(r.Busiest, 1))
	row("the same over the target, without brokers of hot shards", "%.2f, %.2f, %.2f", quantile(r.Uneven, 0.5), quantile(r.Uneven, 0.95), quantile(r.Uneven, 1))
	m := r.Metadata
	row("metadata", "%.2f MB: topics %.2f (%d B each), shards %.2f (%d B), brokers %.2f (%d B), incarnations %.2f", mb(m.Bytes()), mb(m.TopicBytes), m.TopicBytes/int64(m.Topics),
		mb(m.ShardBytes), m.ShardBytes/int64(m.Shards), mb(m.BrokerBytes), m.BrokerBytes/int64(m.Brokers), mb(m.IncarnationBytes))
	row("metadata for each partition", "%.1f B", m.BytesPerPartition)
	row("history until it is compacted", "%.1f MB", mb(m.HistoryBytes))
	row("metadata transactions a second", "%.1f for checkpoints and loads, %.3f for owners", m.PutsPerSecond, float64(r.Txns)/r.Config.Duration.Seconds())
	row("one decision: p50, p99 (real time)", "%.1f ms, %.1f ms", ms(r.Deciding(0.5)), ms(r.Deciding(0.99)))
}

func mb(n int64) float64         { return float64(n) / 1e6 }
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
