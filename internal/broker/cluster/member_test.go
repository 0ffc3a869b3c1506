package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/placement"
)

const testShards = 6

// seat is a member and what keeps it going.
type seat struct {
	*Member
	fault  *meta.Fault
	cancel context.CancelFunc
	done   chan error
}

var errCut = errors.New("connection cut")

func join(t *testing.T, store meta.Store, nonce string, id int32, change ...func(*Options)) *seat {
	t.Helper()
	s := &seat{fault: meta.NewFault(store, nil), done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	s.cancel = cancel
	o := Options{
		Meta: s.fault, Nonce: nonce, ID: id, Shards: testShards, Logger: slog.New(slog.DiscardHandler),
		Placement: func() placement.Settings { return placement.Settings{Settle: -1, Cooldown: -1} },
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	s.Member, err = Join(ctx, o)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() { s.done <- s.Run(ctx, func() { close(ready) }) }()
	<-ready
	synctest.Wait() // the first one is the controller before the next one joins
	return s
}

// serve makes the member one that shards are given to.
func (s *seat) serve(t *testing.T, incarnation uint64) {
	t.Helper()
	err := errors.Join(s.Announce(t.Context(), incarnation), s.SetEndpoints(t.Context(), []Endpoint{{Listener: "A", Host: "h", Port: int32(incarnation)}}))
	if err != nil {
		t.Fatal(err)
	}
}

func (s *seat) stop(t *testing.T) {
	t.Helper()
	s.cancel()
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

// assigned counts the shards of each broker.
func (s *seat) assigned() map[int32]int {
	n := map[int32]int{}
	for _, b := range s.Directory().View().Assigned {
		n[b]++
	}
	return n
}

func TestMembersShareTheShards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := meta.NewMem(meta.SystemClock())
		a, b := join(t, store, "a", -1), join(t, store, "b", -1)
		if a.ID() != 1 || b.ID() != 2 {
			t.Fatalf("ids %d and %d", a.ID(), b.ID())
		}
		a.serve(t, 11)
		synctest.Wait()
		if got := b.assigned(); got[1] != testShards {
			t.Errorf("with one broker that serves: %v", got)
		}
		b.serve(t, 12)
		<-time.After(time.Second)
		if got := a.assigned(); got[1] != 3 || got[2] != 3 {
			t.Errorf("with two: %v", got)
		}
		v := b.Directory().View()
		if len(v.Brokers) != 2 || v.Brokers[0].Incarnation != 11 || v.Brokers[1].Endpoints[0].Port != 12 || v.Controller != 1 || !v.Alive(12) || v.Alive(13) {
			t.Errorf("view %+v", v)
		}
		// A dies without a word; b becomes the controller and gets everything.
		a.fault.Inject(func(meta.FaultOp) error { return errCut })
		<-time.After(6 * time.Second)
		if a.Alone() < a.Lease() {
			t.Errorf("a was cut off %v ago and says so for %v", 6*time.Second, a.Alone())
		}
		if v := b.Directory().View(); v.Controller != 2 || len(v.Brokers) != 1 {
			t.Errorf("view without a: %+v", v)
		}
		if got := b.assigned(); got[2] != testShards {
			t.Errorf("without a: %v", got)
		}
		// It comes back under its id, with its incarnation, and is sure of what it has only when it has heard of what happened meanwhile.
		a.fault.Inject(nil)
		for back := false; !back; _, back = b.Directory().View().Broker(1) {
			<-time.After(10 * time.Millisecond)
		}
		if a.Alone() < a.Lease() {
			t.Errorf("a is back this moment and counts its lease as renewed %v ago", a.Alone())
		}
		<-time.After(5 * time.Second)
		if a.Alone() >= a.Lease() {
			t.Errorf("a is back for 5s and says that it is alone for %v", a.Alone())
		}
		if v := b.Directory().View(); len(v.Brokers) != 2 || v.Brokers[0].Incarnation != 11 {
			t.Errorf("view with a again: %+v", v)
		}
		if got := b.assigned(); got[1] != 3 {
			t.Errorf("with a again: %v", got)
		}
		a.stop(t)
		b.stop(t)
		if left, err := store.Range(t.Context(), brokerPrefix, "", 0); err != nil || len(left) != 0 {
			t.Errorf("brokers left behind: %v, %v", left, err)
		}
	})
}

func TestIDBelongsToOneProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := meta.NewMem(meta.SystemClock())
		a := join(t, store, "a", 4)
		if _, err := Join(t.Context(), Options{Meta: store, Nonce: "b", ID: 4, Shards: testShards, Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, ErrTaken) {
			t.Errorf("a second broker 4: %v", err)
		}
		a.fault.Inject(func(meta.FaultOp) error { return errCut })
		b := join(t, store, "b", 4) // waits for the lease of a
		a.fault.Inject(nil)
		if err := <-a.done; !errors.Is(err, ErrTaken) {
			t.Errorf("the broker whose id was taken ended with %v", err)
		}
		b.stop(t)
	})
}

func TestDrainWaitsUntilOthersServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := meta.NewMem(meta.SystemClock())
		a, b := join(t, store, "a", -1), join(t, store, "b", -1)
		a.serve(t, 11)
		synctest.Wait()
		point := func(shard int32, p ownership.Pointer) {
			if _, err := store.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: ownership.ShardKey(shard), Value: p.Encode()}}); err != nil {
				t.Fatal(err)
			}
		}
		none := ownership.None()
		mine := none.Take(11, 0, 0)
		for id := range int32(testShards) {
			point(id, mine)
		}
		synctest.Wait()
		if err := a.Drain(t.Context()); err != nil { // nobody else serves
			t.Fatal(err)
		}
		b.serve(t, 12)
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- a.Drain(t.Context()) }()
		synctest.Wait()
		if got := b.assigned(); got[2] != testShards {
			t.Errorf("a drains: %v", got)
		}
		select {
		case err := <-drained:
			t.Errorf("drained while it owns shards: %v", err)
		default:
		}
		for id := range int32(testShards) {
			point(id, mine.Release(5))
		}
		synctest.Wait()
		select {
		case err := <-drained:
			t.Errorf("drained while nobody serves its shards: %v", err)
		default:
		}
		for id := range int32(testShards) {
			released := mine.Release(5)
			point(id, released.Take(12, 0, 0))
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
		a.stop(t)
		b.stop(t)
	})
}

func TestOnlyTheControllerAssigns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := meta.NewMem(meta.SystemClock())
		var seats []*seat
		for i := range 4 {
			s := join(t, store, fmt.Sprint(i), -1)
			s.serve(t, uint64(20+i))
			seats = append(seats, s)
		}
		<-time.After(10 * time.Second)
		if n := len(slices.DeleteFunc(slices.Clone(seats), func(s *seat) bool { return s.Decision() == nil })); n != 1 {
			t.Errorf("%d brokers decided", n)
		}
		for _, s := range seats {
			s.stop(t)
		}
	})
}

func TestWhoLeavesIsSentToByNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := meta.NewMem(meta.SystemClock())
		a, b := join(t, store, "a", -1), join(t, store, "b", -1)
		a.serve(t, 11)
		b.serve(t, 12)
		synctest.Wait()
		if err := errors.Join(a.Drain(t.Context()), a.Leave(t.Context())); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, s := range []*seat{a, b} {
			left, ok := s.Directory().View().Broker(1)
			if !ok || !left.Leaves() || left.Incarnation != 11 {
				t.Errorf("broker %d: %+v, %v", s.ID(), left, ok)
			}
			if other, _ := s.Directory().View().Broker(2); other.Leaves() {
				t.Errorf("broker %d: %+v leaves", s.ID(), other)
			}
		}
		a.stop(t)
		b.stop(t)
	})
}

// What a shard causes is known while it has no owner, and while its new owner has not told: else it would be taken for idle, and its broker for one that
// has room for more.
func TestLoadFollowsItsShard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := meta.NewMem(meta.SystemClock())
		give := func(p ownership.Pointer) {
			if _, err := store.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: ownership.ShardKey(2), Value: p.Encode()}}); err != nil {
				t.Fatal(err)
			}
		}
		busy := placement.Load{BytesInPerSecond: 1000, Partitions: 3}
		var had atomic.Bool
		had.Store(true)
		a := join(t, store, "a", -1, func(o *Options) {
			o.Loads = func() map[int32]placement.Load {
				if had.Load() {
					return map[int32]placement.Load{2: busy}
				}
				return nil
			}
		})
		b := join(t, store, "b", -1)
		a.serve(t, 11)
		b.serve(t, 12)
		wants := func(when string, want placement.Load) {
			t.Helper()
			<-time.After(2 * reportInterval)
			for _, m := range []*seat{a, b} {
				if got := m.Load(2); got != want {
					t.Errorf("%s: broker %d knows %+v, want %+v", when, m.ID(), got, want)
				}
			}
		}
		owned := ownership.None()
		owned = owned.Take(11, 0, 0)
		give(owned)
		wants("while a has it", busy)
		had.Store(false)
		give(owned.Release(0))
		wants("on its way", busy)
		give(owned.Take(12, 0, 0))
		wants("before b has told", busy)
		a.stop(t)
		b.stop(t)
	})
}
