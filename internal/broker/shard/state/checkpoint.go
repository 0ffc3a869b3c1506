package state

import (
	"cmp"
	"slices"
)

// Checkpoint is what a shard's partitions knew at one moment: with the write-ahead log from WALPosition on it gives
// their whole state, without a look at any data.
type Checkpoint struct {
	Shard           int32
	Epoch           uint64
	ManifestVersion uint64 // of the manifest whose objects Run.Object counts
	WALPosition     int64  // replay starts here; what lies below is part of the checkpoint
	CreatedAt       int64  // ms
	Partitions      []Partition
}

// Partition is the state of one partition. Partitions are sorted by topic id, then index, without repeats.
type Partition struct {
	Topic              [16]byte
	Partition          int32
	LogStart           int64
	LastStableOffset   int64
	NextOffset         int64 // log end offset
	MaxTimestamp       int64 // ms; -1 if there is none
	MaxTimestampOffset int64 // offset of a record with that timestamp; -1 if there is none
	SizeBytes          int64
	CleanedOffset      int64 // compaction has seen all records below

	Epochs    []EpochStart // ascending
	Segments  []Segment    // ascending, the active one last
	Runs      []Run        // in L1 and L2 objects, ascending
	Extents   []Extent     // still in the write-ahead log, ascending
	Aborted   []Aborted    // transactions whose marker is in no run, by marker
	Producers []Producer   // ascending by id
	Unmarked  []Unmarked   // as of the end of the last run, by first offset
}

// EpochStart is an entry of the leader epoch cache: records from Start on are of Epoch, until the next entry's start.
type EpochStart struct {
	Epoch int32
	Start int64
}

// Segment is the stretch of offsets, from its base to the next one's, that retention sees as one segment file.
type Segment struct {
	BaseOffset   int64
	Bytes        int64
	MaxTimestamp int64 // ms
	CreatedAt    int64 // ms
}

// Run is a stretch of the partition in an object.
type Run struct {
	Object                     int // ordinal in Manifest.Objects
	Pos, Bytes                 int64
	BaseOffset, NextOffset     int64
	RecordCount                int64
	MinTimestamp, MaxTimestamp int64 // ms
	// AbortedFrom is the lowest first offset of the aborted transactions whose marker lies in the run; -1 if there are none.
	AbortedFrom int64
}

// Extent is a stretch of the partition in one frame of the write-ahead log.
type Extent struct {
	BaseOffset, NextOffset     int64
	Position                   int64 // in the write-ahead log
	Bytes                      int64
	RecordCount                int64
	MinTimestamp, MaxTimestamp int64  // ms
	CRC                        uint32 // CRC-32C of its bytes
}

// Aborted is an aborted transaction.
type Aborted struct {
	ProducerID       int64
	FirstOffset      int64
	LastOffset       int64 // of the marker
	LastStableOffset int64 // when the marker was written
}

// Producer is what the partition remembers of an idempotent producer.
type Producer struct {
	ID               int64
	Epoch            int16
	CoordinatorEpoch int32           // of the last transaction marker; -1 if there was none
	LastTimestamp    int64           // ms
	TxnFirstOffset   int64           // of the open transaction; -1 if there is none
	Batches          []ProducerBatch // the last ones, oldest first, at most MaxProducerBatches
}

// MaxProducerBatches is how many batches are remembered of a producer, to know its retries by.
const MaxProducerBatches = 5

// ProducerBatch is an appended batch.
type ProducerBatch struct {
	FirstSequence, LastSequence int32 // the last is lower where sequences wrap at 2^31
	BaseOffset, LastOffset      int64
	Timestamp                   int64 // ms
}

// Unmarked is a transaction that has records in the runs and no marker there: it was open where the runs end. What became of it since lies in the
// write-ahead log.
type Unmarked struct {
	ProducerID  int64
	Epoch       int16
	FirstOffset int64
	// Uncertain says that a stretch behind FirstOffset was never looked at, damaged or deleted, which may hold its marker.
	Uncertain bool
}

// impliedUnmarked is what a checkpoint that does not list them lets be known of unmarked transactions: those that went on or were aborted behind the runs,
// not those that were committed.
func (p *Partition) impliedUnmarked() (all []Unmarked) {
	if len(p.Runs) == 0 {
		return nil
	}
	end := p.Runs[len(p.Runs)-1].NextOffset
	epochs := map[int64]int16{}
	for i := range p.Producers {
		q := &p.Producers[i]
		epochs[q.ID] = q.Epoch
		if q.TxnFirstOffset >= 0 && q.TxnFirstOffset < end {
			all = append(all, Unmarked{ProducerID: q.ID, Epoch: q.Epoch, FirstOffset: q.TxnFirstOffset})
		}
	}
	for _, a := range p.Aborted {
		if a.FirstOffset < end && a.LastOffset >= end {
			all = append(all, Unmarked{ProducerID: a.ProducerID, Epoch: epochs[a.ProducerID], FirstOffset: a.FirstOffset})
		}
	}
	slices.SortFunc(all, func(a, b Unmarked) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return all
}
