package sharepartition

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/kafka"
)

// States is where the states of share partitions are kept. A write is durable when it returns nil.
type States interface {
	Read(ctx context.Context, e share.ReadState) (share.StateReply, error)
	Write(ctx context.Context, e share.WriteState) error
}

// Reset says where a group begins that has read nothing yet.
type Reset struct {
	Earliest bool
	// By, if not 0, is how far back in time; else, and unless Earliest, it is the end of the log.
	By time.Duration
}

// Settings are those of a group.
type Settings struct {
	share.Limits

	Reset     Reset
	Committed bool // share.isolation.level is read_committed
}

// Options of a Manager; all but Registerer are required.
type Options struct {
	States     States
	Log        func(topic kafka.TopicID, index int32) (*partition.Log, error)
	Settings   func(group string) Settings
	Sessions   int
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// ID names a partition.
type ID struct {
	Topic     kafka.TopicID
	Partition int32
}

// Manager keeps the windows of this broker.
type Manager struct {
	o        Options
	metrics  *metrics
	sessions *Sessions

	mu      sync.Mutex
	windows map[share.Key]*window
	// background ends with Run; nil before and closed set after.
	background context.Context
	closed     bool
	running    sync.WaitGroup
}

// New returns a manager that knows nothing; it serves while Run runs.
func New(o Options) *Manager {
	m := &Manager{o: o, windows: map[share.Key]*window{}}
	m.sessions = newSessions(o.Sessions, m.released)
	m.metrics = newMetrics(o.Registerer, m)
	return m
}

// Run serves until ctx ends, and returns when everything on its way has ended.
func (m *Manager) Run(ctx context.Context, ready func()) error {
	m.mu.Lock()
	m.background = ctx
	m.mu.Unlock()
	ready()
	<-ctx.Done()
	m.mu.Lock()
	m.closed = true
	windows := make([]*window, 0, len(m.windows))
	for _, w := range m.windows {
		windows = append(windows, w)
	}
	m.mu.Unlock()
	for _, w := range windows {
		w.stop()
	}
	m.running.Wait()
	return nil
}

// spawn runs f beside, unless the manager is about to end.
func (m *Manager) spawn(f func(ctx context.Context)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.background == nil {
		return false
	}
	ctx := m.background
	m.running.Go(func() { f(ctx) })
	return true
}

// Sessions returns the sessions of share consumers.
func (m *Manager) Sessions() *Sessions { return m.sessions }

// Settings returns the settings of a group.
func (m *Manager) Settings(group string) Settings { return m.o.Settings(group) }

// window returns the window of a group in a partition, loaded. Errors: kafka.UnknownTopicOrPartition; what the state store
// says; the context's.
func (m *Manager) window(ctx context.Context, k share.Key) (*window, error) {
	for {
		log, err := m.o.Log(k.Topic, k.Partition)
		if err != nil {
			return nil, err
		}
		m.mu.Lock()
		w, before := m.windows[k], (*window)(nil)
		if w != nil && w.log != log {
			w, before = nil, w // the partition was another broker's meanwhile
		}
		first := w == nil
		if first {
			w = newWindow(m, k, log)
			m.windows[k] = w
		}
		m.mu.Unlock()
		if before != nil {
			before.stop()
		}
		if first {
			w.load(ctx)
		}
		select {
		case <-w.loaded:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch {
		case w.failure == nil:
			return w, nil
		case first || !errors.Is(w.failure, context.Canceled):
			return nil, w.failure
		}
		// The one who loaded it went away. It is tried again.
	}
}

// drop forgets a window.
func (m *Manager) drop(w *window) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.windows[w.key] == w {
		delete(m.windows, w.key)
	}
}

// of returns the windows of a group.
func (m *Manager) of(group string) []*window {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*window
	for k, w := range m.windows {
		if k.Group == group {
			out = append(out, w)
		}
	}
	return out
}

// Acknowledge notes what a member says of records that it holds. What is to be persisted is on its way when it returns;
// wait returns nil once it is durable. The error is that of an acknowledgement that cannot be, which changes nothing.
func (m *Manager) Acknowledge(ctx context.Context, group, member string, id ID, acks []share.Ack) (wait func(context.Context) error, err error) {
	w, err := m.window(ctx, share.Key{Group: group, Topic: id.Topic, Partition: id.Partition})
	if err != nil {
		return nil, err
	}
	return w.acknowledge(member, acks) //nolint:contextcheck // a write outlives the request that caused it
}

// MemberLeft lets go of what a member held, and with the last one of a group of its windows.
func (m *Manager) MemberLeft(e share.MemberLeft) {
	m.sessions.drop(SessionKey{e.Group, e.Member})
	m.release(e.Group, e.Member)
	if !e.Emptied {
		return
	}
	for _, w := range m.of(e.Group) {
		w.retire()
	}
}

// released is called for sessions that ended by themselves.
func (m *Manager) released(k SessionKey) { m.release(k.Group, k.Member) }

// Close ends a member's session and lets go of what it held.
func (m *Manager) Close(k SessionKey) {
	m.sessions.drop(k)
	m.release(k.Group, k.Member)
}

// release lets go of what a member held here. With the last session of a group at this broker its windows go too: the group's
// coordinator, which may be another broker, tells nobody but itself when the group is empty and its offsets are set anew.
func (m *Manager) release(group, member string) {
	served := m.sessions.serves(group)
	for _, w := range m.of(group) {
		w.release(member)
		if !served {
			w.retire()
		}
	}
}

// Forget drops the windows of a group whose states were changed behind them, once what they had on its way is done. The
// group has no members.
func (m *Manager) Forget(ctx context.Context, group string) error {
	for _, w := range m.of(group) {
		if err := w.fence(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Gone drops the windows of topics that were deleted.
func (m *Manager) Gone(topics []kafka.TopicID) {
	gone := make(map[kafka.TopicID]bool, len(topics))
	for _, t := range topics {
		gone[t] = true
	}
	m.dropAll(func(w *window) bool { return gone[w.key.Topic] })
}

// Lost drops the windows of the partitions of a shard that has come to be another broker's.
func (m *Manager) Lost(shard int32) {
	m.dropAll(func(w *window) bool { return w.log.Identity().Shard == shard })
}

// dropAll drops windows.
func (m *Manager) dropAll(which func(*window) bool) {
	m.mu.Lock()
	var dropped []*window
	for k, w := range m.windows {
		if which(w) {
			dropped = append(dropped, w)
			delete(m.windows, k)
		}
	}
	m.mu.Unlock()
	for _, w := range dropped {
		w.stop()
	}
}
