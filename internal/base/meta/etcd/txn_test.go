package etcd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/weir-stream/weir/internal/base/meta"
)

// script returns faults one after the other, then none.
func script(faults ...fault) func() fault {
	return func() fault {
		if len(faults) == 0 {
			return none
		}
		next := faults[0]
		faults = faults[1:]
		return next
	}
}

func TestLostAnswersAreFoundAndNothingHappensTwice(t *testing.T) {
	t.Parallel()
	for _, first := range []fault{none, lost, answer, slow, twice, busy, lastFull} {
		for _, second := range []fault{none, lost, answer, slow, twice, busy, lastFull} {
			for _, holds := range []bool{true, false} {
				name := fmt.Sprintf("first=%d/second=%d/holds=%v", first, second, holds)
				synctest.Test(t, func(t *testing.T) { lostAnswer(t, name, holds, first, second) })
			}
		}
	}
}

func lostAnswer(t *testing.T, name string, holds bool, faults ...fault) {
	f := newFake()
	y := newTally(f)
	s := newFakeStore(t, f, Options{})
	defer s.Close()
	var compares []meta.Compare
	if !holds {
		compares = []meta.Compare{{Key: "k", Revision: 77}}
	}
	// A slot that was used, and one that was not; they begin with different guards.
	for i := range maxSlots + 3 {
		f.fault = nil
		if i == 0 || i >= maxSlots-1 {
			f.fault = script(faults...)
		}
		op := tag(i)
		res, err := s.Txn(t.Context(), compares, []meta.Op{{Kind: meta.Put, Key: "k"}, op})
		y.tell(strconv.Itoa(i), res, err)
		if errors.Is(err, meta.ErrUnknown) || err == nil && res.Succeeded != holds {
			t.Fatalf("%s: transaction %d: got %+v, %v", name, i, res, err)
		}
		if err == nil && holds {
			if e, err := s.Get(t.Context(), op.Key); err != nil || e.Revision != res.Revision {
				t.Errorf("%s: transaction %d: told revision %d, the key has %d, %v", name, i, res.Revision, e.Revision, err)
			}
		}
		for f.arrive(func(int) int { return 0 }) {
		}
		y.check(t, name)
	}
}

// A first copy that comes late finds its key absent again: the second, which was refused, must have put an end to it.
func TestRefusalIsFinal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		y := newTally(f)
		s := newFakeStore(t, f, Options{})
		defer s.Close()
		if _, err := s.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: "lock"}}); err != nil {
			t.Fatal(err)
		}
		f.fault = script(slow)
		res, err := s.Txn(t.Context(), []meta.Compare{{Key: "lock"}}, []meta.Op{{Kind: meta.Put, Key: "lock"}, tag("late")})
		y.tell("late", res, err)
		if err != nil || res.Succeeded {
			t.Fatalf("got %+v, %v, want a refusal", res, err)
		}
		if _, err := s.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Delete, Key: "lock"}}); err != nil {
			t.Fatal(err)
		}
		if !f.arrive(func(int) int { return 0 }) {
			t.Error("no copy is late")
		}
		y.check(t, "late copy")
		if _, err := s.Get(t.Context(), "lock"); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("the late copy has acted: %v", err)
		}
	})
}

func TestRandomFaultsNeitherLoseNorDouble(t *testing.T) {
	t.Parallel()
	totals := map[string]int{}
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			for told, n := range randomFaults(t, seed) {
				totals[told] += n
			}
		})
	}
	if totals["done"] < 1000 || totals["not done"] < 300 || totals["unknown"] < 20 {
		t.Errorf("the mix tests little: %v", totals)
	}
}

// randomFaults lets workers increment counters by compare-and-swap and take and free locks, under faults.
func randomFaults(t *testing.T, seed uint64) map[string]int {
	rng := rand.New(rand.NewPCG(seed, 1)) // used under f.mu, or by the one goroutine of this function
	f := newFake()
	y := newTally(f)
	f.fault = mix(rng, 3, lost, answer, slow, twice, busy, lastFull, full1)
	s := newFakeStore(t, f, Options{})
	defer s.Close()
	var sums sync.Map // worker and counter -> *int
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := range 12 {
				limit := time.Hour
				if (w+i)%7 == 0 {
					limit = 15 * time.Millisecond // hardly a second try
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				name := fmt.Sprintf("%d-%d", w, i)
				res, err := oneChange(ctx, s, w, i, name)
				cancel()
				y.tell(name, res, err)
				if i%2 == 0 && err == nil && res.Succeeded {
					sums.Store(name, 1)
				}
			}
		})
	}
	stop := make(chan struct{})
	var late sync.WaitGroup
	late.Go(func() { // the rest of the network
		tick := time.NewTicker(7 * time.Millisecond)
		defer tick.Stop()
		for n := uint64(0); ; n++ {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			f.arrive(func(k int) int { return int(n*seed) % k })
			if seed%5 == 0 && n%40 == 39 {
				f.endSession(s)
			}
		}
	})
	wg.Wait()
	close(stop)
	late.Wait()
	for f.arrive(func(int) int { return 0 }) {
	}
	counts := y.check(t, fmt.Sprint("seed ", seed))
	done := 0
	sums.Range(func(any, any) bool { done++; return true })
	sum := 0
	for c := range 2 {
		if kv := f.keys[fmt.Sprint("p/k/n", c)]; kv != nil {
			n, _ := strconv.Atoi(string(kv.Value))
			sum += n
		}
	}
	if sum < done || sum > done+counts["unknown"] {
		t.Errorf("seed %d: counters stand at %d after %d increments that were told, and %d of unknown outcome", seed, sum, done, counts["unknown"])
	}
	return counts
}

// oneChange increments a counter, or takes or frees a lock.
func oneChange(ctx context.Context, s *Store, w, i int, name string) (meta.Result, error) {
	key := fmt.Sprint("n", w%2)
	if i%2 == 1 {
		key = "lock"
	}
	e, err := s.Get(ctx, key)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return meta.Result{}, err
	}
	n, _ := strconv.Atoi(string(e.Value))
	op := meta.Op{Kind: meta.Put, Key: key, Value: []byte(strconv.Itoa(n + 1))}
	if key == "lock" && e.Revision != 0 {
		op.Kind = meta.Delete
	}
	return s.Txn(ctx, []meta.Compare{{Key: key, Revision: e.Revision}}, []meta.Op{op, tag(name)})
}

func TestEndedContextLeavesTheOutcomeUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		y := newTally(f)
		s := newFakeStore(t, f, Options{})
		defer s.Close()
		f.fault = func() fault { return slow }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		res, err := s.Txn(ctx, nil, []meta.Op{tag("a")})
		y.tell("a", res, err)
		if !errors.Is(err, meta.ErrUnknown) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrUnknown and not the context's error, which says that nothing happened", err)
		}
		f.fault = nil
		for i := range 2 * maxSlots { // its slot goes on, whatever comes late
			name := fmt.Sprint("later", i)
			res, err := s.Txn(t.Context(), nil, []meta.Op{tag(name)})
			y.tell(name, res, err)
			if err != nil || !res.Succeeded {
				t.Fatalf("transaction after the unknown one: %+v, %v", res, err)
			}
			f.arrive(func(n int) int { return n - 1 })
		}
		y.check(t, "unknown")
		if n := s.sessions.Load(); n != 1 {
			t.Errorf("it took %d sessions", n)
		}
	})
}

func TestContextThatEndsBeforeATryIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := newFakeStore(t, f, Options{})
		defer s.Close()
		f.fault = func() fault { return busy } // refused each time: nothing can have happened
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := s.Txn(ctx, nil, []meta.Op{tag("a")}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, meta.ErrUnknown) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}

func TestNoSpaceSaysThatNothingHappened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		y := newTally(f)
		s := newFakeStore(t, f, Options{})
		defer s.Close()
		f.fault = script(full1)
		_, err := s.Txn(t.Context(), nil, []meta.Op{tag("a")})
		if !errors.Is(err, meta.ErrNoSpace) {
			t.Errorf("refused for lack of space: got %v", err)
		}
		f.fault = script(lastFull)
		res, err := s.Txn(t.Context(), nil, []meta.Op{tag("b")})
		y.tell("b", res, err)
		if err != nil || !res.Succeeded {
			t.Errorf("the last that found space: got %+v, %v", res, err)
		}
		// A copy that may still come forbids to say that nothing happened.
		f.fault = script(slow, full1)
		if _, err = s.Txn(t.Context(), nil, []meta.Op{tag("c")}); !errors.Is(err, meta.ErrUnknown) || errors.Is(err, meta.ErrNoSpace) {
			t.Errorf("no space while a copy is late: got %v", err)
		}
		y.check(t, "no space")
	})
}

func TestSessionThatEndedBeginsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		y := newTally(f)
		s := newFakeStore(t, f, Options{})
		defer s.Close()
		for i := range 3 {
			for j := range 2 * maxSlots {
				name := fmt.Sprintf("%d-%d", i, j)
				res, err := s.Txn(t.Context(), nil, []meta.Op{tag(name)})
				y.tell(name, res, err)
				if err != nil || !res.Succeeded {
					t.Fatalf("%s: %+v, %v", name, res, err)
				}
			}
			f.endSession(s)
		}
		l, err := s.Grant(t.Context(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Both leases are gone: the answer must not blame the caller's before it is its turn, nor never.
		f.endSession(s)
		_, err = s.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: "k", Lease: l.ID()}})
		if !errors.Is(err, meta.ErrLeaseNotFound) {
			t.Errorf("put with an ended lease: %v", err)
		}
		// Done, not answered, and then the guard is gone too.
		f.fault = func() fault {
			f.fault = nil
			return answer
		}
		f.done = func([]string) {
			f.done = nil
			for key := range f.keys {
				if len(key) > len("p/g/") && key[:4] == "p/g/" {
					delete(f.keys, key)
				}
			}
			clear(f.leases)
		}
		if _, err = s.Txn(t.Context(), nil, []meta.Op{tag("gone")}); !errors.Is(err, meta.ErrUnknown) {
			t.Errorf("guard gone with its session: got %v, want ErrUnknown", err)
		}
		if res, err := s.Txn(t.Context(), nil, []meta.Op{tag("after")}); err != nil || !res.Succeeded {
			t.Errorf("after it: %+v, %v", res, err)
		}
		y.check(t, "sessions")
	})
}

func TestRangeIsOfOneRevisionAndBeginsAnewWhenThatIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := newFakeStore(t, f, Options{})
		defer s.Close()
		const n = 3 * firstPage
		for i := range n {
			if _, err := s.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: fmt.Sprintf("%04d", i)}}); err != nil {
				t.Fatal(err)
			}
		}
		var pages, failed int
		var revisions []int64
		f.ranges = func(in *pb.RangeRequest) error {
			if pages++; pages > 1 && failed < 3 {
				failed++
				return []error{errLost, rpctypes.ErrGRPCCompacted, rpctypes.ErrGRPCTimeout}[failed-1]
			}
			revisions = append(revisions, in.Revision)
			return nil
		}
		entries, err := s.Range(t.Context(), "", "", 0)
		if err != nil || len(entries) != n {
			t.Fatalf("got %d entries, %v", len(entries), err)
		}
		if last := revisions[len(revisions)-1]; last != f.revision || failed != 3 {
			t.Errorf("last page at revision %d after %d faults, want %d", last, failed, f.revision)
		}
	})
}

func TestCompactionForgetsWhatIsOldEnough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		one := newFakeStore(t, f, Options{Compact: true})
		two := newFakeStore(t, f, Options{Compact: true})
		began := time.Now()
		type past struct {
			at       time.Time
			revision int64
		}
		var history []past
		ended := false
		for range 120 {
			<-time.After(30 * time.Second)
			if time.Since(began) > 30*time.Minute && !ended {
				ended = true
				one.Close() // the other takes over
			}
			res, err := two.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: "k"}})
			if err != nil {
				t.Fatal(err)
			}
			history = append(history, past{time.Now(), res.Revision})
			f.mu.Lock()
			compacted := f.compacted
			f.mu.Unlock()
			for _, h := range history {
				age := time.Since(h.at)
				if h.revision < compacted && age < 10*time.Minute {
					t.Fatalf("revision %d was forgotten after %v", h.revision, age)
				}
				if h.revision > compacted && age > 18*time.Minute {
					t.Fatalf("revision %d is remembered after %v", h.revision, age)
				}
			}
		}
		two.Close()
	})
}

func TestCloseEndsWaitingTransactions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := newFakeStore(t, f, Options{})
		f.fault = func() fault { return busy }
		told := make(chan error)
		go func() {
			_, err := s.Txn(t.Context(), nil, []meta.Op{tag("a")})
			told <- err
		}()
		<-time.After(time.Minute)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-told; !errors.Is(err, meta.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}
