package share

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/weir-stream/weir/internal/kafka/sharerecord"
)

// recordState is what may be done with a record.
type recordState int8

// Available records wait for a consumer, acquired ones are held by one; the other two are done with. The numbers are
// those that are persisted; acquired records are persisted as available.
const (
	available                = recordState(sharerecord.StateAvailable)
	acquired     recordState = 1
	acknowledged             = recordState(sharerecord.StateAcknowledged)
	archived                 = recordState(sharerecord.StateArchived)
)

func (s recordState) done() bool { return s == acknowledged || s == archived }

// Limits are the settings of a group that Partition acts on.
type Limits struct {
	DeliveryCount int16         // share.delivery.count.limit
	InFlight      int64         // share.partition.max.record.locks
	Lock          time.Duration // share.record.lock.duration.ms
	Renew         bool          // share.renew.acknowledge.enable
}

// span is a stretch of records that are alike, both ends included.
type span struct {
	first, last int64
	state       recordState
	count       int16     // times handed out, the present one included
	whole       int64     // how many records were handed out together at first, of which these are what is left
	member      string    // who holds it, if acquired
	due         time.Time // when that ends

	// write, if not nil, is what next is to be persisted with. A forced change happens even if that fails.
	write  *Write
	next   recordState
	forced bool
}

// idle tells that a span can be handed out.
func (s *span) idle() bool { return s.state == available && s.write == nil }

// held tells that somebody holds the span and may say what becomes of it.
func (s *span) held() bool { return s.state == acquired && s.write == nil }

// Partition is the window of records that a group has in flight in a partition:
//
//	start                                        end
//	  | acquired | acknowledged | available | ... |  not looked at yet
//
// Spans cover [start, end) without gaps.
type Partition struct {
	start, end int64
	spans      []span
	// open gathers changes for the next Write, nil if there are none.
	open *Write
	// due is not later than the first end of a lock.
	due time.Time
}

// Write is what is to be persisted. Its contents are those of the moment of Take.
type Write struct {
	Start            int64
	DeliveryComplete int32
	Batches          []Batch
}

// NewPartition returns a window from start on with what was persisted.
func NewPartition(start int64, batches []Batch) *Partition {
	p := &Partition{start: start, end: start, due: never}
	for _, b := range tidy(batches, start) {
		if b.First > p.end {
			p.spans = append(p.spans, span{first: p.end, last: b.First - 1, state: available})
		}
		state := recordState(b.State)
		if !state.done() {
			state = available
		}
		p.spans = append(p.spans, span{first: b.First, last: b.Last, state: state, count: b.DeliveryCount, whole: b.Last - b.First + 1})
		p.end = b.Last + 1
	}
	p.advance()
	return p
}

// Start returns the first offset that is not done with.
func (p *Partition) Start() int64 { return p.start }

// InFlight returns the length of the window, and how many of its records are held.
func (p *Partition) InFlight() (window, held int64) {
	for i := range p.spans {
		if s := &p.spans[i]; s.state == acquired {
			held += s.last - s.first + 1
		}
	}
	return p.end - p.start, held
}

// Spans returns how many stretches the window has.
func (p *Partition) Spans() int { return len(p.spans) }

// NextFetch returns the offset of the first record that can be handed out.
func (p *Partition) NextFetch() int64 {
	for i := range p.spans {
		if p.spans[i].idle() {
			return p.spans[i].first
		}
	}
	return p.end
}

// CanAcquire tells whether there may be something to hand out: records that came back, or room for new ones.
func (p *Partition) CanAcquire(l Limits) bool {
	return p.NextFetch() != p.end || p.end-p.start < l.InFlight
}

// RaiseStart moves the start to the begin of the log, and over what is done with there. Records before it are gone, whoever held them.
func (p *Partition) RaiseStart(logStart int64) {
	if logStart <= p.start {
		return
	}
	p.cut(logStart)
	p.start = logStart
	p.end = max(p.end, logStart)
	p.advance()
}

// cut drops what lies before offset.
func (p *Partition) cut(offset int64) {
	i := sort.Search(len(p.spans), func(i int) bool { return p.spans[i].last >= offset })
	p.spans = slices.Delete(p.spans, 0, i)
	if len(p.spans) > 0 {
		p.spans[0].first = max(p.spans[0].first, offset)
	}
}

// advance moves the start over records that are done with.
func (p *Partition) advance() {
	i := 0
	for i < len(p.spans) && p.spans[i].state.done() && p.spans[i].write == nil {
		i++
	}
	if i == 0 {
		return
	}
	p.start = p.spans[i-1].last + 1
	p.spans = slices.Delete(p.spans, 0, i)
}

// split makes a span begin at offset and returns its index; len(spans) if offset lies at the end.
func (p *Partition) split(offset int64) int {
	i := sort.Search(len(p.spans), func(i int) bool { return p.spans[i].last >= offset })
	if i == len(p.spans) || p.spans[i].first >= offset {
		return i
	}
	left := p.spans[i]
	left.last = offset - 1
	p.spans[i].first = offset
	p.spans = slices.Insert(p.spans, i, left)
	return i + 1
}

// join makes one of neighbours that are alike.
func (p *Partition) join() {
	out := p.spans[:0]
	for _, s := range p.spans {
		if n := len(out); n > 0 {
			a, b := out[n-1], s
			a.first, a.last, b.first, b.last = 0, 0, 0, 0
			if a == b {
				out[n-1].last = s.last
				continue
			}
		}
		out = append(out, s)
	}
	clear(p.spans[len(out):])
	p.spans = out
}

// change lets a span become next with the write that is being gathered.
func (p *Partition) change(s *span, next recordState, forced bool) {
	if p.open == nil {
		p.open = &Write{}
	}
	s.write, s.next, s.forced = p.open, next, forced
}

// Pending returns the changes that wait for Take, or nil.
func (p *Partition) Pending() *Write { return p.open }

// Touch makes a Write due though no record has changed: it persists the start.
func (p *Partition) Touch() {
	if p.open == nil {
		p.open = &Write{}
	}
}

// Take returns the changes that wait to be persisted, or nil. It must be given to Complete, and the next one be taken
// only then: so the start offset goes up from write to write.
func (p *Partition) Take() *Write {
	w := p.open
	if w == nil {
		return nil
	}
	p.open = nil
	w.Start, w.Batches = p.start, w.Batches[:0]
	var done int64
	for i := range p.spans {
		s := &p.spans[i]
		state := s.state
		if s.write == w {
			state = s.next
			w.Batches = append(w.Batches, Batch{First: s.first, Last: s.last, State: int8(state), DeliveryCount: s.count})
		}
		if state.done() {
			done += s.last - s.first + 1
		}
	}
	w.Batches = tidy(w.Batches, NoOffset)
	w.DeliveryComplete = int32(min(done, math.MaxInt32))
	return w
}

// Complete ends a write. After a failure its changes are taken back but for those that are forced. It returns whether
// records became available.
func (p *Partition) Complete(w *Write, ok bool) (freed bool) {
	for i := range p.spans {
		s := &p.spans[i]
		if s.write != w {
			continue
		}
		s.write = nil
		if !ok && !s.forced {
			p.due = earlier(p.due, s.due)
			continue
		}
		s.state, s.member, s.due, s.forced = s.next, "", time.Time{}, false
		if s.state.done() {
			s.whole = 0
		}
		freed = freed || s.state == available
	}
	p.advance()
	p.join()
	return freed
}

// Release lets go of all that a member holds.
func (p *Partition) Release(member string, l Limits) {
	for i := range p.spans {
		if s := &p.spans[i]; s.held() && s.member == member {
			p.change(s, released(s, l), true)
		}
	}
}

// released is what a record becomes that came back.
func released(s *span, l Limits) recordState {
	if s.count >= l.DeliveryCount {
		return archived
	}
	return available
}

// Expire lets go of what was held for too long, and returns how many records that were.
func (p *Partition) Expire(now time.Time, l Limits) (records int64) {
	if now.Before(p.due) {
		return 0
	}
	p.due = never
	for i := range p.spans {
		s := &p.spans[i]
		switch {
		case !s.held():
		case s.due.After(now):
			p.due = earlier(p.due, s.due)
		default:
			p.change(s, released(s, l), true)
			records += s.last - s.first + 1
		}
	}
	return records
}

// Due returns when Expire is to be called, at the latest.
func (p *Partition) Due() time.Time { return p.due }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
