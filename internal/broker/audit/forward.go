package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weir-stream/weir/internal/kafka/auditevent"
)

// Events of other brokers: there is one partition, and so one chain, in a cluster. The broker that has the partition chains and
// writes; the others send it their events as they are. An event is written twice if the answer to a write was lost: the
// chain is whole then, and both have the same time and request.

// EventsPerWrite is how many events are written, or sent to another broker, at once.
const EventsPerWrite = 200

// handedMost is how many other brokers' writes may wait; beyond it they wait at the door.
const handedMost = 16

// Errors of Accept.
var (
	errEnded = errors.New("the audit log of this broker has ended")
	errNone  = errors.New("this broker keeps no audit log; audit.enable is to be the same for all brokers")
)

// handed is what another broker wants to have written.
type handed struct {
	events []*auditevent.Event
	done   chan error // has room for the outcome
}

// Accept chains and writes events of another broker, JSON without number and hash, and returns when they are durable. They may be durable
// after an error too. It fails where this broker does not have the partition: the other one asks whoever has it then.
func (l *Log) Accept(ctx context.Context, values [][]byte) error {
	if l == nil {
		return errNone
	}
	if len(values) > EventsPerWrite+1 { // one more tells of lost ones
		return fmt.Errorf("%d audit events at once", len(values))
	}
	h := handed{done: make(chan error, 1)}
	for _, value := range values {
		var e auditevent.Event
		if err := json.Unmarshal(value, &e); err != nil {
			return fmt.Errorf("decode an audit event of another broker: %w", err)
		}
		h.events = append(h.events, &e)
	}
	select {
	case l.handed <- h:
	case <-l.ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-h.done:
		return err
	case <-l.ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// chained writes what another broker handed over. Where this one has come to the partition just now it takes a second try.
func (l *Log) chained(ctx context.Context, events []*auditevent.Event) error {
	err := l.try(ctx, events)
	if errors.Is(err, ErrMoved) {
		err = l.try(ctx, events)
	}
	return err
}

// deliver writes events of this broker once: itself, or through the one that has the partition.
func (l *Log) deliver(ctx context.Context, events []*auditevent.Event) error {
	sent, err := l.forward(ctx, events)
	if err == nil && !sent {
		err = l.try(ctx, events)
	}
	if err != nil {
		l.metrics.failures.Inc()
		return fmt.Errorf("write %d audit events: %w", len(events), err)
	}
	for _, e := range events {
		l.metrics.events.WithLabelValues(e.Data.Category).Inc()
	}
	return nil
}

func (l *Log) forward(ctx context.Context, events []*auditevent.Event) (sent bool, err error) {
	if l.o.Forward == nil {
		return false, nil
	}
	values := make([][]byte, len(events))
	for i, e := range events {
		if values[i], err = json.Marshal(e); err != nil {
			return false, fmt.Errorf("encode audit event: %w", err)
		}
	}
	return l.o.Forward(ctx, values)
}
