package coordinator

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/kafka"
)

// world is an internal topic whose partitions move between brokers, as storage moves them: a log that is lost takes nothing
// more, and what it has not made durable fails and is gone.
type world struct {
	mu     sync.Mutex
	exists bool
	logs   []*worldLog
	// syncTime is how long a batch takes to be durable; 0: at once.
	syncTime func() time.Duration
	changed  map[int]chan struct{} // by broker
	// loads counts replays at a time, and most is the largest number of them. replaying, if not nil, holds them up.
	loads, most int
	replaying   chan struct{}
}

type worldLog struct {
	owner   int // 0: nobody
	epoch   int32
	durable [][]byte
	pending []*pending
	handle  *handle
}

type pending struct {
	batch []byte
	done  chan struct{}
	err   error
}

// handle is the log of a partition for one owner in one epoch.
type handle struct {
	w      *world
	log    *worldLog
	closed bool
}

func newWorld(partitions int) *world {
	w := &world{exists: true, changed: map[int]chan struct{}{}, syncTime: func() time.Duration { return 0 }}
	for range partitions {
		w.logs = append(w.logs, &worldLog{})
	}
	return w
}

// move gives a partition to a broker. keep of its pending batches become durable; the others are lost.
func (w *world) move(partition, to, keep int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.logs[partition]
	if l.handle != nil {
		l.handle.closed, l.handle = true, nil
	}
	l.settle(keep, nil)
	l.settle(len(l.pending), kafka.NotLeaderOrFollower)
	l.owner, l.epoch = to, l.epoch+1
}

// settle ends the first n pending batches.
func (l *worldLog) settle(n int, err error) {
	n = min(n, len(l.pending))
	for _, p := range l.pending[:n] {
		if p.err = err; err == nil {
			l.durable = append(l.durable, p.batch)
		}
		close(p.done)
	}
	l.pending = l.pending[n:]
}

// tell tells a broker that something has moved.
func (w *world) tell(broker int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.changed[broker]; c != nil {
		close(c)
		delete(w.changed, broker)
	}
}

func (w *world) owner(partition int32) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs[partition].owner
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// inWorld is the topic as one broker sees it.
type inWorld struct {
	w      *world
	broker int
}

func (i inWorld) Lookup() (int32, bool) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	return int32(len(i.w.logs)), i.w.exists
}

func (i inWorld) Ensure(context.Context) (int32, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	i.w.exists = true
	return int32(len(i.w.logs)), nil
}

func (i inWorld) Owned(partition int32) (int32, bool) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	l := i.w.logs[partition]
	return l.epoch, l.owner == i.broker
}

func (i inWorld) Changed() <-chan struct{} {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.w.changed[i.broker] == nil {
		i.w.changed[i.broker] = make(chan struct{})
	}
	return i.w.changed[i.broker]
}

func (i inWorld) Open(partition int32) (Log, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	l := i.w.logs[partition]
	if l.owner != i.broker {
		return nil, kafka.NotLeaderOrFollower
	}
	if l.handle == nil {
		l.handle = &handle{w: i.w, log: l}
	}
	return l.handle, nil
}

func (h *handle) Append(_ context.Context, batch []byte) (func(context.Context) error, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.closed {
		return nil, kafka.NotLeaderOrFollower
	}
	p := &pending{batch: batch, done: make(chan struct{})}
	h.log.pending = append(h.log.pending, p)
	if d := h.w.syncTime(); d == 0 {
		h.log.settle(len(h.log.pending), nil)
	} else {
		time.AfterFunc(d, func() { h.sync(p) })
	}
	return func(ctx context.Context) error {
		select {
		case <-p.done:
			return p.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}

// sync makes a batch durable, and all before it.
func (h *handle) sync(p *pending) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.log.settle(slices.Index(h.log.pending, p)+1, nil)
}

func (h *handle) Replay(ctx context.Context, visit func([]byte) error) error {
	h.w.mu.Lock()
	batches, blocked := slices.Clone(h.log.durable), h.w.replaying
	for _, p := range h.log.pending {
		batches = append(batches, p.batch)
	}
	h.w.loads++
	h.w.most = max(h.w.most, h.w.loads)
	h.w.mu.Unlock()
	defer h.w.set(func() { h.w.loads-- })
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
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.closed {
		return kafka.NotLeaderOrFollower
	}
	return nil
}

// join starts a broker of groups in the world, until the test ends.
func (w *world) join(t *testing.T, broker int, change func(*GroupsOptions)) *Groups {
	t.Helper()
	o := GroupsOptions{Options: Options{Topics: inWorld{w, broker}, Logger: slog.New(slog.DiscardHandler)}, Group: group.Options{InitialRebalanceDelay: -1}}
	if change != nil {
		change(&o)
	}
	g := NewGroups(o)
	inBackground(t, g.Run)
	synctest.Wait()
	return g
}

// inBackground runs a service until the test ends.
func inBackground(t *testing.T, run func(context.Context, func()) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, func() {}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
