package partition

import (
	"math"
	"slices"

	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/shard/state"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// nowhere is the position of a damaged extent whose frame cannot be found any more.
const nowhere = wal.Position(-1)

// Snapshot returns the log's state for a checkpoint; object gives the ordinal of an object in the manifest. The state
// may know batches that are not durable yet: the checkpoint must not be published before they are. Extents at or above below are
// left out, for replay to find; where that is not the end of all positions, those of the others mean nothing to who restores them.
func (l *Log) Snapshot(object func(*Object) int, below wal.Position) state.Partition {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := state.Partition{
		Topic: l.id.Topic, Partition: l.id.Partition, LogStart: l.logStart, NextOffset: l.logEnd,
		LastStableOffset: l.logEnd, MaxTimestamp: -1, MaxTimestampOffset: -1, CleanedOffset: l.cleaned,
	}
	if len(l.ongoing) > 0 {
		p.LastStableOffset = max(l.ongoing[0].first, l.logStart)
	}
	for _, e := range l.epochs {
		p.Epochs = append(p.Epochs, state.EpochStart{Epoch: e.Epoch, Start: e.Start})
	}
	for _, s := range l.segments {
		p.SizeBytes += s.bytes
		p.MaxTimestamp = max(p.MaxTimestamp, s.maxTimestamp)
		p.Segments = append(p.Segments, state.Segment{BaseOffset: s.base, Bytes: s.bytes, MaxTimestamp: s.maxTimestamp, CreatedAt: s.firstAppend})
	}
	for _, e := range slices.Concat(l.quarantined, l.extents) {
		if e.pos >= below {
			continue
		}
		if below != math.MaxInt64 {
			e.pos = nowhere // only damage is not moved into an object
		}
		p.Extents = append(p.Extents, state.Extent{
			BaseOffset: e.base, NextOffset: e.next, Position: int64(e.pos), Bytes: int64(e.bytes),
			MaxTimestamp: e.maxTimestamp, CRC: e.crc, RecordCount: int64(e.records),
		})
	}
	for _, r := range l.runs {
		p.Runs = append(p.Runs, state.Run{
			Object: object(r.object), Pos: r.info.Pos, Bytes: r.info.Bytes, BaseOffset: r.info.BaseOffset,
			NextOffset: r.info.NextOffset, MinTimestamp: r.info.MinTimestamp, MaxTimestamp: r.info.MaxTimestamp, RecordCount: r.info.RecordCount, AbortedFrom: r.abortedFrom,
		})
	}
	for _, a := range l.aborted {
		p.Aborted = append(p.Aborted, state.Aborted(a))
	}
	for _, u := range l.unmarked.Open {
		p.Unmarked = append(p.Unmarked, state.Unmarked{ProducerID: u.ProducerID, Epoch: u.Epoch, FirstOffset: u.First, Uncertain: u.Uncertain})
	}
	for id, s := range l.producers {
		p.Producers = append(p.Producers, snapshotProducer(id, s))
	}
	slices.SortFunc(p.Producers, func(a, b state.Producer) int { return compareInt64(a.ID, b.ID) })
	return p
}

func snapshotProducer(id int64, s *producer) state.Producer {
	p := state.Producer{ID: id, Epoch: s.epoch, LastTimestamp: s.lastTimestamp, TxnFirstOffset: s.txnFirst, CoordinatorEpoch: s.coordinatorEpoch}
	for _, b := range s.batches {
		p.Batches = append(p.Batches, state.ProducerBatch{
			FirstSequence: b.firstSequence, LastSequence: b.lastSequence,
			BaseOffset: b.base, LastOffset: b.last, Timestamp: b.timestamp,
		})
	}
	return p
}

func compareInt64(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Restore sets the log to a checkpointed state. objects are those of the manifest, by ordinal. It is called once, on a
// log that is in nobody's hands yet.
func (l *Log) Restore(p *state.Partition, objects []*Object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logStart, l.logEnd = p.LogStart, p.NextOffset
	l.highWatermark, l.cleaned = p.LogStart, p.CleanedOffset
	for _, e := range p.Epochs {
		l.epochs = append(l.epochs, EpochStart{e.Epoch, e.Start})
	}
	for _, s := range p.Segments {
		l.segments = append(l.segments, virtualSegment{s.BaseOffset, s.Bytes, s.MaxTimestamp, s.CreatedAt})
	}
	for _, r := range p.Runs {
		l.runs = append(l.runs, run{objects[r.Object], segment.RunInfo{
			Topic: l.id.Topic, Partition: l.id.Partition, BaseOffset: r.BaseOffset,
			NextOffset: r.NextOffset, Pos: r.Pos, Bytes: r.Bytes, RecordCount: r.RecordCount, MinTimestamp: r.MinTimestamp, MaxTimestamp: r.MaxTimestamp,
		}, r.AbortedFrom})
		l.highWatermark = max(l.highWatermark, r.NextOffset)
	}
	inObjects := l.highWatermark
	l.unmarked.Next = inObjects
	for _, u := range p.Unmarked {
		l.unmarked.Open = append(l.unmarked.Open, Unmarked{ProducerID: u.ProducerID, Epoch: u.Epoch, First: u.FirstOffset, Uncertain: u.Uncertain})
	}
	for _, e := range p.Extents {
		x := extent{
			base: e.BaseOffset, next: e.NextOffset, pos: wal.Position(e.Position), maxTimestamp: e.MaxTimestamp,
			bytes: uint32(e.Bytes), records: uint32(e.RecordCount), crc: e.CRC,
		}
		if x.pos == nowhere {
			x.state = extentCorrupt
		}
		if len(l.runs) > 0 && x.next <= inObjects {
			x.state = extentCorrupt // a cut has passed over it
			l.quarantined = append(l.quarantined, x)
			continue
		}
		l.extents = append(l.extents, x)
		l.env.extents.Add(1)
		l.highWatermark = max(l.highWatermark, e.NextOffset)
	}
	for _, s := range p.Producers {
		if l.producers == nil {
			l.producers = producers{}
		}
		r := &producer{epoch: s.Epoch, lastTimestamp: s.LastTimestamp, txnFirst: s.TxnFirstOffset, coordinatorEpoch: s.CoordinatorEpoch}
		for _, b := range s.Batches {
			r.batches = append(r.batches, sentBatch{b.FirstSequence, b.LastSequence, b.BaseOffset, b.LastOffset, b.Timestamp})
		}
		l.producers[s.ID] = r
	}
	l.restoreOpenLocked()
	for _, a := range p.Aborted {
		l.aborted = append(l.aborted, segment.AbortedTxn(a))
		l.env.extents.Add(1)
	}
}

// Replay applies a run that recovery found in the WAL. What the checkpoint knows already is passed over, batch by batch
// for the state and as a whole for the index, since a checkpoint may have been ahead of the index.
func (l *Log) Replay(r *wal.Run, leaderEpoch int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.config.Load()
	for i := range r.Batches {
		if b := &r.Batches[i]; b.BaseOffset >= l.logEnd {
			l.applyLocked(b, leaderEpoch, c)
		}
	}
	l.commitLocked(r, false)
}

// ReplayControl applies a control entry that recovery found.
func (l *Log) ReplayControl(c wal.Control) { l.Controlled(c) }

// Recovered ends recovery: everything found is durable.
func (l *Log) Recovered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raiseHighWatermarkLocked(l.logEnd)
}
