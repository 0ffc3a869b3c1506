package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/histogram"
)

const (
	// sentHeader carries the wall-clock time of sending, as Unix nanoseconds in eight bytes, so that the latency from end
	// to end can be told while the record's own time stays that of the event.
	sentHeader = "sent"
	// lostAfter is how long a run waits for records after the last came, once everything was sent.
	lostAfter = 15 * time.Second
	// joinPatience is how long a run waits for the group before it sends anyway.
	joinPatience = 10 * time.Second
)

// Options tell how to run a scenario.
type Options struct {
	Scenario Scenario
	Topic    string  // exists and is empty
	Group    string  // is new
	Speed    float64 // see Schedule
	Open     func(...kgo.Opt) (*kgo.Client, error)
	Show     func(Picture func(columns int) Picture, v View) error // called by Run's goroutine
	Every    time.Duration                                         // between two calls of Show
}

// Summary is what a run that ended by itself tells.
type Summary struct {
	View
	Totals any
}

// Run sends the scenario's events and counts what comes back, until everything came back or ctx ends. The summary is
// valid in both cases.
func Run(ctx context.Context, o Options) (Model, Summary, error) {
	r := &running{o: o, model: o.Scenario.NewModel(), batches: make(chan []*kgo.Record), assigned: make(chan struct{}, 1), failed: make(chan error, 2)}
	events, err := o.Scenario.Events()
	if err != nil {
		return r.model, Summary{}, err
	}
	r.view = View{Name: o.Scenario.Name, Total: int64(len(events)), Waiting: "joining the group"}
	producer, err := o.Open(kgo.DefaultProduceTopic(o.Topic), kgo.ProducerLinger(0))
	if err != nil {
		return r.model, Summary{}, fmt.Errorf("make the producer: %w", err)
	}
	consumer, err := o.Open(kgo.ConsumerGroup(o.Group), kgo.ConsumeTopics(o.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(250*time.Millisecond), kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			select {
			case r.assigned <- struct{}{}:
			default:
			}
		}))
	if err != nil {
		producer.Close()
		return r.model, Summary{}, fmt.Errorf("make the consumer: %w", err)
	}
	runCtx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.send(runCtx, producer, events) })
	wg.Go(func() { r.receive(runCtx, consumer) })
	err = r.count(runCtx)
	cancel()
	wg.Wait()
	producer.Close()
	consumer.Close() // commits what was counted and leaves the group
	return r.model, Summary{r.view, r.model.Totals()}, err
}

// running is the state of one run. Its model and view belong to the goroutine of count.
type running struct {
	o     Options
	model Model
	view  View

	batches  chan []*kgo.Record // from receive to count
	assigned chan struct{}      // the group gave the consumer its partitions
	started  atomic.Int64       // when sending began, Unix nanoseconds
	produced atomic.Int64       // acknowledged
	allSent  atomic.Bool
	failed   chan error // of send and receive, one each at most
	latency  histogram.Histogram
}

// send writes the events at their times, once the consumer is there.
func (r *running) send(ctx context.Context, cl *kgo.Client, events []Event) {
	patience := time.NewTimer(joinPatience)
	defer patience.Stop()
	select {
	case <-r.assigned:
	case <-patience.C:
	case <-ctx.Done():
		return
	}
	at, _ := Schedule(events, r.o.Scenario.Longest, r.o.Speed)
	start := time.Now()
	r.started.Store(start.UnixNano())
	timer := time.NewTimer(0)
	defer timer.Stop()
	var first atomic.Pointer[error]
	for i, e := range events {
		timer.Reset(time.Until(start.Add(at[i])))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		rec := &kgo.Record{Key: e.Key, Value: e.Value, Timestamp: e.At, Headers: []kgo.RecordHeader{{Key: sentHeader, Value: binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))}}}
		cl.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			if err != nil {
				first.CompareAndSwap(nil, &err)
				return
			}
			r.produced.Add(1)
		})
	}
	err := cl.Flush(ctx)
	if f := first.Load(); f != nil {
		err = *f
	}
	if err != nil && ctx.Err() == nil {
		r.failed <- fmt.Errorf("send to %s: %w", r.o.Topic, err)
	}
	r.allSent.Store(true)
}

// receive hands over what the group's consumer reads.
func (r *running) receive(ctx context.Context, cl *kgo.Client) {
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		if err := fetches.Err(); err != nil {
			r.failed <- fmt.Errorf("read %s: %w", r.o.Topic, err)
			return
		}
		select {
		case r.batches <- fetches.Records():
		case <-ctx.Done():
			return
		}
	}
}

// count owns the model: it counts records and shows the picture until all came back.
func (r *running) count(ctx context.Context) error {
	tick := time.NewTicker(r.o.Every)
	defer tick.Stop()
	lastCame := time.Now()
	for r.view.Consumed < r.view.Total {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-r.failed:
			return err
		case records := <-r.batches:
			lastCame = time.Now()
			if err := r.add(records); err != nil {
				return err
			}
		case <-tick.C:
			if r.allSent.Load() && time.Since(lastCame) > lostAfter {
				return fmt.Errorf("%d of %d records did not come back within %s", r.view.Total-r.view.Consumed, r.view.Total, lostAfter)
			}
			r.refresh()
			if err := r.o.Show(r.model.Picture, r.view); err != nil {
				return err
			}
		}
	}
	// Every record came back; its acknowledgement may still be on its way, and counts in what is shown.
	settle := time.NewTimer(time.Second)
	defer settle.Stop()
	for !r.allSent.Load() {
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		case <-settle.C:
		}
		break
	}
	r.view.Done = true
	r.refresh()
	return nil
}

var errTooMany = errors.New("more records came back than were sent")

func (r *running) add(records []*kgo.Record) error {
	now := time.Now()
	for _, rec := range records {
		if err := r.model.Add(rec.Value); err != nil {
			return fmt.Errorf("record %d of %s-%d: %w", rec.Offset, rec.Topic, rec.Partition, err)
		}
		for _, h := range rec.Headers {
			if h.Key == sentHeader && len(h.Value) == 8 {
				r.latency.Record(now.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(h.Value)))))
			}
		}
	}
	if r.view.Consumed += int64(len(records)); r.view.Consumed > r.view.Total {
		return errTooMany
	}
	return nil
}

func (r *running) refresh() {
	if started := r.started.Load(); started != 0 {
		r.view.Waiting = ""
		r.view.Elapsed = time.Since(time.Unix(0, started))
	}
	r.view.Produced = r.produced.Load()
	r.view.P50, r.view.P99 = r.latency.Quantile(.5), r.latency.Quantile(.99)
}
