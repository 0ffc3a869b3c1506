package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/broker/group"
)

// memTopics keeps __consumer_offsets in memory.
type memTopics struct {
	mu         sync.Mutex
	exists     bool
	ensureErr  error
	partitions int32
	logs       map[int32]*memLog
}

func newMemTopics(partitions int32) *memTopics {
	return &memTopics{partitions: partitions, logs: map[int32]*memLog{}}
}

func (m *memTopics) Lookup() (int32, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.partitions, m.exists
}

func (m *memTopics) Ensure(context.Context) (int32, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ensureErr != nil {
		return 0, m.ensureErr
	}
	m.exists = true
	return m.partitions, nil
}

func (m *memTopics) Open(partition int32) (Log, error) { return m.log(partition), nil }

// Owned says that every partition is this broker's, in epoch 9.
func (m *memTopics) Owned(int32) (int32, bool) { return 9, true }

func (m *memTopics) Changed() <-chan struct{} { return nil }

func (m *memTopics) log(partition int32) *memLog {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.logs[partition] == nil {
		m.logs[partition] = &memLog{}
	}
	return m.logs[partition]
}

var errDisk = errors.New("disk is broken")

// memLog is a log whose disk can be slow or broken.
type memLog struct {
	mu      sync.Mutex
	batches [][]byte
	// held makes appends wait until release; refuse makes them fail before anything is written, and lose makes their
	// outcome unknown although they are in the log.
	held    chan struct{}
	refuse  bool
	lose    bool
	replays int
	// blocked holds a replay up while it is open.
	blocked chan struct{}
}

func (l *memLog) Append(_ context.Context, batch []byte) (func(context.Context) error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse {
		return nil, errDisk
	}
	l.batches = append(l.batches, batch)
	held, lose := l.held, l.lose
	return func(ctx context.Context) error {
		if held != nil {
			select {
			case <-held:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if lose {
			return errDisk
		}
		return nil
	}, nil
}

func (l *memLog) Replay(ctx context.Context, visit func([]byte) error) error {
	l.mu.Lock()
	batches, blocked := l.batches, l.blocked
	l.replays++
	l.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, b := range batches {
		if err := visit(b); err != nil {
			return err
		}
	}
	return nil
}

func (l *memLog) set(change func(*memLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *memLog) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.batches)
}

// start runs a coordinator over topics inside a synctest bubble until the test ends or stop is called, which waits.
func start(t *testing.T, topics *memTopics, change func(*GroupsOptions)) (g *Groups, stop func()) {
	t.Helper()
	o := GroupsOptions{Options: Options{Topics: topics, Logger: slog.New(slog.DiscardHandler)}, Group: group.Options{InitialRebalanceDelay: -1}}
	if change != nil {
		change(&o)
	}
	g = NewGroups(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, func() {}) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	synctest.Wait()
	return g, stop
}

// ready starts a coordinator whose topic exists.
func ready(t *testing.T, topics *memTopics, change func(*GroupsOptions)) (g *Groups, stop func()) {
	t.Helper()
	g, stop = start(t, topics, change)
	if err := g.Coordinator(t.Context()); err != nil {
		t.Fatalf("Coordinator: %v", err)
	}
	synctest.Wait()
	return g, stop
}

func join(client string) group.Join {
	return group.Join{
		Group: "g", ClientID: client, ClientHost: "/h", ProtocolType: "consumer",
		SessionTimeout: 10 * time.Second, RebalanceTimeout: 60 * time.Second,
		Protocols: []group.Protocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 0}}},
	}
}

func commit(id string, offset int64) group.Commit {
	return group.Commit{Group: id, Generation: -1, Retention: -1, Offsets: []group.CommitOffset{{Topic: "t", Offset: offset}}}
}

// result is what a call in a goroutine of its own came to.
type result[T any] struct {
	value T
	err   error
}

// begin makes a call that may block. The channel holds its result once there is one.
func begin[T any](call func() (T, error)) <-chan result[T] {
	c := make(chan result[T], 1)
	go func() {
		value, err := call()
		c <- result[T]{value, err}
	}()
	return c
}

func committed(t *testing.T, g *Groups, id string) int64 {
	t.Helper()
	reply, err := g.Fetch(t.Context(), group.Fetch{Group: id, Topics: []group.FetchTopic{{Topic: "t", Partitions: []int32{0}}}})
	if err != nil {
		t.Fatalf("Fetch: %v", err)
	}
	return reply.Topics[0].Partitions[0].Offset
}
