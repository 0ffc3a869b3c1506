package service_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/service"
)

// journal notes what services do.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, " ")
}

// steady is ready after d and takes d to stop.
func (j *journal) steady(name string, d time.Duration) service.Service {
	return service.Func(func(ctx context.Context, ready func()) error {
		j.add("+" + name)
		select {
		case <-time.After(d):
			ready()
			ready() // once is enough, twice does no harm
			<-ctx.Done()
		case <-ctx.Done():
		}
		<-time.After(d)
		j.add("-" + name)
		return ctx.Err()
	})
}

func newGroup(t *testing.T, members ...service.Member) *service.Group {
	t.Helper()
	g, err := service.NewGroup(members...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// start runs g and returns its end.
func start(ctx context.Context, g *service.Group, j *journal) <-chan error {
	end := make(chan error, 1)
	go func() { end <- g.Run(ctx, func() { j.add("ready") }) }()
	return end
}

func TestGroupStartsByNeedAndStopsInReverse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		g := newGroup(t,
			service.Member{Name: "api", Needs: []string{"log", "topics"}, Service: j.steady("api", time.Second)},
			service.Member{Name: "topics", Needs: []string{"meta"}, Service: j.steady("topics", 2*time.Second)},
			service.Member{Name: "meta", Service: j.steady("meta", time.Second)},
			service.Member{Name: "log", Needs: []string{"meta"}, Service: j.steady("log", time.Second)},
		)
		ctx, cancel := context.WithCancel(t.Context())
		end := start(ctx, g, &j)
		<-time.After(time.Minute)
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
		starts, stops, _ := strings.Cut(j.String(), " ready ")
		if !slices.Contains([]string{"+meta +topics +log +api", "+meta +log +topics +api"}, starts) {
			t.Errorf("started %s", starts)
		}
		if stops != "-api -log -topics -meta" {
			t.Errorf("stopped %s", stops)
		}
	})
}

func TestFirstFailureStopsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		broken, worse := errors.New("broken"), errors.New("worse")
		g := newGroup(t,
			service.Member{Name: "meta", Service: j.steady("meta", time.Second)},
			service.Member{Name: "wal", Needs: []string{"meta"}, Service: service.Func(func(_ context.Context, ready func()) error {
				ready()
				<-time.After(time.Minute)
				return broken
			})},
			service.Member{Name: "api", Needs: []string{"wal"}, Service: service.Func(func(ctx context.Context, ready func()) error {
				ready()
				<-ctx.Done()
				return worse
			})},
		)
		err := <-start(t.Context(), g, &j)
		if !errors.Is(err, broken) || !errors.Is(err, worse) || err.Error() != "wal: broken\napi: worse" {
			t.Errorf("got error %q", err)
		}
		if got := j.String(); got != "+meta ready -meta" {
			t.Errorf("got %s", got)
		}
	})
}

func TestServiceThatNeverGetsReadyKeepsOthersFromStarting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		g := newGroup(t,
			service.Member{Name: "meta", Service: service.Func(func(context.Context, func()) error { return nil })},
			service.Member{Name: "api", Needs: []string{"meta"}, Service: j.steady("api", time.Second)},
		)
		if err := <-start(t.Context(), g, &j); !errors.Is(err, service.ErrEnded) {
			t.Errorf("got %v, want %v", err, service.ErrEnded)
		}
		if got := j.String(); got != "" {
			t.Errorf("got %s, want nothing started", got)
		}
	})
}

func TestMemberThatDoesNotStopIsLeftAtItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		hung := make(chan struct{})
		g := newGroup(t,
			service.Member{Name: "meta", Service: j.steady("meta", time.Second)},
			service.Member{
				Name: "api", Needs: []string{"meta"}, StopTimeout: 3 * time.Second,
				Service: service.Func(func(_ context.Context, ready func()) error {
					ready()
					<-hung
					return nil
				}),
			},
		)
		ctx, cancel := context.WithCancel(t.Context())
		end := start(ctx, g, &j)
		<-time.After(time.Minute)
		cancel()
		began := time.Now()
		err := <-end
		if !errors.Is(err, service.ErrDeadline) || !strings.HasPrefix(err.Error(), "api: ") {
			t.Errorf("got %v, want the deadline of api", err)
		}
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("took %v, want the deadline and the stop of meta", took)
		}
		if got := j.String(); !strings.HasSuffix(got, "-meta") {
			t.Errorf("got %s, want meta stopped all the same", got)
		}
		close(hung)
	})
}

func TestEndedContextStartsNothing(t *testing.T) {
	t.Parallel()
	var j journal
	g := newGroup(t, service.Member{Name: "meta", Service: j.steady("meta", 0)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := <-start(ctx, g, &j); err != nil {
		t.Error(err)
	}
	if got := j.String(); got != "" {
		t.Errorf("got %s", got)
	}
}

func TestNewGroupRefusesWhatCannotBeOrdered(t *testing.T) {
	t.Parallel()
	s := service.Func(func(context.Context, func()) error { return nil })
	for want, members := range map[string][]service.Member{
		"twice":      {{Name: "a", Service: s}, {Name: "a", Service: s}},
		"not in the": {{Name: "a", Service: s, Needs: []string{"b"}}},
		"itself":     {{Name: "a", Service: s, Needs: []string{"b"}}, {Name: "b", Service: s, Needs: []string{"a"}}},
	} {
		if _, err := service.NewGroup(members...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q in it", err, want)
		}
	}
}
