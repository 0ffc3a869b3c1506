package metatest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-stream/weir/internal/base/meta"
)

// model is the store as a map.
type model struct {
	entries  map[string]meta.Entry
	lease    map[string]int64 // of keys that have one
	revision int64
	ends     map[int64]time.Duration // leases that live, with the time of their end
	now      time.Duration
	events   []event
}

func (m *model) apply(ops []meta.Op) {
	acts := slices.ContainsFunc(ops, func(op meta.Op) bool {
		_, ok := m.entries[op.Key]
		return ok || op.Kind == meta.Put
	})
	if acts {
		m.revision++
	}
	for _, op := range ops {
		_, present := m.entries[op.Key]
		switch {
		case op.Kind == meta.Put:
			m.entries[op.Key] = meta.Entry{Key: op.Key, Value: op.Value, Revision: m.revision}
			m.lease[op.Key] = op.Lease
			m.events = append(m.events, event{meta.Put, op.Key, string(op.Value), m.revision})
		case present:
			delete(m.entries, op.Key)
			delete(m.lease, op.Key)
			m.events = append(m.events, event{meta.Delete, op.Key, "", m.revision})
		}
	}
}

// end ends a lease.
func (m *model) end(id int64) {
	var ops []meta.Op
	for _, key := range slices.Sorted(maps.Keys(m.lease)) {
		if m.lease[key] == id {
			ops = append(ops, del(key))
		}
	}
	delete(m.ends, id)
	m.apply(ops)
}

// RunModel runs random operations against stores from open and a model of them. Each check gets a store of its
// own, with a lease clock that starts at rest; open closes it with t.Cleanup. Reopen, if not nil, closes a
// store and opens it anew; the model takes it that leases end then.
func RunModel(t *testing.T, open func(t *rapid.T) Subject, reopen func(t *rapid.T, s Subject) Subject) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &runner{Subject: open(rt), t: t, leases: make(map[int64]meta.Lease), model: model{
			entries: make(map[string]meta.Entry), lease: make(map[string]int64), ends: make(map[int64]time.Duration),
		}}
		actions := map[string]func(*rapid.T){
			"":        r.compareAll,
			"txn":     r.txn,
			"grant":   r.grant,
			"keep":    r.keepAlive,
			"revoke":  r.revoke,
			"advance": r.advance,
			"range":   r.scan,
			"watch":   r.watch,
		}
		if reopen != nil {
			actions["reopen"] = func(rt *rapid.T) {
				r.Subject = reopen(rt, r.Subject)
				var ops []meta.Op
				for key, id := range r.lease {
					if id != 0 {
						ops = append(ops, del(key))
					}
				}
				r.apply(ops)
				clear(r.ends)
				clear(r.leases)
				r.known = r.revision
			}
		}
		rt.Repeat(actions)
	})
}

type runner struct {
	Subject
	model
	t      *testing.T
	leases map[int64]meta.Lease
	known  int64 // the store may have forgotten events up to here
}

var modelKeys = rapid.SampledFrom([]string{"a", "a/1", "a/2", "b", "b/1", "c", "\xff"})

func check(rt *rapid.T, err error) {
	rt.Helper()
	if err != nil {
		rt.Fatal(err)
	}
}

func (r *runner) txn(rt *rapid.T) {
	var compares []meta.Compare
	for _, key := range rapid.SliceOfNDistinct(modelKeys, 0, 2, rapid.ID).Draw(rt, "compare") {
		revision := r.entries[key].Revision
		if rapid.IntRange(0, 4).Draw(rt, "wrong") == 0 {
			revision = rapid.Int64Range(0, r.revision+1).Draw(rt, "revision")
		}
		compares = append(compares, meta.Compare{Key: key, Revision: revision})
	}
	var ops []meta.Op
	for _, key := range rapid.SliceOfNDistinct(modelKeys, 0, 4, rapid.ID).Draw(rt, "keys") {
		op := meta.Op{Kind: meta.Put, Key: key, Value: rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(rt, "value")}
		switch rapid.IntRange(0, 3).Draw(rt, "kind") {
		case 0:
			op = del(key)
		case 1:
			if len(r.ends) > 0 {
				op.Lease = rapid.SampledFrom(slices.Sorted(maps.Keys(r.ends))).Draw(rt, "lease")
			}
		}
		ops = append(ops, op)
	}
	holds := !slices.ContainsFunc(compares, func(c meta.Compare) bool { return r.entries[c.Key].Revision != c.Revision })
	got, err := r.Txn(r.t.Context(), compares, ops)
	check(rt, err)
	if holds {
		r.apply(ops)
	}
	if want := (meta.Result{Succeeded: holds, Revision: r.revision}); got != want {
		rt.Fatalf("transaction: got %+v, want %+v", got, want)
	}
}

func (r *runner) grant(rt *rapid.T) {
	ttl := time.Duration(rapid.IntRange(1, 20).Draw(rt, "seconds")) * time.Second
	l, err := r.Grant(r.t.Context(), ttl)
	check(rt, err)
	r.leases[l.ID()] = &timed{Lease: l, ttl: ttl}
	r.ends[l.ID()] = r.now + ttl
}

type timed struct {
	meta.Lease
	ttl time.Duration
}

func (r *runner) anyLease(rt *rapid.T) *timed {
	if len(r.leases) == 0 {
		rt.Skip("no lease")
	}
	return r.leases[rapid.SampledFrom(slices.Sorted(maps.Keys(r.leases))).Draw(rt, "lease")].(*timed)
}

func (r *runner) keepAlive(rt *rapid.T) {
	l := r.anyLease(rt)
	err := l.KeepAlive(r.t.Context())
	if _, lives := r.ends[l.ID()]; lives {
		check(rt, err)
		r.ends[l.ID()] = r.now + l.ttl
	} else if !errors.Is(err, meta.ErrLeaseNotFound) {
		rt.Fatalf("keep alive of an ended lease: %v", err)
	}
}

func (r *runner) revoke(rt *rapid.T) {
	l := r.anyLease(rt)
	check(rt, l.Revoke(r.t.Context()))
	if _, lives := r.ends[l.ID()]; lives {
		r.end(l.ID())
	}
}

func (r *runner) advance(rt *rapid.T) {
	// Seconds at a time: leases that end together end in any order, which only the revisions would tell.
	for range rapid.IntRange(1, 12).Draw(rt, "seconds") {
		r.now += time.Second
		var due []int64
		for _, id := range slices.Sorted(maps.Keys(r.ends)) {
			if r.ends[id] <= r.now {
				due = append(due, id)
			}
		}
		r.Advance(time.Second)
		if len(due) > 1 {
			due = r.orderOf(rt, due)
		}
		for _, id := range due {
			r.end(id)
		}
	}
}

// orderOf sorts leases that ended at one moment as the store ended them.
func (r *runner) orderOf(rt *rapid.T, due []int64) []int64 {
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	events, err := r.Watch(ctx, "", max(r.revision, 1))
	check(rt, err)
	at := make(map[int64]int64)
	for len(events) > 0 {
		ev := <-events
		at[r.lease[ev.Key]] = ev.Revision
	}
	slices.SortFunc(due, func(a, b int64) int { return int(at[a] - at[b]) })
	return due
}

func (r *runner) scan(rt *rapid.T) {
	prefix := rapid.SampledFrom([]string{"", "a", "a/", "b", "\xff", "x"}).Draw(rt, "prefix")
	after := rapid.SampledFrom([]string{"", "a", "a/1", "b", "z"}).Draw(rt, "after")
	limit := rapid.IntRange(0, 3).Draw(rt, "limit")
	r.compare(rt, prefix, after, limit)
}

func (r *runner) compareAll(rt *rapid.T) { r.compare(rt, "", "", 0) }

func (r *runner) compare(rt *rapid.T, prefix, after string, limit int) {
	entries, err := r.Range(r.t.Context(), prefix, after, limit)
	check(rt, err)
	var got, want []string
	for _, e := range entries {
		got = append(got, fmt.Sprintf("%q=%q@%d", e.Key, e.Value, e.Revision))
	}
	for _, key := range slices.Sorted(maps.Keys(r.entries)) {
		if strings.HasPrefix(key, prefix) && key > after && (limit == 0 || len(want) < limit) {
			e := r.entries[key]
			want = append(want, fmt.Sprintf("%q=%q@%d", e.Key, e.Value, e.Revision))
		}
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("range %q after %q limit %d: got %v, want %v", prefix, after, limit, got, want)
	}
}

// watch reads the past from a random revision on.
func (r *runner) watch(rt *rapid.T) {
	if r.revision <= max(r.known, 1) {
		rt.Skip("nothing to watch")
	}
	after := rapid.Int64Range(max(r.known, 1), r.revision).Draw(rt, "after")
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	events, err := r.Watch(ctx, "", after)
	check(rt, err)
	for _, want := range r.events {
		if want.Revision <= after {
			continue
		}
		select {
		case ev := <-events:
			if flat(ev) != want {
				rt.Fatalf("watch after %d: got %+v, want %+v", after, flat(ev), want)
			}
		default:
			rt.Fatalf("watch after %d: no event, want %+v", after, want)
		}
	}
}
