package machine

import (
	"container/heap"
	"time"
)

// Alarm is a point in time at which something happens, or none. It can be moved often at little cost, as
// heartbeats do: moving it later leaves its entry in the queue, and the entry is put back when it comes up too early.
type Alarm struct {
	// Fire is for the owner, who calls it when Pop returns the alarm.
	Fire   func()
	due    time.Time // zero: off
	queued time.Time // the entry that counts; entries for other times are stale. Zero: none
}

// Due returns when the alarm is due, the zero time if it is off.
func (a *Alarm) Due() time.Time { return a.due }

// alarmEntry is an alarm's place in the queue.
type alarmEntry struct {
	at    time.Time
	seq   uint64 // entries of one time come up in the order of their making
	alarm *Alarm
}

// Alarms is a queue of alarms, the earliest first; alarms of one time come in the order in which they were set. The zero
// value is empty.
type Alarms struct {
	entries alarmHeap
	seq     uint64
}

// Set moves a to due; a zero due turns it off.
func (q *Alarms) Set(a *Alarm, due time.Time) {
	a.due = due
	if due.IsZero() || !a.queued.IsZero() && !due.Before(a.queued) {
		return
	}
	q.seq++
	a.queued = due
	heap.Push(&q.entries, alarmEntry{at: due, seq: q.seq, alarm: a})
}

// Next returns when the queue wants to be looked at, the zero time if never.
func (q *Alarms) Next() time.Time {
	if len(q.entries) == 0 {
		return time.Time{}
	}
	return q.entries[0].at
}

// Pop returns an alarm that is due at now, turned off, or nil.
func (q *Alarms) Pop(now time.Time) *Alarm {
	for len(q.entries) > 0 && !q.entries[0].at.After(now) {
		entry := heap.Pop(&q.entries).(alarmEntry)
		a := entry.alarm
		if !entry.at.Equal(a.queued) {
			continue
		}
		a.queued = time.Time{}
		switch {
		case a.due.IsZero():
		case a.due.After(now):
			q.Set(a, a.due)
		default:
			a.due = time.Time{}
			return a
		}
	}
	return nil
}

// alarmHeap is the heap of a queue.
type alarmHeap []alarmEntry

func (h alarmHeap) Len() int { return len(h) }

func (h alarmHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].seq < h[j].seq
}

func (h alarmHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *alarmHeap) Push(x any) { *h = append(*h, x.(alarmEntry)) }

func (h *alarmHeap) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = alarmEntry{}
	*h = (*h)[:len(*h)-1]
	return last
}
