package group

import (
	"container/heap"
	"time"
)

// alarm is a point in time at which something happens, or none. It can be moved often at little cost, as
// heartbeats do: moving it later leaves its entry in the queue, and the entry is put back when it comes up too early.
type alarm struct {
	due    time.Time // zero: off
	queued time.Time // the entry that counts; entries for other times are stale. Zero: none
	fire   func()
}

// alarmEntry is an alarm's place in the queue.
type alarmEntry struct {
	at    time.Time
	seq   uint64 // entries of one time come up in the order of their making
	alarm *alarm
}

// alarmQueue is a heap of entries, earliest first.
type alarmQueue struct {
	entries []alarmEntry
	seq     uint64
}

// set moves a to due; a zero due turns it off.
func (q *alarmQueue) set(a *alarm, due time.Time) {
	a.due = due
	if due.IsZero() || !a.queued.IsZero() && !due.Before(a.queued) {
		return
	}
	q.seq++
	a.queued = due
	heap.Push(q, alarmEntry{at: due, seq: q.seq, alarm: a})
}

// next returns when the queue wants to be looked at, the zero time if never.
func (q *alarmQueue) next() time.Time {
	if len(q.entries) == 0 {
		return time.Time{}
	}
	return q.entries[0].at
}

// pop returns an alarm that is due at now, turned off, or nil.
func (q *alarmQueue) pop(now time.Time) *alarm {
	for len(q.entries) > 0 && !q.entries[0].at.After(now) {
		entry := heap.Pop(q).(alarmEntry)
		a := entry.alarm
		if !entry.at.Equal(a.queued) {
			continue
		}
		a.queued = time.Time{}
		switch {
		case a.due.IsZero():
		case a.due.After(now):
			q.set(a, a.due)
		default:
			a.due = time.Time{}
			return a
		}
	}
	return nil
}

// Len, Less, Swap, Push and Pop serve container/heap.
func (q *alarmQueue) Len() int { return len(q.entries) }

func (q *alarmQueue) Less(i, j int) bool {
	if !q.entries[i].at.Equal(q.entries[j].at) {
		return q.entries[i].at.Before(q.entries[j].at)
	}
	return q.entries[i].seq < q.entries[j].seq
}

func (q *alarmQueue) Swap(i, j int) { q.entries[i], q.entries[j] = q.entries[j], q.entries[i] }

func (q *alarmQueue) Push(x any) { q.entries = append(q.entries, x.(alarmEntry)) }

func (q *alarmQueue) Pop() any {
	last := q.entries[len(q.entries)-1]
	q.entries[len(q.entries)-1] = alarmEntry{}
	q.entries = q.entries[:len(q.entries)-1]
	return last
}
