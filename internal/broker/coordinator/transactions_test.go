package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/txn"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

// fakeMarkers writes down the markers it is asked for, and fails or waits as it is told to.
type fakeMarkers struct {
	mu      sync.Mutex
	written []string
	tries   int
	fail    func(tp kafka.TopicPartition, try int) error
	// held, if not nil, makes writes wait until it is closed, whatever their context says.
	held chan struct{}
}

func (f *fakeMarkers) Write(_ context.Context, tp kafka.TopicPartition, m machine.Marker, bumps bool) error {
	f.mu.Lock()
	f.tries++
	held, fail, try := f.held, f.fail, f.tries
	f.mu.Unlock()
	if held != nil {
		<-held
	}
	if fail != nil {
		if err := fail(tp, try); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written = append(f.written, fmt.Sprintf("%s %d/%d commit=%t bumps=%t by %d", tp, m.ID, m.Epoch, m.Commit, bumps, m.CoordinatorEpoch))
	return nil
}

func (f *fakeMarkers) set(change func(*fakeMarkers)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeMarkers) sorted() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(slices.Values(f.written))
}

// ids gives out producer ids, also to coordinators that come after a restart.
type ids struct {
	mu   sync.Mutex
	last int64
}

func (i *ids) next(context.Context) (int64, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last++
	return i.last, nil
}

// startTransactions runs a coordinator over topics until the test ends or stop is called, which waits.
func startTransactions(t *testing.T, topics *memTopics, markers Markers, from *ids, change ...func(*TransactionsOptions)) (x *Transactions, stop func()) {
	t.Helper()
	o := TransactionsOptions{
		Options: Options{Topics: topics, Logger: slog.New(slog.DiscardHandler)}, Markers: markers, NewProducerID: from.next,
		GroupPartition: func(context.Context, string) (int32, error) { return 4, nil },
	}
	for _, c := range change {
		c(&o)
	}
	x = NewTransactions(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx, func() {}) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	synctest.Wait()
	if err := x.Coordinator(ctx); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return x, stop
}

func begin1(t *testing.T, x *Transactions, id string) txn.Producer {
	t.Helper()
	p, err := x.Init(t.Context(), txn.Init{TransactionalID: id, TimeoutMillis: 60_000})
	if err != nil {
		t.Fatalf("Init: %v", err)
	}
	return p
}

func add(t *testing.T, x *Transactions, id string, p txn.Producer, topics ...string) {
	t.Helper()
	e := txn.AddPartitions{TransactionalID: id, Producer: p, Bumps: true}
	for _, topic := range topics {
		e.Partitions = append(e.Partitions, kafka.TopicPartition{Topic: topic})
	}
	if err := x.AddPartitions(t.Context(), e); err != nil {
		t.Fatalf("AddPartitions: %v", err)
	}
}

func end(t *testing.T, x *Transactions, id string, p txn.Producer, commit bool) (txn.Producer, error) {
	t.Helper()
	return x.End(t.Context(), txn.End{TransactionalID: id, Producer: p, Commit: commit, Bumps: true})
}

func wantState(t *testing.T, x *Transactions, id string, want txnrecord.State) {
	t.Helper()
	synctest.Wait()
	got, err := x.Describe(t.Context(), id)
	if err != nil || got.State != want {
		t.Fatalf("state of %s: %+v, %v, want %s", id, got, err, want)
	}
}

func TestATransactionEndsWithAMarkerInEachPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		markers := &fakeMarkers{}
		x, _ := startTransactions(t, newMemTopics(3), markers, &ids{})
		p := begin1(t, x, "x")
		add(t, x, "x", p, "a", "b")
		if err := x.AddGroup(t.Context(), "x", p, "g"); err != nil {
			t.Fatal(err)
		}
		if err := x.VerifyGroup(t.Context(), "x", p, "g"); err != nil {
			t.Errorf("VerifyGroup: %v", err)
		}
		next, err := end(t, x, "x", p, true)
		if err != nil || next != (txn.Producer{ID: p.ID, Epoch: 1}) {
			t.Fatalf("End: %+v, %v", next, err)
		}
		wantState(t, x, "x", txnrecord.CompleteCommit)
		want := []string{"__consumer_offsets-4 1/1 commit=true bumps=true by 9", "a-0 1/1 commit=true bumps=true by 9", "b-0 1/1 commit=true bumps=true by 9"}
		if got := markers.sorted(); !slices.Equal(got, want) {
			t.Errorf("markers %q, want %q", got, want)
		}
		if err := x.VerifyGroup(t.Context(), "x", next, "g"); !errors.Is(err, kafka.TransactionAbortable) {
			t.Errorf("VerifyGroup after the end: %v", err)
		}
		listed, err := x.List(t.Context())
		if err != nil || len(listed) != 1 || listed[0].TransactionalID != "x" {
			t.Errorf("List: %+v, %v", listed, err)
		}
		if _, err := x.Describe(t.Context(), "nobody"); !errors.Is(err, kafka.TransactionalIDNotFound) {
			t.Errorf("Describe of nobody: %v", err)
		}
	})
}

// KIP-890: from the outcome to the marker nothing joins.
func TestNothingJoinsATransactionWhoseMarkersAreBeingWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		markers := &fakeMarkers{held: make(chan struct{})}
		x, _ := startTransactions(t, newMemTopics(1), markers, &ids{})
		p := begin1(t, x, "x")
		add(t, x, "x", p, "a")
		next, err := end(t, x, "x", p, true)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !x.Ending(p.ID) {
			t.Error("the producer's batches would be taken")
		}
		for _, q := range []txn.Producer{p, next} {
			if err := x.AddPartitions(t.Context(), txn.AddPartitions{TransactionalID: "x", Producer: q, Partitions: []kafka.TopicPartition{{Topic: "b"}}}); !errors.Is(err, kafka.ConcurrentTransactions) {
				t.Errorf("AddPartitions of %+v: %v", q, err)
			}
		}
		close(markers.held)
		wantState(t, x, "x", txnrecord.CompleteCommit)
		if x.Ending(p.ID) {
			t.Error("the producer of an ended transaction is still ending")
		}
	})
}

func TestMarkersAreTriedUntilTheyAreWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		markers := &fakeMarkers{fail: func(tp kafka.TopicPartition, try int) error {
			switch {
			case tp.Topic == "gone":
				return kafka.UnknownTopicOrPartition
			case tp.Topic == "newer":
				return kafka.Errorf(kafka.InvalidProducerEpoch, "seen")
			case try < 40:
				return kafka.NotLeaderOrFollower
			}
			return nil
		}}
		x, _ := startTransactions(t, newMemTopics(1), markers, &ids{})
		p := begin1(t, x, "x")
		add(t, x, "x", p, "a", "gone", "newer")
		if _, err := end(t, x, "x", p, false); err != nil {
			t.Fatal(err)
		}
		wantState(t, x, "x", txnrecord.PrepareAbort)
		<-time.After(time.Minute)
		wantState(t, x, "x", txnrecord.CompleteAbort)
		if got := markers.sorted(); !slices.Equal(got, []string{"a-0 1/1 commit=false bumps=true by 9"}) {
			t.Errorf("markers %q", got)
		}
	})
}

// A coordinator whose broker does not reach the metadata store answers nobody, not even who writes its markers.
func TestACoordinatorHearsOfItsMarkersOnceItMayAnswerAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		markers, alone := &fakeMarkers{held: make(chan struct{})}, atomic.Bool{}
		x, _ := startTransactions(t, newMemTopics(1), markers, &ids{}, func(o *TransactionsOptions) { o.Confident = func() bool { return !alone.Load() } })
		p := begin1(t, x, "x")
		add(t, x, "x", p, "a")
		if _, err := end(t, x, "x", p, true); err != nil {
			t.Fatal(err)
		}
		alone.Store(true)
		close(markers.held)
		<-time.After(time.Minute)
		alone.Store(false)
		<-time.After(2 * lastMarkerPause)
		wantState(t, x, "x", txnrecord.CompleteCommit)
	})
}

// Redpanda #6018 and #17827: what was answered is known after a restart, whenever that happens, and what was prepared is
// finished.
func TestARestartAtAnyStepLosesNothing(t *testing.T) {
	t.Parallel()
	steps := []string{"init", "add", "group", "end", "held"}
	for i, step := range steps {
		t.Run("after "+step, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				topics, from := newMemTopics(2), &ids{}
				markers := &fakeMarkers{}
				x, stop := startTransactions(t, topics, markers, from)
				var p, next txn.Producer
				for j, s := range steps {
					switch s {
					case "init":
						p = begin1(t, x, "x")
					case "add":
						add(t, x, "x", p, "a")
					case "group":
						if err := x.AddGroup(t.Context(), "x", p, "g"); err != nil {
							t.Fatal(err)
						}
					case "end":
						if i == j {
							// The process dies with the markers not written.
							markers.set(func(f *fakeMarkers) {
								f.fail = func(kafka.TopicPartition, int) error { return kafka.NotLeaderOrFollower }
							})
						}
						var err error
						if next, err = end(t, x, "x", p, true); err != nil {
							t.Fatal(err)
						}
						synctest.Wait()
					}
					if i == j {
						stop()
						markers.set(func(f *fakeMarkers) { f.fail = nil })
						x, stop = startTransactions(t, topics, markers, from)
					}
				}
				<-time.After(5 * time.Second)
				wantState(t, x, "x", txnrecord.CompleteCommit)
				again, err := end(t, x, "x", p, true)
				if err != nil || again != next {
					t.Errorf("EndTxn again: %+v, %v, want %+v", again, err, next)
				}
				got := slices.Compact(markers.sorted())
				want := []string{"__consumer_offsets-4 1/1 commit=true bumps=true by 9", "a-0 1/1 commit=true bumps=true by 9"}
				if !slices.Equal(got, want) {
					t.Errorf("markers %q, want %q", got, want)
				}
				add(t, x, "x", next, "b")
			})
		})
	}
}

// A marker that is on its way when the machine is loaded again must not end the next transaction.
func TestNoMarkerComesAfterItsTransaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		markers := &fakeMarkers{held: make(chan struct{})}
		x, _ := startTransactions(t, topics, markers, &ids{})
		p := begin1(t, x, "x")
		add(t, x, "x", p, "a")
		next, err := end(t, x, "x", p, true)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		// The disk fails for another id of the partition; the machine's next life asks for the same markers again.
		topics.log(0).set(func(l *memLog) { l.refuse = true })
		if _, err := x.Init(t.Context(), txn.Init{TransactionalID: "y", TimeoutMillis: 1000}); !errors.Is(err, kafka.CoordinatorNotAvailable) {
			t.Fatalf("Init with a broken disk: %v", err)
		}
		topics.log(0).set(func(l *memLog) { l.refuse = false })
		<-time.After(time.Second)
		wantState(t, x, "x", txnrecord.PrepareCommit)
		if markers.tries != 1 {
			t.Errorf("%d writes of the one marker at the same time", markers.tries)
		}
		close(markers.held)
		markers.set(func(f *fakeMarkers) { f.held = nil })
		wantState(t, x, "x", txnrecord.CompleteCommit)
		written := len(markers.sorted())
		add(t, x, "x", next, "a")
		<-time.After(time.Minute / 2)
		if n := len(markers.sorted()); n != written {
			t.Errorf("%d markers came after the next transaction had begun", n-written)
		}
		wantState(t, x, "x", txnrecord.Ongoing)
	})
}

// The machine is loaded again just when the markers are written: it asks again, and nobody forgets.
func TestMarkersOfALostLifeAreWrittenAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		markers := &fakeMarkers{held: make(chan struct{})}
		x, _ := startTransactions(t, topics, markers, &ids{})
		p := begin1(t, x, "x")
		add(t, x, "x", p, "a")
		if _, err := end(t, x, "x", p, true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		// The record that says that the markers are written is what breaks the disk.
		topics.log(0).set(func(l *memLog) { l.refuse = true })
		close(markers.held)
		markers.set(func(f *fakeMarkers) { f.held = nil })
		synctest.Wait()
		topics.log(0).set(func(l *memLog) { l.refuse = false })
		<-time.After(time.Second)
		wantState(t, x, "x", txnrecord.CompleteCommit)
	})
}

// Redpanda #3232: many transactions of one id, with a slow log and slow markers, end one after the other, each with its own marker.
func TestTransactionsOfOneIDFollowEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		markers := &fakeMarkers{}
		x, _ := startTransactions(t, newMemTopics(1), markers, &ids{})
		p := begin1(t, x, "x")
		for i := range 200 {
			for {
				err := x.AddPartitions(t.Context(), txn.AddPartitions{TransactionalID: "x", Producer: p, Partitions: []kafka.TopicPartition{{Topic: "a"}}})
				if err == nil {
					break
				}
				if !errors.Is(err, kafka.ConcurrentTransactions) {
					t.Fatal(err)
				}
				<-time.After(time.Millisecond)
			}
			// Clients without KIP-890, whose transactions are all alike.
			if _, err := x.End(t.Context(), txn.End{TransactionalID: "x", Producer: p, Commit: i%2 == 0}); err != nil {
				t.Fatal(err)
			}
		}
		wantState(t, x, "x", txnrecord.CompleteAbort)
		if n := len(markers.sorted()); n != 200 {
			t.Errorf("%d markers for 200 transactions", n)
		}
	})
}

// A transaction that nobody ends is aborted in time, and its producer fenced: the commit that races it too (KAFKA-20785).
func TestATimeOutFencesTheCommitThatRacesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		markers := &fakeMarkers{}
		x, _ := startTransactions(t, newMemTopics(1), markers, &ids{})
		p := begin1(t, x, "x")
		add(t, x, "x", p, "a")
		<-time.After(time.Minute)
		if _, err := end(t, x, "x", p, true); !errors.Is(err, kafka.ProducerFenced) && !errors.Is(err, kafka.ConcurrentTransactions) {
			t.Errorf("the commit: %v", err)
		}
		wantState(t, x, "x", txnrecord.CompleteAbort)
		if _, err := end(t, x, "x", p, true); !errors.Is(err, kafka.ProducerFenced) {
			t.Errorf("the commit afterwards: %v", err)
		}
		if got := markers.sorted(); !slices.Equal(got, []string{"a-0 1/1 commit=false bumps=true by 9"}) {
			t.Errorf("markers %q", got)
		}
	})
}

// A client of before KIP-890 that gave up on its EndTxn asks again by another connection, and may have begun its next transaction when the
// first one comes to be handled: that must not end it (KAFKA-17754). The epoch of a client that bumps tells the two apart, so its
// last word is taken.
func TestAnEndWhoseClientHasGoneIsNotCarriedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x, _ := startTransactions(t, newMemTopics(1), &fakeMarkers{}, &ids{})
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for _, c := range []struct {
			name          string
			bumps, commit bool
			want          txnrecord.State
		}{
			{"a late commit", false, true, txnrecord.Ongoing},
			{"a late abort", false, false, txnrecord.Ongoing},
			{"the last word of a client that bumps", true, true, txnrecord.CompleteCommit},
		} {
			const n = 20 // what is taken by chance would hardly be refused every time
			for i := range n {
				id := fmt.Sprint(c.name, i)
				p := begin1(t, x, id)
				e := txn.AddPartitions{TransactionalID: id, Producer: p, Partitions: []kafka.TopicPartition{{Topic: "a"}}, Bumps: c.bumps}
				if err := x.AddPartitions(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				late := txn.End{TransactionalID: id, Producer: p, Commit: c.commit, Bumps: c.bumps}
				if _, err := x.End(gone, late); err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", c.name, err)
				}
				wantState(t, x, id, c.want)
				if !c.bumps {
					if _, err := x.End(t.Context(), late); err != nil {
						t.Errorf("%s, asked again: %v", c.name, err)
					}
					wantState(t, x, id, map[bool]txnrecord.State{true: txnrecord.CompleteCommit, false: txnrecord.CompleteAbort}[c.commit])
				}
			}
		}
	})
}

func TestProducerIDsRunOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x, _ := startTransactions(t, newMemTopics(1), &fakeMarkers{}, &ids{})
		x.newID = func(context.Context) (int64, error) { return 0, errDisk }
		if _, err := x.Init(t.Context(), txn.Init{TransactionalID: "x", TimeoutMillis: 1000}); !errors.Is(err, kafka.CoordinatorLoadInProgress) {
			t.Errorf("Init without ids: %v", err)
		}
		if _, err := x.Describe(t.Context(), "x"); !errors.Is(err, kafka.TransactionalIDNotFound) {
			t.Errorf("the id is there: %v", err)
		}
	})
}
