//go:build cluster && linux

package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/servertest"
)

// increment adds one to a counter by compare-and-swap, once.
func increment(ctx context.Context, s meta.Store, key string) (bool, error) {
	for {
		e, err := s.Get(ctx, key)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return false, err
		}
		n, _ := strconv.Atoi(string(e.Value))
		res, err := s.Txn(ctx, []meta.Compare{{Key: key, Revision: e.Revision}},
			[]meta.Op{{Kind: meta.Put, Key: key, Value: []byte(strconv.Itoa(n + 1))}})
		if err != nil || res.Succeeded {
			return err == nil, err
		}
	}
}

// incrementAll has workers increment counters until each has done so each times or stop is closed, and returns how
// often they were told that they did, and how often that nobody knows.
func incrementAll(t *testing.T, s meta.Store, workers, each int, stop <-chan struct{}) (done, unknown int64) {
	t.Helper()
	var told, lost atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
				ok, err := increment(ctx, s, fmt.Sprint("n", w%3))
				cancel()
				switch {
				case ok:
					told.Add(1)
				case errors.Is(err, meta.ErrUnknown):
					lost.Add(1)
				default:
					t.Errorf("increment: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	return told.Load(), lost.Load()
}

// sum is what the counters stand at, as seen by another store.
func sum(t *testing.T, s meta.Store) int64 {
	t.Helper()
	entries, err := s.Range(t.Context(), "n", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, e := range entries {
		n, err := strconv.ParseInt(string(e.Value), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}

func wantSum(t *testing.T, s meta.Store, done, unknown int64) {
	t.Helper()
	if got := sum(t, s); got < done || got > done+unknown {
		t.Errorf("the counters stand at %d after %d increments that were told and %d of unknown outcome", got, done, unknown)
	}
}

// samePrefix opens a second store over the keys of s.
func samePrefix(t *testing.T, endpoint string, s *Store) *Store {
	t.Helper()
	return open(t, endpoint, func(o *Options) { o.Prefix = s.o.Prefix })
}

func TestIncrementsThroughAFlakyConnectionAreCountedOnce(t *testing.T) {
	t.Parallel()
	endpoint, _ := servertest.StartEtcd(t)
	for seed := range uint64(6) {
		p := startProxy(t, strings.TrimPrefix(endpoint, "http://"), seed)
		s := open(t, p.endpoint(), func(o *Options) { o.Attempt = time.Second })
		p.set(false, true)
		p.cut()
		done, unknown := incrementAll(t, s, 10, 20, nil)
		retries := sampled(t, s)
		t.Logf("seed %d: %d increments, %d unknown, %v retries", seed, done, unknown, retries)
		if done != 200 || retries < 5 {
			t.Errorf("seed %d: %d increments with %v retries", seed, done, retries)
		}
		p.set(false, false)
		p.cut()
		wantSum(t, samePrefix(t, endpoint, s), done, unknown)
	}
}

func TestKilledAndHangingServerLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	endpoint, ctl := servertest.StartEtcd(t)
	s := open(t, endpoint, func(o *Options) { o.Attempt = time.Second })
	events, err := s.Watch(t.Context(), "n", 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{} // counter -> value of its last event
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		var last int64
		for ev := range events {
			if ev.Key == "nend" {
				return
			}
			n, _ := strconv.Atoi(string(ev.Value))
			if n != seen[ev.Key]+1 || ev.Revision <= last {
				t.Errorf("event %s = %s at %d after %d at %d", ev.Key, ev.Value, ev.Revision, seen[ev.Key], last)
			}
			seen[ev.Key], last = n, ev.Revision
		}
	}()
	stop := make(chan struct{})
	counted := make(chan [2]int64)
	go func() {
		done, unknown := incrementAll(t, s, 6, 1<<20, stop)
		counted <- [2]int64{done, unknown}
	}()
	for range 3 {
		pass(300 * time.Millisecond)
		ctl.Kill()
		pass(200 * time.Millisecond)
		ctl.Restart()
		pass(300 * time.Millisecond)
		ctl.Stop()
		pass(2500 * time.Millisecond)
		ctl.Continue()
	}
	// All is well again: it goes on, however slow the machine is.
	for goal := sum(t, s) + 40; sum(t, s) < goal; pass(10 * time.Millisecond) {
		if t.Failed() {
			break
		}
	}
	close(stop)
	n := <-counted
	t.Logf("%d increments, %d unknown, %v retries", n[0], n[1], sampled(t, s))
	if n[0] < 20 {
		t.Errorf("only %d increments", n[0])
	}
	wantSum(t, samePrefix(t, endpoint, s), n[0], n[1])
	total := int(sum(t, s))
	if res, err := s.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: "nend", Value: []byte("0")}}); err != nil || !res.Succeeded {
		t.Fatal(err)
	}
	<-watched
	got := 0
	for _, n := range seen {
		got += n
	}
	if got != total {
		t.Errorf("the watch has told of %d increments of %d", got, total)
	}
}

// sampled is how often a store had to try again.
func sampled(t *testing.T, s *Store) float64 {
	t.Helper()
	return testutil.ToFloat64(s.metrics.retries)
}

func TestLeaseEndsWhileItsOwnerIsCutOff(t *testing.T) {
	t.Parallel()
	endpoint, _ := servertest.StartEtcd(t)
	p := startProxy(t, strings.TrimPrefix(endpoint, "http://"), 1)
	s := open(t, p.endpoint())
	other := samePrefix(t, endpoint, s)
	gone, err := other.Watch(t.Context(), "b/", 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Grant(t.Context(), 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: "b/1", Lease: l.ID()}}); err != nil {
		t.Fatal(err)
	}
	<-gone
	sign := time.Now() // before the last renewal
	if err := l.KeepAlive(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.set(true, false)
	began := time.Now()
	if err := l.KeepAlive(t.Context()); err == nil || errors.Is(err, meta.ErrLeaseNotFound) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("renewal while cut off: got %v, want an error that says no more than that there was no answer", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a renewal without an answer took %v", took)
	}
	if ev := <-gone; ev.Kind != meta.Delete || time.Since(sign) < 2*time.Second {
		t.Errorf("got %+v after %v, want the deletion after 2s", ev, time.Since(sign))
	}
	p.set(false, false)
	p.cut()
	for {
		err := l.KeepAlive(t.Context())
		if errors.Is(err, meta.ErrLeaseNotFound) {
			break
		}
		if err == nil {
			t.Fatal("a lease that has ended was renewed")
		}
	}
}

func TestWatchGoesOnAfterCutsAndCompaction(t *testing.T) {
	t.Parallel()
	endpoint, _ := servertest.StartEtcd(t)
	p := startProxy(t, strings.TrimPrefix(endpoint, "http://"), 1)
	s := open(t, p.endpoint())
	other := samePrefix(t, endpoint, s)
	events, err := s.Watch(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		if i%5 == 0 {
			p.cut()
		}
		res, err := other.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: "a", Value: []byte{byte(i)}}, {Kind: meta.Put, Key: "b"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"a", "b"} {
			if ev := <-events; ev.Key != key || ev.Revision != res.Revision || key == "a" && ev.Value[0] != byte(i) {
				t.Fatalf("change %d: got %+v", i, ev)
			}
		}
	}
	// Away while the past is forgotten: the watch must end, not leave something out.
	p.set(true, false)
	p.cut()
	var last int64
	for range 10 {
		res, err := other.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: "a"}})
		if err != nil {
			t.Fatal(err)
		}
		last = res.Revision
	}
	if _, err := other.kv.Compact(t.Context(), &pb.CompactionRequest{Revision: last}); err != nil {
		t.Fatal(err)
	}
	p.set(false, false)
	p.cut()
	if ev, ok := <-events; ok {
		t.Errorf("got %+v, want the end of the watch", ev)
	}
}

func TestFullServerChangesNothing(t *testing.T) {
	t.Parallel()
	endpoint, _ := servertest.StartEtcd(t, "--quota-backend-bytes", strconv.Itoa(24<<20))
	s := open(t, endpoint)
	value := bytes.Repeat([]byte("x"), 500_000)
	for i := range 200 {
		key := fmt.Sprint("k", i)
		res, err := s.Txn(t.Context(), []meta.Compare{{Key: key}}, []meta.Op{{Kind: meta.Put, Key: key, Value: value}})
		_, getErr := s.Get(t.Context(), key)
		switch {
		case err == nil && res.Succeeded && getErr == nil:
			continue
		case errors.Is(err, meta.ErrNoSpace) && errors.Is(getErr, meta.ErrNotFound):
			if i < 5 {
				t.Errorf("full after %d changes", i)
			}
			again := samePrefix(t, endpoint, s) // a broker must be able to start
			if _, err := again.Range(t.Context(), "", "", 0); err != nil {
				t.Errorf("range of a full store: %v", err)
			}
			return
		default:
			t.Fatalf("change %d: %+v, %v, and then %v", i, res, err, getErr)
		}
	}
	t.Error("it was never full")
}

// TestFollowsTheModel does the same at random to a store in etcd and to one in memory, which follows the model of
// metatest, and compares what can be seen; revisions by their order.
func TestFollowsTheModel(t *testing.T) {
	t.Parallel()
	endpoint, _ := servertest.StartEtcd(t)
	keys := []string{"a", "a/1", "a/2", "b", "b/1", "\xff"}
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 3))
		real, mem := open(t, endpoint), meta.NewMem(nil)
		revisions := map[int64]int64{0: 0} // of mem -> of etcd
		for range 80 {
			var compares, modelled []meta.Compare
			for range rng.IntN(3) {
				key := keys[rng.IntN(len(keys))]
				e, _ := mem.Get(t.Context(), key)
				if rng.IntN(4) == 0 {
					e.Revision = 0
				}
				modelled = append(modelled, meta.Compare{Key: key, Revision: e.Revision})
				compares = append(compares, meta.Compare{Key: key, Revision: revisions[e.Revision]})
			}
			var ops []meta.Op
			for _, i := range rng.Perm(len(keys))[:rng.IntN(4)] {
				ops = append(ops, meta.Op{Kind: meta.OpKind(1 + rng.IntN(2)), Key: keys[i], Value: []byte{byte(rng.IntN(256))}})
			}
			want, err := mem.Txn(t.Context(), modelled, ops)
			if err != nil {
				t.Fatal(err)
			}
			got, err := real.Txn(t.Context(), compares, ops)
			if err != nil || got.Succeeded != want.Succeeded {
				t.Fatalf("seed %d: got %+v, %v, want %+v", seed, got, err, want)
			}
			if _, known := revisions[want.Revision]; !known {
				revisions[want.Revision] = got.Revision
			}
			prefix, after := []string{"", "a", "a/", "\xff"}[rng.IntN(4)], append([]string{""}, keys...)[rng.IntN(len(keys)+1)]
			limit := rng.IntN(4)
			wantEntries, err := mem.Range(t.Context(), prefix, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for i := range wantEntries {
				wantEntries[i].Revision = revisions[wantEntries[i].Revision]
			}
			gotEntries, err := real.Range(t.Context(), prefix, after, limit)
			if err != nil || !slices.EqualFunc(gotEntries, wantEntries, func(a, b meta.Entry) bool {
				return a.Key == b.Key && a.Revision == b.Revision && bytes.Equal(a.Value, b.Value)
			}) {
				t.Fatalf("seed %d: range %q after %q limit %d: got %v, %v, want %v", seed, prefix, after, limit, gotEntries, err, wantEntries)
			}
		}
		if err := mem.Close(); err != nil {
			t.Error(err)
		}
	}
}
