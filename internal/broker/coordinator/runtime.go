package coordinator

import (
	"context"
	"fmt"
	"slices"
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
	Effect func(partition int32, effect any)
}

// Runtime runs the machines of one kind over the partitions of their topic that this broker owns: in the embedded
// profile, all. Every method may be called from any goroutine.
type Runtime struct {
	kind    Kind
	options Options
	metrics *metrics
	// shards is nil until the topic exists, and is published once.
	shards atomic.Pointer[[]*shard]
	// wanted asks Run to create the topic.
	wanted chan chan<- error
}

// NewRuntime returns a runtime that has loaded nothing.
func NewRuntime(kind Kind, options Options) *Runtime {
	if kind.Effect == nil {
		kind.Effect = func(int32, any) {}
	}
	return &Runtime{kind: kind, options: options.withDefaults(), metrics: newMetrics(options.Registerer, kind.Name), wanted: make(chan chan<- error)}
}

// Run loads what is there and serves until ctx ends. It calls ready at once: requests that come before a partition is
// loaded are told to try again.
func (r *Runtime) Run(ctx context.Context, ready func()) error {
	var running sync.WaitGroup
	defer running.Wait()
	if partitions, ok := r.options.Topics.Lookup(); ok {
		r.start(ctx, &running, partitions)
	}
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case done := <-r.wanted:
			done <- r.create(ctx, &running)
		}
	}
}

func (r *Runtime) create(ctx context.Context, running *sync.WaitGroup) error {
	if r.shards.Load() != nil {
		return nil
	}
	partitions, err := r.options.Topics.Ensure(ctx)
	if err != nil {
		return fmt.Errorf("create %s: %w", r.kind.Topic, err)
	}
	r.start(ctx, running, partitions)
	return nil
}

func (r *Runtime) start(ctx context.Context, running *sync.WaitGroup, partitions int32) {
	shards := make([]*shard, partitions)
	for i := range shards {
		shards[i] = newShard(int32(i), &r.kind, &r.options, r.metrics)
		running.Go(func() { shards[i].run(ctx) })
	}
	r.shards.Store(&shards)
}

// Ensure makes sure that there is a coordinator, which is this broker. The first call creates the topic. The error is
// kafka.CoordinatorNotAvailable if that has not succeeded yet.
func (r *Runtime) Ensure(ctx context.Context) error {
	if r.shards.Load() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	done := make(chan error, 1)
	select {
	case r.wanted <- done:
	case <-ctx.Done():
		return kafka.CoordinatorNotAvailable
	}
	select {
	case err := <-done:
		if err != nil {
			r.options.Logger.Warn("no coordinator yet", "topic", r.kind.Topic, "err", err)
			return kafka.CoordinatorNotAvailable
		}
		return nil
	case <-ctx.Done():
		return kafka.CoordinatorNotAvailable
	}
}

// Partitions returns the number of partitions, 0 while there is no topic.
func (r *Runtime) Partitions() int32 {
	shards := r.shards.Load()
	if shards == nil {
		return 0
	}
	return int32(len(*shards))
}

// Ask sends an event to the machine of the partition that keeps key, such as a group's id, and waits for its reply. The
// error is kafka.NotCoordinator, kafka.CoordinatorLoadInProgress, kafka.CoordinatorNotAvailable, or the context's.
func (r *Runtime) Ask(ctx context.Context, key string, event any) (any, error) {
	shards := r.shards.Load()
	if shards == nil {
		return nil, kafka.NotCoordinator
	}
	return (*shards)[PartitionOf(key, int32(len(*shards)))].do(ctx, event)
}

// AskPartition is Ask for a partition by its number.
func (r *Runtime) AskPartition(ctx context.Context, partition int32, event any) (any, error) {
	shards := r.shards.Load()
	if shards == nil || partition < 0 || int(partition) >= len(*shards) {
		return nil, kafka.NotCoordinator
	}
	return (*shards)[partition].do(ctx, event)
}

// AskAll sends an event to all partitions at once and returns their replies, or the first error. Without a topic there
// are none.
func (r *Runtime) AskAll(ctx context.Context, event any) ([]any, error) {
	shards := r.shards.Load()
	if shards == nil {
		return nil, nil
	}
	bodies, errs := make([]any, len(*shards)), make([]error, len(*shards))
	var asking sync.WaitGroup
	for i, s := range *shards {
		asking.Go(func() { bodies[i], errs[i] = s.do(ctx, event) })
	}
	asking.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return nil, errs[i]
	}
	return bodies, nil
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
