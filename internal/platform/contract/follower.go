package contract

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// schemasTopic is where the registry keeps what is registered. It has one partition.
const schemasTopic = "_schemas"

// FollowerOptions are those of a Follower; Client and Logger are required.
type FollowerOptions struct {
	// Client makes a client that may read _schemas.
	Client func(...kgo.Opt) (*kgo.Client, error)
	Logger *slog.Logger
}

// Follower is Schemas by the topic _schemas, of any registry that writes it as Confluent's does. It connects when it is first asked
// to catch up, so that a server without contracts pays nothing. It is a service.Service.
type Follower struct {
	o      FollowerOptions
	state  *state
	wanted chan struct{} // one token: somebody waits

	revision atomic.Int64

	mu       sync.Mutex
	position int64         // the first offset that was not applied
	moved    chan struct{} // closed when position grows
	running  *kadm.Client  // nil while there is no client
}

// NewFollower returns a follower that knows nothing until Run runs and CatchUp is called.
func NewFollower(o FollowerOptions) *Follower {
	f := &Follower{o: o, state: newState(), wanted: make(chan struct{}, 1), moved: make(chan struct{})}
	f.revision.Store(-1)
	return f
}

// ByID implements Schemas.
func (f *Follower) ByID(id int32) (Registered, bool) {
	return f.state.find(func() *entry { return f.state.byID[id] })
}

// ByGUID implements Schemas.
func (f *Follower) ByGUID(guid [16]byte) (Registered, bool) {
	return f.state.find(func() *entry { return f.state.byGUID[guid] })
}

// Revision implements Schemas.
func (f *Follower) Revision() int64 { return f.revision.Load() }

// CatchUp implements Schemas.
func (f *Follower) CatchUp(ctx context.Context) error {
	select {
	case f.wanted <- struct{}{}:
	default:
	}
	admin, err := f.client(ctx)
	if err != nil {
		return err
	}
	end, err := endOf(ctx, admin)
	if err != nil {
		return err
	}
	for {
		f.mu.Lock()
		position, moved := f.position, f.moved
		f.mu.Unlock()
		if position >= end {
			f.revision.CompareAndSwap(-1, 0)
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("read %s up to %d, at %d: %w", schemasTopic, end, position, context.Cause(ctx))
		}
	}
}

// client waits until Run has one.
func (f *Follower) client(ctx context.Context) (*kadm.Client, error) {
	for {
		f.mu.Lock()
		c, moved := f.running, f.moved
		f.mu.Unlock()
		if c != nil {
			return c, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to read %s: %w", schemasTopic, context.Cause(ctx))
		}
	}
}

// endOf is the end of what is committed in the topic; 0 if there is none: then nothing was ever registered.
func endOf(ctx context.Context, admin *kadm.Client) (int64, error) {
	offsets, err := admin.ListCommittedOffsets(ctx, schemasTopic)
	if err == nil {
		o, ok := offsets.Lookup(schemasTopic, 0)
		switch {
		case ok && o.Err == nil:
			return o.Offset, nil
		case ok:
			err = o.Err
		default:
			return 0, nil
		}
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return 0, nil
	}
	return 0, fmt.Errorf("find the end of %s: %w", schemasTopic, err)
}

// Run follows the topic from when somebody wants it until ctx ends.
func (f *Follower) Run(ctx context.Context, ready func()) error {
	ready()
	select {
	case <-f.wanted:
	case <-ctx.Done():
		return nil
	}
	// The client's first look at a topic that does not exist yet must not be its last for long.
	cl, err := f.o.Client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{schemasTopic: {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), // the end may be the mark of a transaction
		kgo.MetadataMinAge(metadataAge), kgo.MetadataMaxAge(metadataMaxAge), kgo.FetchMaxWait(fetchWait), kgo.UnknownTopicRetries(-1),
	)
	if err != nil {
		return fmt.Errorf("client for contracts: %w", err)
	}
	defer cl.Close()
	f.step(func() { f.running = kadm.NewClient(cl) })
	defer f.step(func() { f.running = nil })
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		fetches.EachError(func(_ string, _ int32, err error) {
			f.o.Logger.Debug("schemas for contracts not read", "err", err)
		})
		next := int64(-1)
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if r.Attrs.IsControl() {
				return
			}
			if err := f.state.apply(r.Key, r.Value); err != nil {
				f.o.Logger.Warn("record of the registry not understood, contracts do without it", "offset", r.Offset, "err", err)
			}
		})
		if next >= 0 {
			f.changed()
			f.step(func() { f.position = next })
		}
	}
}

// changed moves the revision on, but not away from -1: that is for CatchUp, since a part of the topic is no picture of it.
func (f *Follower) changed() {
	for {
		r := f.revision.Load()
		if r < 0 || f.revision.CompareAndSwap(r, r+1) {
			return
		}
	}
}

// How soon a topic that is made later is found, and how long a fetch waits for more.
const (
	metadataAge    = 100 * time.Millisecond
	metadataMaxAge = 30 * time.Second
	fetchWait      = 5 * time.Second
)

// step changes what is under mu and wakes who waits for it.
func (f *Follower) step(change func()) {
	f.mu.Lock()
	change()
	moved := f.moved
	f.moved = make(chan struct{})
	f.mu.Unlock()
	close(moved)
}
