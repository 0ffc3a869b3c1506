package meta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxRoundRequests bounds how many requests share one commit.
const maxRoundRequests = 128

// engine is what the stores of this package have in common: everything but where the entries lie.
//
// All changes of state go through a queue. Whoever finds nobody at work takes the baton, works for
// everybody in the queue at once (a round: one commit, so one sync), and hands the baton to the first of
// those who came meanwhile. So there is no goroutine to start or stop, and the state below the baton needs
// no lock. The queue is as long as there are callers waiting in it, and no longer.
type engine struct {
	backend backend
	clock   Clock
	failed  atomic.Pointer[error] // set by the baton; ends everything

	mu      sync.Mutex
	queue   []*request
	leading bool // somebody has the baton
	closed  bool // no more requests

	// Owned by the holder of the baton.

	revision int64
	history  history
	watchers map[*watcher]struct{}
	leases   map[int64]*lease
	leaseID  int64 // the last one given out
}

// backend is where the entries lie.
type backend interface {
	// get and scan see what was committed last; they are called from any goroutine.
	get(key string) (record, bool, error)
	scan(prefix, after string, limit int) ([]Entry, error)
	// commit makes changes durable together with the revision, then visible. Holder of the baton only.
	commit(changes map[string]change, revision int64) error
	// room returns ErrNoSpace, wrapped, if changes should not be tried.
	room() error
	// close is called once, by the holder of the baton.
	close() error
}

// record is what is stored under a key.
type record struct {
	value    []byte
	revision int64
	lease    int64
}

// change is a new record under a key, or the end of it.
type change struct {
	record
	deleted bool
	// wasLeased tells whether the committed record before had a lease.
	wasLeased bool
}

// request is one caller's wish.
type request struct {
	// plan decides, under the baton, before the commit. If it returns an error it has changed nothing.
	plan func(*round) error
	// done, if not nil, runs under the baton after a successful commit.
	done func(*round)
	err  error
	turn chan bool // true: take the baton; false: finished, see err
}

// round is a set of requests that commit together.
type round struct {
	changes  map[string]change
	events   []Event
	revision int64
}

func newEngine(b backend, clock Clock, revision int64) *engine {
	if clock == nil {
		clock = SystemClock()
	}
	return &engine{
		backend: b, clock: clock, revision: revision, history: history{floor: revision},
		watchers: make(map[*watcher]struct{}), leases: make(map[int64]*lease),
	}
}

// submit runs r in a round and returns its error.
func (e *engine) submit(r *request) error {
	r.turn = make(chan bool, 1)
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return ErrClosed
	}
	e.queue = append(e.queue, r)
	lead := !e.leading
	e.leading = true
	e.mu.Unlock()
	if !lead {
		lead = <-r.turn
	}
	if lead {
		e.lead()
	}
	return r.err
}

// lead runs one round, whose first request is the caller's own, and passes the baton on.
func (e *engine) lead() {
	e.mu.Lock()
	n := min(len(e.queue), maxRoundRequests)
	requests := e.queue[:n:n]
	e.queue = e.queue[n:]
	e.mu.Unlock()

	e.run(requests)

	var next *request
	e.mu.Lock()
	if len(e.queue) > 0 {
		next = e.queue[0]
	} else {
		e.queue, e.leading = nil, false
	}
	e.mu.Unlock()
	if next != nil {
		next.turn <- true
	}
	for _, r := range requests[1:] {
		r.turn <- false
	}
}

// run plans, commits and completes requests.
func (e *engine) run(requests []*request) {
	r := &round{changes: make(map[string]change), revision: e.revision}
	planned := requests[:0:0]
	for _, q := range requests {
		if q.err = e.failure(); q.err == nil {
			q.err = q.plan(r)
		}
		if q.err == nil {
			planned = append(planned, q)
		}
	}
	if len(r.changes) > 0 {
		if err := e.backend.commit(r.changes, r.revision); err != nil {
			err = fmt.Errorf("%w: %w", ErrFailed, err)
			e.failed.Store(&err)
			for _, q := range planned {
				q.err = err
			}
			e.endWatches()
			return
		}
		e.revision = r.revision
		e.publish(r.events)
	}
	for _, q := range planned {
		if q.done != nil {
			q.done(r)
		}
	}
}

func (e *engine) failure() error {
	if err := e.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// find returns the record of key as the round has it by now.
func (e *engine) find(r *round, key string) (record, bool, error) {
	if c, ok := r.changes[key]; ok {
		return c.record, !c.deleted, nil
	}
	return e.backend.get(key)
}

// change adds a change to the round. old is what find gave.
func (e *engine) change(r *round, key string, old record, c change) {
	if before, ok := r.changes[key]; ok {
		c.wasLeased = before.wasLeased
	} else {
		c.wasLeased = old.lease != 0
	}
	if l := e.leases[old.lease]; l != nil {
		delete(l.keys, key)
	}
	if l := e.leases[c.lease]; l != nil {
		l.keys[key] = struct{}{}
	}
	r.changes[key] = c
	kind := Put
	if c.deleted {
		kind = Delete
	}
	r.events = append(r.events, Event{Kind: kind, Entry: Entry{Key: key, Value: c.value, Revision: c.revision}})
}

// Get implements Store.
func (e *engine) Get(ctx context.Context, key string) (Entry, error) {
	if err := errors.Join(ctx.Err(), e.failure()); err != nil {
		return Entry{}, err
	}
	if err := CheckKey(key); err != nil {
		return Entry{}, err
	}
	rec, ok, err := e.backend.get(key)
	if err != nil {
		return Entry{}, fmt.Errorf("get %q: %w", key, err)
	}
	if !ok {
		return Entry{}, fmt.Errorf("get %q: %w", key, ErrNotFound)
	}
	return Entry{Key: key, Value: rec.value, Revision: rec.revision}, nil
}

// Range implements Store.
func (e *engine) Range(ctx context.Context, prefix, after string, limit int) ([]Entry, error) {
	if err := errors.Join(ctx.Err(), e.failure()); err != nil {
		return nil, err
	}
	entries, err := e.backend.scan(prefix, after, limit)
	if err != nil {
		return nil, fmt.Errorf("range %q: %w", prefix, err)
	}
	return entries, nil
}

// Txn implements Store.
func (e *engine) Txn(ctx context.Context, compares []Compare, ops []Op) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	if err := CheckTxn(compares, ops); err != nil {
		return Result{}, err
	}
	if len(ops) > 0 {
		if err := e.backend.room(); err != nil {
			return Result{}, err
		}
	}
	var result Result
	err := e.submit(&request{plan: func(r *round) (err error) {
		result, err = e.planTxn(r, compares, ops)
		return err
	}})
	if err != nil {
		return Result{}, err
	}
	return result, nil
}

func (e *engine) planTxn(r *round, compares []Compare, ops []Op) (Result, error) {
	for _, c := range compares {
		rec, ok, err := e.find(r, c.Key)
		if err != nil {
			return Result{}, fmt.Errorf("compare %q: %w", c.Key, err)
		}
		if ok != (c.Revision != 0) || ok && rec.revision != c.Revision {
			return Result{Revision: r.revision}, nil
		}
	}
	// Everything that can go wrong goes wrong before the first change.
	olds := make([]record, len(ops))
	acts := make([]bool, len(ops)) // the op changes something
	for i, op := range ops {
		if op.Kind == Put && op.Lease != 0 && e.leases[op.Lease] == nil {
			return Result{}, fmt.Errorf("put %q with lease %d: %w", op.Key, op.Lease, ErrLeaseNotFound)
		}
		rec, ok, err := e.find(r, op.Key)
		if err != nil {
			return Result{}, fmt.Errorf("change %q: %w", op.Key, err)
		}
		olds[i], acts[i] = rec, ok || op.Kind == Put
	}
	if slices.Contains(acts, true) {
		r.revision++
	}
	for i, op := range ops {
		switch {
		case !acts[i]:
		case op.Kind == Delete:
			e.change(r, op.Key, olds[i], change{record: record{revision: r.revision}, deleted: true})
		default:
			rec := record{value: bytes.Clone(op.Value), revision: r.revision, lease: op.Lease}
			e.change(r, op.Key, olds[i], change{record: rec})
		}
	}
	return Result{Succeeded: true, Revision: r.revision}, nil
}

// Close implements Store.
func (e *engine) Close() error {
	var err error
	closing := &request{
		turn: make(chan bool, 1),
		plan: func(*round) error { return nil },
	}
	end := func(*round) {
		for _, l := range e.leases {
			l.stop()
		}
		clear(e.leases)
		e.endWatches()
		err = e.backend.close()
	}
	closing.done = end
	submitErr := e.submitLast(closing)
	if errors.Is(submitErr, ErrFailed) {
		end(nil) // nobody else comes: this was the last request
	} else if submitErr != nil {
		return submitErr
	}
	return err
}

// submitLast is submit that lets no later request in.
func (e *engine) submitLast(r *request) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return ErrClosed
	}
	e.closed = true
	e.queue = append(e.queue, r)
	lead := !e.leading
	e.leading = true
	e.mu.Unlock()
	if !lead {
		lead = <-r.turn
	}
	if lead {
		e.lead()
	}
	return r.err
}

// Grant implements Store.
func (e *engine) Grant(ctx context.Context, ttl time.Duration) (Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if ttl <= 0 {
		return nil, fmt.Errorf("lease of %v: %w", ttl, ErrInvalid)
	}
	l := &lease{engine: e, ttl: ttl, keys: make(map[string]struct{})}
	err := e.submit(&request{plan: func(*round) error {
		e.leaseID++
		l.id = e.leaseID
		l.deadline = e.clock.Now().Add(ttl)
		l.stop = e.clock.AfterFunc(ttl, l.check)
		e.leases[l.id] = l
		return nil
	}})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// lease is a Lease. All but id, ttl and engine is owned by the holder of the engine's baton.
type lease struct {
	engine   *engine
	id       int64
	ttl      time.Duration
	deadline time.Time
	stop     func() bool
	keys     map[string]struct{}
}

func (l *lease) ID() int64 { return l.id }

// KeepAlive implements Lease. It only moves the deadline: the timer looks at it when it fires.
func (l *lease) KeepAlive(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e := l.engine
	return e.submit(&request{plan: func(r *round) error {
		now := e.clock.Now()
		if e.leases[l.id] == nil || !now.Before(l.deadline) {
			return fmt.Errorf("keep lease %d alive: %w", l.id, ErrLeaseNotFound)
		}
		l.deadline = now.Add(l.ttl)
		return nil
	}})
}

// Revoke implements Lease.
func (l *lease) Revoke(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.engine.submit(&request{plan: l.end})
}

// check runs when the timer fires: it ends the lease, or sets the timer for the rest of its time.
func (l *lease) check() {
	e := l.engine
	// There is nobody to tell: a store that is closed or has failed has no more leases.
	_ = e.submit(&request{plan: func(r *round) error {
		if e.leases[l.id] == nil {
			return nil
		}
		if rest := l.deadline.Sub(e.clock.Now()); rest > 0 {
			l.stop = e.clock.AfterFunc(rest, l.check)
			return nil
		}
		return l.end(r)
	}})
}

// end takes the lease away and deletes its keys.
func (l *lease) end(r *round) error {
	e := l.engine
	if e.leases[l.id] == nil {
		return nil
	}
	keys := slices.Sorted(maps.Keys(l.keys))
	olds := make([]record, len(keys))
	for i, key := range keys {
		rec, _, err := e.find(r, key)
		if err != nil {
			return fmt.Errorf("end lease %d: %w", l.id, err)
		}
		olds[i] = rec
	}
	l.stop()
	if len(keys) > 0 {
		r.revision++
	}
	for i, key := range keys {
		e.change(r, key, olds[i], change{record: record{revision: r.revision}, deleted: true})
	}
	delete(e.leases, l.id)
	return nil
}
