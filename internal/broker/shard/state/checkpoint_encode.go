package state

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
)

var checkpointKind = kind{name: "checkpoint", magic: [8]byte{'W', 'E', 'I', 'R', 'C', 'K', 'P', 0}, version: 3}

// totals are the lengths of all lists of one kind together. They precede the partitions, so that the decoder makes one
// array of each kind.
type totals struct {
	epochs, segments, runs, extents, aborted, producers, batches, unmarked int
}

func (c *Checkpoint) totals() totals {
	var t totals
	for i := range c.Partitions {
		p := &c.Partitions[i]
		t.epochs += len(p.Epochs)
		t.segments += len(p.Segments)
		t.runs += len(p.Runs)
		t.extents += len(p.Extents)
		t.aborted += len(p.Aborted)
		t.producers += len(p.Producers)
		t.unmarked += len(p.Unmarked)
		for j := range p.Producers {
			t.batches += len(p.Producers[j].Batches)
		}
	}
	return t
}

// Encode returns the checkpoint's bytes. ErrInvalid if a list is not in order or a number is out of its range.
//
// Numbers near to each other are stored as differences, which may wrap around and are undone by the same wrap: so every
// value of a field that has no rule survives.
func (c *Checkpoint) Encode() ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("encode checkpoint of shard %d: %w", c.Shard, err)
	}
	t := c.totals()
	e := checkpointKind.encoder(128 + 48*len(c.Partitions) + 8*t.epochs + 16*t.segments + 28*t.runs + 24*t.extents +
		20*t.aborted + 20*t.producers + 10*t.batches + 10*t.unmarked)
	e.uint(uint64(c.Shard))
	e.uint(c.Epoch)
	e.uint(c.ManifestVersion)
	e.uint(uint64(c.WALPosition))
	e.int(c.CreatedAt)
	for _, n := range []int{len(c.Partitions), t.epochs, t.segments, t.runs, t.extents, t.aborted, t.producers, t.batches, t.unmarked} {
		e.count(n)
	}
	for i := range c.Partitions {
		p := &c.Partitions[i]
		same := i > 0 && p.Topic == c.Partitions[i-1].Topic
		if same {
			e.uint(uint64(p.Partition - c.Partitions[i-1].Partition))
		} else {
			e.uint(0)
			e.bytes(p.Topic[:])
			e.uint(uint64(p.Partition))
		}
		e.partition(p, c)
	}
	return seal(e.b), nil
}

func (e *encoder) partition(p *Partition, c *Checkpoint) {
	e.uint(uint64(p.LogStart))
	e.uint(uint64(p.LastStableOffset - p.LogStart))
	e.uint(uint64(p.NextOffset - p.LastStableOffset))
	e.int(p.MaxTimestamp - c.CreatedAt)
	e.int(p.MaxTimestampOffset - p.NextOffset)
	e.uint(uint64(p.SizeBytes))
	e.uint(uint64(p.CleanedOffset))

	e.count(len(p.Epochs))
	var epoch EpochStart
	for _, s := range p.Epochs {
		e.uint(uint64(s.Epoch - epoch.Epoch))
		e.uint(uint64(s.Start - epoch.Start))
		epoch = s
	}
	e.count(len(p.Segments))
	segment := Segment{MaxTimestamp: c.CreatedAt}
	for _, s := range p.Segments {
		e.uint(uint64(s.BaseOffset - segment.BaseOffset))
		e.uint(uint64(s.Bytes))
		e.int(s.MaxTimestamp - segment.MaxTimestamp)
		e.int(s.CreatedAt - s.MaxTimestamp)
		segment = s
	}
	e.count(len(p.Runs))
	run := Run{MaxTimestamp: c.CreatedAt}
	for _, r := range p.Runs {
		e.uint(uint64(r.Object))
		e.uint(uint64(r.Pos))
		e.uint(uint64(r.Bytes))
		e.uint(uint64(r.BaseOffset - run.NextOffset))
		e.uint(uint64(r.NextOffset - r.BaseOffset))
		e.uint(uint64(r.RecordCount))
		e.int(r.MaxTimestamp - run.MaxTimestamp)
		e.int(r.MaxTimestamp - r.MinTimestamp)
		e.uint(uint64(r.AbortedFrom + 1))
		run = r
	}
	e.count(len(p.Extents))
	extent := Extent{Position: c.WALPosition, MaxTimestamp: c.CreatedAt}
	for _, x := range p.Extents {
		e.uint(uint64(x.BaseOffset - extent.NextOffset))
		e.uint(uint64(x.NextOffset - x.BaseOffset))
		e.int(x.Position - extent.Position)
		e.uint(uint64(x.Bytes))
		e.uint(uint64(x.RecordCount))
		e.int(x.MaxTimestamp - extent.MaxTimestamp)
		e.int(x.MaxTimestamp - x.MinTimestamp)
		e.crc(x.CRC)
		extent = x
	}
	e.count(len(p.Aborted))
	var marker int64
	for _, a := range p.Aborted {
		e.int(a.ProducerID)
		e.uint(uint64(a.LastOffset - marker))
		e.uint(uint64(a.LastOffset - a.FirstOffset))
		e.int(a.LastOffset - a.LastStableOffset)
		marker = a.LastOffset
	}
	e.producers(p, c)
	e.count(len(p.Unmarked))
	var first int64
	for _, u := range p.Unmarked {
		e.int(u.ProducerID)
		e.int(int64(u.Epoch))
		e.uint(uint64(u.FirstOffset - first))
		e.flag(u.Uncertain)
		first = u.FirstOffset
	}
}

func (e *encoder) producers(p *Partition, c *Checkpoint) {
	e.count(len(p.Producers))
	var id int64
	for i := range p.Producers {
		s := &p.Producers[i]
		e.uint(uint64(s.ID - id))
		id = s.ID
		e.int(int64(s.Epoch))
		e.int(int64(s.CoordinatorEpoch))
		e.int(s.LastTimestamp - c.CreatedAt)
		e.uint(uint64(s.TxnFirstOffset + 1))
		e.count(len(s.Batches))
		prev := ProducerBatch{Timestamp: s.LastTimestamp, LastOffset: p.NextOffset, LastSequence: -1}
		for _, b := range s.Batches {
			e.int(int64(b.FirstSequence) - int64(prev.LastSequence) - 1)
			e.int(int64(b.LastSequence) - int64(b.FirstSequence))
			e.int(b.BaseOffset - prev.LastOffset)
			e.uint(uint64(b.LastOffset - b.BaseOffset))
			e.int(b.Timestamp - prev.Timestamp)
			prev = b
		}
	}
}

// validate tells whether Decode would return what is in c.
func (c *Checkpoint) validate() error {
	if c.Shard < 0 || c.WALPosition < 0 {
		return fmt.Errorf("shard %d, position %d: %w", c.Shard, c.WALPosition, ErrInvalid)
	}
	for i := range c.Partitions {
		p := &c.Partitions[i]
		if i > 0 {
			q := &c.Partitions[i-1]
			if cmp.Or(bytes.Compare(q.Topic[:], p.Topic[:]), cmp.Compare(q.Partition, p.Partition)) >= 0 {
				return fmt.Errorf("partition %x-%d after %x-%d: %w", p.Topic, p.Partition, q.Topic, q.Partition, ErrInvalid)
			}
		}
		if what := p.fault(); what != "" {
			return fmt.Errorf("partition %x-%d, %s: %w", p.Topic, p.Partition, what, ErrInvalid)
		}
	}
	return nil
}

// fault names the part of p that breaks a rule, or is empty.
func (p *Partition) fault() string {
	if p.Partition < 0 || p.SizeBytes < 0 || p.CleanedOffset < 0 ||
		p.LogStart < 0 || p.LastStableOffset < p.LogStart || p.NextOffset < p.LastStableOffset {
		return fmt.Sprintf("log start %d, last stable offset %d, next offset %d, %d bytes", p.LogStart, p.LastStableOffset, p.NextOffset, p.SizeBytes)
	}
	epoch := EpochStart{Epoch: -1}
	for _, s := range p.Epochs {
		if s.Epoch <= epoch.Epoch || s.Start < epoch.Start {
			return fmt.Sprintf("epoch %d from %d after %d from %d", s.Epoch, s.Start, epoch.Epoch, epoch.Start)
		}
		epoch = s
	}
	var base int64
	for _, s := range p.Segments {
		if s.BaseOffset < base || s.Bytes < 0 {
			return fmt.Sprintf("segment from %d of %d bytes after one from %d", s.BaseOffset, s.Bytes, base)
		}
		base = s.BaseOffset
	}
	var next int64
	for _, r := range p.Runs {
		if r.Object < 0 || r.Object > math.MaxInt32 || r.Pos < 0 || r.Bytes < 0 || r.RecordCount < 0 || r.BaseOffset < next || r.NextOffset < r.BaseOffset ||
			r.AbortedFrom < -1 || r.AbortedFrom == math.MaxInt64 {
			return fmt.Sprintf("run [%d, %d) at %d of object %d, earlier ones end at %d", r.BaseOffset, r.NextOffset, r.Pos, r.Object, next)
		}
		next = r.NextOffset
	}
	next = 0
	for _, x := range p.Extents {
		if x.Position < 0 || x.Bytes < 0 || x.RecordCount < 0 || x.BaseOffset < next || x.NextOffset < x.BaseOffset {
			return fmt.Sprintf("extent [%d, %d) at position %d, earlier ones end at %d", x.BaseOffset, x.NextOffset, x.Position, next)
		}
		next = x.NextOffset
	}
	var marker int64
	for _, a := range p.Aborted {
		if a.FirstOffset < 0 || a.LastOffset < a.FirstOffset || a.LastOffset < marker {
			return fmt.Sprintf("aborted transaction [%d, %d], the one before ends at %d", a.FirstOffset, a.LastOffset, marker)
		}
		marker = a.LastOffset
	}
	var first int64
	for _, u := range p.Unmarked {
		if u.Epoch < -1 || u.FirstOffset < first {
			return fmt.Sprintf("transaction without a marker of producer %d, epoch %d, from %d, the one before from %d", u.ProducerID, u.Epoch, u.FirstOffset, first)
		}
		first = u.FirstOffset
	}
	return p.producerFault()
}

func (p *Partition) producerFault() string {
	id := int64(-1)
	for i := range p.Producers {
		s := &p.Producers[i]
		if s.ID <= id || s.Epoch < -1 || s.CoordinatorEpoch < -1 ||
			s.TxnFirstOffset < -1 || s.TxnFirstOffset == math.MaxInt64 || len(s.Batches) > MaxProducerBatches {
			return fmt.Sprintf("producer %d after %d, epoch %d, %d batches", s.ID, id, s.Epoch, len(s.Batches))
		}
		id = s.ID
		for _, b := range s.Batches {
			if b.FirstSequence < -1 || b.LastSequence < -1 || b.BaseOffset < 0 || b.LastOffset < b.BaseOffset {
				return fmt.Sprintf("producer %d, batch [%d, %d]", s.ID, b.BaseOffset, b.LastOffset)
			}
		}
	}
	return ""
}
