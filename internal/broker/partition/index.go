package partition

import (
	"slices"
	"sort"

	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// extentState tells what is known of an extent's bytes. Those that this process wrote are good; those found by
// recovery are checked against their CRC before they are first served.
type extentState uint8

const (
	extentUnverified extentState = iota
	extentVerified
	extentCorrupt
)

// extent is a stretch of consecutive batches inside one WAL frame.
type extent struct {
	base, next   int64
	pos          wal.Position
	maxTimestamp int64
	bytes        uint32
	records      uint32
	crc          uint32
	state        extentState
}

func newExtent(r *wal.Run, verified bool) extent {
	e := extent{
		base: r.BaseOffset, next: r.NextOffset, pos: r.Pos, maxTimestamp: r.MaxTimestamp,
		bytes: uint32(r.Bytes), records: uint32(r.RecordCount), crc: r.CRC,
	}
	if verified {
		e.state = extentVerified
	}
	return e
}

// Object is an L1 or L2 object that holds runs of the log. It is shared by all logs of a shard and immutable.
type Object struct {
	Key   string
	Level uint8
	Bytes int64
	// Data is how many bytes of runs the object held when it was made or, after a restart, when it was last counted.
	Data int64
}

// run is the log's stretch of an object.
type run struct {
	object *Object
	info   segment.RunInfo
	// abortedFrom is the lowest first offset of the aborted transactions whose marker lies in the run, or noAborted.
	abortedFrom int64
}

// span is a place where batches lie: an extent, or a run if object is not nil.
type span struct {
	extent
	object *Object
	info   segment.RunInfo
}

// spansLocked returns the places of the batches in [offset, limit), in order, until they hold maxBytes. The first one
// holds offset, or begins after it where compaction left a hole.
func (l *Log) spansLocked(dst []span, offset, limit int64, maxBytes int64) []span {
	var total int64
	i := sort.Search(len(l.runs), func(i int) bool { return l.runs[i].info.NextOffset > offset })
	for ; i < len(l.runs) && total < maxBytes; i++ {
		r := &l.runs[i]
		if r.info.BaseOffset >= limit {
			return dst
		}
		dst = append(dst, span{object: r.object, info: r.info, extent: extent{base: r.info.BaseOffset, next: r.info.NextOffset}})
		if r.info.BaseOffset >= offset {
			total += r.info.Bytes
		}
		offset = max(offset, r.info.NextOffset)
	}
	i = sort.Search(len(l.extents), func(i int) bool { return l.extents[i].next > offset })
	for ; i < len(l.extents) && total < maxBytes; i++ {
		e := &l.extents[i]
		if e.base >= limit {
			return dst
		}
		dst = append(dst, span{extent: *e})
		if e.base >= offset {
			total += int64(e.bytes)
		}
	}
	return dst
}

// Cut is a stretch of L0 that is to be moved into an object: extents wholly below a WAL position.
type Cut struct {
	Log     *Log
	Extents []CutExtent
	// Aborted are the aborted transactions whose marker lies below the end of the extents, by marker.
	Aborted []segment.AbortedTxn
	// Unmarked are as of the end of the objects. Who copies the extents moves it on, batch by batch, and gives it to Install.
	Unmarked UnmarkedAt
}

// CutExtent is one frame's part of a Cut.
type CutExtent struct {
	BaseOffset, NextOffset int64
	Pos                    wal.Position
	Bytes                  int64
	CRC                    uint32
}

// CutBelow returns the extents that lie below end in the WAL and hold records at or above the log start, oldest first.
// Those known to be damaged are left out: Install quarantines them where they are.
func (l *Log) CutBelow(end wal.Position) Cut {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := Cut{Log: l}
	for i := range l.extents {
		e := &l.extents[i]
		if e.pos >= end {
			break
		}
		if e.next > l.logStart && e.state != extentCorrupt {
			c.Extents = append(c.Extents, CutExtent{e.base, e.next, e.pos, int64(e.bytes), e.crc})
		}
	}
	if n := len(c.Extents); n > 0 {
		c.Aborted = slices.Clone(l.abortedBelowLocked(c.Extents[n-1].NextOffset))
		c.Unmarked = l.unmarked.Clone()
	}
	return c
}

// dropExtentsLocked forgets the oldest n extents.
func (l *Log) dropExtentsLocked(n int) {
	l.extents = slices.Delete(l.extents, 0, n)
	l.env.extents.Add(-int64(n))
}

// Install replaces the extents below the end of info by that run of object. A run that retention or DeleteRecords has
// overtaken meanwhile is not taken. Damaged extents, which are not part of the run, stay in the WAL for whoever may
// rescue them; their offsets are answered with an error and are never passed over in silence. The aborted transactions whose
// marker lies below the end of info are from now on listed by the object; abortedFrom is as in the footer of the segment. unmarked is as of
// the end of info.
func (l *Log) Install(object *Object, info segment.RunInfo, abortedFrom int64, unmarked UnmarkedAt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.extents), func(i int) bool { return l.extents[i].base >= info.NextOffset })
	for _, e := range l.extents[:i] {
		if e.state == extentCorrupt && e.next > l.logStart {
			l.quarantined = append(l.quarantined, e)
		}
	}
	l.dropExtentsLocked(i)
	l.dropAbortedLocked(info.NextOffset)
	l.unmarked = unmarked
	if info.NextOffset > l.logStart {
		l.runs = append(l.runs, run{object, info, abortedFrom})
	}
}

// Replace puts the run info of object in the place of the runs of the objects in old, which it merges. A zero info
// only removes them. Runs that begin before those of old stay before it.
func (l *Log) Replace(old map[string]bool, object *Object, info segment.RunInfo, abortedFrom int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := make([]run, 0, len(l.runs)+1)
	placed := info.Bytes == 0 || info.NextOffset <= l.logStart
	for _, r := range l.runs {
		if !placed && r.info.BaseOffset >= info.BaseOffset {
			kept = append(kept, run{object, info, abortedFrom})
			placed = true
		}
		if !old[r.object.Key] {
			kept = append(kept, r)
		}
	}
	if !placed {
		kept = append(kept, run{object, info, abortedFrom})
	}
	l.runs = kept
}

// RunsIn visits the log's live runs of objects for which want is true, in offset order.
func (l *Log) RunsIn(want func(*Object) bool, visit func(*Object, segment.RunInfo)) {
	l.mu.Lock()
	runs := slices.Clone(l.runs)
	l.mu.Unlock()
	for _, r := range runs {
		if want(r.object) {
			visit(r.object, r.info)
		}
	}
}

// quarantineLocked returns the first quarantined stretch that ends after offset, which may begin after it.
func (l *Log) quarantineLocked(offset int64) (extent, bool) {
	i := sort.Search(len(l.quarantined), func(i int) bool { return l.quarantined[i].next > offset })
	if i == len(l.quarantined) {
		return extent{}, false
	}
	return l.quarantined[i], true
}

// Quarantined returns the WAL positions of the damaged extents that cuts have passed over. Their files are to be kept.
func (l *Log) Quarantined() []wal.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []wal.Position
	for i := range l.quarantined {
		out = append(out, l.quarantined[i].pos)
	}
	return out
}

// OldestWAL returns the position of the oldest extent that the log still needs, or false if it needs none. Quarantined
// ones do not count.
func (l *Log) OldestWAL() (wal.Position, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.extents) == 0 {
		return 0, false
	}
	return l.extents[0].pos, true
}

// PendingWAL returns how many bytes of batches at or above the log start lie in the WAL alone, and the position of the oldest of them; false
// if there are none. Quarantined ones do not count.
func (l *Log) PendingWAL() (bytes int64, oldest wal.Position, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.extents {
		if e := &l.extents[i]; e.next > l.logStart && e.state != extentCorrupt {
			if !ok {
				oldest, ok = e.pos, true
			}
			bytes += int64(e.bytes)
		}
	}
	return bytes, oldest, ok
}

// Quarantine marks the extent that begins at base as damaged: it is kept, counted, and never served.
func (l *Log) Quarantine(base int64) { l.mark(base, extentCorrupt) }
