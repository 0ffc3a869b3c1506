package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/kafka"
)

// Shares coordinates share groups: their members, which live beside other groups in __consumer_offsets, and the states of
// their partitions, which it keeps in __share_group_state. What the one asks of the other passes through here. Methods
// may be called from any goroutine; the errors of Groups hold.
type Shares struct {
	groups  *Groups
	states  *Runtime
	options SharesOptions
	rounds  chan Tenure

	mu sync.Mutex
	// ends are the ends of the partitions of __share_group_state after the last round of snapshots of a tenure.
	ends map[Tenure]int64
}

// SharesOptions are the options of Shares. Groups is required.
type SharesOptions struct {
	Options
	Groups *Groups
	State  share.StateOptions
	// Elsewhere asks the broker that has a partition of __share_group_state, which is not this one, about a state; nil: there
	// is no other broker. event is an InitState, ReadState, WriteState, DeleteState or SummarizeState of package share.
	Elsewhere func(ctx context.Context, partition int32, event any) (share.StateReply, error)
	// Left is told of members that are gone, once that is durable; it must not block for long.
	Left func(share.MemberLeft)
	// Fence is called before and after the states of a group without members are changed by an operator: what others
	// remember of them is to be dropped.
	Fence func(ctx context.Context, group string) error
}

// Trimmer is what a Log may be too whose records can be dropped from the start on. End is where the next record goes.
type Trimmer interface {
	End() int64
	Trim(ctx context.Context, before int64) error
}

// effectQueue bounds how many effects of share groups wait. Of those beyond it an Initialize is asked for again by a later
// heartbeat, and what a member held comes back when its locks end.
const effectQueue = 4096

// initializing is how many partitions get their state at a time.
const initializing = 32

// NewShares returns a coordinator that has loaded nothing.
func NewShares(o SharesOptions) *Shares {
	s := &Shares{groups: o.Groups, options: o, rounds: make(chan Tenure, effectQueue), ends: map[Tenure]int64{}}
	if s.options.Left == nil {
		s.options.Left = func(share.MemberLeft) {}
	}
	if s.options.Fence == nil {
		s.options.Fence = func(context.Context, string) error { return nil }
	}
	s.states = NewRuntime(Kind{
		Name: "share", Topic: kafka.ShareGroupStateTopic, Effect: s.round,
		NewMachine: func(int32) machine.Machine { return share.NewStates(o.State) },
	}, o.Options)
	return s
}

// Run serves until ctx ends. It calls ready at once.
func (s *Shares) Run(ctx context.Context, ready func()) error {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { s.work(ctx) })
	running.Go(func() { s.prune(ctx) })
	return s.states.Run(ctx, ready)
}

// work does what the share groups want done.
func (s *Shares) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-s.groups.shareEffects:
			switch do := e.effect.(type) {
			case share.MemberLeft:
				s.options.Left(do)
			case share.Initialize:
				failed, err := s.initialize(e.ctx, do.Group, do.StateEpoch, do.Topics, nil) //nolint:contextcheck // the tenure's context, which ends with ctx
				if e.ctx.Err() == nil && (err != nil || len(failed) > 0) {
					s.options.Logger.Warn("states of share partitions not made, a later heartbeat asks again", "group", do.Group, "topics", len(failed), "err", err)
				}
			}
		}
	}
}

// initialize makes the states of partitions, to begin at the offsets that start knows, and tells the group. It returns the
// partitions that this failed for.
func (s *Shares) initialize(ctx context.Context, group string, epoch int32, topics []share.NamedPartitions, start func(kafka.TopicID, int32) int64) (failed []share.NamedPartitions, err error) {
	var ready []share.NamedPartitions
	none := s.states.Ensure(ctx)
	for _, t := range topics {
		errs := s.each(ctx, t.Partitions, func(p int32) error {
			e := share.InitState{Key: share.Key{Group: group, Topic: t.ID, Partition: p}, StateEpoch: epoch, Start: share.NoOffset, Exists: true}
			if start != nil {
				e.Start = start(t.ID, p)
			}
			if none != nil {
				return none
			}
			return retry(ctx, func() error { return s.Init(ctx, e) })
		})
		good, bad := t, t
		good.Partitions, bad.Partitions = nil, nil
		for i, p := range t.Partitions {
			if errs[i] != nil {
				bad.Partitions = append(bad.Partitions, p)
			} else {
				good.Partitions = append(good.Partitions, p)
			}
		}
		if len(good.Partitions) > 0 {
			ready = append(ready, good)
		}
		if len(bad.Partitions) > 0 {
			failed = append(failed, bad)
		}
	}
	if len(ready) > 0 {
		_, err = s.groups.runtime.Ask(ctx, group, share.Initialized{Group: group, Topics: ready})
	}
	if len(failed) > 0 && err == nil {
		_, err = s.groups.runtime.Ask(ctx, group, share.Uninitialized{Group: group, Topics: failed})
	}
	return failed, err
}

// Retries of what a coordinator asks to try again: a topic that was just created is loaded in a moment.
const (
	stateRetries    = 100
	stateRetryPause = 20 * time.Millisecond
)

func retry(ctx context.Context, do func() error) error {
	for i := 0; ; i++ {
		err := do()
		if i == stateRetries || !errors.Is(err, kafka.CoordinatorLoadInProgress) && !errors.Is(err, kafka.CoordinatorNotAvailable) && !errors.Is(err, kafka.NotCoordinator) {
			return err
		}
		select {
		case <-time.After(stateRetryPause):
		case <-ctx.Done():
			return err
		}
	}
}

// each calls do for each partition, several at a time, and returns their errors.
func (s *Shares) each(ctx context.Context, partitions []int32, do func(int32) error) []error {
	errs := make([]error, len(partitions))
	next := make(chan int)
	var doing sync.WaitGroup
	for range min(initializing, len(partitions)) {
		doing.Go(func() {
			for i := range next {
				if errs[i] = ctx.Err(); errs[i] == nil {
					errs[i] = do(partitions[i])
				}
			}
		})
	}
	for i := range partitions {
		next <- i
	}
	close(next)
	doing.Wait()
	return errs
}

// Coordinator makes sure that share partitions have a coordinator, which is this broker. The first call creates
// __share_group_state.
func (s *Shares) Coordinator(ctx context.Context) error { return s.states.Ensure(ctx) }

// Heartbeat handles a member's heartbeat.
func (s *Shares) Heartbeat(ctx context.Context, e share.Heartbeat) (share.HeartbeatReply, error) {
	return ask[share.HeartbeatReply](ctx, s.groups.runtime, e.Group, e)
}

// Describe returns the state of a group.
func (s *Shares) Describe(ctx context.Context, id string) (share.Description, error) {
	return ask[share.Description](ctx, s.groups.runtime, id, share.Describe{Group: id})
}

// List returns all share groups, sorted by name.
func (s *Shares) List(ctx context.Context) ([]share.Listing, error) {
	lists, err := askAll[[]share.Listing](ctx, s.groups.runtime, share.List{})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b share.Listing) int { return cmp.Compare(a.Group, b.Group) })
	return all, nil
}

// Partitions returns the partitions that a group keeps a state for: none for a group that is not there.
func (s *Shares) Partitions(ctx context.Context, id string) ([]share.NamedPartitions, error) {
	return ask[[]share.NamedPartitions](ctx, s.groups.runtime, id, share.Offsets{Group: id})
}

// Alter sets the start offsets of partitions, which exist, of a group without members, and makes the group if need be. It
// returns the partitions that this failed for.
func (s *Shares) Alter(ctx context.Context, group string, topics []share.NamedPartitions, start func(kafka.TopicID, int32) int64) (failed []share.NamedPartitions, err error) {
	begun, err := ask[share.AlterReply](ctx, s.groups.runtime, group, share.BeginAlter{Group: group, Topics: topics})
	if err == nil {
		err = begun.Err
	}
	if err != nil || len(topics) == 0 {
		return nil, err
	}
	if err := s.options.Fence(ctx, group); err != nil {
		return nil, err
	}
	if failed, err = s.initialize(ctx, group, begun.StateEpoch, topics, start); err != nil {
		return failed, err
	}
	return failed, s.options.Fence(ctx, group)
}

// DeleteOffsets deletes the states of topics of a group without members, and returns which of them had one.
func (s *Shares) DeleteOffsets(ctx context.Context, group string, topics []kafka.TopicID) (had []kafka.TopicID, err error) {
	begun, err := ask[share.DeleteReply](ctx, s.groups.runtime, group, share.BeginDelete{Group: group, Topics: topics})
	if err == nil {
		err = begun.Err
	}
	if err == nil {
		err = s.deleteStates(ctx, group, begun.Topics)
	}
	if err != nil {
		return nil, err
	}
	for _, t := range begun.Topics {
		had = append(had, t.ID)
	}
	_, err = s.groups.runtime.Ask(ctx, group, share.DeleteOffsets{Group: group, Topics: had})
	return had, err
}

// DeleteGroup deletes a group without members and the states of its partitions. kafka.GroupIDNotFound says that there is
// no such share group.
func (s *Shares) DeleteGroup(ctx context.Context, group string) error {
	begun, err := ask[share.DeleteReply](ctx, s.groups.runtime, group, share.BeginDelete{Group: group, All: true})
	if err == nil {
		err = begun.Err
	}
	if err == nil {
		err = s.deleteStates(ctx, group, begun.Topics)
	}
	if err != nil {
		return err
	}
	return orNil(ask[kafka.Error](ctx, s.groups.runtime, group, share.DeleteGroup{Group: group}))
}

func (s *Shares) deleteStates(ctx context.Context, group string, topics []share.NamedPartitions) error {
	if s.states.Partitions() == 0 || len(topics) == 0 {
		return nil // no state was ever made
	}
	if err := s.options.Fence(ctx, group); err != nil {
		return err
	}
	for _, t := range topics {
		errs := s.each(ctx, t.Partitions, func(p int32) error {
			e := share.DeleteState{Key: share.Key{Group: group, Topic: t.ID, Partition: p}, Exists: true}
			return retry(ctx, func() error { return s.Delete(ctx, e) })
		})
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("delete the states of %s in group %s: %w", t.Name, group, errs[slices.IndexFunc(errs, func(err error) bool { return err != nil })])
		}
	}
	return s.options.Fence(ctx, group)
}

// KnownTopicsIn returns the topics that there are states for, in one partition of __consumer_offsets or, with states, of
// __share_group_state.
func (s *Shares) KnownTopicsIn(ctx context.Context, partition int32, states bool) ([]kafka.TopicID, error) {
	r := s.groups.runtime
	if states {
		r = s.states
	}
	body, err := r.AskPartition(ctx, partition, share.KnownTopics{})
	return typed[[]kafka.TopicID](body, err)
}

// DeleteTopics forgets the states of topics that are gone, in the partitions of this broker. What cannot be asked now is
// asked again until ctx ends.
func (s *Shares) DeleteTopics(ctx context.Context, ids []kafka.TopicID) error {
	if err := askEach(ctx, s.groups.runtime, share.TopicsDeleted{Topics: ids}); err != nil {
		return err
	}
	return askEach(ctx, s.states, share.ForgetTopics{Topics: ids})
}

// DeleteTopicsIn is DeleteTopics for one partition of __consumer_offsets or, with states, of __share_group_state.
func (s *Shares) DeleteTopicsIn(ctx context.Context, partition int32, states bool, ids []kafka.TopicID) error {
	if states {
		return askUntil(ctx, s.states, partition, share.ForgetTopics{Topics: ids})
	}
	return askUntil(ctx, s.groups.runtime, partition, share.TopicsDeleted{Topics: ids})
}

// askEach sends an event to one partition of this broker after the other, each until it has answered or ctx ends.
func askEach(ctx context.Context, r *Runtime, event any) error {
	for _, p := range r.Owned() {
		if err := askUntil(ctx, r, p, event); err != nil {
			return err
		}
	}
	return nil
}

// askUntil sends an event to a partition until it has answered, or has come to be another broker's, or ctx ends.
func askUntil(ctx context.Context, r *Runtime, partition int32, event any) error {
	for {
		_, err := r.AskPartition(ctx, partition, event)
		if err == nil || errors.Is(err, kafka.NotCoordinator) {
			return nil
		}
		if _, code := errors.AsType[kafka.Error](err); !code {
			return fmt.Errorf("ask partition %d of %s: %w", partition, r.kind.Topic, err)
		}
		select {
		case <-time.After(firstReloadPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Init makes the state of a share partition, at whatever broker keeps it.
func (s *Shares) Init(ctx context.Context, e share.InitState) error {
	r, err := s.state(ctx, e.Key, e)
	return cmp.Or(err, r.Err)
}

// Read returns the state of a share partition.
func (s *Shares) Read(ctx context.Context, e share.ReadState) (share.StateReply, error) {
	r, err := s.state(ctx, e.Key, e)
	return r, cmp.Or(err, r.Err)
}

// Write adds to the state of a share partition; it is durable when nil is returned.
func (s *Shares) Write(ctx context.Context, e share.WriteState) error {
	r, err := s.state(ctx, e.Key, e)
	return cmp.Or(err, r.Err)
}

// Delete ends the state of a share partition.
func (s *Shares) Delete(ctx context.Context, e share.DeleteState) error {
	r, err := s.state(ctx, e.Key, e)
	return cmp.Or(err, r.Err)
}

// Summarize returns the state of a share partition without its batches. Without a topic of states there are none.
func (s *Shares) Summarize(ctx context.Context, e share.SummarizeState) (share.StateReply, error) {
	r, err := s.state(ctx, e.Key, e)
	return r, cmp.Or(err, r.Err)
}

// state asks about a state here, and where it is not kept here, at the broker that keeps it. All that is asked can be asked
// twice: states have epochs.
func (s *Shares) state(ctx context.Context, key share.Key, event any) (share.StateReply, error) {
	r, err := s.StateHere(ctx, key, event)
	if n := s.states.Partitions(); n > 0 && s.options.Elsewhere != nil && errors.Is(err, kafka.NotCoordinator) {
		return s.options.Elsewhere(ctx, PartitionOf(key.String(), n), event)
	}
	return r, err
}

// StateHere asks about a state that this broker keeps, for another one; kafka.NotCoordinator says that it does not. A refusal is in
// the reply, but for that of the error. The events are those of Elsewhere.
func (s *Shares) StateHere(ctx context.Context, key share.Key, event any) (share.StateReply, error) {
	if _, summary := event.(share.SummarizeState); summary && s.states.Partitions() == 0 {
		return share.StateReply{Start: share.NoOffset, DeliveryComplete: -1}, nil
	}
	return ask[share.StateReply](ctx, s.states, key.String(), event)
}

// round is called when a round of snapshots is durable.
func (s *Shares) round(_ context.Context, tenure Tenure, _ any) {
	select {
	case s.rounds <- tenure:
	default: // the machine does no other round until it is loaded again
	}
}

// prune drops what rounds of snapshots have made redundant: everything before the end of the round before.
func (s *Shares) prune(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case tenure := <-s.rounds:
			if err := s.trim(ctx, tenure); err != nil && ctx.Err() == nil && !errors.Is(err, kafka.NotCoordinator) && !errors.Is(err, kafka.NotLeaderOrFollower) {
				s.options.Logger.Warn("redundant states stay", "topic", kafka.ShareGroupStateTopic, "partition", tenure.Partition, "err", err)
			}
		}
	}
}

func (s *Shares) trim(ctx context.Context, tenure Tenure) error {
	log, err := s.options.Topics.Open(tenure.Partition)
	if err != nil {
		return err
	}
	t, ok := log.(Trimmer)
	if !ok {
		return nil
	}
	s.mu.Lock()
	before, known := s.ends[tenure]
	maps.DeleteFunc(s.ends, func(t Tenure, _ int64) bool { return t.Partition == tenure.Partition })
	s.ends[tenure] = t.End()
	s.mu.Unlock()
	if known {
		err = t.Trim(ctx, before)
	}
	_, asked := s.states.AskPartition(ctx, tenure.Partition, share.RoundNoted{})
	return errors.Join(err, asked)
}
