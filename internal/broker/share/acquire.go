package share

import (
	"slices"
	"time"
)

// Range is a stretch of offsets, both ends included.
type Range struct{ First, Last int64 }

// Acquired are records that were handed out, and how often each was, this time included.
type Acquired struct {
	Range

	DeliveryCount int16
}

// Acquire asks for records that were read.
type Acquire struct {
	Member string
	// MaxRecords is how many records are wanted. Unless Exact, the record batch that reaches it is taken whole.
	MaxRecords int64
	Exact      bool
	// BatchSize is how many new records one Acquired should have, where the bounds of record batches permit it.
	BatchSize int64
	// Offset is where the read began: what NextFetch has said. Batches are the record batches that were read, ascending.
	Offset  int64
	Batches []Range
	// Aborted are stretches whose records nobody shall get.
	Aborted []Range
	Now     time.Time
	Limits  Limits
}

// Acquire hands out records of those that were read: first such as came back, then new ones while there is room.
func (p *Partition) Acquire(a Acquire) []Acquired {
	if len(a.Batches) == 0 || a.MaxRecords <= 0 {
		return nil
	}
	p.skip(a.Offset, a.Batches[0].First)
	t := taker{Acquire: a, partition: p, due: a.Now.Add(a.Limits.Lock), left: a.MaxRecords}
	t.takeBack()
	t.takeNew()
	if len(t.got) > 0 {
		p.due = earlier(p.due, t.due)
	}
	if len(a.Aborted) > 0 {
		t.got = p.abort(a.Aborted, t.got)
	}
	return t.got
}

// skip gives up records that the log has no more: compaction took them.
func (p *Partition) skip(from, to int64) {
	if from >= to {
		return
	}
	if from == p.end && from < to {
		p.spans = append(p.spans, span{first: p.end, last: to - 1, state: archived})
		p.end = to
	}
	lo := p.split(from)
	hi := p.split(to)
	for i := lo; i < hi; i++ {
		if s := &p.spans[i]; s.idle() {
			s.state = archived
		}
	}
	p.advance()
	p.join()
}

// taker is one Acquire at work. stop ends it early: a record that has failed often comes alone.
type taker struct {
	Acquire

	partition *Partition
	due       time.Time
	left      int64
	got       []Acquired
	stop      bool
}

// reach returns the last offset for n records from first on: exactly, or to the end of the record batch.
func (t *taker) reach(first, n int64) int64 {
	last := first + n - 1
	if t.Exact {
		return last
	}
	i, found := slices.BinarySearchFunc(t.Batches, last, func(b Range, at int64) int {
		switch {
		case b.Last < at:
			return -1
		case b.First > at:
			return 1
		}
		return 0
	})
	if found {
		return t.Batches[i].Last
	}
	return last
}

// end returns the offset after what was read.
func (t *taker) end() int64 { return t.Batches[len(t.Batches)-1].Last + 1 }

// takeBack takes records that came back, as far as the read went.
func (t *taker) takeBack() {
	p := t.partition
	for i := p.split(t.Offset); i < len(p.spans) && t.left > 0 && !t.stop; i++ {
		s := &p.spans[i]
		if s.first >= t.end() {
			return
		}
		if !s.idle() {
			continue
		}
		last := min(s.last, t.end()-1, t.reach(s.first, t.left))
		if n, alone := t.careful(s, last); alone {
			if len(t.got) > 0 && n == 1 {
				t.stop = true
				return
			}
			last, t.stop = s.first+n-1, true
		}
		if last < s.last {
			p.split(last + 1)
			s = &p.spans[i]
		}
		s.count++
		t.hold(s)
		t.note(Range{s.first, s.last}, s.count)
	}
}

// careful tells how many records of s up to last to take where they have failed often: half of what was handed out at
// first, half again with each time, and at the last attempt one by one, so that a record that kills its consumers takes no
// others with it.
func (t *taker) careful(s *span, last int64) (n int64, alone bool) {
	limit := t.Limits.DeliveryCount
	from := max(2, (limit+1)/2)
	switch {
	case limit > 2 && s.count == limit-1:
		return 1, true
	case s.count >= from:
		n = s.whole >> min(s.count-from+1, 62)
		return min(max(n, 1), last-s.first+1), true
	}
	return 0, false
}

func (t *taker) hold(s *span) {
	s.state, s.member, s.due = acquired, t.Member, t.due
}

// note adds to what was handed out.
func (t *taker) note(r Range, count int16) {
	t.left -= r.Last - r.First + 1
	if n := len(t.got); n > 0 && t.got[n-1].Last+1 == r.First && t.got[n-1].DeliveryCount == count {
		t.got[n-1].Last = r.Last
		return
	}
	t.got = append(t.got, Acquired{r, count})
}

// takeNew takes records that were not looked at before, while the window has room.
func (t *taker) takeNew() {
	p := t.partition
	room := t.Limits.InFlight - (p.end - p.start)
	first := p.end
	if t.stop || t.left <= 0 || room <= 0 || first >= t.end() || first < t.Offset {
		return
	}
	last := min(t.end()-1, t.reach(first, min(t.left, room)))
	p.end = last + 1
	for _, r := range t.cut(Range{first, last}) {
		p.spans = append(p.spans, span{first: r.First, last: r.Last, count: 1, whole: r.Last - r.First + 1})
		t.hold(&p.spans[len(p.spans)-1])
		t.got = append(t.got, Acquired{r, 1})
	}
}

// cut divides new records into stretches of about BatchSize, at the bounds of record batches.
func (t *taker) cut(r Range) []Range {
	var out []Range
	from := r.First
	for _, b := range t.Batches {
		if b.Last >= r.Last {
			break
		}
		if b.Last >= from && b.Last-from+1 >= max(t.BatchSize, 1) {
			out = append(out, Range{from, b.Last})
			from = b.Last + 1
		}
	}
	return append(out, Range{from, r.Last})
}

// abort gives up records of aborted transactions of those that were just handed out, and returns the others.
func (p *Partition) abort(aborted []Range, got []Acquired) []Acquired {
	for _, r := range aborted {
		var rest []Acquired
		for _, g := range got {
			if g.Last < r.First || g.First > r.Last {
				rest = append(rest, g)
				continue
			}
			lo := p.split(max(g.First, r.First))
			hi := p.split(min(g.Last, r.Last) + 1)
			for i := lo; i < hi; i++ {
				p.spans[i].state, p.spans[i].member, p.spans[i].due = archived, "", time.Time{}
			}
			if g.First < r.First {
				rest = append(rest, Acquired{Range{g.First, r.First - 1}, g.DeliveryCount})
			}
			if g.Last > r.Last {
				rest = append(rest, Acquired{Range{r.Last + 1, g.Last}, g.DeliveryCount})
			}
		}
		got = rest
	}
	p.advance()
	p.join()
	return got
}
