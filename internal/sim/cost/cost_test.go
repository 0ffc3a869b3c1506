package cost

import (
	"math"
	"testing"
	"time"
)

// near says whether a figure is what a document rounds it to.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*math.Abs(want) {
		t.Errorf("%s: %.4g, want %.4g within %.0f %%", what, got, want, 100*tolerance)
	}
}

func TestFiguresOfTheDesign(t *testing.T) {
	t.Parallel()
	p := DefaultPrices()
	c := Reference()
	b := c.Price(p)
	million := c
	million.Partitions = 1_000_000
	few, floor := c, c
	few.Brokers, few.FlushBytes = 10, 8e6
	floor.Brokers, floor.FlushBytes = 10, 8<<20
	replication, clients := c.Replicated(3, p)
	perShard := func(shards int) float64 { return DollarsPerMonth(c.ChainPutsPerSecond(shards), p.Per1000Puts) }
	for _, f := range []struct {
		what            string
		got, want, near float64
	}{
		{"WAL PUT/s", b.WALPutsPerSecond, 400, 1e-9},
		{"WAL PUTs", b.WALPuts, 5.3e3, 0.01},
		{"WAL object", b.WALObjectBytes, 2.5e6, 1e-9},
		{"10 brokers, PUT/s", few.WALPutsPerSecond(), 125, 1e-9},
		{"10 brokers, PUTs", few.Price(p).WALPuts, 1.6e3, 0.03},
		{"floor at 8 MiB, PUT/s", floor.WALPutsPerSecond(), 119, 0.01},
		{"chain for each of 100 shards", perShard(100), 5.3e3, 0.01},
		{"chain for each of 1,600 shards", perShard(1600), 84e3, 0.01},
		{"chain for each of 25,600 shards", perShard(25_600), 1.35e6, 0.01},
		{"1,600 chains, PUT/s", c.ChainPutsPerSecond(1600), 6400, 1e-9},
		{"object of each partition a minute: 100 k", DollarsPerMonth(100_000/60.0, p.Per1000Puts), 22e3, 0.01},
		{"object of each partition a minute: 1 M", DollarsPerMonth(1_000_000/60.0, p.Per1000Puts), 219e3, 0.01},
		{"bytes of a partition and flush", c.FlushBytesPerPartition(), 2.5e3, 1e-9},
		{"the same of a million", million.FlushBytesPerPartition(), 250, 1e-9},
		{"L1 PUT/s", b.L1PutsPerSecond, 35, 0.01},
		{"L1 PUTs", b.L1Puts, 0.46e3, 0.01},
		{"L1 run", c.L1RunBytes(), 0.59e6, 0.01},
		{"L1 run of a million", million.L1RunBytes(), 59e3, 0.01},
		{"L2 run", c.L2RunBytes(), 40e6, 0.12},
		{"L2 run of a million", million.L2RunBytes(), 4e6, 0.12},
		{"L2 objects of a shard", c.L2Objects(), 138, 0.01},
		{"stored", b.StoredBytes, 605e12, 0.001},
		{"storage", b.Storage, 14e3, 0.01},
		{"reader GETs", b.ReaderGets, 840, 0.01},
		{"produce across zones", b.ProduceTraffic, 35e3, 0.01},
		{"Kafka's replication", replication, 105e3, 0.01},
		{"Kafka's clients", clients, 35e3, 0.01},
	} {
		near(t, f.what, f.got, f.want, f.near)
	}
	million.LocalProduce = true
	if m := million.Price(p); m.WALPuts != b.WALPuts || math.Abs(m.Total()-b.Total()+b.ProduceTraffic) > 1e-6 {
		t.Errorf("a million partitions with local producers cost %.0f, 100,000 %.0f of which traffic %.0f", m.Total(), b.Total(), b.ProduceTraffic)
	}
}

// The sums of docs/design/0020.
func TestFiguresOfThePricePage(t *testing.T) {
	t.Parallel()
	p := DefaultPrices()
	hundred, ten, three, slow := Reference(), Reference(), Reference(), Reference()
	ten.Brokers, ten.Shards = 10, 256
	three.Brokers, three.Shards, three.BytesPerSecond = 3, 64, 10e6
	slow.FlushInterval, slow.FlushBytes, slow.Partitions = time.Second, 8<<20, 1_000_000
	h, n, s := hundred.Price(p), ten.Price(p), three.Price(p)
	for _, f := range []struct {
		what      string
		got, want float64
	}{
		{"100 brokers", h.Total(), 57_084},
		{"100 brokers, local producers", h.Total() - h.ProduceTraffic, 22_044},
		{"10 brokers", n.Total(), 54_418},
		{"10 brokers, local producers", n.Total() - n.ProduceTraffic, 19_378},
		{"checkpoints", h.CheckpointPuts, 917},
		{"checkpoints of 10", n.CheckpointPuts, 449},
		{"WAL of 10", n.WALPuts, 3_133},
		{"stretches of 1,000 partitions in 7 of 10 objects, at 100 MB/s", DollarsPerMonth(100e6/(4<<20)*1000*0.7, p.Per1000Gets), 17_544},
		{"L1 of 10", n.L1Puts, 673},
		{"recalled", h.RecallGets, 132},
		{"recalled of 10", n.RecallGets, 183},
		{"L1", h.L1Puts, 458},
		{"L2", h.L2Puts, 404},
		{"merges", h.MergeGets, 125},
		{"readers", h.ReaderGets, 841},
		{"readers of 10", n.ReaderGets, 501},
		{"3 brokers, WAL", s.WALPuts, 158},
		{"3 brokers, the rest on S3", s.Total() - s.WALPuts - s.ProduceTraffic, 212},
		{"3 brokers, traffic", s.ProduceTraffic, 350},
		{"a second between flushes", slow.Price(p).WALPuts, 1566},
		{"bytes of one of a million partitions then", slow.FlushBytesPerPartition() / 10, 84},
		{"a broker with PUTs of 100 ms", DollarsPerMonth(10, p.Per1000Puts), 131},
		{"a broker with 4 a second", DollarsPerMonth(4, p.Per1000Puts), 53},
		{"100 MB/s in groups of 4 MiB", DollarsPerMonth(100e6/(4<<20), p.Per1000Puts), 313},
		{"100 MB/s in groups of 1 MiB", DollarsPerMonth(100e6/(1<<20), p.Per1000Puts), 1253},
		{"100 dollars", 10 * PutsPerSecond(100, p.Per1000Puts), 76},
	} {
		if math.Abs(f.got-f.want) > 0.51 {
			t.Errorf("%s: %.1f, the page says %.0f", f.what, f.got, f.want)
		}
	}
}

func TestABudgetBuysARate(t *testing.T) {
	t.Parallel()
	near(t, "13.14 dollars", PutsPerSecond(13.14, 0.005), 1, 1e-9)
	near(t, "there and back", DollarsPerMonth(PutsPerSecond(777, 0.0044), 0.0044), 777, 1e-12)
	for _, c := range [][2]float64{{0, 0.005}, {-1, 0.005}, {5, 0}, {5, -1}, {math.NaN(), 1}, {1, math.NaN()}} {
		if got := PutsPerSecond(c[0], c[1]); got != 0 {
			t.Errorf("PutsPerSecond(%v) = %v, want 0", c, got)
		}
	}
}

func TestALargeFlushOutrunsTheInterval(t *testing.T) {
	t.Parallel()
	c := Reference()
	c.FlushInterval = time.Hour
	near(t, "only by size", c.WALPutsPerSecond(), 1e9/(4<<20), 1e-12)
	c.BytesPerSecond = 1
	near(t, "only by time", c.WALPutsPerSecond(), 100.0/3600, 1e-12)
}
