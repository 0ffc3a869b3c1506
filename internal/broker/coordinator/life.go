package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// life is what a shard has from its load to its end. All but deliveries, failed and inFlight belongs to the serving
// goroutine.
type life struct {
	shard   *shard
	log     Log
	machine machine.Machine
	builder *record.Builder

	request machine.RequestID
	waiting map[machine.RequestID]*call
	// batches, records and replies of the decisions since the last flush.
	waits   []func(context.Context) error
	replies []delivery
	effects []any
	queued  int // records in builder or appended since the last flush

	deliveries chan delivered
	failed     chan error
	inFlight   atomic.Int64 // batches of replies that the delivering goroutine has not finished
}

// delivery is a reply that is due to a caller.
type delivery struct {
	call *call
	body any
}

// delivered are replies that may leave once all waits have returned.
type delivered struct {
	waits   []func(context.Context) error
	replies []delivery
	effects []any
}

// flushRecords is how many records of queued requests are put together at most.
const flushRecords = 4096

// recordOverheadBytes is the most that a record takes beside its key and value: seven varints and a byte.
const recordOverheadBytes = 32

func newLife(s *shard, log Log, m machine.Machine) *life {
	return &life{
		shard:      s,
		log:        log,
		machine:    m,
		builder:    record.NewBuilder(record.None, 0),
		waiting:    map[machine.RequestID]*call{},
		deliveries: make(chan delivered, s.options.InFlightBatches),
		failed:     make(chan error, 1),
	}
}

// run serves requests and alarms until an append fails or ctx ends.
func (l *life) run(ctx context.Context) error {
	if err := l.take(ctx, l.machine.Activate(time.Now())); err != nil {
		return err
	}
	l.shard.options.Loaded(l.shard.tenure.Partition)
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		if err := l.flush(ctx); err != nil {
			return err
		}
		alarm.Stop()
		if next := l.machine.NextAlarm(); !next.IsZero() {
			alarm.Reset(time.Until(next))
		}
		var err error
		select {
		case <-ctx.Done():
			return nil
		case err = <-l.failed:
		case c := <-l.shard.calls:
			err = l.handle(ctx, c)
		case <-alarm.C:
			err = l.take(ctx, l.machine.Handle(machine.NoRequest, machine.Tick{}, time.Now()))
		}
		if err == nil {
			err = l.handleQueued(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// handleQueued takes along the requests that are there already, so that one batch serves them all.
func (l *life) handleQueued(ctx context.Context) error {
	for l.queued < flushRecords {
		select {
		case c := <-l.shard.calls:
			if err := l.handle(ctx, c); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

func (l *life) handle(ctx context.Context, c *call) error {
	if e, ok := c.event.(machine.Attended); ok && e.NeedsCaller() && c.ctx.Err() != nil {
		c.reply <- reply{err: c.ctx.Err()}
		return nil //nolint:nilerr // the call failed, not the shard
	}
	l.request++
	l.waiting[l.request] = c
	return l.take(ctx, l.machine.Handle(l.request, c.event, time.Now()))
}

// take notes what a decision asks for. Full batches are appended on the way.
func (l *life) take(ctx context.Context, d machine.Decision) error {
	now := time.Now().UnixMilli()
	// What belongs to a transaction shares its batches with nothing else.
	alone := d.Transaction != nil
	if alone {
		if err := l.append(ctx, nil); err != nil {
			return err
		}
	}
	for i := range d.Records {
		r := &d.Records[i]
		if l.builder.Count() > 0 && l.builder.Len()+len(r.Key)+len(r.Value)+recordOverheadBytes > l.shard.options.BatchBytes {
			if err := l.append(ctx, d.Transaction); err != nil {
				return err
			}
		}
		l.builder.Append(now, r.Key, r.Value, nil)
		l.queued++
	}
	if alone || d.Marker != nil {
		if err := l.append(ctx, d.Transaction); err != nil {
			return err
		}
	}
	if d.Marker != nil {
		p := record.Producer{ID: d.Marker.ID, Epoch: d.Marker.Epoch}
		if err := l.write(ctx, record.BuildMarker(now, p, record.Marker{Commit: d.Marker.Commit, CoordinatorEpoch: d.Marker.CoordinatorEpoch})); err != nil {
			return err
		}
		l.queued++
	}
	l.effects = append(l.effects, d.Effects...)
	for _, r := range d.Replies {
		if c := l.waiting[r.Request]; c != nil {
			l.replies = append(l.replies, delivery{c, r.Body})
			delete(l.waiting, r.Request)
		}
	}
	for _, c := range d.Changes {
		l.shard.logger.Debug("state changed", "name", c.Name, "state", c.State, "epoch", c.Epoch, "members", c.Members, "reason", c.Reason)
	}
	return nil
}

// append hands the batch that was gathered to the log, as part of a transaction if in is not nil.
func (l *life) append(ctx context.Context, in *machine.Producer) error {
	if l.builder.Count() == 0 {
		return nil
	}
	l.shard.metrics.records.Add(float64(l.builder.Count()))
	o := record.BuildOptions{}
	if in != nil {
		o = record.BuildOptions{Producer: &record.Producer{ID: in.ID, Epoch: in.Epoch, Sequence: kafka.NoSequence}, Transactional: true}
	}
	return l.write(ctx, l.builder.Build(o))
}

func (l *life) write(ctx context.Context, batch []byte) error {
	l.shard.metrics.batches.Inc()
	wait, err := l.log.Append(ctx, batch)
	if err != nil {
		return fmt.Errorf("append records of the coordinator: %w", err)
	}
	l.waits = append(l.waits, wait)
	return nil
}

// flush appends the rest and passes the replies on. Without anything on its way to the disk they leave at once.
func (l *life) flush(ctx context.Context) error {
	if err := l.append(ctx, nil); err != nil {
		return err
	}
	l.queued = 0
	if len(l.waits) == 0 && len(l.replies) == 0 && len(l.effects) == 0 {
		return nil
	}
	d := delivered{waits: l.waits, replies: l.replies, effects: l.effects}
	if len(d.waits) == 0 && l.inFlight.Load() == 0 {
		if err := l.stillOurs(); err != nil {
			return err
		}
		l.send(ctx, d, nil)
		l.replies, l.effects = l.replies[:0], nil
		return nil
	}
	l.waits, l.replies, l.effects = nil, nil, nil
	l.inFlight.Add(1)
	l.deliveries <- d
	return nil
}

// deliver waits for the batches in order and sends the replies that they hold up. After the first failure every later
// reply is an error: what it says may rest on records that are lost. ctx ends with the tenure; waits, which is for the
// disk, may last longer.
func (l *life) deliver(ctx, waits context.Context) {
	var failure error
	for d := range l.deliveries {
		if len(d.waits) == 0 && failure == nil {
			if err := l.stillOurs(); err != nil {
				failure = kafka.NotCoordinator
				l.failed <- err
			}
		}
		for _, wait := range d.waits {
			// Each is waited for, also after a failure: the log must not be replayed while some are on their way.
			if err := wait(waits); err != nil && failure == nil {
				if failure = answerTo(err); ctx.Err() != nil {
					failure = kafka.NotCoordinator
				}
				l.failed <- fmt.Errorf("make records of the coordinator durable: %w", err)
			}
		}
		l.send(ctx, d, failure)
		l.inFlight.Add(-1)
	}
}

// stillOurs is asked before replies leave that wait for no disk: without it such a reply could tell of a state that
// another broker has changed, between the loss of the partition and the word of it.
func (l *life) stillOurs() error {
	t := l.shard.tenure
	if epoch, owned := l.shard.options.Topics.Owned(t.Partition); !owned || epoch != t.Epoch {
		return fmt.Errorf("partition %d in epoch %d: %w", t.Partition, t.Epoch, kafka.NotLeaderOrFollower)
	}
	return nil
}

// answerTo is what those are told who wait when a life ends by err: to look for another coordinator, where the log is
// another broker's, else to try again.
func answerTo(err error) kafka.Error {
	if errors.Is(err, kafka.NotLeaderOrFollower) || errors.Is(err, kafka.NotCoordinator) {
		return kafka.NotCoordinator
	}
	return kafka.CoordinatorNotAvailable
}

// send lets replies and effects leave. Effects of what failed, or of a tenure that is over, are dropped: the next life, of
// whatever broker, finds out what is left to do.
func (l *life) send(ctx context.Context, d delivered, failure error) {
	if failure == nil {
		for _, e := range d.effects {
			if ctx.Err() == nil {
				l.shard.kind.Effect(ctx, l.shard.tenure, e)
			}
		}
	}
	for _, r := range d.replies {
		if failure != nil {
			r.call.reply <- reply{err: failure}
			continue
		}
		r.call.reply <- reply{body: r.body}
	}
}

// abandon answers everybody who still waits, after the delivering goroutine has ended. err is what ended the life.
func (l *life) abandon(err error) {
	answer, later := answerTo(err), kafka.CoordinatorLoadInProgress
	if answer == kafka.NotCoordinator {
		later = answer
	}
	for _, r := range l.replies {
		r.call.reply <- reply{err: answer}
	}
	for _, c := range l.waiting {
		c.reply <- reply{err: answer}
	}
	for {
		select {
		case c := <-l.shard.calls:
			c.reply <- reply{err: later}
		default:
			return
		}
	}
}
