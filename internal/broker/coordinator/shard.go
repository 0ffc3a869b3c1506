package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/kafka"
)

// shard runs the state machine of one partition for one tenure: from when this broker has come to own the partition to when
// it has lost it. Another tenure has another shard.
type shard struct {
	tenure  Tenure
	kind    *Kind
	options *Options
	metrics *metrics
	logger  *slog.Logger
	// loading has a place for each load at a time, of all shards of the runtime.
	loading chan struct{}

	// phase is what callers find.
	phase atomic.Int32
	calls chan *call
	// begun is when the tenure began, and loaded is closed when the shard has been loaded for the first time.
	begun  time.Time
	loaded chan struct{}
	// stop ends the tenure's context. Only Run calls it.
	stop context.CancelFunc
	// closed is closed when everything that the tenure began has ended.
	closed chan struct{}
}

// loadWait is until when, from the begin of a tenure, requests wait for the first load. A client is sent to a coordinator as soon as there is one to be, on a new server or
// just after a shard has moved, and that one is loaded in a moment; some clients take its refusal for an error of their own (KafkaJS).
const loadWait = time.Second

// Phases of a shard.
const (
	phaseLoading int32 = iota
	phaseActive
	// phaseAway is while the log is another broker's, though nobody has said yet that the tenure is over.
	phaseAway
	phaseLeft
)

// call is a request on its way.
type call struct {
	ctx   context.Context //nolint:containedctx // a call is one request
	event any
	reply chan reply // holds one
}

type reply struct {
	body any
	err  error
}

// newShard returns a shard for a tenure whose context stop ends.
func newShard(tenure Tenure, r *Runtime, stop context.CancelFunc) *shard {
	return &shard{
		stop:    stop,
		tenure:  tenure,
		kind:    &r.kind,
		options: &r.options,
		metrics: r.metrics,
		logger:  r.options.Logger.With("topic", r.kind.Topic, "partition", tenure.Partition, "epoch", tenure.Epoch),
		loading: r.loading,
		calls:   make(chan *call, r.options.QueueRequests),
		begun:   time.Now(),
		loaded:  make(chan struct{}),
		closed:  make(chan struct{}),
	}
}

// leave ends the tenure. Nothing is taken from now on; what the log has taken is waited for and answered.
func (s *shard) leave() {
	s.phase.Store(phaseLeft)
	s.stop()
}

// enter changes the phase, unless the tenure is over.
func (s *shard) enter(phase int32) {
	for {
		old := s.phase.Load()
		if old == phaseLeft || s.phase.CompareAndSwap(old, phase) {
			return
		}
	}
}

// announceLoad lets those go who wait for the first load. Only run's goroutine calls it.
func (s *shard) announceLoad() {
	select {
	case <-s.loaded:
	default:
		close(s.loaded)
	}
}

// awaitLoad waits for the first load.
func (s *shard) awaitLoad(ctx context.Context) {
	select {
	case <-s.loaded:
		return
	default:
	}
	patience := time.NewTimer(time.Until(s.begun.Add(loadWait)))
	defer patience.Stop()
	select {
	case <-s.loaded:
	case <-s.closed:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// do hands an event to the state machine and waits for its reply, which may be long for Join and Sync. The error is
// kafka.CoordinatorLoadInProgress before the shard is loaded, if that takes longer than loadWait, kafka.NotCoordinator if the partition is another broker's,
// kafka.CoordinatorNotAvailable if the shard was fenced while the request was on its way, and the context's if that ended
// first. An event takes effect though its context has ended, unless the queue is full or it is machine.Attended.
func (s *shard) do(ctx context.Context, e any) (any, error) {
	if s.phase.Load() == phaseLoading {
		s.awaitLoad(ctx)
	}
	switch s.phase.Load() {
	case phaseActive:
	case phaseLoading:
		return nil, kafka.CoordinatorLoadInProgress
	default:
		return nil, kafka.NotCoordinator
	}
	if !s.options.Confident() {
		return nil, kafka.CoordinatorNotAvailable
	}
	c := &call{ctx: ctx, event: e, reply: make(chan reply, 1)}
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

// run loads the shard and serves it, again and again, until ctx ends, which the tenure's end does. before is closed when the
// tenure before this one has ended altogether; nil if there was none.
func (s *shard) run(ctx context.Context, before <-chan struct{}) {
	defer close(s.closed)
	if before != nil {
		<-before
	}
	pause := firstReloadPause
	for {
		served, err := s.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if served {
			pause = firstReloadPause
		}
		longest := lastReloadPause
		if errors.Is(err, kafka.NotLeaderOrFollower) {
			// Storage knows more than we have been told, or has not come as far as we were told.
			s.enter(phaseAway)
			longest = lastAwayPause
			s.logger.Debug("log of the coordinator is not here", "err", err)
		} else {
			s.metrics.fenced.Inc()
			s.logger.Warn("coordinator fenced, loading it again", "pause", pause, "err", err)
		}
		pause = min(pause, longest)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, longest)
	}
}

// serve is one life of the shard, from the replay to a failure or the end of ctx. served tells that it came to answer
// requests.
func (s *shard) serve(ctx context.Context) (served bool, err error) {
	log, err := s.options.Topics.Open(s.tenure.Partition)
	if err != nil {
		return false, fmt.Errorf("open log of partition %d: %w", s.tenure.Partition, err)
	}
	s.enter(phaseLoading)
	machine, err := s.load(ctx, log)
	if err != nil {
		return false, fmt.Errorf("load partition %d: %w", s.tenure.Partition, err)
	}
	life := newLife(s, log, machine)
	// What is on its way to the disk is waited for, also at shutdown, but not for ever.
	waits, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.options.StopTimeout, cancel) })()
	var delivering sync.WaitGroup
	delivering.Go(func() { life.deliver(ctx, waits) })

	s.metrics.active.Inc()
	s.enter(phaseActive)
	s.announceLoad()
	err = life.run(ctx)
	s.enter(phaseLoading)
	s.metrics.active.Dec()

	close(life.deliveries)
	delivering.Wait()
	if ctx.Err() != nil {
		err = kafka.NotCoordinator
	}
	life.abandon(err)
	return true, err
}
