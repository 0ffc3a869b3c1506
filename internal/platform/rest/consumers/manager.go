package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Errors of this package.
var (
	ErrNotFound          = errors.New("consumer instance not found")
	ErrExists            = errors.New("consumer with specified consumer ID already exists in the specified consumer group")
	ErrAlreadySubscribed = errors.New("subscription to topics, partitions and pattern are mutually exclusive")
	ErrIllegalState      = errors.New("illegal state")
	ErrConfig            = errors.New("invalid consumer configuration")
	ErrTooMany           = errors.New("too many consumer instances")
)

// Dial makes a Kafka client that acts as the principal of an instance, with further options.
type Dial func(opts ...kgo.Opt) (*kgo.Client, error)

// Options of a Manager. Zero values take the defaults.
type Options struct {
	Max      int           // instances at a time; default 1,000
	Idle     time.Duration // after which an instance is forgotten; default 5 min
	MaxBytes int           // of records in one answer, of keys and values; default 64 MiB
	Logger   *slog.Logger
}

// key finds an instance.
type key struct{ principal, group, name string }

// Manager holds the instances.
type Manager struct {
	o Options

	mu        sync.Mutex
	instances map[key]*Instance
	closed    bool
}

// New returns a manager without instances.
func New(o Options) *Manager {
	o.Max = cmp.Or(o.Max, 1000)
	o.Idle = cmp.Or(o.Idle, 5*time.Minute)
	o.MaxBytes = cmp.Or(o.MaxBytes, 64<<20)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Manager{o: o, instances: map[key]*Instance{}}
}

// Config of an instance.
type Config struct {
	Name        string // empty: one is made
	Format      string // for the caller to know; not read here
	OffsetReset string // earliest, latest or none; empty is latest
	AutoCommit  bool
	MinBytes    int           // that an answer waits for; 0: any record
	Wait        time.Duration // for records, where the request does not say; default 1 s
}

const defaultWait = time.Second

func (c *Config) check() error {
	switch strings.ToLower(c.OffsetReset) {
	case "", "earliest", "latest", "none":
		c.OffsetReset = cmp.Or(strings.ToLower(c.OffsetReset), "latest")
	default:
		return fmt.Errorf("%w: auto.offset.reset is %q, not one of earliest, latest, none", ErrConfig, c.OffsetReset)
	}
	if c.Wait == 0 {
		c.Wait = defaultWait
	}
	return nil
}

// Create makes an instance. The name must be free within the group and principal.
func (m *Manager) Create(principal, group string, c Config, dial Dial) (*Instance, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	k := key{principal, group, c.Name}
	i := &Instance{manager: m, key: k, config: c, dial: dial, turn: make(chan struct{}, 1), touched: time.Now()}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, ErrNotFound
	case m.instances[k] != nil:
		return nil, ErrExists
	case len(m.instances) >= m.o.Max:
		return nil, ErrTooMany
	}
	m.instances[k] = i
	return i, nil
}

// Get finds an instance and counts as use of it.
func (m *Manager) Get(principal, group, name string) (*Instance, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.instances[key{principal, group, name}]
	if i == nil {
		return nil, ErrNotFound
	}
	i.touched = time.Now()
	return i, nil
}

// Delete forgets an instance; it leaves its group.
func (m *Manager) Delete(ctx context.Context, principal, group, name string) error {
	m.mu.Lock()
	k := key{principal, group, name}
	i := m.instances[k]
	delete(m.instances, k)
	m.mu.Unlock()
	if i == nil {
		return ErrNotFound
	}
	i.close(ctx)
	return nil
}

// Len is the number of instances.
func (m *Manager) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.instances)
}

// Run forgets idle instances until ctx ends, and then all.
func (m *Manager) Run(ctx context.Context) {
	tick := time.NewTicker(max(m.o.Idle/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, i := range m.take(func(i *Instance) bool { return i.inUse == 0 && time.Since(i.touched) >= m.o.Idle }, false) {
				m.o.Logger.Debug("consumer instance is idle and goes", "group", i.key.group, "instance", i.key.name)
				i.close(ctx)
			}
		case <-ctx.Done():
			var all sync.WaitGroup
			for _, i := range m.take(func(*Instance) bool { return true }, true) {
				all.Go(func() { i.close(ctx) })
			}
			all.Wait()
			return
		}
	}
}

func (m *Manager) take(which func(*Instance) bool, last bool) []*Instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = m.closed || last
	var out []*Instance
	for k, i := range m.instances {
		if which(i) {
			out = append(out, i)
			delete(m.instances, k)
		}
	}
	return out
}
