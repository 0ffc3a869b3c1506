package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/kafka"
)

// Groups coordinates all groups of the partitions of __consumer_offsets that this broker owns: in the embedded
// profile, all. Requests and replies are the nouns of package group. Every method but New may be called at any time;
// errors of requests are kafka.Error codes that tell the client to try again, or the context's error. Refusals by the
// rules of groups stand in the replies.
type Groups struct {
	options Options
	metrics *metrics
	// shards is nil until __consumer_offsets exists, and is published once.
	shards atomic.Pointer[[]*shard]
	// wanted asks Run to create the topic.
	wanted chan chan<- error
}

// New returns a coordinator that knows no group until it runs.
func New(options Options) *Groups {
	g := &Groups{options: options.withDefaults(), wanted: make(chan chan<- error)}
	g.metrics = newMetrics(g.options.Registerer)
	return g
}

// Run loads what is there and serves until ctx ends. It calls ready at once: requests that come before a group is
// loaded are told to try again.
func (g *Groups) Run(ctx context.Context, ready func()) error {
	var running sync.WaitGroup
	defer running.Wait()
	if partitions, ok := g.options.Topics.Lookup(); ok {
		g.start(ctx, &running, partitions)
	}
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case done := <-g.wanted:
			done <- g.create(ctx, &running)
		}
	}
}

func (g *Groups) create(ctx context.Context, running *sync.WaitGroup) error {
	if g.shards.Load() != nil {
		return nil
	}
	partitions, err := g.options.Topics.Ensure(ctx)
	if err != nil {
		return fmt.Errorf("create %s: %w", kafka.GroupMetadataTopic, err)
	}
	g.start(ctx, running, partitions)
	return nil
}

func (g *Groups) start(ctx context.Context, running *sync.WaitGroup, partitions int32) {
	shards := make([]*shard, partitions)
	for i := range shards {
		shards[i] = newShard(int32(i), &g.options, g.metrics)
		running.Go(func() { shards[i].run(ctx) })
	}
	g.shards.Store(&shards)
}

// Coordinator makes sure that the group has a coordinator, which is this broker. The first call creates
// __consumer_offsets. The error is kafka.CoordinatorNotAvailable if that has not succeeded yet.
func (g *Groups) Coordinator(ctx context.Context) error {
	if g.shards.Load() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	done := make(chan error, 1)
	select {
	case g.wanted <- done:
	case <-ctx.Done():
		return kafka.CoordinatorNotAvailable
	}
	select {
	case err := <-done:
		if err != nil {
			g.options.Logger.Warn("no group coordinator yet", "err", err)
			return kafka.CoordinatorNotAvailable
		}
		return nil
	case <-ctx.Done():
		return kafka.CoordinatorNotAvailable
	}
}

// ask sends an event to the shard of a group.
func ask[Body any](ctx context.Context, g *Groups, id string, e group.Event) (Body, error) {
	var none Body
	shards := g.shards.Load()
	if shards == nil {
		return none, kafka.NotCoordinator
	}
	body, err := (*shards)[PartitionOf(id, int32(len(*shards)))].do(ctx, e)
	if err != nil {
		return none, err
	}
	return body.(Body), nil
}

// askAll sends an event to all shards at once and returns the first error, if any.
func askAll[Body any](ctx context.Context, g *Groups, e group.Event) ([]Body, error) {
	shards := g.shards.Load()
	if shards == nil {
		return nil, nil
	}
	bodies, errs := make([]Body, len(*shards)), make([]error, len(*shards))
	var asking sync.WaitGroup
	for i, s := range *shards {
		asking.Go(func() {
			body, err := s.do(ctx, e)
			if errs[i] = err; err == nil {
				bodies[i] = body.(Body)
			}
		})
	}
	asking.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return nil, errs[i]
	}
	return bodies, nil
}

// Join waits until the rebalance that it is part of has gathered its members. NewMemberID is filled in here.
func (g *Groups) Join(ctx context.Context, e group.Join) (group.JoinReply, error) {
	id, err := g.newMemberID(cmp.Or(e.InstanceID, e.ClientID))
	if err != nil {
		return group.JoinReply{}, err
	}
	e.NewMemberID = id
	return ask[group.JoinReply](ctx, g, e.Group, e)
}

// Sync waits for the leader's assignment.
func (g *Groups) Sync(ctx context.Context, e group.Sync) (group.SyncReply, error) {
	return ask[group.SyncReply](ctx, g, e.Group, e)
}

// Heartbeat returns kafka.RebalanceInProgress if the member is to join again, and a refusal as an error too; nil means
// that all is well.
func (g *Groups) Heartbeat(ctx context.Context, e group.Heartbeat) error {
	return orNil(ask[kafka.Error](ctx, g, e.Group, e))
}

// Leave takes members out of a group.
func (g *Groups) Leave(ctx context.Context, e group.Leave) (group.LeaveReply, error) {
	return ask[group.LeaveReply](ctx, g, e.Group, e)
}

// Commit stores offsets; they are durable when it returns.
func (g *Groups) Commit(ctx context.Context, e group.Commit) (group.CommitReply, error) {
	return ask[group.CommitReply](ctx, g, e.Group, e)
}

// Fetch reads committed offsets; what it returns is durable.
func (g *Groups) Fetch(ctx context.Context, e group.Fetch) (group.FetchReply, error) {
	return ask[group.FetchReply](ctx, g, e.Group, e)
}

// OffsetDelete deletes committed offsets.
func (g *Groups) OffsetDelete(ctx context.Context, e group.DeleteOffsets) (group.DeleteOffsetsReply, error) {
	return ask[group.DeleteOffsetsReply](ctx, g, e.Group, e)
}

// Delete deletes a group without members; a refusal is an error.
func (g *Groups) Delete(ctx context.Context, id string) error {
	return orNil(ask[kafka.Error](ctx, g, id, group.DeleteGroup{Group: id}))
}

// Describe returns the state of a group.
func (g *Groups) Describe(ctx context.Context, id string) (group.Description, error) {
	return ask[group.Description](ctx, g, id, group.Describe{Group: id})
}

// List returns all groups, sorted by name.
func (g *Groups) List(ctx context.Context) ([]group.Listing, error) {
	lists, err := askAll[[]group.Listing](ctx, g, group.List{})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b group.Listing) int { return cmp.Compare(a.Group, b.Group) })
	return all, nil
}

// Committed returns all committed offsets, from which lag is worked out. Shards that are being loaded are left out.
func (g *Groups) Committed(ctx context.Context) ([]group.CommittedOffset, error) {
	shards := g.shards.Load()
	if shards == nil {
		return nil, nil
	}
	var all []group.CommittedOffset
	for _, s := range *shards {
		body, err := s.do(ctx, group.Snapshot{})
		switch {
		case err == nil:
			all = append(all, body.([]group.CommittedOffset)...)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
	}
	return all, nil
}

// DeleteTopics deletes the offsets of topics that are gone. A shard that cannot do so now is asked again until it has, or
// ctx ends.
func (g *Groups) DeleteTopics(ctx context.Context, names []string) error {
	shards := g.shards.Load()
	if shards == nil {
		return nil
	}
	for _, s := range *shards {
		for {
			_, err := s.do(ctx, group.TopicsDeleted{Topics: names})
			if err == nil {
				break
			}
			var code kafka.Error
			if !errors.As(err, &code) || code == kafka.NotCoordinator {
				return fmt.Errorf("delete offsets of topics in partition %d: %w", s.partition, err)
			}
			select {
			case <-time.After(firstReloadPause):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func orNil(code kafka.Error, err error) error {
	if err != nil {
		return err
	}
	if code != kafka.None {
		return code
	}
	return nil
}

// newMemberID draws an id, which starts with what an operator may know: the client's id or the instance's.
func (g *Groups) newMemberID(prefix string) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(g.options.Random, b[:]); err != nil {
		return "", fmt.Errorf("draw member id: %w", err)
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%s-%x-%x-%x-%x-%x", prefix, b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
