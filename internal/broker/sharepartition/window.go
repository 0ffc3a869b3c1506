package sharepartition

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/kafka"
)

// window is what a group has in flight in a partition.
type window struct {
	manager *Manager
	key     share.Key
	log     *partition.Log
	// loaded is closed when the state was read, or failure says why it was not.
	loaded  chan struct{}
	failure error

	mu         sync.Mutex
	records    *share.Partition
	stateEpoch int32
	// begun tells that the state store knows where the group began.
	begun bool
	// fetching is set while somebody reads for the window; writing while a writer runs.
	fetching, writing bool
	retired           bool
	ended             error // why the window serves no more
	waiters           map[*partition.Waiter]struct{}
	writes            map[*share.Write]*pending
	idle              chan struct{} // closed when the writer ends, if somebody waits for that
	timer             *time.Timer
	timerAt           time.Time
}

// pending are those who wait for a write.
type pending struct {
	done chan struct{}
	err  error
}

func newWindow(m *Manager, k share.Key, log *partition.Log) *window {
	return &window{
		manager: m, key: k, log: log, loaded: make(chan struct{}),
		waiters: map[*partition.Waiter]struct{}{}, writes: map[*share.Write]*pending{},
	}
}

// load reads the state. A window whose load failed is dropped.
func (w *window) load(ctx context.Context) {
	defer close(w.loaded)
	started := w.manager.o.Now()
	o := w.log.Offsets()
	state, err := w.manager.o.States.Read(ctx, share.ReadState{Key: w.key, LeaderEpoch: o.LeaderEpoch, Exists: true})
	if err == nil {
		w.begun = state.Start != share.NoOffset
		if !w.begun {
			state.Start, err = w.beginning(ctx, &o)
		}
	}
	if err != nil {
		w.failure = stateError(err)
		w.manager.drop(w)
		return
	}
	w.records, w.stateEpoch = share.NewPartition(state.Start, state.Batches), state.StateEpoch
	w.records.RaiseStart(o.LogStart)
	w.manager.metrics.loads.Observe(w.manager.o.Now().Sub(started).Seconds())
}

// beginning is where a group begins that has read nothing.
func (w *window) beginning(ctx context.Context, o *partition.Offsets) (int64, error) {
	s := w.manager.o.Settings(w.key.Group)
	switch {
	case s.Reset.Earliest:
		return o.LogStart, nil
	case s.Reset.By == 0:
		return o.HighWatermark, nil
	}
	from := w.manager.o.Now().Add(-s.Reset.By)
	found, err := w.log.OffsetForTime(ctx, from.UnixMilli(), false)
	if err != nil {
		return 0, fmt.Errorf("find where group %s begins in %s: %w", w.key.Group, w.log.Identity(), err)
	}
	if found.Offset < 0 {
		return o.HighWatermark, nil
	}
	return found.Offset, nil
}

// wakeLocked wakes the fetches that wait for records of this window.
func (w *window) wakeLocked() {
	for p := range w.waiters {
		select {
		case p.C <- struct{}{}:
		default:
		}
	}
}

// acknowledge is Manager.Acknowledge.
func (w *window) acknowledge(member string, acks []share.Ack) (func(context.Context) error, error) {
	l := w.manager.o.Settings(w.key.Group).Limits
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended != nil {
		return nil, w.ended
	}
	w.expireLocked(l)
	if err := w.records.Acknowledge(member, acks, w.manager.o.Now(), l); err != nil {
		return nil, err
	}
	w.manager.metrics.acknowledged(acks)
	w.alarmLocked()
	return w.persistLocked(), nil
}

// persistLocked starts to persist what has changed, and returns how to wait for it.
func (w *window) persistLocked() func(context.Context) error {
	open := w.records.Pending()
	if open == nil {
		return func(context.Context) error { return nil }
	}
	p := w.writes[open]
	if p == nil {
		p = &pending{done: make(chan struct{})}
		w.writes[open] = p
	}
	if !w.writing {
		w.writing = w.manager.spawn(w.write)
		if !w.writing {
			w.endLocked(kafka.CoordinatorNotAvailable)
		}
	}
	return func(ctx context.Context) error {
		select {
		case <-p.done:
			return p.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// write persists changes, one write after the other, until there are none.
func (w *window) write(ctx context.Context) {
	for {
		w.mu.Lock()
		changes := w.records.Take()
		if changes == nil || w.ended != nil {
			w.writing = false
			if w.idle != nil {
				close(w.idle)
				w.idle = nil
			}
			_, held := w.records.InFlight()
			drop := w.retired && held == 0 && !w.fetching
			if drop {
				w.endLocked(kafka.NotLeaderOrFollower)
			}
			w.mu.Unlock()
			if drop {
				w.manager.drop(w)
			}
			return
		}
		epoch := w.stateEpoch
		w.mu.Unlock()

		err := w.send(ctx, epoch, changes)

		w.mu.Lock()
		p := w.writes[changes]
		delete(w.writes, changes)
		if w.records.Complete(changes, err == nil) {
			w.wakeLocked()
		}
		w.begun = w.begun || err == nil
		w.alarmLocked()
		if err != nil && !transient(err) {
			w.endLocked(err)
		}
		w.mu.Unlock()
		if p != nil {
			p.err = err
			close(p.done)
		}
		if err != nil && !transient(err) {
			w.manager.drop(w)
		}
	}
}

// Pauses and attempts of a write that its coordinator asks to try again.
const (
	writeRetries    = 20
	writeRetryPause = 50 * time.Millisecond
)

func (w *window) send(ctx context.Context, epoch int32, c *share.Write) error {
	e := share.WriteState{
		Key: w.key, StateEpoch: epoch, LeaderEpoch: w.log.Offsets().LeaderEpoch, Start: c.Start, DeliveryComplete: c.DeliveryComplete,
		Batches: c.Batches, Exists: true,
	}
	for i := 0; ; i++ {
		err := w.manager.o.States.Write(ctx, e)
		if err == nil || !transient(err) || i == writeRetries {
			if err != nil {
				w.manager.o.Logger.Warn("state of a share partition not written", "group", w.key.Group, "partition", w.log.Identity(), "err", err)
			}
			return stateError(err)
		}
		select {
		case <-time.After(writeRetryPause):
		case <-ctx.Done():
			return err
		}
	}
}

// stateError says INVALID_REQUEST, the state store's word for a share partition that it does not know, in another way:
// to a consumer it would mean that its own request was wrong.
func stateError(err error) error {
	if errors.Is(err, kafka.InvalidRequest) {
		return fmt.Errorf("%w: %v", kafka.UnknownServerError, err) //nolint:errorlint // its code must not be found
	}
	return err
}

// transient tells of an error that a later attempt may cure.
func transient(err error) bool {
	return errors.Is(err, kafka.CoordinatorLoadInProgress) || errors.Is(err, kafka.CoordinatorNotAvailable) || errors.Is(err, kafka.NotCoordinator)
}

// endLocked lets the window serve no more. Those who wait for writes that were not begun are told.
func (w *window) endLocked(why error) {
	if w.ended != nil {
		return
	}
	w.ended = why
	for c, p := range w.writes {
		if c == w.records.Pending() {
			delete(w.writes, c)
			p.err = why
			close(p.done)
		}
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	w.wakeLocked()
}

// stop ends the window without further ado.
func (w *window) stop() {
	select {
	case <-w.loaded:
	default:
		return // whoever loads it finds that out
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure == nil {
		w.endLocked(kafka.NotLeaderOrFollower)
	}
}

// fence ends the window once its writes are done.
func (w *window) fence(ctx context.Context) error {
	select {
	case <-w.loaded:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !w.serves() {
		return nil // it was dropped when its load failed
	}
	w.mu.Lock()
	if w.writing && w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	if idle != nil {
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.stop()
	w.manager.drop(w)
	return nil
}

// release lets go of what a member holds.
func (w *window) release(member string) {
	if !w.serves() {
		return
	}
	l := w.manager.o.Settings(w.key.Group).Limits
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended == nil {
		w.records.Release(member, l)
		w.persistLocked()
	}
}

// retire drops the window once nothing of it is held.
func (w *window) retire() {
	if !w.serves() {
		return
	}
	w.mu.Lock()
	w.retired = true
	_, held := w.records.InFlight()
	drop := held == 0 && !w.writing && !w.fetching && w.ended == nil
	if drop {
		w.endLocked(kafka.NotLeaderOrFollower)
	}
	w.mu.Unlock()
	if drop {
		w.manager.drop(w)
	}
}

// serves tells that the window was loaded.
func (w *window) serves() bool {
	select {
	case <-w.loaded:
		return w.failure == nil
	default:
		return false
	}
}

// expireLocked lets go of what was held for too long.
func (w *window) expireLocked(l share.Limits) {
	if n := w.records.Expire(w.manager.o.Now(), l); n > 0 {
		w.manager.metrics.expired.Add(float64(n))
		w.persistLocked()
	}
}

// alarmLocked sets the timer for the next end of a lock.
func (w *window) alarmLocked() {
	due := w.records.Due()
	if due.Equal(w.timerAt) || w.ended != nil {
		return
	}
	w.timerAt = due
	wait := due.Sub(w.manager.o.Now())
	if w.timer == nil {
		w.timer = time.AfterFunc(wait, w.alarm)
		return
	}
	w.timer.Reset(wait)
}

// alarm is called when a lock may have ended.
func (w *window) alarm() {
	l := w.manager.o.Settings(w.key.Group).Limits
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended != nil {
		return
	}
	w.timerAt = time.Time{}
	w.expireLocked(l)
	w.alarmLocked()
}
