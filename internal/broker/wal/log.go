package wal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// ErrInvalid is returned by Append and AppendControl for values that no frame can hold. It is a mistake of the caller.
var ErrInvalid = errors.New("wal: invalid batch or control")

// state of a Log; it only moves forward.
type state uint8

const (
	stateNew      state = iota // Run has not made it ready
	stateRunning               // appends are taken
	stateDraining              // no more appends, the rest is written
	stateEnded                 // by a failure, or Run has returned
)

// Log is the open end of the chain: one incarnation writes through it. Make it with New, then call Run.
type Log struct {
	o       Options
	metrics *metrics
	prep    *preparer

	mu sync.Mutex

	state  state
	failed error // wraps ErrFailed

	open        *group   // being filled; never nil
	pending     []*group // closed, oldest first
	inflight    []*group // taken by a lane, oldest first, until complete
	free        []*group // for reuse
	ring        ring     // the last frames
	groupNumber uint64   // of open
	queuedBytes int64    // batch bytes in open, pending and inflight
	waiters     []waiter // in Admit, oldest first

	building   bool // a lane is laying out a frame: the next one depends on it
	writing    int  // lanes between take and the end of their sync
	completing bool // a lane is completing frames
	closing    bool // the close frame has been written, or cannot be

	seq        uint64   // of the next frame
	chain      uint32   // checksum of the last header
	place      Position // where the last frame ended
	reserved   Position // where the last of pending will end at the most
	prepared   Position // the chain has blocks up to here
	want       Position // somebody asked for blocks up to here
	durable    Position // where the last complete frame ended
	noSpace    bool     // the preparer's last attempt found no room
	files      []*file  // of the chain, ascending; only the preparer adds
	unproven   bool     // durable frames exist that no later header vouches for
	markDue    bool
	markTimer  *time.Timer
	markSeq    uint64 // seq when the timer was set
	markArmed  bool
	closedDown bool // files are closed

	work sync.Cond // state, pending, open, building, writing, inflight or markDue has changed
}

type waiter struct {
	bytes int64
	ready chan struct{}
}

// New returns a Log that is not yet open: it touches no file and starts nothing.
func New(o Options) *Log {
	l := &Log{o: o.withDefaults(), metrics: newMetrics(o.Registerer)}
	l.work.L = &l.mu
	l.ring.limit = l.o.RingBytes
	l.place, l.reserved, l.prepared, l.durable = o.Start, o.Start, o.Start, o.Start
	l.prep = newPreparer(l)
	l.open = l.newGroup()
	return l
}

// newGroup takes a group from the free list or makes one.
func (l *Log) newGroup() *group {
	l.groupNumber++
	var g *group
	if n := len(l.free); n > 0 {
		g, l.free = l.free[n-1], l.free[:n-1]
	} else {
		g = &group{}
	}
	g.reset(l.groupNumber)
	return g
}

// refusal is why nothing can be appended now, or nil.
func (l *Log) refusal() error {
	switch {
	case l.failed != nil:
		return l.failed
	case l.state != stateRunning:
		return ErrClosed
	}
	return nil
}

// fit returns where a frame of size bytes goes if what is before it ends at p: at p, or in the next file.
func (l *Log) fit(p Position, size int64) Position {
	off := int64(p-l.o.Start) % l.o.FileBytes
	switch {
	case off == 0: // p is the begin of a file, or the end of the one before
		return p + fileHeaderBytes
	case off+size > l.o.FileBytes:
		return p + Position(l.o.FileBytes-off) + fileHeaderBytes
	}
	return p
}

// capacity is the most that one frame can take.
func (l *Log) capacity() int64 { return l.o.FileBytes - fileHeaderBytes }

// Append adds a batch to the open group and returns the ticket of its durability. It does no I/O and does not block. The batch
// has its final bytes and must keep them until the ticket is complete; the log does not copy it. info.Bytes is set by Append.
//
// Errors come before anything has changed: ErrNoSpace (try again later), ErrTooLarge, ErrInvalid, ErrClosed, and errors that wrap ErrFailed.
func (l *Log) Append(s *Stream, batch []byte, info BatchInfo) (Ticket, error) {
	if len(batch) == 0 || len(batch) > math.MaxInt32 || info.LastOffsetDelta < 0 || info.RecordCount < 0 || info.BaseOffset < 0 ||
		info.BaseOffset > math.MaxInt64-math.MaxInt32-1 || s.Partition < 0 {
		return Ticket{}, ErrInvalid
	}
	info.Bytes = int32(len(batch))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(); err != nil {
		return Ticket{}, err
	}
	if info.BaseOffset < l.open.nextOffset(s) {
		return Ticket{}, ErrInvalid
	}
	n := int64(len(batch))
	if err := l.reserve(n, l.open.batchFooterBytes(s), maxBatchFooterBytes+maxRunFooterBytes+maxShardFooterBytes, l.controlBytes()); err != nil {
		return Ticket{}, err
	}
	l.open.add(s, batch, info)
	l.queuedBytes += n
	l.wake()
	return Ticket{l.open.commit}, nil
}

// controlBytes is room that batches leave to controls, so that a log without space still takes what makes space. Files
// too small for that keep none.
func (l *Log) controlBytes() int64 {
	const most, least = 1 << 20, 4 * pageBytes
	n := min(most, l.o.FileBytes/16) &^ (pageBytes - 1)
	if n < least {
		return 0
	}
	return n
}

// AppendControl adds a control entry to the open group. Errors are those of Append, but ErrNoSpace comes later: some room
// is kept for controls.
func (l *Log) AppendControl(c Control) (Ticket, error) {
	if c.Kind < ControlDeleteRecords || c.Kind > ControlLeaderEpoch {
		return Ticket{}, ErrInvalid
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(); err != nil {
		return Ticket{}, err
	}
	const footer = maxControlFooterBytes + maxShardFooterBytes
	if err := l.reserve(0, footer, footer, 0); err != nil {
		return Ticket{}, err
	}
	l.open.addControl(c)
	l.wake()
	return Ticket{l.open.commit}, nil
}

// reserve makes sure that body more batch bytes fit: in the open group, with footer more bytes of footer, or else in a new one,
// with alone bytes of footer, and leave the room spared. It may replace the open group.
func (l *Log) reserve(body, footer, alone, spared int64) error {
	g := l.open
	size := maxFrameBytes(g.body+body, g.footer+footer)
	if !g.empty() && (g.body+body > int64(l.o.GroupBytes) || size > l.capacity()) {
		size = maxFrameBytes(body, alone)
		if size > l.capacity() {
			return ErrTooLarge
		}
		closed := maxFrameBytes(g.body, g.footer)
		after := l.fit(l.reserved, closed) + Position(closed)
		if !l.room(after, size, spared) {
			return ErrNoSpace
		}
		l.closeOpen()
		return nil
	}
	if size > l.capacity() {
		return ErrTooLarge
	}
	if !l.room(l.reserved, size, spared) {
		return ErrNoSpace
	}
	return nil
}

// room reports whether a frame of size bytes, and spared bytes more, fit in what is prepared if they come after p.
func (l *Log) room(p Position, size, spared int64) bool {
	if l.ahead(l.fit(p, size)+Position(size+spared), 0) {
		return true
	}
	l.metrics.noSpace.Inc()
	return false
}

// closeOpen moves the open group to the pending ones.
func (l *Log) closeOpen() {
	g := l.open
	size := maxFrameBytes(g.body, g.footer)
	l.reserved = l.fit(l.reserved, size) + Position(size)
	l.pending = append(l.pending, g)
	l.open = l.newGroup()
}

// wake lets a lane look at the open group if there is something to do for it.
func (l *Log) wake() {
	if l.startable() {
		l.work.Signal()
	}
}

// Barrier returns a ticket that completes when everything appended before the call is durable.
func (l *Log) Barrier() Ticket {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.open.empty():
		return Ticket{l.open.commit}
	case len(l.pending) > 0:
		return Ticket{l.pending[len(l.pending)-1].commit}
	case len(l.inflight) > 0:
		return Ticket{l.inflight[len(l.inflight)-1].commit}
	case l.failed != nil:
		c := newCommit()
		c.finish(l.failed)
		return Ticket{c}
	}
	return Ticket{}
}

// Admit waits until n more batch bytes are welcome: until no more than QueueBytes are waiting to become durable (or none are, if n alone is more),
// and files are prepared for them. Waiters are served in order. It reserves nothing: callers that were admitted together
// may exceed the bound together, each once. Errors: those of Append, and that of ctx.
func (l *Log) Admit(ctx context.Context, n int64) error {
	l.mu.Lock()
	if err := l.refusal(); err != nil {
		l.mu.Unlock()
		return err
	}
	if len(l.waiters) == 0 {
		ok, err := l.admissible(n, 0)
		if ok || err != nil {
			l.mu.Unlock()
			return err
		}
	}
	w := waiter{bytes: n, ready: make(chan struct{})}
	l.waiters = append(l.waiters, w)
	l.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
		l.forget(w)
		return ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(); err != nil {
		return err
	}
	_, err := l.admissible(n, 0)
	return err
}

// admissible reports whether n bytes are welcome after let bytes that have just been let in. With ErrNoSpace it is not worth waiting.
func (l *Log) admissible(n, let int64) (bool, error) {
	size := maxFrameBytes(l.open.body+let+n, l.open.footer+maxBatchFooterBytes+maxRunFooterBytes+maxShardFooterBytes)
	size = min(size, l.capacity())
	if !l.ahead(l.fit(l.reserved, size)+Position(size+l.controlBytes()), l.prep.lowBytes/2) {
		if l.noSpace {
			l.metrics.noSpace.Inc()
			return false, ErrNoSpace
		}
		return false, nil
	}
	queued := l.queuedBytes + let
	return queued == 0 || queued+n <= l.o.QueueBytes, nil
}

// ahead reports whether the chain is prepared up to end, and by slack more bytes while more can be had. If little is left it tells the preparer.
func (l *Log) ahead(end Position, slack int64) bool {
	if int64(l.prepared-end) < l.prep.lowBytes {
		l.want = max(l.want, end+Position(slack))
		l.prep.kick()
	}
	if l.noSpace {
		slack = 0
	}
	return end+Position(slack) <= l.prepared
}

// admit lets the waiters go for whom there is room now, or who wait in vain.
func (l *Log) admit() {
	let, n := int64(0), 0
	for ; n < len(l.waiters); n++ {
		w := l.waiters[n]
		if l.state == stateRunning {
			if ok, err := l.admissible(w.bytes, let); !ok && err == nil {
				break
			}
		}
		let += w.bytes
		close(w.ready)
	}
	l.waiters = slices.Delete(l.waiters, 0, n)
}

// forget takes a waiter off the list that gave up.
func (l *Log) forget(w waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiters = slices.DeleteFunc(l.waiters, func(x waiter) bool { return x.ready == w.ready })
	l.admit()
}

// Tail is the position after the last durable frame; Start if there is none.
func (l *Log) Tail() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// fail ends the log: every ticket that is not complete fails, and so does every later call. It returns the error that Run returns.
func (l *Log) fail(cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	l.failed = fmt.Errorf("%w: %w", ErrFailed, cause)
	l.state = stateEnded
	inflight := l.inflight
	if l.completing {
		inflight = inflight[1:] // that one made it
	}
	for _, groups := range [][]*group{inflight, l.pending, {l.open}} {
		for _, g := range groups {
			g.commit.finish(l.failed)
		}
	}
	// Lanes may still read the groups in flight: none is used again.
	l.inflight, l.pending, l.free = nil, nil, nil
	l.open = l.newGroup()
	l.admit()
	l.work.Broadcast()
	return l.failed
}
