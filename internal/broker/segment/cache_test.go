package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/weir-stream/weir/internal/base/blob"
)

// storeOf returns a store with n small objects o0, o1, ...
func storeOf(t testing.TB, n int) *memStore {
	t.Helper()
	s := newMemStore()
	for i := range n {
		var out bytes.Buffer
		w := NewWriter(&out, Options{Shard: int32(i), CreatedAt: testTime, IndexBytes: 512})
		must(t, w.BeginRun([16]byte{1}, 0))
		for k := range int64(20) {
			must(t, w.AppendBatch(batch(k, 0, 1, 1, 1, make([]byte, 100))))
		}
		_, err := w.Finish()
		must(t, err)
		s.objects[fmt.Sprintf("o%d", i)] = out.Bytes()
	}
	return s
}

func get(t testing.TB, c *Cache, key string) (*Reader, func()) {
	t.Helper()
	r, release, err := c.Get(t.Context(), key)
	must(t, err)
	return r, release
}

func TestCacheKeepsRecentReadersOpen(t *testing.T) {
	t.Parallel()
	s := storeOf(t, 4)
	c := NewCache(s, 3)
	for _, key := range []string{"o0", "o1", "o2", "o0", "o3", "o0", "o2"} { // o3 drives out o1
		_, release := get(t, c, key)
		release()
	}
	for key, want := range map[string]int{"o0": 1, "o1": 1, "o2": 1, "o3": 1} {
		if opened, _ := s.counts(key); opened != want {
			t.Errorf("%s was opened %d times, want %d", key, opened, want)
		}
	}
	_, release := get(t, c, "o1")
	release()
	if opened, openNow := s.counts("o1"); opened != 2 || openNow != 3 {
		t.Errorf("o1 was opened %d times, want 2; %d are open, want 3", opened, openNow)
	}
	must(t, c.Close())
	if _, openNow := s.counts("o1"); openNow != 0 {
		t.Errorf("%d are open after Close, want none", openNow)
	}
	if _, _, err := c.Get(t.Context(), "o1"); !errors.Is(err, ErrCacheClosed) {
		t.Errorf("Get after Close: got %v, want ErrCacheClosed", err)
	}
}

func TestCacheNeverClosesReaderInUse(t *testing.T) {
	t.Parallel()
	s := storeOf(t, 5)
	c := NewCache(s, 2)
	var releases []func()
	for i := range 5 {
		r, release := get(t, c, fmt.Sprintf("o%d", i))
		if r.Shard() != int32(i) {
			t.Fatalf("got the reader of shard %d for object %d", r.Shard(), i)
		}
		releases = append(releases, release)
	}
	if _, openNow := s.counts(""); openNow != 5 {
		t.Fatalf("%d are open while 5 are in use", openNow)
	}
	for i, want := range []int{4, 3, 2, 2, 2} {
		releases[i]()
		releases[i]() // a second call does nothing
		if _, openNow := s.counts(""); openNow != want {
			t.Errorf("after %d releases %d are open, want %d", i+1, openNow, want)
		}
	}
	if st := c.Stats(); st.Open != 2 || st.InUse != 0 || st.Misses != 5 || st.Evictions != 3 {
		t.Errorf("got %+v", st)
	}
}

func TestCacheForgetsDeletedObjects(t *testing.T) {
	t.Parallel()
	s := storeOf(t, 2)
	c := NewCache(s, 2)
	r, release := get(t, c, "o0")
	_, other := get(t, c, "o1")
	other()
	c.Forget("o0")
	c.Forget("o1")
	c.Forget("o2")
	if _, openNow := s.counts(""); openNow != 1 {
		t.Errorf("%d are open, want the one in use", openNow)
	}
	mustRead(t, r, make([]byte, 10), headerBytes)
	delete(s.objects, "o0")
	if _, _, err := c.Get(t.Context(), "o0"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	release()
	if _, openNow := s.counts(""); openNow != 0 {
		t.Errorf("%d are open, want none", openNow)
	}
}

func TestCacheRemembersVerifiedBlocksOfClosedReaders(t *testing.T) {
	t.Parallel()
	s := storeOf(t, 2)
	c := NewCache(s, 1)
	r, release := get(t, c, "o0")
	run := r.Runs()[0]
	must(t, r.Verify(run, 0, 600))
	release()
	_, release = get(t, c, "o1")
	release()
	// Damage to what was verified is beyond the promise; damage elsewhere is found.
	s.objects["o0"][headerBytes] ^= 1
	s.objects["o0"][headerBytes+1100] ^= 1
	r, release = get(t, c, "o0")
	defer release()
	must(t, r.Verify(run, 0, 1000))
	for range 2 {
		if err := r.Verify(run, 0, 1100); err == nil {
			t.Fatal("a damaged block passed")
		}
	}
	if opened, _ := s.counts("o0"); opened != 2 {
		t.Fatalf("o0 was opened %d times, want 2", opened)
	}
}

func TestCacheDoesNotRememberFailures(t *testing.T) {
	t.Parallel()
	s := storeOf(t, 1)
	good := s.objects["o0"]
	s.objects["o0"] = good[:len(good)-1]
	c := NewCache(s, 1)
	_, _, err := c.Get(t.Context(), "o0")
	if corrupt, ok := errors.AsType[*CorruptError](err); !ok || corrupt.Object != "o0" {
		t.Fatalf("got %v, want a CorruptError of o0", err)
	}
	if _, openNow := s.counts(""); openNow != 0 {
		t.Fatalf("%d objects stayed open", openNow)
	}
	s.objects["o0"] = good
	_, release := get(t, c, "o0")
	release()
}

func TestCacheOpensOnceForManyCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := storeOf(t, 1)
		gate := make(chan struct{})
		s.before = func(context.Context, string) error { <-gate; return nil }
		c := NewCache(s, 1)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				r, release, err := c.Get(t.Context(), "o0")
				if err != nil || len(r.Runs()) != 1 {
					t.Errorf("got %v", err)
					return
				}
				release()
			})
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		if opened, _ := s.counts("o0"); opened != 1 {
			t.Errorf("o0 was opened %d times, want once", opened)
		}
	})
}

func TestCacheWaiterOutlivesOpenerThatGaveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := storeOf(t, 1)
		s.before = func(ctx context.Context, _ string) error {
			if ctx.Value(firstCaller{}) != nil {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		c := NewCache(s, 1)
		first, giveUp := context.WithCancel(context.WithValue(t.Context(), firstCaller{}, true))
		brief, cancelBrief := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, _, err := c.Get(first, "o0"); !errors.Is(err, context.Canceled) {
				t.Errorf("the opener got %v, want its cancellation", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, _, err := c.Get(brief, "o0"); !errors.Is(err, context.Canceled) {
				t.Errorf("a waiter that gave up got %v", err)
			}
		})
		wg.Go(func() {
			_, release, err := c.Get(t.Context(), "o0")
			if err != nil {
				t.Errorf("the waiter got %v", err)
				return
			}
			release()
		})
		synctest.Wait()
		cancelBrief()
		synctest.Wait()
		giveUp()
		wg.Wait()
		if st := c.Stats(); st.InUse != 0 || st.Open != 1 {
			t.Errorf("got %+v, want one idle reader", st)
		}
	})
}

type firstCaller struct{}

func TestCacheUnderConcurrentUse(t *testing.T) {
	t.Parallel()
	s := storeOf(t, 12)
	c := NewCache(s, 4)
	var wg sync.WaitGroup
	for g := range uint64(8) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(g, 9))
			for range 300 {
				i := rng.IntN(12)
				r, release, err := c.Get(t.Context(), fmt.Sprintf("o%d", i))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := r.Locate(r.Runs()[0], rng.Int64N(22)); err != nil || r.Shard() != int32(i) {
					t.Errorf("reader of %d for object %d: %v", r.Shard(), i, err)
				}
				if rng.IntN(20) == 0 {
					c.Forget(fmt.Sprintf("o%d", rng.IntN(12)))
				}
				release()
			}
		})
	}
	wg.Wait()
	if st := c.Stats(); st.InUse != 0 || st.Open > 4 {
		t.Errorf("got %+v", st)
	}
	must(t, c.Close())
	if _, openNow := s.counts(""); openNow != 0 {
		t.Errorf("%d are open after Close", openNow)
	}
}
