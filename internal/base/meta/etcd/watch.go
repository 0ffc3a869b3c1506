package etcd

import (
	"context"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weir-stream/weir/internal/base/meta"
)

const (
	// watchEvents and watchBytes bound what lies in the channel of a watch: more than the changes since the last
	// compaction usually are, so that a watch from the past can catch up.
	watchEvents = 4 * meta.MaxWatchEvents
	watchBytes  = 16 << 20
)

// Watch implements meta.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after int64) (events <-chan meta.Event, err error) {
	defer s.metrics.observe("watch", time.Now(), &err)
	op, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if after < 0 {
		return nil, fmt.Errorf("watch after revision %d: %w", after, meta.ErrInvalid)
	}
	if after, err = s.watchFrom(op, after); err != nil {
		return nil, fmt.Errorf("watch %q: %w", prefix, s.told(ctx, err))
	}
	w := &watch{store: s, prefix: s.keys + prefix, after: after, events: make(chan meta.Event, watchEvents)}
	life, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel) //nolint:contextcheck // a watch ends with its context or with the store
	ok := s.task(func() {
		defer stop()
		defer cancel()
		defer close(w.events)
		w.run(life)
	})
	if !ok {
		stop()
		cancel()
		return nil, meta.ErrClosed
	}
	return w.events, nil
}

// watchFrom returns the revision after which to watch. Now is made a number here: a watch that had none, and lost its
// connection before it heard of anything, would begin anew at a later now. A past that is forgotten is found here too.
func (s *Store) watchFrom(ctx context.Context, after int64) (int64, error) {
	res, err := s.read(ctx, &pb.RangeRequest{Key: []byte(s.guards), CountOnly: true})
	if err != nil {
		return 0, err
	}
	switch now := res.Header.GetRevision(); {
	case after == 0:
		return now, nil
	case after >= now:
		return after, nil
	}
	_, err = s.read(ctx, &pb.RangeRequest{Key: []byte(s.guards), CountOnly: true, Revision: after})
	return after, err
}

// watch is one call of Watch. It belongs to its goroutine.
type watch struct {
	store  *Store
	prefix string
	after  int64 // everything up to here has been told
	events chan meta.Event
	// sizes is a ring of the bytes of all events so far, up to each of the last ones.
	sizes [watchEvents + 1]int64
	sent  int
}

// run tells events until ctx ends or the reader is cut off. Each turn is one watch of etcd's client, which by itself
// outlives lost connections, but not the loss of a leader.
func (w *watch) run(ctx context.Context) {
	for p := pause(0); ; {
		before := w.after
		again := w.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if !again {
			w.store.metrics.cutOff.Inc()
			return
		}
		w.store.metrics.restarts.Inc()
		if w.after > before {
			p = 0
		}
		if p.wait(ctx) != nil {
			return
		}
	}
}

// follow tells events until the watch breaks; again says whether to go on from where it broke.
func (w *watch) follow(ctx context.Context) (again bool) {
	ctx, cancel := context.WithCancel(requireLeader(ctx))
	defer cancel()
	// Notices of progress let a quiet watch begin anew after what was forgotten meanwhile. The client's own buffer has no
	// bound, so nothing here may wait for the reader.
	answers := w.store.watcher.Watch(ctx, w.prefix, clientv3.WithPrefix(), clientv3.WithRev(w.after+1), clientv3.WithProgressNotify())
	for res := range answers {
		if res.CompactRevision != 0 {
			return false
		}
		if res.Err() != nil {
			return judge(res.Err()) != final
		}
		if res.IsProgressNotify() {
			w.after = max(w.after, res.Header.GetRevision())
			continue
		}
		if !w.tell(res.Events) {
			return false
		}
	}
	return true
}

// tell hands events out, a revision whole or not at all, and returns false if there is no room.
func (w *watch) tell(events []*clientv3.Event) bool {
	for len(events) > 0 {
		revision, n := events[0].Kv.ModRevision, 1
		for n < len(events) && events[n].Kv.ModRevision == revision {
			n++
		}
		if revision > w.after {
			if !w.room(events[:n]) {
				return false
			}
			for _, ev := range events[:n] {
				w.push(ev)
			}
			w.after = revision
		}
		events = events[n:]
	}
	return true
}

// room tells whether events may be pushed. Nobody else sends, so there is no less room when it comes to it.
func (w *watch) room(events []*clientv3.Event) bool {
	waiting := len(w.events)
	if cap(w.events)-waiting < len(events) {
		return false
	}
	held := w.sizes[w.sent%len(w.sizes)] - w.sizes[(w.sent-waiting+len(w.sizes))%len(w.sizes)]
	more := int64(0)
	for _, ev := range events {
		more += size(ev)
	}
	return waiting == 0 || held+more <= watchBytes
}

func (w *watch) push(ev *clientv3.Event) {
	total := w.sizes[w.sent%len(w.sizes)] + size(ev)
	w.sent++
	w.sizes[w.sent%len(w.sizes)] = total
	out := meta.Event{Kind: meta.Put, Entry: meta.Entry{
		Key: strings.TrimPrefix(string(ev.Kv.Key), w.store.keys), Value: ev.Kv.Value, Revision: ev.Kv.ModRevision,
	}}
	if ev.Type == clientv3.EventTypeDelete {
		out.Kind, out.Value = meta.Delete, nil
	}
	w.events <- out
}

func size(ev *clientv3.Event) int64 { return int64(len(ev.Kv.Key) + len(ev.Kv.Value)) }
