package share

import (
	"slices"
	"sort"
	"time"

	"github.com/weir-stream/weir/internal/kafka"
)

// Acknowledgement types, as clients number them.
const (
	AckGap     int8 = 0 // there is no such record
	AckAccept  int8 = 1
	AckRelease int8 = 2
	AckReject  int8 = 3
	AckRenew   int8 = 4
)

// Ack says what became of the records [First, Last]: Types has one entry for all, or one for each.
type Ack struct {
	First, Last int64
	Types       []int8
}

func (a *Ack) at(offset int64) int8 {
	if len(a.Types) == 1 {
		return a.Types[0]
	}
	return a.Types[offset-a.First]
}

// CheckAcks tells whether acknowledgements make sense by themselves; with renew they may prolong.
func CheckAcks(acks []Ack, renew bool) error {
	before := int64(-1)
	for i := range acks {
		a := &acks[i]
		switch n := int64(len(a.Types)); {
		case a.First > a.Last, a.First <= before, n == 0, n > 1 && n != a.Last-a.First+1:
			return kafka.InvalidRequest
		}
		highest := AckReject
		if renew {
			highest = AckRenew
		}
		if slices.ContainsFunc(a.Types, func(t int8) bool { return t < AckGap || t > highest }) {
			return kafka.InvalidRequest
		}
		before = a.Last
	}
	return nil
}

// Acknowledge notes what a member says of records that it holds: all of it, or nothing and an error. Changes are to be
// persisted (Take). What the group is past of is passed over.
func (p *Partition) Acknowledge(member string, acks []Ack, now time.Time, l Limits) error {
	for i := range acks {
		if err := p.checkAck(member, &acks[i], l); err != nil {
			return err
		}
	}
	for i := range acks {
		p.acknowledge(&acks[i], now, l)
	}
	return nil
}

func (p *Partition) checkAck(member string, a *Ack, l Limits) error {
	switch {
	case a.Last < p.start:
		return nil
	case p.end == p.start:
		return kafka.Errorf(kafka.InvalidRecordState, "None of the records is in flight.")
	case a.First >= p.end:
		return kafka.Errorf(kafka.InvalidRequest, "The first offset is beyond the records in flight.")
	case a.Last >= p.end:
		return kafka.Errorf(kafka.InvalidRequest, "The last offset is beyond the records in flight.")
	case !l.Renew && slices.Contains(a.Types, AckRenew):
		return kafka.Errorf(kafka.InvalidRecordState, "The group does not permit to renew.")
	}
	from := sort.Search(len(p.spans), func(i int) bool { return p.spans[i].last >= a.First })
	for i := from; i < len(p.spans); i++ {
		s := &p.spans[i]
		switch {
		case s.first > a.Last:
			return nil
		case s.state == acquired && s.write != nil:
			return kafka.Errorf(kafka.InvalidRecordState, "What became of the offset is being recorded.")
		case s.state != acquired:
			return kafka.Errorf(kafka.InvalidRecordState, "The offset is not acquired.")
		case s.member != member:
			return kafka.Errorf(kafka.InvalidRecordState, "The member does not hold the offset.")
		}
	}
	return nil
}

func (p *Partition) acknowledge(a *Ack, now time.Time, l Limits) {
	for first := max(a.First, p.start); first <= a.Last; {
		kind := a.at(first)
		last := first
		for last < a.Last && (len(a.Types) == 1 || a.at(last+1) == kind) {
			if len(a.Types) == 1 {
				last = a.Last
				break
			}
			last++
		}
		lo := p.split(first)
		hi := p.split(last + 1)
		for i := lo; i < hi; i++ {
			p.settle(&p.spans[i], kind, now, l)
		}
		first = last + 1
	}
}

func (p *Partition) settle(s *span, kind int8, now time.Time, l Limits) {
	switch kind {
	case AckRenew:
		s.due = now.Add(l.Lock)
	case AckAccept:
		p.change(s, acknowledged, false)
	case AckRelease:
		p.change(s, released(s, l), false)
	default:
		p.change(s, archived, false)
	}
}
