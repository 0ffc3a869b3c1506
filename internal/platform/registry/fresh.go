package registry

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Reads of what may change, and decisions, are made on a state that has everything that any instance had acknowledged before the
// request came: one look at the end of the topic, which all requests share that came before it began, and a wait for what lies before.
// Schemas by their ids do not change, and are looked for at the end only if they are not there.

// freshness is the state of looks at the end.
type freshness struct {
	running chan struct{} // one token: who looks

	mu     sync.Mutex
	next   *look     // the one that has not begun; nil if nobody waits for one
	failed time.Time // when a look failed last
	quiet  int64     // up to here nothing more comes: marks at the end that compaction took away
	// awaited is an end that has not come, and since when.
	awaited int64
	since   time.Time
}

// look is one look at the end; err is set when done is closed.
type look struct {
	done chan struct{}
	err  error
}

const (
	// lookTimeout bounds a look, and staleFor is how long after one that failed requests do without: a cluster that does not answer
	// cannot be written to either.
	lookTimeout = time.Second
	staleFor    = time.Second
	// quietEnd is for how long nothing may come before what is left of the end is taken for marks that are gone.
	quietEnd = 3 * time.Second
)

// CatchUp returns once the state has everything that was acknowledged before the call. It fails if that cannot be had in a second, or
// could not be a moment ago.
func (r *Registry) CatchUp(ctx context.Context) error {
	if err := r.wait(ctx); err != nil {
		return err
	}
	f := &r.fresh
	f.mu.Lock()
	if !f.failed.IsZero() && time.Since(f.failed) < staleFor {
		f.mu.Unlock()
		return errTimeout(context.DeadlineExceeded)
	}
	l := f.next
	if l == nil {
		l = &look{done: make(chan struct{})}
		f.next = l
		f.mu.Unlock()
		r.look(context.WithoutCancel(ctx), l) // others wait for it, too
		return l.err
	}
	f.mu.Unlock()
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return errTimeout(ctx.Err())
	}
}

// look waits for the look before, and then carries one out for all who asked meanwhile.
func (r *Registry) look(ctx context.Context, l *look) {
	f := &r.fresh
	f.running <- struct{}{} // a look is bounded in time
	f.mu.Lock()
	f.next = nil
	f.mu.Unlock()
	l.err = r.toEnd(ctx)
	f.mu.Lock()
	f.failed = time.Time{}
	if l.err != nil {
		f.failed = time.Now()
	}
	f.mu.Unlock()
	<-f.running
	close(l.done)
}

// toEnd reads up to the end that the topic has now.
func (r *Registry) toEnd(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	end, err := r.o.Log.End(asking)
	if err != nil {
		return fmt.Errorf("find the end of the registry's topic: %w", err)
	}
	f := &r.fresh
	f.mu.Lock()
	quiet := f.quiet
	f.mu.Unlock()
	if end-1 <= quiet {
		return nil
	}
	began := time.Now()
	reading, stop := context.WithTimeout(ctx, lookTimeout)
	defer stop()
	if err = r.reach(reading, end-1); err == nil {
		return nil
	}
	r.mu.RLock()
	applied, last := r.applied, r.last
	r.mu.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.awaited != end || last.After(f.since) {
		f.awaited, f.since = end, began
	}
	if time.Since(f.since) < quietEnd {
		return fmt.Errorf("read the registry's topic up to %d, at %d: %w", end, applied, err)
	}
	f.quiet = end - 1
	return nil
}

// fixed are the routes whose answers do not change once they are there.
var fixed = map[string]bool{
	"listTypes": true, "getSchemaById": true, "getTextById": true, "getSchemaByGuid": true,
}

// freshly makes a handler wait for what was acknowledged before. Where that cannot be had it answers by what there is, as
// Confluent's instances always do.
func (r *Registry) freshly(handle func(http.ResponseWriter, *http.Request) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, req *http.Request) error {
		if err := r.CatchUp(req.Context()); err != nil {
			r.o.Logger.Debug("a request is answered by what was read of the registry's topic so far", "err", err)
		}
		return handle(w, req.WithContext(context.WithValue(req.Context(), freshKey{}, true)))
	}
}

// freshKey is of requests that have waited already.
type freshKey struct{}
