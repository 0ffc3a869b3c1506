package registry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema"
)

// Options of a Registry; all but Registerer are required.
type Options struct {
	Log     Log
	Formats func(schema.Type) (schema.Format, bool)
	// Version and ClusterID are what /v1/metadata tells; ClusterID may ask the cluster.
	Version    string
	ClusterID  func(context.Context) (string, error)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Log is the topic of the registry.
type Log interface {
	// Run hands every record to apply in the order of the topic, calls loaded once it has handed over all that there were, and goes on
	// until ctx ends. A record that comes after restart was called begins a new topic.
	Run(ctx context.Context, apply func(r state.Record, offset, timeMs int64), restart, loaded func()) error
	// Own makes this instance the writer, if it is not. If it was not, the offset is that of a record of its own that must be applied
	// before anything is decided; else -1.
	Own(ctx context.Context) (offset int64, err error)
	// Append writes records, all or none, and returns the offset of the last. ErrLost: another instance is the writer now, or it is not
	// known whether they were written; Own settles both.
	Append(ctx context.Context, records []state.Record) (offset int64, err error)
	// End is the offset behind the last record that readers can see now.
	End(ctx context.Context) (int64, error)
}

// ErrLost is wrapped by what a Log returns when another instance has become the writer.
var ErrLost = errors.New("another instance is the writer")

// Registry is one instance. It is a service.Service. Its methods wait until the topic has been read.
type Registry struct {
	o      Options
	cache  *parsed
	loaded chan struct{} // closed when the topic was read
	turn   chan struct{} // holds one token: who has it may change something
	fresh  freshness
	// revision grows with every record that changes something; -1 until the topic was read.
	revision atomic.Int64

	mu      sync.RWMutex
	state   *state.State
	applied int64         // offset of the last record
	last    time.Time     // when it was applied
	moved   chan struct{} // closed when applied changes
}

// New returns a registry that has read nothing.
func New(o Options) *Registry {
	r := &Registry{
		o: o, cache: newParsed(), loaded: make(chan struct{}), turn: make(chan struct{}, 1),
		fresh: freshness{running: make(chan struct{}, 1), quiet: -1, awaited: -1}, state: state.New(), applied: -1, moved: make(chan struct{}),
	}
	r.revision.Store(-1)
	r.register(o.Registerer)
	return r
}

// Run reads the topic until ctx ends. It calls ready when all was read, or when that takes long: then callers wait.
func (r *Registry) Run(ctx context.Context, ready func()) error {
	late := time.AfterFunc(readyWait, ready)
	defer late.Stop()
	var once sync.Once
	return r.o.Log.Run(ctx, r.apply, r.restart, func() {
		once.Do(func() {
			r.revision.Store(0)
			close(r.loaded)
			ready()
			if _, n := r.counts(); n >= manyVersions {
				debug.FreeOSMemory() // to decode so many left more behind than they need, and nothing as much comes again
			}
		})
	})
}

// manyVersions is from how many on memory is given back after they were read.
const manyVersions = 5000

func (r *Registry) counts() (subjects, versions int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.Counts()
}

// Loaded is closed once the topic was read.
func (r *Registry) Loaded() <-chan struct{} { return r.loaded }

func (r *Registry) apply(rec state.Record, offset, timeMs int64) {
	r.mu.Lock()
	var err error
	if rec.Key != nil {
		err = r.state.Apply(rec, timeMs)
	}
	if rec.Value != nil || !bytes.Equal(rec.Key, noopKey) && rec.Key != nil {
		r.changed() // before anybody can know that the record was read, or he would take what he knew before for right
	}
	r.applied, r.last = offset, time.Now()
	close(r.moved)
	r.moved = make(chan struct{})
	r.mu.Unlock()
	if err != nil {
		r.o.Logger.Warn("a record of the registry's topic was passed over", "offset", offset, "err", err)
	}
}

var noopKey = state.Noop().Key

// changed moves the revision on, but not away from -1: a part of the topic is no picture of it.
func (r *Registry) changed() {
	for {
		n := r.revision.Load()
		if n < 0 || r.revision.CompareAndSwap(n, n+1) {
			return
		}
	}
}

// Revision grows whenever something changes, after it has and before CatchUp returns; it is -1 until the topic has been read.
func (r *Registry) Revision() int64 { return r.revision.Load() }

// View shows the state as it has been read so far, and waits for nothing. look must not keep what it has not copied, but for versions.
func (r *Registry) View(look func(*state.State)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	look(r.state)
}

// restart forgets everything: the topic was deleted and made again.
func (r *Registry) restart() {
	r.fresh.mu.Lock()
	r.fresh.quiet, r.fresh.awaited = -1, -1
	r.fresh.mu.Unlock()
	defer r.changed()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state, r.applied = state.New(), -1
	close(r.moved)
	r.moved = make(chan struct{})
}

// reach waits until a record has been applied.
func (r *Registry) reach(ctx context.Context, offset int64) error {
	for {
		r.mu.RLock()
		applied, moved := r.applied, r.moved
		r.mu.RUnlock()
		if applied >= offset {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return errTimeout(ctx.Err())
		}
	}
}

// Time that a change may take.
const (
	changeTimeout = 30 * time.Second
	readyWait     = 2 * time.Second // for the topic, before the server calls itself ready without it
	takeOvers     = 50              // by others, before a change gives up
)

// change decides something on a state that is the topic's end, and writes it. decide may be called again, on a newer state; what it
// returned last is what was written. It must not keep the state.
func (r *Registry) change(ctx context.Context, decide func(*state.State) ([]state.Record, error)) error {
	// Who goes away does not stop what has begun: the records may be on their way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
	defer cancel()
	if err := r.wait(ctx); err != nil {
		return err
	}
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return errTimeout(ctx.Err())
	}
	defer func() { <-r.turn }()
	for attempt := range takeOvers {
		err := r.attempt(ctx, decide)
		if !errors.Is(err, ErrLost) {
			return err
		}
		r.o.Logger.Debug("another instance wrote to the registry's topic", "attempt", attempt, "err", err)
		pause := time.NewTimer(time.Duration(rand.Int64N(int64(time.Millisecond) * min(int64(5*(attempt+1)), 100)))) //nolint:gosec // to get out of step
		select {
		case <-pause.C:
		case <-ctx.Done():
			return errTimeout(ctx.Err())
		}
	}
	return errNoLeader
}

func (r *Registry) attempt(ctx context.Context, decide func(*state.State) ([]state.Record, error)) error {
	// Most requests to register change nothing: they need no writer and no topic.
	r.mu.RLock()
	records, err := decide(r.state)
	r.mu.RUnlock()
	if err == nil && len(records) == 0 {
		return nil
	}
	refused := err
	offset, err := r.o.Log.Own(ctx)
	if err != nil {
		return storeError(err)
	}
	if offset >= 0 || refused != nil {
		if err := r.reach(ctx, offset); err != nil {
			return err
		}
		r.mu.RLock()
		records, err = decide(r.state)
		r.mu.RUnlock()
		if err != nil || len(records) == 0 {
			return err
		}
	}
	last, err := r.o.Log.Append(ctx, records)
	if err != nil {
		return storeError(err)
	}
	return r.reach(ctx, last)
}

// wait returns once the topic has been read.
func (r *Registry) wait(ctx context.Context) error {
	select {
	case <-r.loaded:
		return nil
	default:
	}
	select {
	case <-r.loaded:
		return nil
	case <-ctx.Done():
		return errTimeout(ctx.Err())
	}
}

// read asks something of the state. If look finds nothing, it is asked again at the topic's end, unless the request has waited for that.
func read[T any](ctx context.Context, r *Registry, look func(*state.State) (T, error)) (T, error) {
	var none T
	if err := r.wait(ctx); err != nil {
		return none, err
	}
	r.mu.RLock()
	out, err := look(r.state)
	r.mu.RUnlock()
	if !isMissing(err) || ctx.Value(freshKey{}) != nil || r.CatchUp(ctx) != nil {
		return out, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return look(r.state)
}
