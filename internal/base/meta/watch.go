package meta

import (
	"context"
	"fmt"
	"strings"
)

const (
	// historyEvents and historyBytes bound what a new watch can be told of the past.
	historyEvents = 4096
	historyBytes  = 2 * MaxTxnBytes
)

// history is the recent past: every event with a revision above floor.
type history struct {
	floor  int64
	events []Event
	bytes  int
}

func (h *history) add(events []Event) {
	h.events = append(h.events, events...)
	for _, ev := range events {
		h.bytes += len(ev.Key) + len(ev.Value)
	}
	drop := 0
	for ; drop < len(h.events); drop++ {
		ev := h.events[drop]
		// A revision is kept whole or not at all.
		if ev.Revision != h.floor && len(h.events)-drop <= historyEvents && h.bytes <= historyBytes {
			break
		}
		h.floor = ev.Revision
		h.bytes -= len(ev.Key) + len(ev.Value)
	}
	clear(h.events[:drop]) // let the values go
	h.events = h.events[drop:]
}

// watcher is one call of Watch. Only the holder of the baton sends on its channel or closes it.
type watcher struct {
	prefix string
	after  int64
	events chan Event
	stop   func() bool
}

// offer sends what the watcher wants and reports false if there is no room. A revision is sent whole or not at all.
func (w *watcher) offer(events []Event) bool {
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].Revision == events[0].Revision {
			n++
		}
		if !w.offerRevision(events[:n]) {
			return false
		}
		events = events[n:]
	}
	return true
}

func (w *watcher) offerRevision(events []Event) bool {
	if events[0].Revision <= w.after {
		return true
	}
	wanted := 0
	for _, ev := range events {
		if strings.HasPrefix(ev.Key, w.prefix) {
			wanted++
		}
	}
	// Nobody else sends, so there is no less room when it comes to it.
	if cap(w.events)-len(w.events) < wanted {
		return false
	}
	for _, ev := range events {
		if strings.HasPrefix(ev.Key, w.prefix) {
			w.events <- ev
		}
	}
	return true
}

// Watch implements Store.
func (e *engine) Watch(ctx context.Context, prefix string, after int64) (<-chan Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if after < 0 {
		return nil, fmt.Errorf("watch after revision %d: %w", after, ErrInvalid)
	}
	w := &watcher{prefix: prefix, after: after}
	var err error
	submitErr := e.submit(&request{
		plan: func(*round) error { return nil },
		done: func(*round) { err = e.addWatcher(ctx, w) },
	})
	if submitErr != nil {
		return nil, submitErr
	}
	if err != nil {
		return nil, err
	}
	return w.events, nil
}

// addWatcher is called between rounds of events, so that the past and the future meet without a gap.
func (e *engine) addWatcher(ctx context.Context, w *watcher) error {
	var past []Event
	switch {
	case w.after == 0:
		w.after = e.revision
	case w.after < e.history.floor:
		return fmt.Errorf("watch %q after revision %d, known after %d: %w", w.prefix, w.after, e.history.floor,
			ErrCompacted)
	default:
		for _, ev := range e.history.events {
			if ev.Revision > w.after && strings.HasPrefix(ev.Key, w.prefix) {
				past = append(past, ev)
			}
		}
	}
	w.events = make(chan Event, len(past)+MaxWatchEvents)
	w.offer(past)
	e.watchers[w] = struct{}{}
	w.stop = context.AfterFunc(ctx, func() {
		// A closed store has ended its watches already; a failed one too.
		_ = e.submit(&request{
			plan: func(*round) error { return nil },
			done: func(*round) { e.endWatch(w) },
		})
	})
	return nil
}

// publish tells everybody who watches.
func (e *engine) publish(events []Event) {
	e.history.add(events)
	for w := range e.watchers {
		if !w.offer(events) {
			e.endWatch(w)
		}
	}
}

func (e *engine) endWatch(w *watcher) {
	if _, ok := e.watchers[w]; !ok {
		return
	}
	delete(e.watchers, w)
	w.stop()
	close(w.events)
}

func (e *engine) endWatches() {
	for w := range e.watchers {
		e.endWatch(w)
	}
}
