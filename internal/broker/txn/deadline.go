package txn

import (
	"container/heap"
	"slices"
	"time"
)

// deadlines are the times at which open transactions time out, earliest first. An id is in the queue once at most: one
// whose transaction ended and began again stays where it is, and is put back when it comes up too early.
type deadlines struct {
	entries []deadline
	queued  map[string]time.Time
}

type deadline struct {
	at time.Time
	id string
}

// add queues an id. Its time-out is looked up when the entry comes up, so an entry may be too early, never too late.
func (q *deadlines) add(id string, at time.Time) {
	queued, ok := q.queued[id]
	switch {
	case !ok:
		heap.Push(q, deadline{at, id})
	case at.Before(queued):
		i := slices.IndexFunc(q.entries, func(e deadline) bool { return e.id == id })
		q.entries[i].at = at
		heap.Fix(q, i)
	default:
		return
	}
	q.queued[id] = at
}

// next returns when the earliest comes up.
func (q *deadlines) next() (time.Time, bool) {
	if len(q.entries) == 0 {
		return time.Time{}, false
	}
	return q.entries[0].at, true
}

// pop takes the earliest out, if it has come up by now.
func (q *deadlines) pop(now time.Time) (id string, ok bool) {
	if at, some := q.next(); !some || at.After(now) {
		return "", false
	}
	e := heap.Pop(q).(deadline)
	delete(q.queued, e.id)
	return e.id, true
}

// Len, Less, Swap, Push and Pop serve container/heap.
func (q *deadlines) Len() int { return len(q.entries) }

func (q *deadlines) Less(i, j int) bool {
	if !q.entries[i].at.Equal(q.entries[j].at) {
		return q.entries[i].at.Before(q.entries[j].at)
	}
	return q.entries[i].id < q.entries[j].id
}

func (q *deadlines) Swap(i, j int) { q.entries[i], q.entries[j] = q.entries[j], q.entries[i] }

func (q *deadlines) Push(x any) { q.entries = append(q.entries, x.(deadline)) }

func (q *deadlines) Pop() any {
	last := q.entries[len(q.entries)-1]
	q.entries[len(q.entries)-1] = deadline{}
	q.entries = q.entries[:len(q.entries)-1]
	return last
}
