package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/txn"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

func TestPartitionsAreServedWhileTheyAreOwned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		w.exists = false // another broker will make the topic
		var loaded []int32
		a := w.join(t, 1, func(o *GroupsOptions) { o.Loaded = func(p int32) { loaded = append(loaded, p) } })
		b := w.join(t, 2, nil)
		refused := func(g *Groups, when string) {
			t.Helper()
			if _, err := g.Commit(t.Context(), commit("g", 1)); !errors.Is(err, kafka.NotCoordinator) {
				t.Errorf("commit %s: %v, want NotCoordinator", when, err)
			}
		}
		refused(a, "without a topic")
		if err := b.Coordinator(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.tell(1)
		synctest.Wait()
		if n := a.runtime.Partitions(); n != 1 {
			t.Errorf("%d partitions after another broker has made the topic, want 1", n)
		}
		refused(a, "of nobody's partition")
		for i, g := range []*Groups{a, b, a, a} {
			broker := 1
			if g == b {
				broker = 2
			}
			w.move(0, broker, 0)
			w.tell(1)
			w.tell(2)
			synctest.Wait()
			if i > 0 {
				if got := committed(t, g, "g"); got != int64(i) {
					t.Errorf("offset %d after move %d, want %d", got, i, i)
				}
			}
			if _, err := g.Commit(t.Context(), commit("g", int64(i+1))); err != nil {
				t.Errorf("commit of the owner after move %d: %v", i, err)
			}
			if other := map[*Groups]*Groups{a: b, b: a}[g]; i < 3 {
				refused(other, "elsewhere")
				if lists, err := other.List(t.Context()); err != nil || len(lists) > 0 {
					t.Errorf("groups elsewhere: %v, %v", lists, err)
				}
				if err := other.DeleteTopics(t.Context(), []group.DeletedTopic{{Name: "t"}}); err != nil {
					t.Errorf("topics deleted elsewhere: %v", err)
				}
			}
		}
		if !slices.Equal(loaded, []int32{0, 0, 0}) {
			t.Errorf("told of the loads of %v, want three of 0", loaded)
		}
	})
}

func TestLossAnswersEverybodyWhoWaits(t *testing.T) {
	t.Parallel()
	for _, toldFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("told=%t", toldFirst), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(1)
				w.move(0, 1, 0)
				a := w.join(t, 1, func(o *GroupsOptions) { o.Group.InitialRebalanceDelay = time.Minute })
				parked := begin(func() (group.JoinReply, error) { return a.Join(t.Context(), join("a")) })
				synctest.Wait()
				w.set(func() { w.syncTime = func() time.Duration { return time.Hour } })
				kept := begin(func() (group.CommitReply, error) { return a.Commit(t.Context(), commit("kept", 1)) })
				synctest.Wait()
				gone := begin(func() (group.CommitReply, error) { return a.Commit(t.Context(), commit("gone", 1)) })
				synctest.Wait()
				read := begin(func() (group.FetchReply, error) { return a.Fetch(t.Context(), group.Fetch{Group: "gone"}) })
				synctest.Wait()
				w.set(func() { w.syncTime = func() time.Duration { return 0 } })
				w.move(0, 2, 1)
				if toldFirst {
					w.tell(1)
				}
				synctest.Wait()
				if r := <-kept; r.err != nil {
					t.Errorf("commit that is durable: %v", r.err)
				}
				if r := <-gone; !errors.Is(r.err, kafka.NotCoordinator) {
					t.Errorf("commit that is not durable: %v, want NotCoordinator", r.err)
				}
				if r := <-read; !errors.Is(r.err, kafka.NotCoordinator) {
					t.Errorf("read of what is not durable: %v, want NotCoordinator", r.err)
				}
				if r := <-parked; !errors.Is(r.err, kafka.NotCoordinator) {
					t.Errorf("parked join: %v, want NotCoordinator", r.err)
				}
				if _, err := a.Commit(t.Context(), commit("g", 1)); !errors.Is(err, kafka.NotCoordinator) {
					t.Errorf("commit after the loss: %v, want NotCoordinator", err)
				}
			})
		})
	}
}

// Between the loss of a partition and the word of it nothing old is told.
func TestNothingIsToldOfALostPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		w.move(0, 1, 0)
		a, b := w.join(t, 1, nil), w.join(t, 2, nil)
		if _, err := a.Commit(t.Context(), commit("g", 1)); err != nil {
			t.Fatal(err)
		}
		w.move(0, 2, 0)
		w.tell(2)
		synctest.Wait()
		if _, err := b.Commit(t.Context(), commit("g", 2)); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Fetch(t.Context(), group.Fetch{Group: "g"}); !errors.Is(err, kafka.NotCoordinator) {
			t.Errorf("read at the broker that has lost it: %v, want NotCoordinator", err)
		}
	})
}

func TestFewPartitionsLoadAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(20)
		for i := range w.logs {
			w.move(i, 1, 0)
		}
		w.replaying = make(chan struct{})
		a := w.join(t, 1, func(o *GroupsOptions) { o.Loads = 3 })
		if _, err := a.Commit(t.Context(), commit("g", 1)); !errors.Is(err, kafka.CoordinatorLoadInProgress) {
			t.Errorf("commit during the load: %v", err)
		}
		// What waits for a place is not in the way of an end.
		w.move(19, 2, 0)
		w.tell(1)
		synctest.Wait()
		close(w.replaying)
		synctest.Wait()
		if w.most != 3 {
			t.Errorf("%d partitions were loaded at a time, want 3", w.most)
		}
		for p := range int32(20) {
			if _, err := a.CommittedIn(t.Context(), p, false); (err == nil) != (p < 19) {
				t.Errorf("partition %d: %v", p, err)
			}
		}
	})
}

// What a coordinator has begun for a transaction ends with its tenure, and its successor goes on in its own epoch.
func TestMarkersStopWithTheTenure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		w.move(0, 1, 0)
		stuck := &fakeMarkers{fail: func(kafka.TopicPartition, int) error { return kafka.NotLeaderOrFollower }}
		good := &fakeMarkers{}
		from := &ids{}
		coordinate := func(broker int, m Markers) *Transactions {
			x := NewTransactions(TransactionsOptions{
				Options: Options{Topics: inWorld{w, broker}, Logger: slog.New(slog.DiscardHandler)}, Markers: m, NewProducerID: from.next,
				GroupPartition: func(context.Context, string) (int32, error) { return 4, nil },
			})
			inBackground(t, x.Run)
			synctest.Wait()
			return x
		}
		a, b := coordinate(1, stuck), coordinate(2, good)
		p := begin1(t, a, "x")
		add(t, a, "x", p, "a")
		if _, err := end(t, a, "x", p, true); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		w.move(0, 2, 0)
		w.tell(1)
		synctest.Wait()
		tries := stuck.tries
		if a.Ending(p.ID) {
			t.Error("the old coordinator still ends the transaction")
		}
		<-time.After(time.Minute)
		if tries == 0 || stuck.tries != tries {
			t.Errorf("%d writes of markers while it coordinated, and %d after", tries, stuck.tries-tries)
		}
		w.tell(2)
		synctest.Wait()
		wantState(t, b, "x", txnrecord.CompleteCommit)
		if got := good.sorted(); !slices.Equal(got, []string{"a-0 1/1 commit=true bumps=true by 2"}) {
			t.Errorf("markers of the new coordinator %q", got)
		}
		// And back again, in a third epoch.
		p = begin1(t, b, "x")
		add(t, b, "x", p, "a")
		good.set(func(f *fakeMarkers) { f.fail = stuck.fail })
		if _, err := end(t, b, "x", p, false); err != nil {
			t.Fatal(err)
		}
		stuck.set(func(f *fakeMarkers) { f.fail = nil })
		w.move(0, 1, 0)
		w.tell(2)
		w.tell(1)
		<-time.After(time.Second)
		wantState(t, a, "x", txnrecord.CompleteAbort)
		if got := stuck.sorted(); len(got) != 1 || got[0][len(got[0])-1] != '3' {
			t.Errorf("markers of the third epoch %q", got)
		}
	})
}

func TestEffectsOfALostTenureAreDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		w.move(0, 1, 0)
		var entries []string
		effects := map[Tenure][]any{}
		begun := make(chan context.Context, 10)
		r := NewRuntime(Kind{
			Name: "diary", Topic: "diaries",
			NewMachine: func(int32) machine.Machine { return diary{'a', &entries} },
			Effect: func(ctx context.Context, at Tenure, e any) {
				effects[at] = append(effects[at], e)
				begun <- ctx
			},
		}, Options{Topics: inWorld{w, 1}, Logger: slog.New(slog.DiscardHandler)})
		inBackground(t, r.Run)
		synctest.Wait()
		w.set(func() { w.syncTime = func() time.Duration { return time.Second } })
		done := begin(func() (any, error) {
			return r.AskPartition(t.Context(), 0, write{"a", machine.Decision{Records: []machine.Record{{Key: []byte("a")}}, Effects: []any{"late"}}})
		})
		synctest.Wait()
		// The broker knows that it has lost the partition before it knows that the batch is durable.
		w.set(func() { w.logs[0].owner = 2 })
		w.tell(1)
		synctest.Wait()
		if (<-begun).Err() == nil {
			t.Error("what the tenure began was not told to end")
		}
		if d := <-done; d.err != nil {
			t.Errorf("the decision, whose records are durable: %v", d.err)
		}
		if got := effects[Tenure{0, 1}]; !slices.Equal(got, []any{"a active"}) {
			t.Errorf("effects %v, want only that of the start", got)
		}
	})
}

// Two brokers, a partition that changes hands at random moments, tidings of it that come late and in any order, and clients
// that commit, read and lead transactions through it all.
func TestNothingIsLostWhileOwnershipFlips(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { flip(t, seed) })
		})
	}
}

func flip(t *testing.T, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 7))
	upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	var mu sync.Mutex // of random
	draw := func(d time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return upTo(d)
	}
	w := newWorld(2)
	w.syncTime = func() time.Duration { return draw(20 * time.Millisecond) }
	brokers := map[int]*Groups{1: w.join(t, 1, nil), 2: w.join(t, 2, nil)}
	ctx, stop := context.WithCancel(t.Context())
	var mover, clients sync.WaitGroup
	mover.Go(func() {
		for ctx.Err() == nil {
			p, to, keep := int(draw(2)), 1+int(draw(2)), int(draw(4))
			w.move(p, to, keep)
			var told sync.WaitGroup
			for b := range brokers {
				told.Go(func() {
					<-time.After(draw(30 * time.Millisecond))
					w.tell(b)
				})
			}
			if draw(2) == 0 {
				told.Wait()
			}
			<-time.After(draw(120 * time.Millisecond))
			told.Wait()
		}
	})
	for c := range 4 {
		clients.Go(func() { commitAlong(t, w, brokers, fmt.Sprintf("group-%d", c), draw) })
	}
	clients.Wait()
	stop()
	mover.Wait()
}

// fencedMarkers are partitions as they take markers: none of an older coordinator than they have seen.
type fencedMarkers struct {
	t     *testing.T
	delay func() time.Duration

	mu      sync.Mutex
	newest  int32
	decided map[txn.Producer]bool // whether the marker commits
}

func (f *fencedMarkers) Write(ctx context.Context, _ kafka.TopicPartition, m machine.Marker, _ bool) error {
	select {
	case <-time.After(f.delay()):
	case <-ctx.Done():
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.CoordinatorEpoch < f.newest {
		return kafka.TransactionCoordinatorFenced
	}
	f.newest = m.CoordinatorEpoch
	if before, ok := f.decided[m.Producer]; ok && before != m.Commit {
		f.t.Errorf("transaction %v ended twice, not alike", m.Producer)
	}
	f.decided[m.Producer] = m.Commit
	return nil
}

// Each outcome that a client was told is the one that the partitions get, whoever coordinated meanwhile.
func TestTransactionsEndAsToldWhileOwnershipFlips(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { flipTransactions(t, seed) })
		})
	}
}

func flipTransactions(t *testing.T, seed uint64) {
	t.Helper()
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 11))
	draw := func(d time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(random.Int64N(int64(d)))
	}
	w := newWorld(1)
	w.syncTime = func() time.Duration { return draw(20 * time.Millisecond) }
	markers := &fencedMarkers{t: t, delay: func() time.Duration { return draw(30 * time.Millisecond) }, decided: map[txn.Producer]bool{}}
	brokers, from := map[int]*Transactions{}, &ids{}
	for b := 1; b <= 2; b++ {
		brokers[b] = NewTransactions(TransactionsOptions{
			Options: Options{Topics: inWorld{w, b}, Logger: slog.New(slog.DiscardHandler)}, Markers: markers, NewProducerID: from.next,
			GroupPartition: func(context.Context, string) (int32, error) { return 4, nil },
		})
		inBackground(t, brokers[b].Run)
	}
	ctx, stop := context.WithCancel(t.Context())
	var mover sync.WaitGroup
	mover.Go(func() {
		for ctx.Err() == nil {
			w.move(0, 1+int(draw(2)), int(draw(4)))
			for _, b := range []int{1, 2} {
				<-time.After(draw(20 * time.Millisecond))
				w.tell(b)
			}
			<-time.After(draw(200 * time.Millisecond))
		}
	})
	insist := func(what string, ask func(*Transactions) error) {
		for tries := 0; ; tries++ {
			owner := brokers[max(w.owner(0), 1)]
			err := ask(owner)
			if err == nil {
				return
			}
			if !retriable(err) && !errors.Is(err, kafka.ConcurrentTransactions) || tries == 10_000 {
				t.Errorf("%s: %v", what, err)
				return
			}
			<-time.After(1 + draw(10*time.Millisecond))
		}
	}
	told := map[txn.Producer]bool{}
	var p txn.Producer
	insist("init", func(x *Transactions) (err error) {
		p, err = x.Init(t.Context(), txn.Init{TransactionalID: "x", TimeoutMillis: 600_000})
		return err
	})
	for n := range 25 {
		insist("add", func(x *Transactions) error {
			return x.AddPartitions(t.Context(), txn.AddPartitions{TransactionalID: "x", Producer: p, Bumps: true, Partitions: []kafka.TopicPartition{{Topic: "a"}, {Topic: "b"}}})
		})
		insist("end", func(x *Transactions) error {
			next, err := end(t, x, "x", p, n%3 > 0)
			if err == nil {
				told[txn.Producer{ID: p.ID, Epoch: p.Epoch + 1}] = n%3 > 0
				p = next
			}
			return err
		})
	}
	stop()
	mover.Wait()
	<-time.After(time.Minute)
	markers.mu.Lock()
	defer markers.mu.Unlock()
	for producer, commit := range told {
		if got, ok := markers.decided[producer]; !ok || got != commit {
			t.Errorf("transaction %v: told commit=%t, markers say %t (there: %t)", producer, commit, got, ok)
		}
	}
	if len(told) != 25 {
		t.Errorf("%d transactions ended, want 25", len(told))
	}
}

// commitAlong commits ascending offsets to one group, and checks that each reading is what was acknowledged, or what was
// asked for after that.
func commitAlong(t *testing.T, w *world, brokers map[int]*Groups, id string, draw func(time.Duration) time.Duration) {
	t.Helper()
	at := PartitionOf(id, 2)
	acknowledged, asked := int64(-1), int64(-1)
	for acks := 0; acks < 40; {
		owner := brokers[w.owner(at)]
		if owner == nil || draw(8) == 0 {
			owner = brokers[1+int(draw(2))] // a client that has not heard
		}
		if draw(3) == 0 {
			r, err := owner.Fetch(t.Context(), group.Fetch{Group: id, Topics: []group.FetchTopic{{Topic: "t", Partitions: []int32{0}}}})
			if err == nil {
				if got := r.Topics[0].Partitions[0].Offset; got < acknowledged || got > asked {
					t.Errorf("%s: read %d, but %d was acknowledged and %d asked for", id, got, acknowledged, asked)
				}
			} else if !retriable(err) {
				t.Errorf("%s: read: %v", id, err)
			}
			<-time.After(1 + draw(5*time.Millisecond))
			continue
		}
		asked++
		_, err := owner.Commit(t.Context(), commit(id, asked))
		switch {
		case err == nil:
			acknowledged = asked
			acks++
		case !retriable(err):
			t.Errorf("%s: commit: %v", id, err)
		default:
			<-time.After(1 + draw(10*time.Millisecond))
		}
	}
}

func retriable(err error) bool {
	return errors.Is(err, kafka.NotCoordinator) || errors.Is(err, kafka.CoordinatorLoadInProgress) || errors.Is(err, kafka.CoordinatorNotAvailable)
}
