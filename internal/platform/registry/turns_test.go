package registry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/platform/registry"
	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema/formats"
)

// slowLog is a topic whose writers need time: to take the fence, which they have from the first moment on, and to write.
type slowLog struct {
	memLog

	cost     time.Duration
	takeOver *int // guarded by the topic's lock
}

func (l *slowLog) owner() *memLog {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	return l.t.owner
}

func (l *slowLog) Own(ctx context.Context) (int64, error) {
	if l.owner() == &l.memLog {
		return -1, nil
	}
	l.t.mu.Lock()
	l.t.owner = &l.memLog
	*l.takeOver++
	l.t.mu.Unlock()
	time.Sleep(l.cost) //nolint:forbidigo // of the bubble
	return l.memLog.Append(ctx, []state.Record{state.Noop()})
}

func (l *slowLog) Append(ctx context.Context, records []state.Record) (int64, error) {
	time.Sleep(l.cost / 2) //nolint:forbidigo // of the bubble
	return l.memLog.Append(ctx, records)
}

// follow starts a registry on a log, in a bubble.
func follow(t *testing.T, log registry.Log) *registry.Registry {
	t.Helper()
	r := registry.New(registry.Options{Log: log, Formats: formats.Of, Version: "test", Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx, func() {}); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	<-r.Loaded()
	return r
}

// TestInstancesThatAllWriteTakeTurns: three instances are written to by several clients each, without a pause, on topics whose fence is
// cheap and expensive. Nobody is refused, nobody waits for long, ids are given once, and the fence does not move with every write.
func TestInstancesThatAllWriteTakeTurns(t *testing.T) {
	t.Parallel()
	for _, cost := range []time.Duration{time.Millisecond, 8 * time.Millisecond, 500 * time.Millisecond} {
		t.Run(cost.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testTurns(t, cost) })
		})
	}
}

func testTurns(t *testing.T, cost time.Duration) {
	const instances, clients, each = 3, 2, 10
	on, takeOvers := newTopic(), 0
	var mu sync.Mutex
	var slowest time.Duration
	byID := map[int]string{}
	var wg sync.WaitGroup
	for i := range instances {
		r := follow(t, registry.TakeTurns(&slowLog{memLog{on}, cost, &takeOvers}, state.Noop()))
		for c := range clients {
			wg.Go(func() {
				for k := range each {
					text := fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, 1+(i*clients+c)*each+k)
					began := time.Now()
					v, err := r.Register(t.Context(), fmt.Sprintf("s%d-%d", i, c), registry.Candidate{Content: state.Content{Text: state.TextOf(text)}}, registry.RegisterOptions{Force: true})
					if err != nil {
						t.Errorf("after %s: %v", time.Since(began), err)
						return
					}
					mu.Lock()
					slowest = max(slowest, time.Since(began))
					if old, ok := byID[v.ID]; ok {
						t.Errorf("id %d stands for %s and %s", v.ID, old, text)
					}
					byID[v.ID] = text
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	writes := instances * clients * each
	t.Logf("%d writes, %d take-overs, the slowest took %s", writes, takeOvers, slowest)
	if len(byID) != writes {
		t.Errorf("%d ids for %d schemas", len(byID), writes)
	}
	if takeOvers > writes/2 {
		t.Errorf("%d take-overs for %d writes", takeOvers, writes)
	}
	if slowest > 25*time.Second {
		t.Errorf("a write took %s", slowest)
	}
}

// TestWhoWritesAloneDoesNotWait: an instance that nobody competes with writes without a pause, and another takes over as soon as the
// topic is quiet.
func TestWhoWritesAloneDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		on, takeOvers := newTopic(), 0
		var all []*registry.Registry
		for range 2 {
			all = append(all, follow(t, registry.TakeTurns(&slowLog{memLog{on}, 2 * time.Millisecond, &takeOvers}, state.Noop())))
		}
		write := func(i, n int) time.Duration {
			began := time.Now()
			if _, err := all[i].Register(t.Context(), "s", registry.Candidate{Content: state.Content{Text: state.TextOf(fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, n))}}, registry.RegisterOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		if took := write(0, 1); took > 4*time.Millisecond {
			t.Errorf("the first write took %s", took)
		}
		if took := write(0, 2); took > 2*time.Millisecond {
			t.Errorf("a write of the writer took %s", took)
		}
		if took := write(1, 3); took > 30*time.Millisecond {
			t.Errorf("the first write of another took %s", took)
		}
		time.Sleep(time.Second) //nolint:forbidigo // of the bubble
		if took := write(0, 4); took > 10*time.Millisecond+4*time.Millisecond {
			t.Errorf("a write after a pause took %s", took)
		}
	})
}

// TestReadsSeeWhatAnyInstanceAcknowledged: what is asked of one instance, right after another has answered, is answered by the new state,
// though nothing is missing from the old one.
func TestReadsSeeWhatAnyInstanceAcknowledged(t *testing.T) {
	t.Parallel()
	on := newTopic()
	a, b := start(t, on, bridge{}), start(t, on, bridge{})
	for k := range 30 {
		if got, want := a.ask(t, "", "PUT", "/config/s", fmt.Sprintf(`{"compatibility":"NONE","compatibilityGroup":"g%d"}`, k)), "200"; got[:3] != want {
			t.Fatalf("got %s", got)
		}
		if got := a.ask(t, "", "POST", "/subjects/s/versions", quote(fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, k+1))); got[:3] != "200" {
			t.Fatalf("got %s", got)
		}
		if got, want := b.ask(t, "", "GET", "/subjects/s/versions/latest/schema", ""), fmt.Sprintf(`200 {"type":"fixed","name":"F","size":%d}`, k+1); got != want {
			t.Errorf("the other instance says %s, want %s", got, want)
		}
		if got, want := b.ask(t, "", "GET", "/config/s", ""), fmt.Sprintf(`200 {"compatibilityLevel":"NONE","compatibilityGroup":"g%d"}`, k); got != want {
			t.Errorf("the other instance says %s, want %s", got, want)
		}
	}
}

// deafLog does not answer for its end.
type deafLog struct{ *memLog }

var errDeaf = errors.New("no broker answers")

func (deafLog) End(ctx context.Context) (int64, error) {
	<-ctx.Done()
	return 0, errDeaf
}

func TestReadsGoOnWhenTheClusterDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		on := newTopic()
		r := follow(t, deafLog{&memLog{on}})
		on.mu.Lock()
		on.append(state.PutMode("s", state.ReadOnly))
		on.mu.Unlock()
		synctest.Wait()
		began := time.Now()
		for range 100 {
			if err := r.CatchUp(t.Context()); err == nil {
				t.Fatal("it has caught up with what it cannot know")
			}
		}
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("a hundred requests waited %s", took)
		}
		if mode, err := r.Mode(t.Context(), "s", false); err != nil || mode != state.ReadOnly {
			t.Errorf("got %s, %v", mode, err)
		}
	})
}
