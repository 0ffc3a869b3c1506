package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
)

// Kind says what a Runtime runs.
type Kind struct {
	// Name stands in the metrics: group, transaction, share.
	Name string
	// Topic is the name of the internal topic, for the log.
	Topic string
	// NewMachine returns an empty machine for a partition. It is called for each load.
	NewMachine func(partition int32) machine.Machine
	// Effect is handed the effects of decisions, in order, once their records are durable. It must not block and may be
	// nil for machines without effects. After a failure the effects of the lost life may come again from Activate.
	// ctx ends with the tenure: what it began must stop then, for another broker may be about to do the same.
	Effect func(ctx context.Context, tenure Tenure, effect any)
}

// Tenure names the time for which this broker coordinates a partition. Epoch is higher for each owner after another, of
// whatever broker.
type Tenure struct {
	Partition int32
	Epoch     int32
}

// Runtime runs the machines of one kind over the partitions of their topic that this broker owns: in the embedded
// profile, all. Every method may be called from any goroutine.
type Runtime struct {
	kind    Kind
	options Options
	metrics *metrics
	// shards holds one for each partition of the topic, nil for those of other brokers. It is published by Run, and its
	// elements are never changed.
	shards atomic.Pointer[[]*shard]
	// wanted asks Run to look at the topic again, now.
	wanted chan chan<- struct{}
	// creating holds one token: who has it may create the topic.
	creating chan struct{}
	// loading bounds how many partitions are loaded at a time.
	loading chan struct{}
	// ended are the ends of the newest tenures, by partition. Only Run uses it.
	ended map[int32]<-chan struct{}
}

// NewRuntime returns a runtime that has loaded nothing.
func NewRuntime(kind Kind, options Options) *Runtime {
	if kind.Effect == nil {
		kind.Effect = func(context.Context, Tenure, any) {}
	}
	r := &Runtime{kind: kind, options: options.withDefaults(), metrics: newMetrics(options.Registerer, kind.Name)}
	r.wanted, r.creating = make(chan chan<- struct{}), make(chan struct{}, 1)
	r.loading, r.ended = make(chan struct{}, r.options.Loads), map[int32]<-chan struct{}{}
	r.shards.Store(&[]*shard{})
	return r
}

// Run loads what is there and owned, now and whenever that changes, and serves until ctx ends. It calls ready at once:
// requests that come before a partition is loaded are told to try again.
func (r *Runtime) Run(ctx context.Context, ready func()) error {
	var running sync.WaitGroup
	defer running.Wait()
	defer r.publish(nil)
	changed := r.options.Topics.Changed()
	r.follow(ctx, &running)
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			changed = r.options.Topics.Changed() // before the look, so that no change falls between
			r.follow(ctx, &running)
		case done := <-r.wanted:
			r.follow(ctx, &running)
			close(done)
		}
	}
}

// follow begins the tenures that are due and ends those that are over.
func (r *Runtime) follow(ctx context.Context, running *sync.WaitGroup) {
	partitions, ok := r.options.Topics.Lookup()
	if !ok {
		partitions = 0
	}
	before, after := *r.shards.Load(), make([]*shard, partitions)
	begin := []func(){}
	for i := range partitions {
		epoch, owned := r.options.Topics.Owned(i)
		if !owned {
			continue
		}
		if int(i) < len(before) && before[i] != nil && before[i].tenure.Epoch == epoch {
			after[i] = before[i]
			continue
		}
		tenure, stop := context.WithCancel(ctx)
		s, last := newShard(Tenure{i, epoch}, r, stop), r.ended[i]
		after[i], r.ended[i] = s, s.closed
		begin = append(begin, func() { s.run(tenure, last) })
	}
	r.publish(after) // which ends what is over
	for _, run := range begin {
		running.Go(run)
	}
}

// publish makes after the partitions that are served, and ends the tenures of others.
func (r *Runtime) publish(after []*shard) {
	before := *r.shards.Swap(&after)
	for i, s := range before {
		if s != nil && (i >= len(after) || after[i] != s) {
			s.leave()
		}
	}
}

// Ensure makes sure that the topic exists. The error is kafka.CoordinatorNotAvailable if that has not succeeded yet. When it
// returns nil, the partitions that this broker owns are served or being loaded.
func (r *Runtime) Ensure(ctx context.Context) error {
	if len(*r.shards.Load()) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	if err := r.create(ctx); err != nil {
		r.options.Logger.Warn("no coordinator yet", "topic", r.kind.Topic, "err", err)
		return kafka.CoordinatorNotAvailable
	}
	done := make(chan struct{})
	select {
	case r.wanted <- done:
	case <-ctx.Done():
		return kafka.CoordinatorNotAvailable
	}
	<-done // Run does not stop between
	return nil
}

func (r *Runtime) create(ctx context.Context) error {
	select {
	case r.creating <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.creating }()
	if _, ok := r.options.Topics.Lookup(); ok {
		return nil
	}
	if _, err := r.options.Topics.Ensure(ctx); err != nil {
		return fmt.Errorf("create %s: %w", r.kind.Topic, err)
	}
	return nil
}

// Partitions returns the number of partitions of the topic, 0 while there is none.
func (r *Runtime) Partitions() int32 { return int32(len(*r.shards.Load())) }

// Owned returns the partitions that this broker coordinates, ascending, loaded or not.
func (r *Runtime) Owned() []int32 {
	var owned []int32
	for i, s := range *r.shards.Load() {
		if s != nil {
			owned = append(owned, int32(i))
		}
	}
	return owned
}

// Ask sends an event to the machine of the partition that keeps key, such as a group's id, and waits for its reply. The
// error is kafka.NotCoordinator if another broker has the partition, or none, or this one no longer, and then what was
// asked for may have happened or not; kafka.CoordinatorLoadInProgress, kafka.CoordinatorNotAvailable, or the context's.
func (r *Runtime) Ask(ctx context.Context, key string, event any) (any, error) {
	n := r.Partitions()
	if n == 0 {
		return nil, kafka.NotCoordinator
	}
	return r.AskPartition(ctx, PartitionOf(key, n), event)
}

// AskPartition is Ask for a partition by its number.
func (r *Runtime) AskPartition(ctx context.Context, partition int32, event any) (any, error) {
	shards := *r.shards.Load()
	if partition < 0 || int(partition) >= len(shards) || shards[partition] == nil {
		return nil, kafka.NotCoordinator
	}
	return shards[partition].do(ctx, event)
}

// AskAll sends an event to all partitions of this broker at once and returns their replies, or the first error. Without a
// topic there are none. A partition that is lost meanwhile is left out.
func (r *Runtime) AskAll(ctx context.Context, event any) ([]any, error) {
	owned := r.Owned()
	bodies, errs := make([]any, len(owned)), make([]error, len(owned))
	var asking sync.WaitGroup
	for i, p := range owned {
		asking.Go(func() { bodies[i], errs[i] = r.AskPartition(ctx, p, event) })
	}
	asking.Wait()
	kept := bodies[:0]
	for i, err := range errs {
		switch {
		case err == nil:
			kept = append(kept, bodies[i])
		case !errors.Is(err, kafka.NotCoordinator) || ctx.Err() != nil:
			return nil, err
		}
	}
	return kept, nil
}

// ask is Ask for a reply of a known type.
func ask[Body any](ctx context.Context, r *Runtime, key string, event any) (Body, error) {
	body, err := r.Ask(ctx, key, event)
	return typed[Body](body, err)
}

func typed[Body any](body any, err error) (Body, error) {
	if err != nil {
		var none Body
		return none, err
	}
	return body.(Body), nil
}

// askAll is AskAll for replies of a known type.
func askAll[Body any](ctx context.Context, r *Runtime, event any) ([]Body, error) {
	bodies, err := r.AskAll(ctx, event)
	if err != nil {
		return nil, err
	}
	out := make([]Body, len(bodies))
	for i, b := range bodies {
		out[i] = b.(Body)
	}
	return out, nil
}
