package cluster

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/placement"
)

// wall is a clock that can be set, as that of a machine can.
type wall struct{ ahead atomic.Int64 }

func (w *wall) set(ahead time.Duration) { w.ahead.Store(int64(ahead)) }
func (w *wall) now() time.Time          { return time.Now().Add(time.Duration(w.ahead.Load())).Round(0) }

// A broker that was cut off must know so whatever becomes of its clock, or it answers for shards that others have.
func TestClockThatIsSetBackDoesNotHideThatALeaseHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, clock := meta.NewMem(meta.SystemClock()), &wall{}
		a := join(t, store, "a", -1, func(o *Options) { o.Now = clock.now })
		a.fault.Inject(func(meta.FaultOp) error { return errCut })
		<-time.After(time.Second)
		clock.set(-10 * time.Minute)
		<-time.After(5 * time.Second)
		if got := a.Alone(); got < a.Lease() {
			t.Errorf("cut off for 6s, and its clock set back by 10m: says that it is alone for %v", got)
		}
		a.fault.Inject(nil)
		<-time.After(5 * time.Second)
		if got := a.Alone(); got < 0 || got >= a.Lease() {
			t.Errorf("in touch again: alone for %v", got)
		}
		// Forward, it may be unsure for as long as it has not renewed its lease.
		clock.set(10 * time.Minute)
		<-time.After(2 * time.Second)
		if got := a.Alone(); got >= a.Lease() {
			t.Errorf("in touch, and its clock set forward by 20m a while ago: alone for %v", got)
		}
		a.stop(t)
	})
}

// The controller compares when brokers came with its own clock. One that is ahead must not wait for its shards until that time has come.
func TestBrokerWhoseClockIsAheadIsBalancedLikeOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, clock := meta.NewMem(meta.SystemClock()), &wall{}
		settle := func(o *Options) {
			o.Placement = func() placement.Settings { return placement.Settings{Settle: 10 * time.Second, Cooldown: -1} }
		}
		a := join(t, store, "a", -1, settle)
		a.serve(t, 11)
		<-time.After(time.Minute)
		clock.set(time.Hour)
		b := join(t, store, "b", -1, settle, func(o *Options) { o.Now = clock.now })
		b.serve(t, 12)
		<-time.After(5 * time.Second)
		if got := a.assigned(); got[1] != testShards {
			t.Errorf("before the newcomer has settled: %v", got)
		}
		<-time.After(time.Minute)
		if got := a.assigned(); got[1] != 3 || got[2] != 3 {
			t.Errorf("a minute later: %v", got)
		}
		a.stop(t)
		b.stop(t)
	})
}

// The id of a broker whose clock is off is taken like any other's: leases are counted by the metadata store.
func TestIDIsTakenWhateverTheClockSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, clock := meta.NewMem(meta.SystemClock()), &wall{}
		clock.set(-time.Hour)
		a := join(t, store, "a", 4, func(o *Options) { o.Now = clock.now })
		clock.set(time.Hour)
		<-time.After(10 * time.Second)
		if _, err := Join(t.Context(), Options{Meta: store, Nonce: "b", ID: 4, Shards: testShards, Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, ErrTaken) {
			t.Errorf("a second broker 4: %v", err)
		}
		a.stop(t)
	})
}
