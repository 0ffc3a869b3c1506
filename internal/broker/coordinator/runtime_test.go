package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// diary is a machine that writes down what it is told.
type diary struct {
	prefix  byte
	entries *[]string
}

// write is an event of the diary whose name starts with the same letter: its decision is what it says.
type write struct {
	name     string
	decision machine.Decision
}

func (w write) Claims() (string, bool) { return w.name, false }
func (w write) Refused() any           { return "refused" }

func (d diary) note(format string, args ...any) {
	*d.entries = append(*d.entries, fmt.Sprintf(format, args...))
}

func (d diary) Owns(event any) bool {
	w, ok := event.(write)
	return ok && w.name[0] == d.prefix
}

func (d diary) Has(name string) bool {
	return name == string(d.prefix)+"!" || name[1:] == string(d.prefix)
}

func (d diary) Replay(r machine.Record, in *machine.Producer) error {
	if r.Key[0] != d.prefix {
		return machine.ErrUnknownKind
	}
	if in == nil {
		d.note("%s=%s", r.Key, r.Value)
		return nil
	}
	d.note("%s=%s in %d/%d", r.Key, r.Value, in.ID, in.Epoch)
	return nil
}

func (d diary) ReplayMarker(m machine.Marker) { d.note("%c: marker %+v", d.prefix, m) }

func (d diary) Activate(time.Time) machine.Decision {
	return machine.Decision{Effects: []any{fmt.Sprintf("%c active", d.prefix)}}
}

func (d diary) NextAlarm() time.Time { return time.Now().Add(time.Hour) }

func (d diary) Handle(id machine.RequestID, event any, _ time.Time) machine.Decision {
	if _, tick := event.(machine.Tick); tick {
		return machine.Decision{}
	}
	out := event.(write).decision
	out.Replies = []machine.Reply{{Request: id, Body: "done"}}
	return out
}

// startDiaries runs the diaries a and b in one partition.
func startDiaries(t *testing.T, topics *memTopics, entries *[]string, effect func(context.Context, Tenure, any)) (r *Runtime, stop func()) {
	t.Helper()
	newMachine := func(int32) machine.Machine {
		return combined{[]part{diary{'a', entries}, diary{'b', entries}}}
	}
	r = NewRuntime(Kind{Name: "diary", Topic: "diaries", NewMachine: newMachine, Effect: effect}, Options{Topics: topics, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, func() {}) }()
	synctest.Wait()
	if err := r.Ensure(ctx); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return r, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestRecordsOfATransactionShareTheirBatchWithNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		var entries []string
		r, stop := startDiaries(t, topics, &entries, nil)
		p := machine.Producer{ID: 7, Epoch: 2}
		events := []write{
			{"a1", machine.Decision{Records: []machine.Record{{Key: []byte("a"), Value: []byte("1")}}}},
			{"a2", machine.Decision{Records: []machine.Record{{Key: []byte("a"), Value: []byte("2")}}, Transaction: &p}},
			{"a3", machine.Decision{Records: []machine.Record{{Key: []byte("b"), Value: []byte("3")}}}},
			{"a4", machine.Decision{Marker: &machine.Marker{Producer: p, CoordinatorEpoch: 5, Commit: true}}},
		}
		// All at once, so that they could be put together.
		var calls []<-chan result[any]
		for _, e := range events {
			calls = append(calls, begin(func() (any, error) { return r.AskPartition(t.Context(), 0, e) }))
			synctest.Wait()
		}
		for i, c := range calls {
			if got := <-c; got.err != nil || got.value != "done" {
				t.Errorf("event %d: %+v", i, got)
			}
		}
		var kinds []string
		for _, b := range topics.log(0).batches {
			h, err := record.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, fmt.Sprintf("%t %t %d/%d", h.Transactional(), h.Control(), h.ProducerID, h.ProducerEpoch))
		}
		if want := []string{"false false -1/-1", "true false 7/2", "false false -1/-1", "true true 7/2"}; !slices.Equal(kinds, want) {
			t.Errorf("batches %q, want %q", kinds, want)
		}
		stop()
		_, stop = startDiaries(t, topics, &entries, nil)
		stop()
		want := []string{"a=1", "a=2 in 7/2", "b=3", "a: marker {Producer:{ID:7 Epoch:2} CoordinatorEpoch:5 Commit:true}", "b: marker {Producer:{ID:7 Epoch:2} CoordinatorEpoch:5 Commit:true}"}
		if !slices.Equal(entries, want) {
			t.Errorf("replayed %q, want %q", entries, want)
		}
	})
}

func TestEffectsLeaveInOrderOnceTheirRecordsAreDurable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		var entries []string
		effects := make(chan any, 10)
		r, stop := startDiaries(t, topics, &entries, func(_ context.Context, _ Tenure, e any) { effects <- e })
		defer stop()
		held := make(chan struct{})
		topics.log(0).set(func(l *memLog) { l.held = held })
		first := begin(func() (any, error) {
			return r.AskPartition(t.Context(), 0, write{"a", machine.Decision{Records: []machine.Record{{Key: []byte("a")}}, Effects: []any{1}}})
		})
		synctest.Wait()
		second := begin(func() (any, error) {
			return r.AskPartition(t.Context(), 0, write{"b", machine.Decision{Effects: []any{2}}})
		})
		synctest.Wait()
		if n := len(effects); n != 2 { // those of Activate
			t.Fatalf("%d effects before anything is durable, want 2", n)
		}
		close(held)
		<-first
		<-second
		close(effects)
		var got []any
		for e := range effects {
			got = append(got, e)
		}
		if want := []any{"a active", "b active", 1, 2}; !slices.Equal(got, want) {
			t.Errorf("effects %v, want %v", got, want)
		}
	})
}

func TestANameBelongsToOneKindOfGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var entries []string
		r, stop := startDiaries(t, newMemTopics(1), &entries, nil)
		defer stop()
		for name, want := range map[string]string{"ab": "refused", "aa": "done", "a!": "done", "ba": "refused", "bb": "done"} {
			if got, err := r.AskPartition(t.Context(), 0, write{name: name}); err != nil || got != want {
				t.Errorf("event that claims %q: %v, %v, want %s", name, got, err, want)
			}
		}
	})
}

// TestALastWordIsHeard lets clients go at once after what they sent, as consumers do that leave their group.
func TestALastWordIsHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var entries []string
		var effects int
		r, stop := startDiaries(t, newMemTopics(1), &entries, func(context.Context, Tenure, any) { effects++ })
		synctest.Wait()
		before := effects
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		const n = 40 // a coin that is thrown for each would hardly fall on the same side every time
		for range n {
			if _, err := r.AskPartition(gone, 0, write{"a!", machine.Decision{Effects: []any{"left"}}}); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		stop()
		if got := effects - before; got != n {
			t.Fatalf("%d events had an effect, want %d", got, n)
		}
	})
}
