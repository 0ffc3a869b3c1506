package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
)

func TestExpelledBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := meta.NewMem(meta.SystemClock())
		a, b := join(t, store, "a", -1), join(t, store, "b", -1)
		a.serve(t, 11)
		b.serve(t, 12)
		<-time.After(time.Second)
		if done, err := b.Expel(t.Context(), 1, "another"); done || err != nil {
			t.Fatalf("another process: %v, %v", done, err)
		}
		if done, err := b.Expel(t.Context(), 3, "c"); done || err != nil {
			t.Fatalf("a broker that is not there: %v, %v", done, err)
		}
		if v := b.Directory().View(); len(v.Brokers) != 2 || v.Controller != 1 {
			t.Fatalf("view before: %+v", v)
		}
		if done, err := b.Expel(t.Context(), 1, "a"); !done || err != nil {
			t.Fatalf("%v, %v", done, err)
		}
		synctest.Wait()
		if v := b.Directory().View(); len(v.Brokers) != 1 || v.Controller != 2 {
			t.Errorf("view without a: %+v", v)
		}
		if got := b.assigned(); got[2] != testShards {
			t.Errorf("without a: %v", got)
		}
		// a lives all the same: it knows that others do not believe so, and comes back as it was.
		if a.Named() || !b.Named() {
			t.Errorf("a named %v, b %v", a.Named(), b.Named())
		}
		<-time.After(3 * time.Second)
		if v := b.Directory().View(); len(v.Brokers) != 2 || v.Brokers[0].Incarnation != 11 || !a.Named() {
			t.Errorf("view with a again: %+v", v)
		}
		if got := b.assigned(); got[1] != 3 {
			t.Errorf("with a again: %v", got)
		}
		a.stop(t)
		b.stop(t)
	})
}

// The process after one that was killed has its id without waiting for the lease, and is not taken for the one before.
func TestNextProcessOfAnExpelledBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := meta.NewMem(meta.SystemClock())
		a, b := join(t, store, "a", -1), join(t, store, "b", -1)
		a.serve(t, 11)
		b.serve(t, 12)
		a.fault.Inject(func(meta.FaultOp) error { return errCut })
		if done, err := b.Expel(t.Context(), 1, "a"); !done || err != nil {
			t.Fatalf("%v, %v", done, err)
		}
		began := time.Now()
		next := join(t, store, "c", 1)
		if took := time.Since(began); took > time.Second {
			t.Errorf("the id was free after %v", took)
		}
		next.serve(t, 13)
		if done, err := b.Expel(t.Context(), 1, "a"); done || err != nil {
			t.Fatalf("the process before: %v, %v", done, err)
		}
		<-time.After(10 * time.Second) // the lease of the one before ends
		if v := b.Directory().View(); len(v.Brokers) != 2 || v.Brokers[0].Process != "c" {
			t.Errorf("view: %+v", v)
		}
		a.cancel()
		<-a.done
		next.stop(t)
		b.stop(t)
	})
}
