package state

import "math"

// The least that an item of each list takes when encoded: what bounds the arrays that a lying count could ask for.
const (
	minPartition = 14
	minEpoch     = 2
	minSegment   = 4
	minRun       = 8
	minExtent    = 11
	minAborted   = 4
	minProducer  = 6
	minBatch     = 5
	minUnmarked  = 4
)

// versionAborted is the version from which runs tell of their aborted transactions. Those of version 1 have none.
const versionAborted = 2

// versionUnmarked is the version from which partitions list transactions without a marker in the runs. Of earlier ones it is guessed.
const versionUnmarked = 3

// arenas are the arrays behind all lists of a checkpoint.
type arenas struct {
	epochs    arena[EpochStart]
	segments  arena[Segment]
	runs      arena[Run]
	extents   arena[Extent]
	aborted   arena[Aborted]
	producers arena[Producer]
	batches   arena[ProducerBatch]
	unmarked  arena[Unmarked]
}

// unused tells whether lists were shorter than their sum.
func (a *arenas) unused() bool {
	return len(a.epochs.free)+len(a.segments.free)+len(a.runs.free)+len(a.extents.free)+
		len(a.aborted.free)+len(a.producers.free)+len(a.batches.free)+len(a.unmarked.free) != 0
}

// DecodeCheckpoint is the inverse of Encode. Errors: *CorruptError, ErrVersion.
func DecodeCheckpoint(b []byte) (*Checkpoint, error) {
	d, err := checkpointKind.decoder(b)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{
		Shard:           int32(d.natural(math.MaxInt32)),
		Epoch:           d.uint(),
		ManifestVersion: d.uint(),
		WALPosition:     d.natural(math.MaxInt64),
		CreatedAt:       d.int(),
	}
	if n := d.count(minPartition); n > 0 {
		c.Partitions = make([]Partition, n)
	}
	a := &arenas{
		epochs:    arena[EpochStart]{make([]EpochStart, d.count(minEpoch))},
		segments:  arena[Segment]{make([]Segment, d.count(minSegment))},
		runs:      arena[Run]{make([]Run, d.count(minRun))},
		extents:   arena[Extent]{make([]Extent, d.count(minExtent))},
		aborted:   arena[Aborted]{make([]Aborted, d.count(minAborted))},
		producers: arena[Producer]{make([]Producer, d.count(minProducer))},
		batches:   arena[ProducerBatch]{make([]ProducerBatch, d.count(minBatch))},
	}
	if d.version >= versionUnmarked {
		a.unmarked.free = make([]Unmarked, d.count(minUnmarked))
	}
	for i := range c.Partitions {
		p := &c.Partitions[i]
		if delta := d.natural(math.MaxInt32); delta == 0 {
			copy(p.Topic[:], d.take(len(p.Topic)))
			p.Partition = int32(d.natural(math.MaxInt32))
			if i > 0 && p.Topic == c.Partitions[i-1].Topic {
				d.fail("topic is repeated")
			}
		} else if i == 0 || delta > math.MaxInt32-int64(c.Partitions[i-1].Partition) {
			d.fail("partition has no topic or is out of range")
		} else {
			p.Topic, p.Partition = c.Partitions[i-1].Topic, c.Partitions[i-1].Partition+int32(delta)
		}
		d.partition(p, c, a)
		if d.err != nil {
			return nil, d.err
		}
	}
	if a.unused() {
		d.fail("lists are shorter than their sum")
	}
	if err := d.close(); err != nil {
		return nil, err
	}
	// What the numbers' encoding alone does not rule out.
	if err := c.validate(); err != nil {
		return nil, &CorruptError{Kind: checkpointKind.name, Offset: headBytes, Reason: err.Error()}
	}
	return c, nil
}

func (d *decoder) partition(p *Partition, c *Checkpoint, a *arenas) {
	p.LogStart = d.natural(math.MaxInt64)
	p.LastStableOffset = d.end(p.LogStart, d.natural(math.MaxInt64))
	p.NextOffset = d.end(p.LastStableOffset, d.natural(math.MaxInt64))
	p.MaxTimestamp = c.CreatedAt + d.int()
	p.MaxTimestampOffset = p.NextOffset + d.int()
	p.SizeBytes = d.natural(math.MaxInt64)
	p.CleanedOffset = d.natural(math.MaxInt64)

	p.Epochs = a.epochs.take(d, d.count(minEpoch))
	var epoch EpochStart
	for i := range p.Epochs {
		number := d.end(int64(epoch.Epoch), d.natural(math.MaxInt32))
		if number > math.MaxInt32 {
			d.fail("epoch is out of range")
		}
		epoch = EpochStart{Epoch: int32(number), Start: d.end(epoch.Start, d.natural(math.MaxInt64))}
		p.Epochs[i] = epoch
	}
	p.Segments = a.segments.take(d, d.count(minSegment))
	segment := Segment{MaxTimestamp: c.CreatedAt}
	for i := range p.Segments {
		segment.BaseOffset = d.end(segment.BaseOffset, d.natural(math.MaxInt64))
		segment.Bytes = d.natural(math.MaxInt64)
		segment.MaxTimestamp += d.int()
		segment.CreatedAt = segment.MaxTimestamp + d.int()
		p.Segments[i] = segment
	}
	p.Runs = a.runs.take(d, d.count(minRun))
	run := Run{MaxTimestamp: c.CreatedAt}
	for i := range p.Runs {
		run.Object = int(d.natural(math.MaxInt32))
		run.Pos = d.natural(math.MaxInt64)
		run.Bytes = d.natural(math.MaxInt64)
		run.BaseOffset = d.end(run.NextOffset, d.natural(math.MaxInt64))
		run.NextOffset = d.end(run.BaseOffset, d.natural(math.MaxInt64))
		run.RecordCount = d.natural(math.MaxInt64)
		run.MaxTimestamp += d.int()
		run.MinTimestamp = run.MaxTimestamp - d.int()
		run.AbortedFrom = -1
		if d.version >= versionAborted {
			run.AbortedFrom = d.natural(math.MaxInt64) - 1
		}
		p.Runs[i] = run
	}
	p.Extents = a.extents.take(d, d.count(minExtent))
	extent := Extent{Position: c.WALPosition, MaxTimestamp: c.CreatedAt}
	for i := range p.Extents {
		extent.BaseOffset = d.end(extent.NextOffset, d.natural(math.MaxInt64))
		extent.NextOffset = d.end(extent.BaseOffset, d.natural(math.MaxInt64))
		extent.Position += d.int()
		extent.Bytes = d.natural(math.MaxInt64)
		extent.RecordCount = d.natural(math.MaxInt64)
		extent.MaxTimestamp += d.int()
		extent.MinTimestamp = extent.MaxTimestamp - d.int()
		extent.CRC = d.crc()
		p.Extents[i] = extent
	}
	p.Aborted = a.aborted.take(d, d.count(minAborted))
	var marker int64
	for i := range p.Aborted {
		x := Aborted{ProducerID: d.int()}
		marker = d.end(marker, d.natural(math.MaxInt64))
		x.LastOffset = marker
		x.FirstOffset = marker - d.natural(marker)
		x.LastStableOffset = marker - d.int()
		p.Aborted[i] = x
	}
	d.producers(p, c, a)
	if d.version < versionUnmarked {
		p.Unmarked = p.impliedUnmarked()
		return
	}
	p.Unmarked = a.unmarked.take(d, d.count(minUnmarked))
	var first int64
	for i := range p.Unmarked {
		u := Unmarked{ProducerID: d.int(), Epoch: int16(d.small(math.MaxInt16))}
		first = d.end(first, d.natural(math.MaxInt64))
		u.FirstOffset, u.Uncertain = first, d.natural(1) == 1
		p.Unmarked[i] = u
	}
}

func (d *decoder) producers(p *Partition, c *Checkpoint, a *arenas) {
	p.Producers = a.producers.take(d, d.count(minProducer))
	var id int64
	for i := range p.Producers {
		s := &p.Producers[i]
		id = d.end(id, d.natural(math.MaxInt64))
		s.ID = id
		s.Epoch = int16(d.small(math.MaxInt16))
		s.CoordinatorEpoch = int32(d.small(math.MaxInt32))
		s.LastTimestamp = c.CreatedAt + d.int()
		// One more than the offset, unsigned: MaxInt64 itself is no offset of a record.
		s.TxnFirstOffset = d.natural(math.MaxInt64) - 1
		n := d.count(minBatch)
		if n > MaxProducerBatches {
			d.fail("producer has too many batches")
			return
		}
		s.Batches = a.batches.take(d, n)
		prev := ProducerBatch{Timestamp: s.LastTimestamp, LastOffset: p.NextOffset, LastSequence: -1}
		for j := range s.Batches {
			first := d.int() + int64(prev.LastSequence) + 1
			last := d.int() + first
			if first < -1 || first > math.MaxInt32 || last < -1 || last > math.MaxInt32 {
				d.fail("sequence is out of range")
				return
			}
			b := ProducerBatch{FirstSequence: int32(first), LastSequence: int32(last)}
			b.BaseOffset = prev.LastOffset + d.int()
			if b.BaseOffset < 0 {
				d.fail("offset is out of range")
				return
			}
			b.LastOffset = d.end(b.BaseOffset, d.natural(math.MaxInt64))
			b.Timestamp = prev.Timestamp + d.int()
			s.Batches[j], prev = b, b
		}
	}
}
