package sim

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/broker/placement"
)

// TestHundredBrokersAndTwoHundredThousandPartitions runs two hours, or SIM_HOURS as `make sim` sets it, and prints the table of docs/benchmarks.md.
func TestHundredBrokersAndTwoHundredThousandPartitions(t *testing.T) {
	t.Parallel()
	hours := 2
	if v := os.Getenv("SIM_HOURS"); v != "" {
		var err error
		if hours, err = strconv.Atoi(v); err != nil {
			t.Fatalf("SIM_HOURS: %v", err)
		}
	}
	r := Run(Standard(1, time.Duration(hours)*time.Hour))
	r.WriteTable(t.Output())
	if r.Unserved != 0 {
		t.Errorf("%d shards are served by nobody", r.Unserved)
	}
	for _, why := range []cause{byDeath, byRack} {
		if g := &r.Gaps[why]; g.Count < 100 || g.Longest > 6500*time.Millisecond {
			t.Errorf("cause %d: %d gaps, the longest %v, want at most 6.5 s", why, g.Count, g.Longest)
		}
	}
	if g := &r.Gaps[byMove]; g.Count < 2000 || g.Quantile(0.99) > 500*time.Millisecond || g.Longest > 6500*time.Millisecond {
		t.Errorf("%d moves, p99 %v, the longest %v", g.Count, g.Quantile(0.99), g.Longest)
	}
	if got := r.Availability(); got < 0.9995 || got >= 1 {
		t.Errorf("partition-seconds served %.6f", got)
	}
	// A rolling restart drains each shard once, and about as many moves fill the brokers again.
	if drains, balance := r.Moves[placement.Drain], r.Moves[placement.Balance]; drains < 2048 || drains > 2800 || balance > 2500+400*hours {
		t.Errorf("%d drains, %d moves for balance in %d hours", drains, balance, hours)
	}
	// Filling the brokers of a lost rack again takes seven minutes at 16 moves each tick, which weighs in two hours.
	if p50, p95 := quantile(r.Uneven, 0.5), quantile(r.Uneven, 0.95); p50 > 1.1 || p95 > 1.6 {
		t.Errorf("busiest broker over the target: p50 %.2f, p95 %.2f", p50, p95)
	}
	if m := r.Metadata; m.Bytes() > 5e6 || m.BytesPerPartition > 25 || m.PutsPerSecond > 100 {
		t.Errorf("metadata %+v", m)
	}
}

// Load wanders and bursts, and nothing else happens: what is moved then is what balancing costs.
func TestWanderingLoadMovesLittle(t *testing.T) {
	t.Parallel()
	c := Standard(3, time.Hour)
	c.Brokers, c.Shards, c.Partitions, c.BytesPerSecond, c.OnlyBalancing = 30, 600, 60_000, 3e8, true
	c.BurstEvery = 2 * time.Minute
	c.JoinAt, c.DrainAt, c.RollAt = 2*c.Duration, 2*c.Duration, 2*c.Duration
	r := Run(c)
	if moved := r.Moves[placement.Balance]; moved == 0 || moved > c.Shards/4 || r.Moves[placement.Orphan]+r.Moves[placement.Drain] > 0 {
		t.Errorf("moves %v of %d shards in an hour of thirty bursts", r.Moves, c.Shards)
	}
	if g := r.Gaps[byMove]; g.Longest != c.Model.Move || g.Count != r.Moves[placement.Balance] {
		t.Errorf("%d gaps, the longest %v, for moves %v", g.Count, g.Longest, r.Moves)
	}
}

func TestSmallClustersHeal(t *testing.T) {
	t.Parallel()
	for seed := range uint64(16) {
		c := small(seed)
		r := Run(c)
		if r.Unserved != 0 || r.Gaps[byDeath].Count == 0 || r.Gaps[byMove].Count == 0 {
			t.Errorf("%d brokers, seed %d: %d shards are served by nobody; gaps %d by death, %d by moves", c.Brokers, seed, r.Unserved, r.Gaps[byDeath].Count, r.Gaps[byMove].Count)
		}
		if g := r.Gaps[byDeath]; g.Longest > 6500*time.Millisecond && c.Brokers > 5 {
			t.Errorf("%d brokers, seed %d: gap of %v", c.Brokers, seed, g.Longest)
		}
	}
}

func small(seed uint64) Config {
	c := Standard(seed, time.Hour)
	c.Brokers, c.Racks, c.Shards, c.Partitions, c.BytesPerSecond = 3+int(seed%10), 1+int(seed%4), 64, 2000, 1e8
	c.DeathEvery = 4 * time.Minute
	return c
}

func TestSameSeedSameRun(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) string {
		var b strings.Builder
		r := Run(small(seed))
		r.deciding = nil // real time
		r.WriteTable(&b)
		return fmt.Sprint(b.String(), r.Moves, r.Txns, r.Gaps)
	}
	if a, b := run(5), run(5); a != b {
		t.Errorf("one run:\n%s\nanother:\n%s", a, b)
	}
	if run(5) == run(15) {
		t.Error("another seed gave the same run")
	}
}

// Values in the metadata store stay as large as the design counts with, however many partitions there are.
func TestMetadataDoesNotGrowWithPartitions(t *testing.T) {
	t.Parallel()
	w := &workload{topics: make([]topic, 1000), partitions: make([]int32, 2048)}
	for i := range w.topics {
		w.topics[i] = topic{partitions: 20, first: i}
	}
	few := measureMetadata(w, 100, 20_000)
	for i := range w.topics {
		w.topics[i].partitions = 10_000
	}
	many := measureMetadata(w, 100, 10_000_000)
	if grown := many.Bytes() - few.Bytes(); grown > 1000 {
		t.Errorf("grew by %d bytes", grown)
	}
	if topic, shard, broker := few.TopicBytes/1000, few.ShardBytes/2048, few.BrokerBytes/100; topic > 500 || shard > 400 || broker > 1000 {
		t.Errorf("bytes of a topic %d, a shard %d, a broker %d", topic, shard, broker)
	}
}
