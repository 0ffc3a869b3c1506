package partition

import (
	"math"
	"slices"
	"sort"

	"github.com/weir-stream/weir/internal/broker/segment"
)

// Cleanable is what a cleaner has to know of a compacted log to say whether, and how far, it is to be cleaned.
type Cleanable struct {
	// Start is the log start; what lies in [FirstDirty, Uncleanable) is to be cleaned. Nothing from Uncleanable on may be: it is
	// not decided or not durable, in the active segment, or younger than min.compaction.lag.ms.
	Start, FirstDirty, Uncleanable int64
	// Bytes of the segments below FirstDirty, in [FirstDirty, Uncleanable), and of those from Uncleanable on.
	CleanBytes, DirtyBytes, UncleanableBytes int64
	// OverdueMs is for how long something dirty has been older than max.compaction.lag.ms, 0 if nothing is.
	OverdueMs int64
}

// Ratio is the dirty part of what may be cleaned, in [0, 1].
func (c *Cleanable) Ratio() float64 {
	if c.DirtyBytes == 0 {
		return 0
	}
	return float64(c.DirtyBytes) / float64(c.DirtyBytes+c.CleanBytes)
}

// Cleanable tells what a cleaning at nowMs would have to do.
func (l *Log) Cleanable(nowMs int64) Cleanable {
	c := l.config.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.offsetsLocked()
	out := Cleanable{Start: l.logStart, FirstDirty: max(l.cleaned, l.logStart), Uncleanable: min(o.LastStable, o.HighWatermark)}
	oldest := int64(math.MaxInt64)
	for i := range l.segments {
		s := &l.segments[i]
		end := l.segmentEndLocked(i)
		young := c.MinCompactionLagMs > 0 && s.maxTimestamp > nowMs-c.MinCompactionLagMs
		if end > out.FirstDirty && (i == len(l.segments)-1 || young) {
			out.Uncleanable = min(out.Uncleanable, s.base)
		}
		switch {
		case end <= out.FirstDirty:
			out.CleanBytes += s.bytes
		case end <= out.Uncleanable:
			out.DirtyBytes += s.bytes
			if s.firstAppend > 0 {
				oldest = min(oldest, s.firstAppend)
			}
		default:
			out.UncleanableBytes += s.bytes
		}
	}
	out.Uncleanable = max(out.Uncleanable, out.FirstDirty)
	if late := nowMs - c.MaxCompactionLagMs; c.MaxCompactionLagMs > 0 && oldest < late && out.DirtyBytes > 0 {
		out.OverdueMs = late - oldest
	}
	return out
}

// Stretch is a piece of the log that lies in one place: a run of an object or an extent of the write-ahead log.
type Stretch struct {
	BaseOffset, NextOffset, Bytes int64
}

// Stretches returns the durable pieces that begin below limit, in order.
func (l *Log) Stretches(limit int64) []Stretch {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Stretch
	for _, r := range l.runs {
		if r.info.BaseOffset < limit {
			out = append(out, Stretch{r.info.BaseOffset, r.info.NextOffset, r.info.Bytes})
		}
	}
	for _, e := range l.extents {
		if e.base < limit {
			out = append(out, Stretch{e.base, e.next, int64(e.bytes)})
		}
	}
	return out
}

// Cleaned is what a cleaning puts in the place of the pieces in [Start, End), which are whole ones.
type Cleaned struct {
	Start, End int64
	// Object holds what is left, as Info says.
	Object *Object
	Info   segment.RunInfo
	// AbortedFrom is the lowest first offset of the aborted transactions that the run lists, -1 if it lists none.
	AbortedFrom int64
	// Through is up to where the log has been cleaned when this is in place; 0 leaves that as it was.
	Through int64
	// Unmarked is as of End, if that lies behind the end of the objects.
	Unmarked UnmarkedAt
	// Removed are the bytes that went, by the first offset of the segment that they were in.
	Removed map[int64]int64
}

// InstallCleaned puts c in its place and returns the objects that lost a run by it. It returns false, and changes nothing, if
// a cut or a merge has joined the pieces at the ends of c with others meanwhile, if damage was found in them, or if the log
// was closed: then c is of no use.
func (l *Log) InstallCleaned(c *Cleaned) (lost []*Object, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := sort.Search(len(l.runs), func(i int) bool { return l.runs[i].info.NextOffset > c.Start })
	to := sort.Search(len(l.runs), func(i int) bool { return l.runs[i].info.BaseOffset >= c.End })
	extents := sort.Search(len(l.extents), func(i int) bool { return l.extents[i].base >= c.End })
	if l.closed || !l.wholeLocked(c, from, max(from, to), extents) {
		return nil, false
	}
	for _, r := range l.runs[from:max(from, to)] {
		lost = append(lost, r.object)
	}
	var place []run
	if c.Info.NextOffset > l.logStart {
		place = append(place, run{c.Object, c.Info, c.AbortedFrom})
	}
	l.runs = slices.Concat(l.runs[:from], place, l.runs[max(from, to):])
	l.dropExtentsLocked(extents)
	l.dropAbortedLocked(c.End)
	if c.Unmarked.Next > l.unmarked.Next {
		l.unmarked = c.Unmarked
	}
	for offset, n := range c.Removed {
		if i := l.segmentOfLocked(offset); i >= 0 {
			l.segments[i].bytes = max(0, l.segments[i].bytes-n)
		}
	}
	l.cleaned = max(l.cleaned, c.Through)
	l.joinSegmentsLocked()
	return lost, true
}

// wholeLocked tells whether runs [from, to) and the first extents are just what lies in [c.Start, c.End), and sound.
func (l *Log) wholeLocked(c *Cleaned, from, to, extents int) bool {
	if from < to && (l.runs[from].info.BaseOffset < c.Start || l.runs[to-1].info.NextOffset > c.End) {
		return false
	}
	for i := range l.extents[:extents] {
		if e := &l.extents[i]; e.state == extentCorrupt || e.next > c.End {
			return false
		}
	}
	q, ok := l.quarantineLocked(c.Start)
	return !ok || q.base >= c.End
}

// segmentOfLocked returns the segment that holds offset, or -1.
func (l *Log) segmentOfLocked(offset int64) int {
	return sort.Search(len(l.segments), func(i int) bool { return l.segments[i].base > offset }) - 1
}

// joinSegmentsLocked makes one of neighbouring clean segments that compaction has made small, as Kafka does with files.
func (l *Log) joinSegmentsLocked() {
	c := l.config.Load()
	kept := l.segments[:0]
	for i, s := range l.segments {
		end := l.segmentEndLocked(i)
		if n := len(kept); n > 0 && end <= l.cleaned && kept[n-1].bytes+s.bytes <= c.SegmentBytes && end-kept[n-1].base <= math.MaxInt32 {
			kept[n-1].bytes += s.bytes
			kept[n-1].maxTimestamp = max(kept[n-1].maxTimestamp, s.maxTimestamp)
			continue
		}
		kept = append(kept, s)
	}
	l.segments = kept
}

// Segments returns the first offsets of the log's segments.
func (l *Log) Segments() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]int64, 0, len(l.segments))
	for _, s := range l.segments {
		out = append(out, s.base)
	}
	return out
}

// CleanedOffset is up to where the log has been cleaned.
func (l *Log) CleanedOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cleaned
}

// LastOfProducer returns the offset of the last record of a producer in its epoch, -1 if it has none, and the epoch.
func (l *Log) LastOfProducer(id int64) (last int64, epoch int16, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.producers[id]
	if !ok {
		return 0, 0, false
	}
	if n := len(p.batches); n > 0 {
		return p.batches[n-1].last, p.epoch, true
	}
	return -1, p.epoch, true
}
