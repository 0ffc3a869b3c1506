package quota

import "time"

// rate adds up what happened in windows of equal length, of which it keeps as many as the options say. The present window
// is one of them. The zero rate holds nothing.
//
//	| w-10 | w-9 | ... | w-1 | w (now) |      rate = sum / time from the begin of w-10 to now
//
// Windows that have not been yet count as empty ones, so that the first request of a client may be as large as what all of
// its windows may hold, without a wait.
type rate struct {
	sums   []float64 // in a circle by number of window
	newest int64     // number of the newest window in sums
	total  float64
}

// windows say how rates count.
type windows struct {
	count  int
	length time.Duration
}

func (w windows) span() time.Duration { return time.Duration(w.count) * w.length }

// number is the window that a time lies in.
func (w windows) number(now time.Time) int64 { return now.UnixNano() / int64(w.length) }

// elapsed is the time over which a sum is spread.
func (w windows) elapsed(now time.Time) float64 {
	inside := now.UnixNano() % int64(w.length)
	return (time.Duration(w.count-1)*w.length + time.Duration(inside)).Seconds()
}

// advance forgets the windows that are too old. A time before the newest window counts as that one.
func (r *rate) advance(w windows, now time.Time) {
	if r.sums == nil {
		r.sums = make([]float64, w.count)
		r.newest = w.number(now)
		return
	}
	for at := w.number(now); r.newest < at; {
		if at-r.newest >= int64(len(r.sums)) {
			clear(r.sums)
			r.newest, r.total = at, 0
			return
		}
		r.newest++
		slot := &r.sums[r.newest%int64(len(r.sums))]
		r.total -= *slot
		*slot = 0
	}
}

// add counts value, which may be negative to take back what was counted in error.
func (r *rate) add(w windows, value float64, now time.Time) {
	r.advance(w, now)
	r.sums[r.newest%int64(len(r.sums))] += value
	r.total += value
}

// over is the time after which the rate is back at limit a second if nothing more comes; 0 if it is not above.
func (r *rate) over(w windows, limit float64, now time.Time) time.Duration {
	r.advance(w, now)
	return wait(r.total/limit - w.elapsed(now))
}

// perSecond is the rate.
func (r *rate) perSecond(w windows, now time.Time) float64 {
	r.advance(w, now)
	return r.total / max(w.elapsed(now), time.Millisecond.Seconds())
}

// maxWait bounds what is answered to a client that is far above its quota; the protocol has 32 bits of milliseconds.
const maxWait = 24 * time.Hour

// wait is seconds as a time, in whole milliseconds, which is what clients are told.
func wait(seconds float64) time.Duration {
	if seconds <= 0 {
		return 0
	}
	if seconds >= maxWait.Seconds() {
		return maxWait
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}
