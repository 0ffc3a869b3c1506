// Package metatest is the suite that every meta.Store must pass, and the clock that its leases are tested
// with. [Run] checks one rule at a time; [RunModel] runs random operations beside a simple model and
// compares all that can be seen.
//
// What happens to a store in a crash is not in here: that is tested where the medium can be crashed.
package metatest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
)

// Subject is a store under test.
type Subject struct {
	meta.Store
	// Advance lets the time of leases pass. By the store's own clock, what that ended is gone on return; by the time of
	// day it is gone soon after, and the suite waits for it.
	Advance func(time.Duration)
	// Gaps tells that revisions leave numbers out, because the store counts what others change too.
	Gaps bool
}

// Run tests the stores that open makes. open returns an empty store and closes it with t.Cleanup; tests may
// close it earlier.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	tests := []struct {
		name string
		run  func(t *testing.T, s Subject)
	}{
		{"GetReturnsWhatWasPut", getReturnsWhatWasPut},
		{"TxnIsAllOrNothing", txnIsAllOrNothing},
		{"CompareSeesRevisionAndAbsence", compareSeesRevision},
		{"RevisionsGrowByTransaction", revisionsGrow},
		{"ConcurrentIncrementsAreAllCounted", concurrentIncrements},
		{"RangeIsSortedAndPaged", rangeIsSorted},
		{"WatchTellsEveryChangeInOrder", watchTellsEveryChange},
		{"WatchFromThePast", watchFromThePast},
		{"WatchEndsWithItsContext", watchEndsWithContext},
		{"SlowWatcherIsCutOff", slowWatcherIsCutOff},
		{"LeaseEndsWithItsTime", leaseEnds},
		{"KeepAliveProlongsALease", keepAliveProlongs},
		{"RevokeDeletesTheKeys", revokeDeletes},
		{"LaterPutTakesAKeyFromItsLease", putTakesKeyFromLease},
		{"InvalidRequestsAreRefused", invalidRequests},
		{"EndedContextIsRefused", endedContext},
		{"ClosedStoreRefuses", closedStore},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t, open(t))
		})
	}
}

// RunForgetting tests that a watch of a past that the store has forgotten is refused. forget makes the store forget, or is
// nil for one that forgets by itself, of which no more than 256 MiB of changes are asked.
func RunForgetting(t *testing.T, s Subject, forget func()) {
	first := txn(t, s, put("a", ""))
	// Whatever a store remembers, it is less than this. Four megabytes more a step, until it forgets.
	big := make([]byte, meta.MaxTxnBytes-1024) // a store may need some of a transaction for itself
	for range 64 {
		for range 4 {
			_, err := s.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: "big", Value: big}})
			must(t, err)
		}
		if forget != nil {
			forget()
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := s.Watch(ctx, "", first)
		cancel()
		if err != nil {
			wantErr(t, "watch", err, meta.ErrCompacted)
			return
		}
	}
	t.Error("256 MiB of changes are still remembered")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func put(key, value string) meta.Op {
	return meta.Op{Kind: meta.Put, Key: key, Value: []byte(value)}
}

func del(key string) meta.Op { return meta.Op{Kind: meta.Delete, Key: key} }

// txn runs ops without conditions and returns the revision.
func txn(t *testing.T, s meta.Store, ops ...meta.Op) int64 {
	t.Helper()
	res, err := s.Txn(t.Context(), nil, ops)
	must(t, err)
	if !res.Succeeded {
		t.Fatal("a transaction without conditions did not succeed")
	}
	return res.Revision
}

func wantValue(t *testing.T, s meta.Store, key, want string, revision int64) {
	t.Helper()
	e, err := s.Get(t.Context(), key)
	must(t, err)
	if e.Key != key || string(e.Value) != want || e.Revision != revision {
		t.Errorf("got %q = %q at %d, want %q at %d", e.Key, e.Value, e.Revision, want, revision)
	}
}

func wantAbsent(t *testing.T, s meta.Store, key string) {
	t.Helper()
	_, err := s.Get(t.Context(), key)
	wantErr(t, "get "+key, err, meta.ErrNotFound)
}

// event is an Event that can be compared.
type event struct {
	Kind     meta.OpKind
	Key      string
	Value    string
	Revision int64
}

func flat(e meta.Event) event { return event{e.Kind, e.Key, string(e.Value), e.Revision} }

// wantEvents reads exactly as many events as are wanted.
func wantEvents(t *testing.T, events <-chan meta.Event, want ...event) {
	t.Helper()
	for i, w := range want {
		select {
		case got, ok := <-events:
			if !ok {
				t.Fatalf("watch closed before event %d, %+v", i, w)
			}
			if flat(got) != w {
				t.Errorf("event %d: got %+v, want %+v", i, flat(got), w)
			}
		case <-t.Context().Done():
			t.Fatalf("no event %d, %+v", i, w)
		}
	}
}

// wantDeletions reads the deletions of keys, which must be of one revision: the next after r, or any later one of a store
// that leaves some out.
func wantDeletions(t *testing.T, s Subject, events <-chan meta.Event, r int64, keys ...string) {
	t.Helper()
	var last int64
	for i, key := range keys {
		ev, ok := <-events
		if !ok {
			t.Fatalf("watch closed before the deletion of %s", key)
		}
		if ev.Kind != meta.Delete || ev.Key != key || len(ev.Value) > 0 || ev.Revision <= r || i > 0 && ev.Revision != last {
			t.Errorf("got %+v, want the deletion of %s", flat(ev), key)
		}
		if last = ev.Revision; last != r+1 && !s.Gaps {
			t.Errorf("%s was deleted at revision %d, want %d", key, last, r+1)
		}
	}
}

// drain reads until the channel is closed and returns the number of events.
func drain(events <-chan meta.Event) int {
	n := 0
	for range events {
		n++
	}
	return n
}

func getReturnsWhatWasPut(t *testing.T, s Subject) {
	wantAbsent(t, s, "k")
	value := []byte("one")
	res, err := s.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: "k", Value: value}})
	must(t, err)
	clear(value) // the store has a copy
	wantValue(t, s, "k", "one", res.Revision)
	wantValue(t, s, "k", "one", res.Revision)
	r2 := txn(t, s, put("k", ""), put("\xff\x00", "binary"))
	wantValue(t, s, "k", "", r2)
	wantValue(t, s, "\xff\x00", "binary", r2)
	txn(t, s, del("k"))
	wantAbsent(t, s, "k")
}

func txnIsAllOrNothing(t *testing.T, s Subject) {
	r1 := txn(t, s, put("a", "1"), put("b", "1"))
	res, err := s.Txn(t.Context(),
		[]meta.Compare{{Key: "a", Revision: r1}, {Key: "b", Revision: r1 + 1}},
		[]meta.Op{put("a", "2"), del("b"), put("c", "2")})
	must(t, err)
	if res.Succeeded || res.Revision < r1 || !s.Gaps && res.Revision != r1 {
		t.Errorf("got %+v, want failure at revision %d", res, r1)
	}
	wantValue(t, s, "a", "1", r1)
	wantValue(t, s, "b", "1", r1)
	wantAbsent(t, s, "c")
	res, err = s.Txn(t.Context(),
		[]meta.Compare{{Key: "a", Revision: r1}, {Key: "b", Revision: r1}, {Key: "c"}},
		[]meta.Op{put("a", "2"), del("b"), put("c", "2")})
	must(t, err)
	if !res.Succeeded || res.Revision <= r1 {
		t.Errorf("got %+v, want success after revision %d", res, r1)
	}
	wantValue(t, s, "a", "2", res.Revision)
	wantAbsent(t, s, "b")
	wantValue(t, s, "c", "2", res.Revision)
}

func compareSeesRevision(t *testing.T, s Subject) {
	try := func(revision int64) bool {
		res, err := s.Txn(t.Context(), []meta.Compare{{Key: "k", Revision: revision}}, nil)
		must(t, err)
		return res.Succeeded
	}
	if !try(0) || try(1) {
		t.Error("absent key: want only revision 0 to hold")
	}
	r := txn(t, s, put("k", "v"))
	if try(0) || !try(r) || try(r+1) {
		t.Error("present key: want only its revision to hold")
	}
	r2 := txn(t, s, put("k", "v"))
	if try(r) || !try(r2) {
		t.Error("key put again with equal value: want only the new revision to hold")
	}
	txn(t, s, put("other", "v"))
	if !try(r2) {
		t.Error("change of another key: want the revision to stay")
	}
	txn(t, s, del("k"))
	if !try(0) || try(r2) {
		t.Error("deleted key: want only revision 0 to hold")
	}
}

func revisionsGrow(t *testing.T, s Subject) {
	r := txn(t, s, put("a", ""))
	if r < 1 {
		t.Errorf("first revision %d, want above 0", r)
	}
	// grows checks the revision of a transaction that does something, or does not.
	grows := func(what string, acts bool, ops ...meta.Op) {
		t.Helper()
		before := r
		r = txn(t, s, ops...)
		switch {
		case r < before || acts && r == before:
			t.Errorf("%s: revision %d after %d", what, r, before)
		case s.Gaps:
		case acts && r != before+1:
			t.Errorf("%s: revision %d after %d, want one more for a whole transaction", what, r, before)
		case !acts && r != before:
			t.Errorf("%s: revision %d, want still %d", what, r, before)
		}
	}
	grows("three changes", true, put("a", ""), put("b", ""), put("c", ""))
	wantValue(t, s, "a", "", r)
	wantValue(t, s, "c", "", r)
	grows("deleting nothing", false, del("absent"))
	grows("an empty transaction", false)
	grows("a deletion", true, del("a"), del("absent"))
}

func concurrentIncrements(t *testing.T, s Subject) {
	const workers, each = 8, 20
	ctx := t.Context()
	increment := func(key string) error {
		for {
			e, err := s.Get(ctx, key)
			if err != nil && !errors.Is(err, meta.ErrNotFound) {
				return err
			}
			res, err := s.Txn(ctx, []meta.Compare{{Key: key, Revision: e.Revision}},
				[]meta.Op{{Kind: meta.Put, Key: key, Value: append(slices.Clip(e.Value), '+')}})
			if err != nil || res.Succeeded {
				return err
			}
		}
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range each {
				if err := increment(fmt.Sprintf("n%d", i%2)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, key := range []string{"n0", "n1"} {
		e, err := s.Get(ctx, key)
		must(t, err)
		if len(e.Value) != workers*each/2 {
			t.Errorf("%s was incremented %d times, want %d", key, len(e.Value), workers*each/2)
		}
	}
}

func rangeIsSorted(t *testing.T, s Subject) {
	keys := []string{"\x00", "a", "a/1", "a/10", "a/2", "a0", "b", "b\xff", "b\xff\xff", "c", "\xff"}
	for i := range keys {
		txn(t, s, put(keys[i*7%len(keys)], "v"))
	}
	txn(t, s, put("a/3", ""))
	txn(t, s, del("a/3"))
	for _, prefix := range []string{"", "a", "a/", "a/1", "b", "b\xff", "c", "d", "\xff", "\xff\xff"} {
		for _, after := range append([]string{"", "a/", "a/11", "bz", "b\xfe"}, keys...) {
			for _, limit := range []int{0, 1, 3} {
				var want []string
				for _, k := range keys {
					if len(k) >= len(prefix) && k[:len(prefix)] == prefix && k > after && (limit == 0 || len(want) < limit) {
						want = append(want, k)
					}
				}
				entries, err := s.Range(t.Context(), prefix, after, limit)
				must(t, err)
				var got []string
				for _, e := range entries {
					got = append(got, e.Key)
					wantValue(t, s, e.Key, string(e.Value), e.Revision)
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("Range(%q, %q, %d): got %q, want %q", prefix, after, limit, got, want)
				}
			}
		}
	}
}

func watchTellsEveryChange(t *testing.T, s Subject) {
	txn(t, s, put("p/0", "before"))
	all, err := s.Watch(t.Context(), "", 0)
	must(t, err)
	some, err := s.Watch(t.Context(), "p/", 0)
	must(t, err)
	r := txn(t, s, put("p/1", "x"), put("q/1", "y"), del("p/0"), del("absent"))
	txn(t, s, del("absent"))
	r2 := txn(t, s, put("p/1", "z"))
	wantEvents(t, all, event{meta.Put, "p/1", "x", r}, event{meta.Put, "q/1", "y", r}, event{meta.Delete, "p/0", "", r},
		event{meta.Put, "p/1", "z", r2})
	wantEvents(t, some, event{meta.Put, "p/1", "x", r}, event{meta.Delete, "p/0", "", r}, event{meta.Put, "p/1", "z", r2})
}

func watchFromThePast(t *testing.T, s Subject) {
	r := txn(t, s, put("a", "1"))
	r2 := txn(t, s, put("b", "2"), put("c", "2"))
	r3 := txn(t, s, del("a"))
	events, err := s.Watch(t.Context(), "", r)
	must(t, err)
	future, err := s.Watch(t.Context(), "", r3+1)
	must(t, err)
	r4 := txn(t, s, put("a", "4"))
	r5 := txn(t, s, put("a", "5"))
	wantEvents(t, events, event{meta.Put, "b", "2", r2}, event{meta.Put, "c", "2", r2},
		event{meta.Delete, "a", "", r3}, event{meta.Put, "a", "4", r4}, event{meta.Put, "a", "5", r5})
	if r4 > r3+1 { // there are gaps
		wantEvents(t, future, event{meta.Put, "a", "4", r4})
	}
	wantEvents(t, future, event{meta.Put, "a", "5", r5})
}

func watchEndsWithContext(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	events, err := s.Watch(ctx, "", 0)
	must(t, err)
	r := txn(t, s, put("a", "1"))
	wantEvents(t, events, event{meta.Put, "a", "1", r})
	cancel()
	if n := drain(events); n != 0 { // hangs if it is not closed
		t.Errorf("%d events after the end", n)
	}
	txn(t, s, put("a", "2"))
}

func slowWatcherIsCutOff(t *testing.T, s Subject) {
	slow, err := s.Watch(t.Context(), "", 0)
	must(t, err)
	ops := make([]meta.Op, meta.MaxTxnOps)
	for i := range ops {
		ops[i] = put(fmt.Sprintf("k%04d", i), "v")
	}
	const rounds = 8*meta.MaxWatchEvents/meta.MaxTxnOps + 1
	for range rounds {
		fast, err := s.Watch(t.Context(), "", 0)
		must(t, err)
		r := txn(t, s, ops...)
		for _, op := range ops { // one transaction always fits
			wantEvents(t, fast, event{meta.Put, op.Key, "v", r})
		}
	}
	n := drain(slow)
	if n < meta.MaxWatchEvents-len(ops) || n >= rounds*len(ops) {
		t.Errorf("a watcher that reads nothing was owed %d events", n)
	}
	if n%len(ops) != 0 {
		t.Errorf("%d events of transactions of %d: the last is torn", n, len(ops))
	}
}

func leaseEnds(t *testing.T, s Subject) {
	events, err := s.Watch(t.Context(), "", 0)
	must(t, err)
	l, err := s.Grant(t.Context(), 6*time.Second)
	must(t, err)
	if l.ID() <= 0 {
		t.Errorf("lease id %d, want above 0", l.ID())
	}
	r := txn(t, s, meta.Op{Kind: meta.Put, Key: "b", Value: []byte("x"), Lease: l.ID()},
		meta.Op{Kind: meta.Put, Key: "a", Lease: l.ID()}, put("c", ""))
	s.Advance(4 * time.Second)
	wantValue(t, s, "b", "x", r)
	s.Advance(3 * time.Second)
	wantEvents(t, events, event{meta.Put, "b", "x", r}, event{meta.Put, "a", "", r}, event{meta.Put, "c", "", r})
	wantDeletions(t, s, events, r, "a", "b")
	wantAbsent(t, s, "a")
	wantAbsent(t, s, "b")
	wantValue(t, s, "c", "", r)
	wantErr(t, "keep alive", l.KeepAlive(t.Context()), meta.ErrLeaseNotFound)
	must(t, l.Revoke(t.Context()))
	_, err = s.Txn(t.Context(), nil, []meta.Op{put("d", ""), {Kind: meta.Put, Key: "e", Lease: l.ID()}})
	wantErr(t, "put with the lease", err, meta.ErrLeaseNotFound)
	wantAbsent(t, s, "d")
}

func keepAliveProlongs(t *testing.T, s Subject) {
	events, err := s.Watch(t.Context(), "", 0)
	must(t, err)
	l, err := s.Grant(t.Context(), 6*time.Second)
	must(t, err)
	r := txn(t, s, meta.Op{Kind: meta.Put, Key: "k", Lease: l.ID()})
	for range 3 {
		s.Advance(4 * time.Second)
		must(t, l.KeepAlive(t.Context()))
		wantValue(t, s, "k", "", r)
	}
	s.Advance(4 * time.Second)
	wantValue(t, s, "k", "", r)
	s.Advance(3 * time.Second)
	wantEvents(t, events, event{meta.Put, "k", "", r})
	wantDeletions(t, s, events, r, "k")
	wantAbsent(t, s, "k")
}

func revokeDeletes(t *testing.T, s Subject) {
	l, err := s.Grant(t.Context(), time.Hour)
	must(t, err)
	other, err := s.Grant(t.Context(), time.Hour)
	must(t, err)
	if l.ID() == other.ID() {
		t.Errorf("two leases are called %d", l.ID())
	}
	r := txn(t, s, meta.Op{Kind: meta.Put, Key: "a", Lease: l.ID()}, meta.Op{Kind: meta.Put, Key: "b", Lease: other.ID()})
	must(t, l.Revoke(t.Context()))
	wantAbsent(t, s, "a")
	wantValue(t, s, "b", "", r)
	must(t, l.Revoke(t.Context()))
	wantErr(t, "keep alive", l.KeepAlive(t.Context()), meta.ErrLeaseNotFound)
}

func putTakesKeyFromLease(t *testing.T, s Subject) {
	l, err := s.Grant(t.Context(), time.Hour)
	must(t, err)
	other, err := s.Grant(t.Context(), time.Hour)
	must(t, err)
	leased := func(key string, l meta.Lease) meta.Op { return meta.Op{Kind: meta.Put, Key: key, Lease: l.ID()} }
	txn(t, s, leased("free", l), leased("moved", l), leased("again", l), leased("stays", l))
	txn(t, s, put("free", ""), leased("moved", other), del("again"))
	txn(t, s, put("again", ""), leased("stays", l))
	must(t, l.Revoke(t.Context()))
	for _, key := range []string{"free", "moved", "again"} {
		if _, err := s.Get(t.Context(), key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	wantAbsent(t, s, "stays")
	must(t, other.Revoke(t.Context()))
	wantAbsent(t, s, "moved")
}

func invalidRequests(t *testing.T, s Subject) {
	long := string(make([]byte, meta.MaxKeyBytes+1))
	ops := func(ops ...meta.Op) []meta.Op { return ops }
	many := make([]meta.Op, meta.MaxTxnOps+1)
	for i := range many {
		many[i] = put(fmt.Sprint(i), "")
	}
	for name, bad := range map[string][]meta.Op{
		"empty key": ops(put("", "")), "long key": ops(put(long, "")), "no kind": ops(meta.Op{Key: "k"}),
		"key twice": ops(put("k", ""), del("k")), "bad lease": ops(meta.Op{Kind: meta.Put, Key: "k", Lease: -1}),
		"many": many, "big": ops(meta.Op{Kind: meta.Put, Key: "k", Value: make([]byte, meta.MaxTxnBytes)}),
	} {
		_, err := s.Txn(t.Context(), nil, append(ops(put("ok", "")), bad...))
		wantErr(t, name, err, meta.ErrInvalid)
	}
	for _, c := range []meta.Compare{{Key: ""}, {Key: long}, {Key: "k", Revision: -1}} {
		_, err := s.Txn(t.Context(), []meta.Compare{c}, ops(put("ok", "")))
		wantErr(t, fmt.Sprintf("compare of %d bytes, %d", len(c.Key), c.Revision), err, meta.ErrInvalid)
	}
	wantAbsent(t, s, "ok")
	_, err := s.Get(t.Context(), "")
	wantErr(t, "get", err, meta.ErrInvalid)
	_, err = s.Watch(t.Context(), "", -1)
	wantErr(t, "watch", err, meta.ErrInvalid)
	_, err = s.Grant(t.Context(), 0)
	wantErr(t, "grant", err, meta.ErrInvalid)
	_, err = s.Txn(t.Context(), nil, ops(put("ok", ""), meta.Op{Kind: meta.Put, Key: "k", Lease: 1 << 40}))
	wantErr(t, "unknown lease", err, meta.ErrLeaseNotFound)
	wantAbsent(t, s, "ok")
}

func endedContext(t *testing.T, s Subject) {
	l, err := s.Grant(t.Context(), time.Hour)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Get(ctx, "k")
	wantErr(t, "get", err, context.Canceled)
	_, err = s.Range(ctx, "", "", 0)
	wantErr(t, "range", err, context.Canceled)
	_, err = s.Txn(ctx, nil, []meta.Op{put("k", "")})
	wantErr(t, "txn", err, context.Canceled)
	_, err = s.Watch(ctx, "", 0)
	wantErr(t, "watch", err, context.Canceled)
	_, err = s.Grant(ctx, time.Second)
	wantErr(t, "grant", err, context.Canceled)
	wantErr(t, "keep alive", l.KeepAlive(ctx), context.Canceled)
	wantErr(t, "revoke", l.Revoke(ctx), context.Canceled)
	wantAbsent(t, s, "k")
}

func closedStore(t *testing.T, s Subject) {
	l, err := s.Grant(t.Context(), time.Second)
	must(t, err)
	events, err := s.Watch(t.Context(), "", 0)
	must(t, err)
	must(t, s.Close())
	drain(events)
	_, err = s.Get(t.Context(), "k")
	wantErr(t, "get", err, meta.ErrClosed)
	_, err = s.Range(t.Context(), "", "", 0)
	wantErr(t, "range", err, meta.ErrClosed)
	_, err = s.Txn(t.Context(), nil, nil)
	wantErr(t, "txn", err, meta.ErrClosed)
	_, err = s.Watch(t.Context(), "", 0)
	wantErr(t, "watch", err, meta.ErrClosed)
	_, err = s.Grant(t.Context(), time.Second)
	wantErr(t, "grant", err, meta.ErrClosed)
	wantErr(t, "keep alive", l.KeepAlive(t.Context()), meta.ErrClosed)
	wantErr(t, "close", s.Close(), meta.ErrClosed)
	s.Advance(2 * time.Second)
}
