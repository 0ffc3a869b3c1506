package auth

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

// MaxBindings is how many bindings there can be.
const MaxBindings = 100_000

// bindingsPerTxn bounds a transaction below the limits of the metadata store.
const bindingsPerTxn = 100

// Authorizer keeps the bindings and decides by them. What decides is an immutable set, replaced by every change, so that
// a decision takes no lock. All methods may be called from any goroutine.
//
// A change made here decides from the moment its call returns; one made by another broker that shares the metadata store
// as soon as its event comes, while Run runs.
type Authorizer struct {
	meta    meta.Store
	rules   acl.Rules
	logger  *slog.Logger
	metrics *authMetrics

	set atomic.Pointer[acl.Set]
	// turn holds one token; who has taken it may change what follows.
	turn     chan struct{}
	bindings map[string]acl.Binding // by key in the store
	stale    bool                   // a transaction ended without telling its outcome: load before the next
}

// Options of an Authorizer; Meta is required.
type Options struct {
	Meta       meta.Store
	Rules      acl.Rules
	Logger     *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil: metrics are counted and not shown
}

// Open reads all bindings. A damaged one is an error: nothing is decided that might be wrong.
func Open(ctx context.Context, o Options) (*Authorizer, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Authorizer{meta: o.Meta, rules: o.Rules, logger: o.Logger, turn: make(chan struct{}, 1)}
	a.metrics = newAuthMetrics(o.Registerer, a)
	if err := a.load(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// Set is what decides now.
func (a *Authorizer) Set() *acl.Set { return a.set.Load() }

// Decide answers a request and counts the answer.
func (a *Authorizer) Decide(r acl.Request) acl.Decision {
	d := a.Set().Decide(r)
	a.metrics.count(d)
	return d
}

// DecideAny tells whether a client may do op to at least one resource of a kind, and counts the answer.
func (a *Authorizer) DecideAny(p Principal, host string, op Operation, t ResourceType) acl.Decision {
	d := a.Set().DecideAny(p, host, op, t)
	a.metrics.count(d)
	return d
}

// Create makes bindings durable and effective, each with its own outcome: nil, also if it is there already, or why not.
// A binding that is not valid is refused by itself.
func (a *Authorizer) Create(ctx context.Context, bindings []acl.Binding) []error {
	out := make([]error, len(bindings))
	var wanted []acl.Binding
	var where []int
	for i, b := range bindings {
		if out[i] = Validate(b); out[i] == nil {
			wanted, where = append(wanted, b), append(where, i)
		}
	}
	for chunk, first := range chunks(wanted, bindingsPerTxn) {
		if err := a.change(ctx, chunk, meta.Put); err != nil {
			for i := first; i < len(wanted); i++ {
				out[where[i]] = err
			}
			break
		}
	}
	return out
}

// Delete deletes what each filter selects and returns it, filter by filter; a binding that several select is told to all
// of them. The filters must be valid.
func (a *Authorizer) Delete(ctx context.Context, filters []acl.Filter) ([][]acl.Binding, error) {
	out := make([][]acl.Binding, len(filters))
	var all []acl.Binding
	set := a.Set()
	for i, f := range filters {
		out[i] = set.Find(f)
		all = append(all, out[i]...)
	}
	for chunk := range chunks(acl.NewSet(all, acl.Rules{}).All(), bindingsPerTxn) {
		if err := a.change(ctx, chunk, meta.Delete); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// chunks cuts a list, and tells where each piece begins.
func chunks(list []acl.Binding, size int) func(yield func([]acl.Binding, int) bool) {
	return func(yield func([]acl.Binding, int) bool) {
		for first := 0; first < len(list); first += size {
			if !yield(list[first:min(first+size, len(list))], first) {
				return
			}
		}
	}
}

// change puts or deletes bindings in one transaction and publishes the outcome.
func (a *Authorizer) change(ctx context.Context, bindings []acl.Binding, kind meta.OpKind) error {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.turn }()
	if a.stale {
		if err := a.load(ctx); err != nil {
			return err
		}
	}
	var ops []meta.Op
	next := maps.Clone(a.bindings)
	for _, b := range bindings {
		key, value := encodeBinding(b)
		_, there := next[key]
		switch {
		case kind == meta.Put: // also what is there: another broker may just have deleted it
			ops = append(ops, meta.Op{Kind: meta.Put, Key: key, Value: value})
			next[key] = b
		case kind == meta.Delete && there:
			ops = append(ops, meta.Op{Kind: meta.Delete, Key: key})
			delete(next, key)
		}
	}
	if len(ops) == 0 {
		return nil
	}
	if len(next) > MaxBindings && kind == meta.Put {
		return kafka.Errorf(kafka.PolicyViolation, "There are %d access control entries already; the most are %d.", len(a.bindings), MaxBindings)
	}
	// No comparisons: the key says all that the value does, so to put it twice or to delete it twice changes nothing.
	if _, err := a.meta.Txn(ctx, nil, ops); err != nil {
		a.stale = true
		return fmt.Errorf("write access control entries: %w", err)
	}
	a.publish(next)
	return nil
}

// load reads all bindings, for who has the turn.
func (a *Authorizer) load(ctx context.Context) error {
	stored, err := a.meta.Range(ctx, bindingPrefix, "", 0)
	if err != nil {
		return fmt.Errorf("read access control entries: %w", err)
	}
	bindings := make(map[string]acl.Binding, len(stored))
	for _, e := range stored {
		b, err := DecodeBinding(e.Value)
		if err != nil {
			return fmt.Errorf("metadata key %q: %w", e.Key, err)
		}
		bindings[e.Key] = b
	}
	a.stale = false
	a.publish(bindings)
	return nil
}

func (a *Authorizer) publish(bindings map[string]acl.Binding) {
	a.bindings = bindings
	a.set.Store(acl.NewSet(slices.Collect(maps.Values(bindings)), a.rules))
}

// Run follows changes that other brokers make in a shared metadata store. It is a service.Service; a nil
// authorizer has nothing to do.
func (a *Authorizer) Run(ctx context.Context, ready func()) error {
	if a == nil {
		ready()
		<-ctx.Done()
		return nil
	}
	f := meta.Follower{Store: a.meta, What: "access control entries", Prefixes: []string{bindingPrefix}, Reload: a.refresh, Apply: a.apply, Logger: a.logger}
	return f.Run(ctx, ready)
}

func (a *Authorizer) refresh(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.turn }()
	return a.load(ctx)
}

// apply takes in changes. Our own are known already.
func (a *Authorizer) apply(ctx context.Context, events []meta.Event) error {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.turn }()
	next := maps.Clone(a.bindings)
	changed := false
	for _, e := range events {
		// Events of our own changes may be older than the present state, so the store is asked, not the event.
		_, had := next[e.Key]
		now, err := a.meta.Get(ctx, e.Key)
		switch {
		case isNotFound(err) && had:
			delete(next, e.Key)
			changed = true
		case isNotFound(err):
		case err != nil:
			return err
		case !had:
			b, err := DecodeBinding(now.Value)
			if err != nil {
				return fmt.Errorf("metadata key %q: %w", e.Key, err)
			}
			next[e.Key] = b
			changed = true
		}
	}
	if changed {
		a.publish(next)
	}
	return nil
}
