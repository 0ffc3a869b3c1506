package partition

import (
	"math"
	"slices"
	"sort"

	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
)

// virtualSegment is a stretch of the log as Kafka would have cut it into a segment file. Nothing on disk is cut that
// way; it exists so that retention.*, segment.bytes and segment.ms mean what they mean in Kafka.
type virtualSegment struct {
	base         int64
	bytes        int64
	maxTimestamp int64
	firstAppend  int64 // timestamp of its first batch, ms
}

// rollMs is the age at which a segment ends; compaction, which leaves the active one alone, may need it sooner.
func (c *Config) rollMs() int64 {
	if c.Compact && c.MaxCompactionLagMs > 0 {
		return min(c.SegmentMs, c.MaxCompactionLagMs)
	}
	return c.SegmentMs
}

// growLocked counts a batch to the active segment, or to a new one where the active one is full or too old.
func (l *Log) growLocked(info *wal.BatchInfo, c *Config) {
	n := len(l.segments)
	if n > 0 {
		s := &l.segments[n-1]
		full := s.bytes+int64(info.Bytes) > c.SegmentBytes
		old := c.rollMs() > 0 && info.MaxTimestamp-s.firstAppend > c.rollMs()
		wide := info.BaseOffset+int64(info.LastOffsetDelta)-s.base > math.MaxInt32
		if !full && !old && !wide {
			s.bytes += int64(info.Bytes)
			s.maxTimestamp = max(s.maxTimestamp, info.MaxTimestamp)
			return
		}
	}
	l.segments = append(l.segments, virtualSegment{info.BaseOffset, int64(info.Bytes), info.MaxTimestamp, info.MaxTimestamp})
}

// RetentionStart returns the log start offset that retention.ms and retention.bytes ask for at nowMs; it is at least
// the present one. As in Kafka whole segments go, by time even the active one, by size never it.
func (l *Log) RetentionStart(nowMs int64) int64 {
	c := l.config.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	start := l.logStart
	if !c.Delete {
		return start
	}
	drop := 0
	if c.RetentionMs >= 0 {
		for drop < len(l.segments) && nowMs-l.segments[drop].maxTimestamp > c.RetentionMs {
			drop++
		}
	}
	if c.RetentionBytes >= 0 {
		var total int64
		for _, s := range l.segments[drop:] {
			total += s.bytes
		}
		for drop < len(l.segments)-1 && total-l.segments[drop].bytes >= c.RetentionBytes {
			total -= l.segments[drop].bytes
			drop++
		}
	}
	switch {
	case drop == 0:
		return start
	case drop == len(l.segments):
		// Batches in flight belong to the last segment; what is not durable cannot be dropped.
		return max(start, l.highWatermark)
	}
	return max(start, min(l.segments[drop].base, l.highWatermark))
}

// DeleteRecords makes offset the log start offset, once the ticket is done. An offset of -1 means the high watermark.
// OffsetOutOfRange if it lies above it; an offset below the log start changes nothing. Open transactions do not stand in the
// way: one that began below the new start is taken to begin there.
func (l *Log) DeleteRecords(offset int64) (start int64, t wal.Ticket, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, t, ErrClosed
	}
	if offset == -1 {
		offset = l.highWatermark
	}
	if offset < 0 || offset > l.highWatermark {
		return 0, t, kafka.OffsetOutOfRange
	}
	if offset <= l.logStart {
		return l.logStart, t, nil
	}
	t, err = l.env.WAL.AppendControl(wal.Control{
		Shard: l.id.Shard, Kind: wal.ControlDeleteRecords, Topic: l.id.Topic,
		Partition: l.id.Partition, Value: offset,
	})
	return offset, t, err
}

// raiseLogStartLocked drops what lies wholly below offset from the index and the segments.
func (l *Log) raiseLogStartLocked(offset int64) {
	if offset <= l.logStart {
		return
	}
	l.logStart = offset
	l.logEnd = max(l.logEnd, offset)
	l.raiseHighWatermarkLocked(max(l.highWatermark, offset))
	l.runs = slices.Delete(l.runs, 0, sort.Search(len(l.runs), func(i int) bool { return l.runs[i].info.NextOffset > offset }))
	l.dropExtentsLocked(sort.Search(len(l.extents), func(i int) bool { return l.extents[i].next > offset }))
	l.dropAbortedLocked(offset)
	l.quarantined = slices.Delete(l.quarantined, 0, sort.Search(len(l.quarantined), func(i int) bool { return l.quarantined[i].next > offset }))
	i := 0
	for i < len(l.segments) && l.segmentEndLocked(i) <= offset {
		i++
	}
	l.segments = slices.Delete(l.segments, 0, i)
	for i = 0; i+1 < len(l.epochs) && l.epochs[i+1].Start <= offset; i++ {
	}
	l.epochs = slices.Delete(l.epochs, 0, i)
	if len(l.epochs) > 0 {
		l.epochs[0].Start = max(l.epochs[0].Start, offset)
	}
}

func (l *Log) segmentEndLocked(i int) int64 {
	if i+1 < len(l.segments) {
		return l.segments[i+1].base
	}
	return l.logEnd
}
