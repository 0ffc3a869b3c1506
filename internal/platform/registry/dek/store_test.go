package dek

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/platform/gate"
)

var errLost = errors.New("lost")

// sharedTopic is a topic in memory that several instances write to, one at a time.
type sharedTopic struct {
	mu      sync.Mutex
	records []Record
	owner   *instance
	gone    int64 // records before the end that compaction took away
	more    chan struct{}
	down    bool
}

type instance struct{ *sharedTopic }

func (l *instance) Run(ctx context.Context, apply func(Record, int64, int64), _, loaded func()) error {
	at := 0
	for {
		l.mu.Lock()
		records, more := l.records[at:], l.more
		l.mu.Unlock()
		for _, r := range records {
			apply(r, int64(at), int64(at))
			at++
		}
		loaded()
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		}
	}
}

func (l *instance) Own(context.Context) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return 0, errors.New("down")
	}
	if l.owner == l {
		return -1, nil
	}
	l.owner = l
	return l.add(Noop()), nil
}

func (l *instance) add(records ...Record) int64 {
	l.records = append(l.records, records...)
	close(l.more)
	l.more = make(chan struct{})
	return int64(len(l.records) - 1)
}

func (l *instance) Append(_ context.Context, records []Record) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owner != l {
		return 0, errLost
	}
	return l.add(records...), nil
}

func (l *instance) End(context.Context) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return 0, errors.New("down")
	}
	return int64(len(l.records)) + l.gone, nil
}

func TestInstancesShareATopic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topic := &sharedTopic{more: make(chan struct{})}
		var wg sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		var stores []*Store
		for range 3 {
			s := NewStore(&instance{topic}, errLost, NewKeys(), slog.New(slog.DiscardHandler))
			stores = append(stores, s)
			wg.Go(func() {
				if err := s.Run(ctx, func() {}); err != nil {
					t.Error(err)
				}
			})
		}
		// Each key is made by exactly one of those that try.
		var made sync.Map
		var tries sync.WaitGroup
		for i := range 30 {
			s := stores[i%3]
			tries.Go(func() {
				name := fmt.Sprint("k", i/3)
				err := s.Change(ctx, func() ([]Record, error) {
					if _, ok := s.keys.KEK(name, true); ok {
						return nil, errors.New("there")
					}
					k := KEK{Name: name, KMSType: "x", KMSKeyID: "y"}
					return records(k.record())
				})
				if err == nil {
					if _, twice := made.LoadOrStore(name, i); twice {
						t.Errorf("%s was made twice", name)
					}
				}
			})
		}
		tries.Wait()
		for _, s := range stores {
			if err := s.Sync(ctx); err != nil {
				t.Error(err)
			}
			if n, _ := s.keys.Counts(); n != 10 {
				t.Errorf("%d keys, want 10", n)
			}
		}
		topic.mu.Lock()
		topic.down = true
		topic.mu.Unlock()
		if err := stores[0].Sync(ctx); !errors.Is(err, gate.ErrUnavailable) {
			t.Errorf("sync of a topic that is down: %v", err)
		}
		if err := stores[0].Change(ctx, func() ([]Record, error) { return nil, nil }); !errors.Is(err, gate.ErrUnavailable) {
			t.Errorf("change of a topic that is down: %v", err)
		}
		stores[0].restart()
		if n, _ := stores[0].keys.Counts(); n != 0 {
			t.Errorf("%d keys after the topic was deleted", n)
		}
		stop()
		wg.Wait()
	})
}

func TestChangeWaitsForTheTopicToBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewStore(&instance{&sharedTopic{more: make(chan struct{})}}, errLost, NewKeys(), slog.New(slog.DiscardHandler))
		began := time.Now()
		if err := s.Change(t.Context(), func() ([]Record, error) { return nil, nil }); !errors.Is(err, gate.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		if waited := time.Since(began); waited != changeTimeout {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestMarksThatAreGoneAreWaitedForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewStore(&instance{&sharedTopic{more: make(chan struct{}), gone: 2}}, errLost, NewKeys(), slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Run(ctx, func() {}) })
		began := time.Now()
		for range 5 {
			if err := s.Sync(ctx); err != nil {
				t.Error(err)
			}
		}
		if waited := time.Since(began); waited != quietTime {
			t.Errorf("waited %v, want %v once", waited, quietTime)
		}
		stop()
		wg.Wait()
	})
}
