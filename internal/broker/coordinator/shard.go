package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/kafka"
)

// shard runs the state machine of one partition.
type shard struct {
	partition int32
	kind      *Kind
	options   *Options
	metrics   *metrics
	logger    *slog.Logger

	// active is set while requests are served.
	active atomic.Bool
	calls  chan *call
	// closed ends the waits of callers when the shard is gone for good.
	closed chan struct{}
}

// call is a request on its way.
type call struct {
	event any
	reply chan reply // holds one
}

type reply struct {
	body any
	err  error
}

func newShard(partition int32, kind *Kind, options *Options, m *metrics) *shard {
	return &shard{
		partition: partition,
		kind:      kind,
		options:   options,
		metrics:   m,
		logger:    options.Logger.With("topic", kind.Topic, "partition", partition),
		calls:     make(chan *call, options.QueueRequests),
		closed:    make(chan struct{}),
	}
}

// do hands an event to the state machine and waits for its reply, which may be long for Join and Sync. The error is
// kafka.CoordinatorLoadInProgress before the shard is loaded, kafka.CoordinatorNotAvailable if it was fenced while the
// request was on its way, and the context's if that ended first. An event takes effect though its context has ended, unless
// the queue is full.
func (s *shard) do(ctx context.Context, e any) (any, error) {
	if !s.active.Load() {
		return nil, kafka.CoordinatorLoadInProgress
	}
	c := &call{event: e, reply: make(chan reply, 1)}
	select {
	case s.calls <- c: // also for a client that has gone: its last word is often that it leaves
	default:
		select {
		case s.calls <- c:
		case <-s.closed:
			return nil, kafka.NotCoordinator
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	select {
	case r := <-c.reply:
		return r.body, r.err
	case <-s.closed:
		// The reply may have been given just before.
		select {
		case r := <-c.reply:
			return r.body, r.err
		default:
			return nil, kafka.NotCoordinator
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run loads the shard and serves it, again and again, until ctx ends.
func (s *shard) run(ctx context.Context) {
	defer close(s.closed)
	pause := firstReloadPause
	for {
		served, err := s.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if served {
			pause = firstReloadPause
		}
		s.metrics.fenced.Inc()
		s.logger.Warn("coordinator fenced, loading it again", "pause", pause, "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, lastReloadPause)
	}
}

// serve is one life of the shard, from the replay to a failure or the end of ctx. served tells that it came to answer
// requests.
func (s *shard) serve(ctx context.Context) (served bool, err error) {
	log, err := s.options.Topics.Open(s.partition)
	if err != nil {
		return false, fmt.Errorf("open log of partition %d: %w", s.partition, err)
	}
	machine, err := s.load(ctx, log)
	if err != nil {
		return false, fmt.Errorf("load partition %d: %w", s.partition, err)
	}
	life := newLife(s, log, machine)
	// What is on its way to the disk is waited for, also at shutdown, but not for ever.
	waits, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.options.StopTimeout, cancel) })()
	var delivering sync.WaitGroup
	delivering.Go(func() { life.deliver(waits) })

	s.active.Store(true)
	err = life.run(ctx)
	s.active.Store(false)

	close(life.deliveries)
	delivering.Wait()
	life.abandon()
	return true, err
}
