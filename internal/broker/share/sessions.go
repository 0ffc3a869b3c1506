package share

import (
	"container/heap"
	"time"
)

// sessions is a queue of the ends of sessions. A member has one entry at most; one that has been prolonged is put back
// when its entry comes up.
type sessions struct {
	entries entries
	seq     uint64
}

type entry struct {
	at     time.Time
	seq    uint64 // entries of one time come up in the order of their making
	group  *group
	member *member
}

// set lets m's session end at due.
func (q *sessions) set(s *group, m *member, due time.Time) {
	earlier := m.queued && due.Before(m.due)
	m.due = due
	if m.queued && !earlier {
		return
	}
	q.push(s, m)
}

func (q *sessions) push(s *group, m *member) {
	q.seq++
	m.queued = true
	heap.Push(&q.entries, entry{m.due, q.seq, s, m})
}

// next returns when the queue wants to be looked at.
func (q *sessions) next() (time.Time, bool) {
	if len(q.entries) == 0 {
		return time.Time{}, false
	}
	return q.entries[0].at, true
}

// pop returns a member whose session has ended by now, or nil.
func (q *sessions) pop(now time.Time) (*group, *member) {
	for len(q.entries) > 0 && !q.entries[0].at.After(now) {
		e := heap.Pop(&q.entries).(entry)
		switch {
		case e.member.gone:
		case e.member.due.After(now):
			q.push(e.group, e.member)
		default:
			e.member.queued = false
			return e.group, e.member
		}
	}
	return nil, nil
}

type entries []entry

func (e entries) Len() int { return len(e) }

func (e entries) Less(i, j int) bool {
	if !e[i].at.Equal(e[j].at) {
		return e[i].at.Before(e[j].at)
	}
	return e[i].seq < e[j].seq
}

func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push adds an entry, for container/heap.
func (e *entries) Push(x any) { *e = append(*e, x.(entry)) }

// Pop takes the last entry, for container/heap.
func (e *entries) Pop() any {
	last := (*e)[len(*e)-1]
	(*e)[len(*e)-1] = entry{}
	*e = (*e)[:len(*e)-1]
	return last
}
