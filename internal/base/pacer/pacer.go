// Package pacer lets work in the background yield to clients for as long as it can wait.
//
// Whoever serves clients counts it (Clients). Whoever works in the background says how much there is to do, what may happen before it has to be done,
// its limits, and after each slice how much of it is done (Work.Did), where it is held while three things are true at once:
//
//   - clients are busy;
//   - more of the work is done than its schedule asks for. The schedule is the part that is used up of the limit of which most is: half of the bytes
//     written that the work has room for, and half of it has to be done;
//   - nobody waits for it (Hurry).
//
// So the work goes at full speed while nobody is served, and when it is late; else as fast as its debt grows, or, where that does not grow, as its time
// runs out:
//
//	done
//	 all ┤          ╱     above the line: held while clients are busy
//	     │      ╱         below it: full speed
//	     │  ╱
//	   0 ┼─────────┤
//	     0      the room   of the limit that is nearest to its end
//
// A limit that was passed, since clients were faster than the work, presses as long as it moves. When it has stood still for half a second nothing gets worse by waiting: what is left
// of the work is spread over an eighth of the limit more. Hard limits, which may stand still because there is no room, go on pressing.
//
// What follows: where full speed keeps a limit while clients use it up as fast as they can, the limit is kept, but for a slice, also when they do so after a pause (what is left of the work
// and of the limit are in the proportion that they had at the begin); a work ends, held or not, by the end of its time at the latest,
// if full speed can; the more of a limit is used, the less is held; who asks for nothing holds nothing up.
//
// A Pacer belongs to one goroutine, which may have several others do the Work that it has begun: held, they are held together. Clients and Hurry are anybody's. Time is package time's, so tests run in a bubble of testing/synctest.
// The package knows nothing of what is worked on, and never limits clients.
package pacer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// sliceBytes is how much is done between two looks. It takes some milliseconds.
	sliceBytes = 1 << 20
	// pause is how long a work is held before the next look.
	pause = 10 * time.Millisecond
	// window is the least time over which the rate of clients is taken.
	window = 100 * time.Millisecond
	// lull is how long clients may do nothing without being idle: producers wait for acknowledgements, and consumers for records.
	lull = 500 * time.Millisecond
	// requestBytes is what a request counts besides its bytes.
	requestBytes = 16 << 10
	// busyBytes a second, of bytes and requests, are what nobody is held up for: 40 requests, or what takes a thousandth of a core.
	busyBytes = 640 << 10
)

// Clients counts what is done for clients. The zero value is ready, and nil counts nothing.
type Clients struct{ done atomic.Int64 }

// Served counts a request that moved so many bytes for a client. Requests that only wait do not count.
func (c *Clients) Served(bytes int64) {
	if c != nil {
		c.done.Add(bytes + requestBytes)
	}
}

// Limit is something that goes on beside a work, and by how much it may.
type Limit struct {
	// Used counts it, upwards. What it returns at Begin is the zero.
	Used func() int64
	// Room is by how much it may grow until the work has to be done; 0 or less: the work is late from the begin.
	Room int64
	// Hard limits press also when they were passed and stand still.
	Hard bool
}

// Pacer holds work up. Make it with New.
type Pacer struct {
	clients *Clients
	hurried atomic.Int32

	looked    time.Time // when seen was taken
	seen      int64     // of clients.done
	busyUntil time.Time

	due             prometheus.Gauge
	worked, yielded prometheus.Counter
}

// New returns a Pacer that yields to clients. Its metrics are named weir_storage_maintenance_*; r may be nil.
func New(clients *Clients, r prometheus.Registerer) *Pacer {
	p := &Pacer{
		clients: clients,
		due:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_storage_maintenance_due_ratio", Help: "How much of what may happen before the cut or merge that goes on has to be done has happened: bytes and frames written, index entries, time. From 1 on it goes at full speed. 0 while there is none."}),
		worked:  prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_storage_maintenance_seconds_total", Help: "Time that cuts and merges took, with that in which they yielded to clients."}),
		yielded: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_storage_maintenance_yielded_seconds_total", Help: "Time in which cuts and merges were held up, so that clients have the processors and disks."}),
	}
	if r != nil {
		r.MustRegister(p.due, p.worked, p.yielded)
	}
	return p
}

// Look takes the rate of clients, if the last look is long enough ago. Called now and then between works, it makes a Work begin with what clients do now.
func (p *Pacer) Look() {
	now := time.Now()
	passed := now.Sub(p.looked)
	if passed < window {
		return
	}
	done := p.clients.done.Load()
	if !p.looked.IsZero() && float64(done-p.seen) >= busyBytes*passed.Seconds() {
		p.busyUntil = now.Add(lull)
	}
	p.looked, p.seen = now, done
}

// Busy says whether clients were busy at the last look or shortly before.
func (p *Pacer) Busy() bool { return time.Now().Before(p.busyUntil) }

// Hurry makes all work go at full speed until the caller, who waits for it, calls done.
func (p *Pacer) Hurry() (done func()) {
	p.hurried.Add(1)
	return func() { p.hurried.Add(-1) }
}

// Work is a piece of work of a known size. A nil *Work is never held.
type Work struct {
	p  *Pacer
	mu sync.Mutex // of what follows, and of p while the work goes on

	total, done int64
	next        int64 // of done: the next look
	began       time.Time
	within      time.Duration
	limits      []limit
}

// limit is a Limit, and its line: the part of the work that has to be done when it has used so much.
type limit struct {
	Limit
	base int64 // what was used at the begin of the work
	// The line goes from the part done at used, both counted from the begin, to all of the work when left more is used.
	part       float64
	used, left int64
	// seen was used at moved, when it had last moved.
	seen  int64
	moved time.Time
}

// still is the part of its room by which a limit may move in a lull, and stand still all the same.
const still = 1.0 / 100

// due is the part of the work that has to be done by now, done being the part that is.
func (l *limit) due(now time.Time, done float64) float64 {
	used := l.Used() - l.base
	switch {
	case l.Hard || l.Room <= 0:
	case float64(used-l.seen) > still*float64(l.Room):
		l.seen, l.moved = used, now
	case now.Sub(l.moved) >= lull && used-l.used >= l.left:
		l.part, l.used, l.left = done, used, max(1, l.Room/8)
		l.seen, l.moved = used, now
	}
	return l.part + (1-l.part)*part(used-l.used, l.left)
}

// Begin returns a work of total bytes, more or less, that has to be done in the time within, and before any of the limits is passed. End must be called.
func (p *Pacer) Begin(total int64, within time.Duration, limits ...Limit) *Work {
	w := &Work{p: p, total: total, next: sliceBytes, began: time.Now(), within: within}
	for _, l := range limits {
		w.limits = append(w.limits, limit{Limit: l, base: l.Used(), left: l.Room, moved: w.began})
	}
	p.Look()
	return w
}

// End says that nothing more is done of the work.
func (w *Work) End() {
	if w == nil {
		return
	}
	w.p.worked.Add(time.Since(w.began).Seconds())
	w.p.due.Set(0)
}

// Did counts n bytes that are done, and holds the caller up as the package says. What is done beyond the total is not held. The error is that of ctx.
func (w *Work) Did(ctx context.Context, n int64) error {
	if w == nil {
		return nil
	}
	if !w.did(n) {
		return nil
	}
	return w.wait(ctx, 0)
}

// Await holds the caller up as Did would if n bytes more were done. It is for what has to be done before a part of the work can begin.
func (w *Work) Await(ctx context.Context, n int64) error {
	if w == nil || !w.look(n) {
		return nil
	}
	return w.wait(ctx, n)
}

// wait waits until who has done n bytes more than are counted is not held any more.
func (w *Work) wait(ctx context.Context, n int64) error {
	began := time.Now()
	defer func() { w.p.yielded.Add(time.Since(began).Seconds()) }()
	t := time.NewTimer(pause)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		if !w.look(n) {
			return nil
		}
		t.Reset(pause)
	}
}

// did counts n bytes, and says whether who did them is to wait.
func (w *Work) did(n int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done += n; w.done < w.next {
		return false
	}
	w.next = w.done + sliceBytes
	w.p.Look()
	return w.held(w.done)
}

// look says whether who has done n bytes more than are counted is to wait.
func (w *Work) look(n int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.p.Look()
	return w.held(w.done + n)
}

// held says whether the work is to wait now, if so much of it is done. mu is held.
func (w *Work) held(done int64) bool {
	due := w.due()
	w.p.due.Set(due)
	return done < w.total && float64(done) > due*float64(w.total) && w.p.hurried.Load() == 0 && w.p.Busy()
}

// due is the part of the work that has to be done by now; 1 or more is all of it.
func (w *Work) due() float64 {
	now, done := time.Now(), min(1, float64(w.done)/float64(max(1, w.total)))
	due := part(int64(now.Sub(w.began)), int64(w.within))
	for i := range w.limits {
		due = max(due, w.limits[i].due(now, done))
	}
	return due
}

func part(used, room int64) float64 {
	if room <= 0 {
		return 1
	}
	return max(0, float64(used)/float64(room))
}
