// Package cost computes what a cluster on an object store costs: requests, storage and traffic between zones, as rates and as
// dollars a month. It is arithmetic on values that are handed in: pure, without state.
//
// It counts what grows with data. What a broker costs by the hour is not in it. Docs take their figures from here (docs/design/0020), and
// PutsPerSecond turns the money that an operator sets as a limit into the rate that the flush governor keeps.
//
// Sizes are bytes; GB and TB are decimal, as in price lists.
package cost

import (
	"math"
	"time"
)

// Month is a month as price lists have it: 730 hours.
const Month = 730 * time.Hour

const gigabyte = 1e9

// Prices are list prices in dollars.
type Prices struct {
	Per1000Puts    float64 // PUT, POST, LIST and parts of multipart uploads
	Per1000Gets    float64
	PerGBMonth     float64 // of storage
	PerGBCrossZone float64 // between zones of a region, both ends together
}

// DefaultPrices are those of AWS S3 Standard and EC2 in us-east-1, as listed when this was written. Look yours up.
func DefaultPrices() Prices {
	return Prices{Per1000Puts: 0.005, Per1000Gets: 0.0004, PerGBMonth: 0.023, PerGBCrossZone: 0.02}
}

// PutsPerSecond is the rate of PUTs that a sum of money a month buys. It is 0 for a price or sum that is not above 0.
func PutsPerSecond(dollarsPerMonth, pricePer1000 float64) float64 {
	if !(dollarsPerMonth > 0) || !(pricePer1000 > 0) {
		return 0
	}
	return dollarsPerMonth / pricePer1000 * 1000 / Month.Seconds()
}

// DollarsPerMonth is what a rate of requests costs.
func DollarsPerMonth(perSecond, pricePer1000 float64) float64 {
	return perSecond * Month.Seconds() / 1000 * pricePer1000
}

// Cluster is what is priced. The zero value of a field is no default: start from Reference.
type Cluster struct {
	Brokers, Shards, Partitions int
	BytesPerSecond              float64       // written, all together, as stored
	FlushInterval               time.Duration // a broker that has bytes writes one WAL object in each,
	FlushBytes                  float64       // or when it has so many
	CheckpointInterval          time.Duration // a shard that is written to gets a manifest, a checkpoint and an L1 object,
	CheckpointFrames            float64       // or all of a broker's after so many WAL objects,
	CheckpointBytes             float64       // or so many bytes of it, but no sooner than after Burst
	Burst                       time.Duration
	StretchBytes                float64 // that are cut together
	RingBytes                   float64 // of a broker's log that stay in memory
	PartBytes                   float64 // an object that is larger is uploaded in parts
	L2Bytes                     float64 // of an L2 object
	L2ReadBytes                 float64 // of the ranges in which a merge reads L1 objects
	Retention                   time.Duration
	Zones                       int
	// ZoneReaders is in how many zones besides the owner's consumers read, so that each WAL object is fetched once more.
	ZoneReaders int
	// LocalProduce says that producers write to a broker of their own zone.
	LocalProduce bool
}

// Reference is the cluster of the documents: 100 brokers in three zones, 1 GB/s, kept for seven days.
func Reference() Cluster {
	return Cluster{
		Brokers: 100, Shards: 2048, Partitions: 100_000, BytesPerSecond: 1e9, FlushInterval: 250 * time.Millisecond, FlushBytes: 4 << 20,
		CheckpointInterval: time.Minute, CheckpointFrames: 2048, CheckpointBytes: 560 << 20, StretchBytes: 640 << 20, Burst: 15 * time.Second, RingBytes: 384 << 20, PartBytes: 32 << 20, L2Bytes: 2 << 30, L2ReadBytes: 8 << 20, Retention: 7 * 24 * time.Hour, Zones: 3, ZoneReaders: 2,
	}
}

// Bill is what a Cluster costs: rates a second, bytes, and dollars a month.
type Bill struct {
	WALPutsPerSecond, CheckpointPutsPerSecond float64
	L1PutsPerSecond, L2PutsPerSecond          float64
	MergeGetsPerSecond, ReaderGetsPerSecond   float64
	RecallGetsPerSecond                       float64 // of WAL objects that are cut after they have left memory
	WALObjectBytes                            float64 // on the average
	StoredBytes                               float64

	WALPuts, CheckpointPuts float64 // dollars a month from here on
	L1Puts, L2Puts          float64
	MergeGets, ReaderGets   float64
	RecallGets              float64
	Storage                 float64
	ProduceTraffic          float64 // producers writing to owners in other zones
}

// Total is the sum in dollars a month.
func (b Bill) Total() float64 {
	return b.WALPuts + b.CheckpointPuts + b.L1Puts + b.L2Puts + b.MergeGets + b.ReaderGets + b.RecallGets + b.Storage + b.ProduceTraffic
}

// WALPutsPerSecond is brokers × max(1/interval, bytes of a broker/flush size): one chain for each broker, however many
// shards and partitions it has.
func (c Cluster) WALPutsPerSecond() float64 { return c.ChainPutsPerSecond(c.Brokers) }

// ChainPutsPerSecond is the same for any number of chains among which the bytes are divided evenly, such as one for each shard.
func (c Cluster) ChainPutsPerSecond(chains int) float64 {
	n := float64(chains)
	return n * max(1/c.FlushInterval.Seconds(), c.BytesPerSecond/n/c.FlushBytes)
}

// Price computes the bill.
func (c Cluster) Price(p Prices) Bill {
	b := Bill{WALPutsPerSecond: c.WALPutsPerSecond()}
	b.WALObjectBytes = c.BytesPerSecond / b.WALPutsPerSecond
	checkpoints := float64(c.Shards) / c.checkpointSeconds()
	b.CheckpointPutsPerSecond = 2 * checkpoints
	b.L1PutsPerSecond = checkpoints * c.stretches() * c.requests(c.L1Bytes())
	b.L2PutsPerSecond = c.BytesPerSecond / c.L2Bytes * c.requests(c.L2Bytes)
	b.MergeGetsPerSecond = c.BytesPerSecond / c.L2ReadBytes
	b.ReaderGetsPerSecond = float64(c.ZoneReaders) * b.WALPutsPerSecond
	b.RecallGetsPerSecond = c.recalled() * b.WALPutsPerSecond
	b.StoredBytes = c.BytesPerSecond * c.Retention.Seconds()

	b.WALPuts = DollarsPerMonth(b.WALPutsPerSecond, p.Per1000Puts)
	b.CheckpointPuts = DollarsPerMonth(b.CheckpointPutsPerSecond, p.Per1000Puts)
	b.L1Puts = DollarsPerMonth(b.L1PutsPerSecond, p.Per1000Puts)
	b.L2Puts = DollarsPerMonth(b.L2PutsPerSecond, p.Per1000Puts)
	b.MergeGets = DollarsPerMonth(b.MergeGetsPerSecond, p.Per1000Gets)
	b.ReaderGets = DollarsPerMonth(b.ReaderGetsPerSecond, p.Per1000Gets)
	b.RecallGets = DollarsPerMonth(b.RecallGetsPerSecond, p.Per1000Gets)
	b.Storage = b.StoredBytes / gigabyte * p.PerGBMonth
	if !c.LocalProduce && c.Zones > 1 {
		b.ProduceTraffic = c.crossZone(p.PerGBCrossZone)
	}
	return b
}

// checkpointSeconds is the time between two checkpoints of a shard.
func (c Cluster) checkpointSeconds() float64 {
	bytes := max(c.Burst.Seconds(), c.CheckpointBytes*float64(c.Brokers)/c.BytesPerSecond)
	return min(c.CheckpointInterval.Seconds(), c.CheckpointFrames*float64(c.Brokers)/c.WALPutsPerSecond(), bytes)
}

// checkpointBytes is what a broker writes between two checkpoints.
func (c Cluster) checkpointBytes() float64 {
	return c.BytesPerSecond * c.checkpointSeconds() / float64(c.Brokers)
}

// stretches is how many L1 objects a shard gets with a checkpoint: one for what is in memory together.
func (c Cluster) stretches() float64 { return math.Ceil(c.checkpointBytes() / c.StretchBytes) }

// recalled is the part of the log that has left memory when it is cut.
func (c Cluster) recalled() float64 { return max(0, 1-c.RingBytes/c.checkpointBytes()) }

// L1Bytes is the size of an L1 object: what a shard got in a stretch of the log.
func (c Cluster) L1Bytes() float64 {
	return c.BytesPerSecond * c.checkpointSeconds() / float64(c.Shards) / c.stretches()
}

// requests is how many it takes to write an object. One in parts takes a request to begin and one to complete.
func (c Cluster) requests(bytes float64) float64 {
	if bytes <= c.PartBytes {
		return 1
	}
	return 2 + math.Ceil(bytes/c.PartBytes)
}

// crossZone is the month's traffic of clients that hit a broker of another zone by chance.
func (c Cluster) crossZone(pricePerGB float64) float64 {
	other := float64(c.Zones-1) / float64(c.Zones)
	return other * c.BytesPerSecond * Month.Seconds() / gigabyte * pricePerGB
}

// Replicated is what the traffic of a cluster with copies on brokers in other zones costs a month, for comparison: copies - 1 of them cross
// zones, and so do producers.
func (c Cluster) Replicated(copies int, p Prices) (replication, produce float64) {
	return float64(copies-1) * c.BytesPerSecond * Month.Seconds() / gigabyte * p.PerGBCrossZone, c.crossZone(p.PerGBCrossZone)
}

// FlushBytesPerPartition is how many bytes a partition has in one WAL object, if all are written evenly.
func (c Cluster) FlushBytesPerPartition() float64 {
	return c.BytesPerSecond / c.WALPutsPerSecond() / (float64(c.Partitions) / float64(c.Brokers))
}

// L1RunBytes and L2RunBytes are how many bytes of a partition lie together in an object of a level.
func (c Cluster) L1RunBytes() float64 { return c.L1Bytes() / c.partitionsPerShard() }

// L2RunBytes is that of L2.
func (c Cluster) L2RunBytes() float64 { return c.L2Bytes / c.partitionsPerShard() }

func (c Cluster) partitionsPerShard() float64 { return float64(c.Partitions) / float64(c.Shards) }

// L2Objects is how many L2 objects a shard has.
func (c Cluster) L2Objects() float64 {
	return c.BytesPerSecond * c.Retention.Seconds() / float64(c.Shards) / c.L2Bytes
}
