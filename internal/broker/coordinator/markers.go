package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/txn"
	"github.com/weir-stream/weir/internal/kafka"
)

// Markers ends the transactions of partitions. It may be called from many goroutines.
type Markers interface {
	// Write returns nil once the partition's marker is durable; it may be written more than once. bumps says that the
	// epoch of the marker is above that of the transaction's records. The error is kafka.UnknownTopicOrPartition if the
	// partition is gone for good, and kafka.InvalidProducerEpoch, kafka.ProducerFenced or kafka.TransactionCoordinatorFenced
	// if the partition has seen a newer epoch, which ended the transaction there. All other errors mean that it should
	// be tried again.
	Write(ctx context.Context, tp kafka.TopicPartition, m machine.Marker, bumps bool) error
}

const (
	// transactionsInFlight and markersInFlight are how many transactions may have their markers written at the same time, and
	// how many markers of one. More wait.
	transactionsInFlight = 256
	markersInFlight      = 32
	// Pauses between attempts to write a marker.
	firstMarkerPause = 20 * time.Millisecond
	lastMarkerPause  = time.Second
)

// markerWriter carries out txn.Complete: it writes markers until all partitions have theirs, and then tells the machine. Its
// queue is bounded by the ids with a prepared end.
//
// One transactional id has one job at a time, which ends after the machine has answered. So no marker can be on its way
// when the next transaction begins; it would end that. What is asked for meanwhile, by the machine of a next life or for
// the next transaction, is kept, and asked for again at the machine before it is begun. A job ends with its tenure: the
// next coordinator finds what is left to do in the records, and partitions refuse markers of an older epoch than they have seen.
type markerWriter struct {
	markers Markers
	ask     func(ctx context.Context, partition int32, event any) (any, error)
	logger  *slog.Logger
	wake    chan struct{}

	mu    sync.Mutex
	jobs  map[string]*markerJob
	queue []*markerJob // not begun

	// byProducer counts the jobs of each producer id that have markers to write. It is down before the machine hears of
	// them: from then on the producer's next transaction may begin.
	byProducer map[int64]int
}

// order is whose coordinator asks for the end of a transaction, and for how long.
type order struct {
	Tenure
	ctx context.Context // ends with the tenure
}

// markerJob is the end of one transaction.
type markerJob struct {
	order
	txn.Complete
	again *order // the newest by which Complete came again for the id
}

func newMarkerWriter(o TransactionsOptions) *markerWriter {
	return &markerWriter{
		markers: o.Markers, logger: o.Logger, wake: make(chan struct{}, 1), jobs: map[string]*markerJob{}, byProducer: map[int64]int{},
	}
}

// add begins the job soon. It does not block.
func (w *markerWriter) add(ctx context.Context, tenure Tenure, c txn.Complete) {
	w.mu.Lock()
	if job := w.jobs[c.TransactionalID]; job != nil {
		job.again = &order{tenure, ctx}
		w.mu.Unlock()
		return
	}
	job := &markerJob{order: order{tenure, ctx}, Complete: c}
	w.jobs[c.TransactionalID] = job
	w.byProducer[c.Producer.ID]++
	w.queue = append(w.queue, job)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *markerWriter) ending(producerID int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byProducer[producerID] > 0
}

// run carries jobs out until ctx ends, with which the tenures end too, and returns when the last is over.
func (w *markerWriter) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, transactionsInFlight)
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		for job := w.take(); job != nil; job = w.take() {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			running.Go(func() {
				w.carryOut(job)
				<-slots
			})
		}
	}
}

func (w *markerWriter) take() *markerJob {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		w.queue = nil
		return nil
	}
	job := w.queue[0]
	w.queue = w.queue[1:]
	return job
}

// carryOut writes the markers of a job, and of what was asked for meanwhile.
func (w *markerWriter) carryOut(job *markerJob) {
	for {
		written := w.writeAll(job.ctx, job)
		w.count(job.Producer.ID, -1)
		if written {
			w.tell(job, txn.MarkersWritten{TransactionalID: job.TransactionalID, Producer: job.Producer})
		}
		if !w.asked(job) {
			return
		}
	}
}

// asked ends job, unless its id has another end to be carried out, which job then becomes.
func (w *markerWriter) asked(job *markerJob) bool {
	for {
		w.mu.Lock()
		if job.again == nil {
			delete(w.jobs, job.TransactionalID)
			w.mu.Unlock()
			return false
		}
		job.order, job.again = *job.again, nil
		w.mu.Unlock()
		reply, ok := w.tell(job, txn.Pending{TransactionalID: job.TransactionalID})
		if !ok {
			continue
		}
		if next := reply.(*txn.Complete); next != nil {
			job.Complete = *next
			w.count(job.Producer.ID, 1)
			return true
		}
	}
}

// tell hands an event of a job to the machine, again and again: a coordinator that may not answer for the moment, as while its
// broker does not reach the metadata store, would never hear of it otherwise. It gives up once the tenure is over, or when a next
// life of the machine has asked for the end itself.
func (w *markerWriter) tell(job *markerJob, event any) (reply any, ok bool) {
	for pause := firstMarkerPause; ; pause = min(2*pause, lastMarkerPause) {
		reply, err := w.ask(job.ctx, job.Partition, event)
		if err == nil {
			return reply, true
		}
		if job.ctx.Err() != nil || w.askedAgain(job) {
			return nil, false
		}
		w.logger.Debug("coordinator does not take note of markers, trying again", "transactional_id", job.TransactionalID, "err", err)
		select {
		case <-time.After(pause):
		case <-job.ctx.Done():
			return nil, false
		}
	}
}

func (w *markerWriter) askedAgain(job *markerJob) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return job.again != nil
}

func (w *markerWriter) count(producerID int64, by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byProducer[producerID] += by; w.byProducer[producerID] == 0 {
		delete(w.byProducer, producerID)
	}
}

// writeAll writes the marker of every partition, and returns false if ctx ended before that was done.
func (w *markerWriter) writeAll(ctx context.Context, job *markerJob) bool {
	m := machine.Marker{Producer: job.Producer, CoordinatorEpoch: job.Epoch, Commit: job.Commit}
	if len(job.Partitions) == 1 {
		w.writeOne(ctx, job, job.Partitions[0], m)
		return ctx.Err() == nil
	}
	var writing sync.WaitGroup
	defer writing.Wait()
	slots := make(chan struct{}, markersInFlight)
	for _, tp := range job.Partitions {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		writing.Go(func() {
			w.writeOne(ctx, job, tp, m)
			<-slots
		})
	}
	writing.Wait()
	return ctx.Err() == nil
}

// writeOne writes one marker, again and again until that has succeeded, or the partition has no use for it, or ctx ends.
func (w *markerWriter) writeOne(ctx context.Context, job *markerJob, tp kafka.TopicPartition, m machine.Marker) {
	logger := w.logger.With("transactional_id", job.TransactionalID, "topic", tp.Topic, "partition", tp.Partition)
	pause := firstMarkerPause
	for {
		err := w.markers.Write(ctx, tp, m, job.Bumps)
		switch {
		case err == nil || ctx.Err() != nil:
			return
		case errors.Is(err, kafka.UnknownTopicOrPartition):
			logger.Debug("partition of a transaction is gone")
			return
		case errors.Is(err, kafka.InvalidProducerEpoch), errors.Is(err, kafka.ProducerFenced), errors.Is(err, kafka.TransactionCoordinatorFenced):
			logger.Warn("partition has ended the transaction already", "err", err)
			return
		}
		if pause == lastMarkerPause {
			logger.Warn("transaction cannot end yet, trying again", "err", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, lastMarkerPause)
	}
}
