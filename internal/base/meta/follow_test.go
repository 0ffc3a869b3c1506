package meta

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// followed is a copy of the keys of two prefixes.
type followed struct {
	store   Store
	keys    map[string]string
	reloads atomic.Int64
	corrupt atomic.Bool
}

func (f *followed) follower() Follower {
	return Follower{Store: f.store, What: "keys", Prefixes: []string{"a/", "b/"}, Reload: f.reload, Apply: f.apply}
}

func (f *followed) reload(ctx context.Context) error {
	f.reloads.Add(1)
	if f.corrupt.Load() {
		return fmt.Errorf("a key: %w", ErrCorrupt)
	}
	f.keys = map[string]string{}
	for _, prefix := range []string{"a/", "b/"} {
		entries, err := f.store.Range(ctx, prefix, "", 0)
		if err != nil {
			return err
		}
		for _, e := range entries {
			f.keys[e.Key] = string(e.Value)
		}
	}
	return nil
}

func (f *followed) apply(_ context.Context, events []Event) error {
	for _, e := range events {
		if e.Kind == Delete {
			delete(f.keys, e.Key)
			continue
		}
		f.keys[e.Key] = string(e.Value)
	}
	return nil
}

func put(t *testing.T, s Store, key, value string) {
	t.Helper()
	if _, err := s.Txn(t.Context(), nil, []Op{{Kind: Put, Key: key, Value: []byte(value)}}); err != nil {
		t.Fatal(err)
	}
}

func TestFollowerKeepsUpAndSurvivesAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := NewMem(nil)
		defer mem.Close() //nolint:errcheck // the test is over
		store := NewFault(mem, nil)
		f := &followed{store: store}
		put(t, mem, "a/1", "x")
		ctx, stop := context.WithCancel(t.Context())
		ended, ready := make(chan error, 1), 0
		away := errors.New("away")
		store.Inject(FailFrom(1, away))
		go func() { ended <- f.follower().Run(ctx, func() { ready++ }) }()
		<-time.After(time.Minute)
		if synctest.Wait(); ready != 0 {
			t.Fatal("ready without anything read")
		}
		store.Inject(nil)
		<-time.After(3 * time.Second)
		put(t, mem, "b/1", "y")
		put(t, mem, "c/1", "z")
		if synctest.Wait(); ready != 1 || len(f.keys) != 2 || f.keys["b/1"] != "y" {
			t.Fatalf("ready %d times, holds %v", ready, f.keys)
		}
		reloads := f.reloads.Load()
		for i := range 5000 { // in many batches, without a look at the rest
			put(t, mem, fmt.Sprintf("a/%d", i), "n")
			if i%500 == 0 {
				synctest.Wait()
			}
		}
		if synctest.Wait(); len(f.keys) != 5001 || f.reloads.Load() != reloads {
			t.Fatalf("holds %d keys after %d reloads", len(f.keys), f.reloads.Load()-reloads)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestFollowerEndsWithAStoreThatIsDamagedOrClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := NewMem(nil)
		f := &followed{store: mem}
		f.corrupt.Store(true)
		if err := f.follower().Run(t.Context(), func() { t.Error("ready") }); !errors.Is(err, ErrCorrupt) {
			t.Errorf("got %v", err)
		}
		f.corrupt.Store(false)
		ended := make(chan error, 1)
		go func() { ended <- f.follower().Run(t.Context(), func() {}) }()
		synctest.Wait()
		if err := mem.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}
