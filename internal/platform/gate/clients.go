package gate

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/kafka/acl"
)

// Bounds of the clients that are kept for callers.
const (
	maxClients      = 1000
	clientIdle      = 5 * time.Minute
	clientLookAfter = 30 * time.Second
)

// Clients keeps a Kafka client for each caller that uses one, for as long as he does. It is a service.Service: while Run runs,
// clients of idle callers are closed; at its end all are.
type Clients struct {
	bridge Bridge
	opts   []kgo.Opt
	digest digester

	mu     sync.Mutex
	byKey  map[string]*held
	closed bool
}

// held is a client and how many use it.
type held struct {
	client *kgo.Client
	users  int
	idle   time.Time // since when nobody has used it
}

// NewClients returns an empty keeper. The options are given to every client, after those of the bridge.
func NewClients(b Bridge, opts ...kgo.Opt) *Clients {
	return &Clients{bridge: b, opts: opts, digest: newDigester(), byKey: map[string]*held{}}
}

// Bridge is what the clients are made by.
func (c *Clients) Bridge() Bridge { return c.bridge }

// Client returns the caller's client, which many requests of his share. It must not be closed, and not be used after ctx has ended:
// ctx is the request's. ErrBusy: as many callers as may be are at work now.
func (c *Clients) Client(ctx context.Context, caller Caller) (*kgo.Client, error) {
	key := c.keyOf(caller)
	c.mu.Lock()
	h := c.byKey[key]
	if h != nil {
		h.users++
	}
	full := h == nil && len(c.byKey) >= maxClients && !c.hasIdle()
	closed := c.closed
	c.mu.Unlock()
	switch {
	case closed:
		return nil, context.Canceled
	case full:
		return nil, ErrBusy
	case h == nil:
		client, err := c.New(caller)
		if err != nil {
			return nil, err
		}
		var drop *kgo.Client
		h, drop = c.keep(key, client)
		if drop != nil {
			go drop.Close() // it has nothing to wait for but its goroutines
		}
		if h == nil {
			return nil, context.Canceled
		}
	}
	context.AfterFunc(ctx, func() { c.release(h) })
	return h.client, nil
}

// New makes a client of the caller's own: a member of a group, say. Who called it closes it.
func (c *Clients) New(caller Caller, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := c.bridge.Options(caller)
	if err != nil {
		return nil, err
	}
	opts = append(append(opts, c.opts...), more...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("make a kafka client for %s: %w", caller.Principal, err)
	}
	return client, nil
}

// Allowed asks the bridge.
func (c *Clients) Allowed(ctx context.Context, caller Caller, op acl.Operation, kind acl.ResourceType, name string) error {
	return c.bridge.Allowed(ctx, caller, op, kind, name)
}

// keep enters a client, used once. Where another was quicker, or one had to make room, that one is to be dropped.
func (c *Clients) keep(key string, client *kgo.Client) (h *held, drop *kgo.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, client
	}
	if h := c.byKey[key]; h != nil {
		h.users++
		return h, client
	}
	if len(c.byKey) >= maxClients {
		drop = c.dropIdlest()
	}
	h = &held{client: client, users: 1}
	c.byKey[key] = h
	return h, drop
}

// hasIdle and dropIdlest are called with the lock.
func (c *Clients) hasIdle() bool {
	for _, h := range c.byKey {
		if h.users == 0 {
			return true
		}
	}
	return false
}

func (c *Clients) dropIdlest() *kgo.Client {
	var found string
	for key, h := range c.byKey {
		if h.users == 0 && (found == "" || h.idle.Before(c.byKey[found].idle)) {
			found = key
		}
	}
	if found == "" {
		return nil
	}
	h := c.byKey[found]
	delete(c.byKey, found)
	return h.client
}

func (c *Clients) release(h *held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.users--; h.users == 0 {
		h.idle = time.Now()
	}
}

// keyOf tells callers apart: by principal and address, which ACLs know, and by what he showed.
func (c *Clients) keyOf(caller Caller) string {
	key := caller.Principal.String() + "\x00" + caller.Host
	if caller.service {
		key = "service\x00" + key
	}
	if caller.credential != nil {
		key += "\x00" + c.digest.of(caller.credential)
	}
	return key
}

// Run closes clients that nobody has used for some minutes, and at the end all of them.
func (c *Clients) Run(ctx context.Context, ready func()) error {
	tick := time.NewTicker(clientLookAfter)
	defer tick.Stop()
	ready()
	for {
		select {
		case <-ctx.Done():
			for _, client := range c.take(func(*held) bool { return true }, true) {
				client.Close()
			}
			return nil
		case now := <-tick.C:
			for _, client := range c.take(func(h *held) bool { return h.users == 0 && now.Sub(h.idle) > clientIdle }, false) {
				client.Close()
			}
		}
	}
}

func (c *Clients) take(which func(*held) bool, last bool) []*kgo.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = c.closed || last
	var out []*kgo.Client
	for key, h := range c.byKey {
		if which(h) {
			out = append(out, h.client)
			delete(c.byKey, key)
		}
	}
	return out
}
