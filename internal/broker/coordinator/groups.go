package coordinator

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/broker/streamsgroup"
	"github.com/weir-stream/weir/internal/kafka"
)

// Groups coordinates all groups of the partitions of __consumer_offsets that this broker owns: in the embedded
// profile, all. Requests and replies are the nouns of package group. Every method but New may be called at any time;
// errors of requests are kafka.Error codes that tell the client to try again, or the context's error. Refusals by the
// rules of groups stand in the replies.
type Groups struct {
	runtime *Runtime
	random  io.Reader
	picture func() group.Topics
	// shareEffects are what share groups want done, for Shares.
	shareEffects chan shareEffect
}

// shareEffect is what a share group wants done while ctx lasts, which ends with the group's tenure.
type shareEffect struct {
	ctx    context.Context
	effect any
}

// GroupsOptions are the options of Groups.
type GroupsOptions struct {
	Options
	Group   group.Options
	Streams streamsgroup.Options
	// Picture returns the present topics, for groups of the consumer protocol; nil: there are none.
	Picture func() group.Topics
	Share   share.GroupOptions
	// Random is the source of member ids; default crypto/rand.
	Random io.Reader
}

// NewGroups returns a coordinator that knows no group until it runs.
func NewGroups(o GroupsOptions) *Groups {
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Picture == nil {
		o.Picture = func() group.Topics { return nil }
	}
	newMachine := func(int32) machine.Machine {
		return newCombined(o.Group, o.Streams, o.Share)
	}
	g := &Groups{random: o.Random, picture: o.Picture, shareEffects: make(chan shareEffect, effectQueue)}
	g.runtime = NewRuntime(Kind{Name: "group", Topic: kafka.GroupMetadataTopic, NewMachine: newMachine, Effect: g.effect}, o.Options)
	return g
}

// effect hands an effect to whoever does what it says.
func (g *Groups) effect(ctx context.Context, _ Tenure, effect any) {
	switch effect.(type) {
	case share.Initialize, share.MemberLeft:
		select {
		case g.shareEffects <- shareEffect{ctx, effect}:
		default: // see effectQueue
		}
	}
}

// Run loads what is there and serves until ctx ends. It calls ready at once: requests that come before a group is
// loaded are told to try again.
func (g *Groups) Run(ctx context.Context, ready func()) error { return g.runtime.Run(ctx, ready) }

// Coordinator makes sure that the group has a coordinator, which is this broker. The first call creates
// __consumer_offsets. The error is kafka.CoordinatorNotAvailable if that has not succeeded yet.
func (g *Groups) Coordinator(ctx context.Context) error { return g.runtime.Ensure(ctx) }

// Join waits until the rebalance that it is part of has gathered its members. NewMemberID is filled in here.
func (g *Groups) Join(ctx context.Context, e group.Join) (group.JoinReply, error) {
	id, err := g.newMemberID(cmp.Or(e.InstanceID, e.ClientID))
	if err != nil {
		return group.JoinReply{}, err
	}
	e.NewMemberID, e.Picture = id, g.picture()
	return ask[group.JoinReply](ctx, g.runtime, e.Group, e)
}

// Sync waits for the leader's assignment.
func (g *Groups) Sync(ctx context.Context, e group.Sync) (group.SyncReply, error) {
	return ask[group.SyncReply](ctx, g.runtime, e.Group, e)
}

// Heartbeat returns kafka.RebalanceInProgress if the member is to join again, and a refusal as an error too; nil means
// that all is well.
func (g *Groups) Heartbeat(ctx context.Context, e group.Heartbeat) error {
	return orNil(ask[kafka.Error](ctx, g.runtime, e.Group, e))
}

// Leave takes members out of a group.
func (g *Groups) Leave(ctx context.Context, e group.Leave) (group.LeaveReply, error) {
	return ask[group.LeaveReply](ctx, g.runtime, e.Group, e)
}

// ConsumerHeartbeat makes its sender a member of a consumer group, or keeps it one. NewMemberID and Picture are filled in here.
func (g *Groups) ConsumerHeartbeat(ctx context.Context, e group.ConsumerHeartbeat) (group.ConsumerHeartbeatReply, error) {
	if e.MemberID == "" {
		var id kafka.TopicID // of the same form
		if _, err := io.ReadFull(g.random, id[:]); err != nil {
			return group.ConsumerHeartbeatReply{}, fmt.Errorf("draw member id: %w", err)
		}
		e.NewMemberID = id.String()
	}
	e.Picture = g.picture()
	return ask[group.ConsumerHeartbeatReply](ctx, g.runtime, e.Group, e)
}

// ConsumerDescribe returns the state of a consumer group.
func (g *Groups) ConsumerDescribe(ctx context.Context, id string) (group.ConsumerDescription, error) {
	return ask[group.ConsumerDescription](ctx, g.runtime, id, group.ConsumerDescribe{Group: id, Picture: g.picture()})
}

// Commit stores offsets; they are durable when it returns.
func (g *Groups) Commit(ctx context.Context, e group.Commit) (group.CommitReply, error) {
	return ask[group.CommitReply](ctx, g.runtime, e.Group, e)
}

// Fetch reads committed offsets; what it returns is durable.
func (g *Groups) Fetch(ctx context.Context, e group.Fetch) (group.FetchReply, error) {
	return ask[group.FetchReply](ctx, g.runtime, e.Group, e)
}

// TxnCommit stores offsets in the open transaction of a producer: they are durable when it returns, and the group's once
// CompleteTransaction has committed. verify is asked whether the transaction is open and the group part of it, unless
// offsets of the transaction wait in the group's partition already; its error is returned as it is.
func (g *Groups) TxnCommit(ctx context.Context, e group.TxnCommit, verify func(context.Context) error) (group.CommitReply, error) {
	for overtaken := 0; ; overtaken++ {
		begun, err := ask[group.TxnBeginReply](ctx, g.runtime, e.Group, group.TxnBegin{Producer: e.Producer})
		if err != nil {
			return group.CommitReply{}, err
		}
		e.Guard = begun.Guard
		if !begun.Open {
			if err := verify(ctx); err != nil {
				return group.CommitReply{}, err
			}
		}
		reply, err := ask[group.CommitReply](ctx, g.runtime, e.Group, e)
		if err != nil || reply.Err != kafka.InvalidTxnState || overtaken == overtakenMax {
			return reply, err
		}
	}
}

// overtakenMax is how often a commit of offsets asks again about its transaction since a marker came before the answer.
const overtakenMax = 3

// CompleteTransaction ends a producer's transaction in a partition of __consumer_offsets; its marker is durable when it
// returns nil. It may be called again with the same marker. Besides the errors that ask to try again it returns
// kafka.InvalidProducerEpoch or kafka.TransactionCoordinatorFenced for a marker that is older than one that was written.
func (g *Groups) CompleteTransaction(ctx context.Context, partition int32, m machine.Marker) error {
	body, err := g.runtime.AskPartition(ctx, partition, group.EndTransaction{Marker: m})
	return orNil(typed[kafka.Error](body, err))
}

// Partition returns the partition of __consumer_offsets that keeps a group. It creates the topic if need be; the error is
// kafka.CoordinatorNotAvailable if that has not succeeded yet.
func (g *Groups) Partition(ctx context.Context, id string) (int32, error) {
	if err := g.runtime.Ensure(ctx); err != nil {
		return 0, err
	}
	return PartitionOf(id, g.runtime.Partitions()), nil
}

// PartitionOf returns the partition of __consumer_offsets that keeps a group, and false while there is no such topic.
func (g *Groups) PartitionOf(id string) (int32, bool) {
	n := g.runtime.Partitions()
	if n == 0 {
		return 0, false
	}
	return PartitionOf(id, n), true
}

// OffsetDelete deletes committed offsets.
func (g *Groups) OffsetDelete(ctx context.Context, e group.DeleteOffsets) (group.DeleteOffsetsReply, error) {
	return ask[group.DeleteOffsetsReply](ctx, g.runtime, e.Group, e)
}

// Delete deletes a group without members; a refusal is an error.
func (g *Groups) Delete(ctx context.Context, id string) error {
	return orNil(ask[kafka.Error](ctx, g.runtime, id, group.DeleteGroup{Group: id}))
}

// Describe returns the state of a group.
func (g *Groups) Describe(ctx context.Context, id string) (group.Description, error) {
	return ask[group.Description](ctx, g.runtime, id, group.Describe{Group: id})
}

// List returns all groups, sorted by name.
func (g *Groups) List(ctx context.Context) ([]group.Listing, error) {
	lists, err := askAll[[]group.Listing](ctx, g.runtime, group.List{})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b group.Listing) int { return cmp.Compare(a.Group, b.Group) })
	return all, nil
}

// Committed returns all committed offsets of the groups of this broker, from which lag is worked out, and with pending those
// too that wait for the end of a transaction. Partitions that are being loaded are left out.
func (g *Groups) Committed(ctx context.Context, pending bool) ([]group.CommittedOffset, error) {
	var all []group.CommittedOffset
	for _, p := range g.runtime.Owned() {
		some, err := g.CommittedIn(ctx, p, pending)
		switch {
		case err == nil:
			all = append(all, some...)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
	}
	return all, nil
}

// CommittedIn is Committed for one partition of __consumer_offsets.
func (g *Groups) CommittedIn(ctx context.Context, partition int32, pending bool) ([]group.CommittedOffset, error) {
	body, err := g.runtime.AskPartition(ctx, partition, group.Snapshot{Pending: pending})
	return typed[[]group.CommittedOffset](body, err)
}

// DeleteTopics deletes the offsets of topics that are gone, in the partitions of this broker. One that cannot do so now is asked
// again until it has, or is another broker's, or ctx ends.
func (g *Groups) DeleteTopics(ctx context.Context, topics []group.DeletedTopic) error {
	return askEach(ctx, g.runtime, group.TopicsDeleted{Topics: topics})
}

// DeleteTopicsIn is DeleteTopics for one partition of __consumer_offsets.
func (g *Groups) DeleteTopicsIn(ctx context.Context, partition int32, topics []group.DeletedTopic) error {
	return askUntil(ctx, g.runtime, partition, group.TopicsDeleted{Topics: topics})
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
	if _, err := io.ReadFull(g.random, b[:]); err != nil {
		return "", fmt.Errorf("draw member id: %w", err)
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%s-%x-%x-%x-%x-%x", prefix, b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
