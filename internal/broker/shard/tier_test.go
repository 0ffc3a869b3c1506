package shard

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weir-stream/weir/internal/base/blob"
)

var errStorm = errors.New("status 503 SlowDown")

// storm is an object store on a network that can be cut.
func storm() (*blob.Fault, func(blob.Store) blob.Store) {
	f := blob.NewFault(blob.NewMem(), nil)
	return f, func(blob.Store) blob.Store { return blob.NewRemote(f) }
}

func away(f *blob.Fault) { f.Inject(func(blob.Op) error { return errStorm }) }

// While the object store is away the local disk takes what is written, up to its bound; then producers are told to try again. When
// the store is back everything goes on by itself, and nothing was lost or taken for damaged.
func TestObjectStoreAwayIsWaitedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t)
		w.topics[topicA], w.topics[topicB] = 1, 1
		store, seam := storm()
		n, err := w.start(ctx, simSeams{blobs: seam}, func(o *Options) {
			o.Remote, o.WALFileBytes, o.WALKeepBytes, o.WALMaxBytes = true, 256<<10, 512<<10, 4<<20
			o.CheckpointInterval = 10 * time.Second
		})
		if err != nil {
			t.Fatal(err)
		}
		away(store)
		// Half a MiB has to be cut, and cannot: the log goes on to take it.
		filled := fill(t, n, topicA)
		if min := 2 << 20 / 20_000; filled < min {
			t.Errorf("%d batches were taken while the object store was away, want %d at least", filled, min)
		}
		for range 10 {
			<-time.After(30 * time.Second)
			if got := fill(t, n, topicA); got != 0 {
				t.Fatalf("%d batches found room that nothing had made", got)
			}
		}
		if bytes, _ := n.Pending(); bytes < int64(filled)*20_000 {
			t.Errorf("%d bytes are pending of %d batches", bytes, filled)
		}
		l, err := n.Log(topicA, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(ctx, l, 0, 1<<20); err != nil {
			t.Errorf("read from the local disk: %v", err)
		}
		store.Inject(nil)
		<-time.After(time.Minute)
		if got := fill(t, n, topicB); got < filled/3 {
			t.Errorf("%d batches found room after the store came back, before it went away %d", got, filled)
		}
		if got, err := readAll(ctx, l, 0, 1<<20); err != nil || len(got) == 0 {
			t.Errorf("read %d after the store came back: %v", len(got), err)
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// An object store that does not answer is not damage: reads, merges and cleanings of what it holds fail now and work later.
func TestObjectStoreAwayIsNoDamage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t)
		w.topics[topicA] = 1
		store, seam := storm()
		n, err := w.start(ctx, simSeams{blobs: seam}, func(o *Options) { o.Remote, o.OpenObjects = true, 1 })
		if err != nil {
			t.Fatal(err)
		}
		l, err := n.Log(topicA, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range mergeObjects - 1 {
			if err := n.Admit(ctx, 20_000); err != nil {
				t.Fatal(err)
			}
			a, err := l.Append(testBatch("x", 20_000))
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Ticket.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			if err := n.do(ctx, n.cutAll); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.Admit(ctx, 20_000); err != nil {
			t.Fatal(err)
		}
		a, err := l.Append(testBatch("x", 20_000))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Ticket.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		// What merges read does not answer, what cuts write does: a merge is due all the time.
		store.Inject(func(op blob.Op) error {
			if op.Kind == blob.OpOpen || op.Kind == blob.OpRead {
				return errStorm
			}
			return nil
		})
		if err := n.do(ctx, n.cutAll); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if _, err := readAll(ctx, l, 0, 1<<20); !errors.Is(err, blob.ErrAway) {
			t.Errorf("read of a store that is away: %v, want %v", err, blob.ErrAway)
		}
		if err := n.do(ctx, func(ctx context.Context) error { return n.mergeIfDue(ctx) }); !errors.Is(err, blob.ErrAway) {
			t.Errorf("merge with a store that is away: %v, want %v", err, blob.ErrAway)
		}
		store.Inject(nil)
		<-time.After(time.Minute)
		if got := testutil.ToFloat64(n.metrics.corrupt); got != 0 {
			t.Errorf("%v stretches were taken for damaged", got)
		}
		if _, err := readAll(ctx, l, 0, 1<<20); err != nil {
			t.Errorf("read when the store is back: %v", err)
		}
		for _, sh := range n.owned() {
			if len(sh.damaged) > 0 || len(sh.objects) >= mergeObjects {
				t.Errorf("shard %d has %d objects, %d of them left out of merges", sh.id, len(sh.objects), len(sh.damaged))
			}
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// What is written is in the object store after UploadMaxAge, however little it is, and Pending says how much is not.
func TestUploadsAreBoundedByAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t)
		w.topics[topicA] = 1
		store, seam := storm()
		n, err := w.start(ctx, simSeams{blobs: seam}, func(o *Options) { o.Remote, o.UploadMaxAge = true, time.Minute })
		if err != nil {
			t.Fatal(err)
		}
		l, err := n.Log(topicA, 0)
		if err != nil {
			t.Fatal(err)
		}
		write := func() {
			a, err := l.Append(testBatch("x", 1000))
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Ticket.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(what string, batches int64, least, most time.Duration) {
			bytes, age := n.Pending()
			if bytes < batches*1000 || bytes > batches*1200 || age < least || age > most {
				t.Errorf("%s: %d bytes of age %v are pending, want %d batches of age [%v, %v]", what, bytes, age, batches, least, most)
			}
		}
		<-time.After(time.Hour)
		write()
		write() // right behind the other
		<-time.After(30 * time.Second)
		write()
		expect("before the bound", 3, 29*time.Second, 31*time.Second)
		<-time.After(32 * time.Second)
		expect("after the bound", 0, 0, 0)
		<-time.After(time.Hour)
		write()
		<-time.After(40 * time.Second)
		expect("after an idle hour", 1, 39*time.Second, 41*time.Second)
		away(store)
		<-time.After(10 * time.Minute)
		expect("while the store is away", 1, 10*time.Minute, 11*time.Minute)
		store.Inject(nil)
		<-time.After(time.Minute)
		expect("when it is back", 0, 0, 0)
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A log that may take less than it is to keep is cut before it is full: an object store that works has producers wait for nothing.
func TestLogWithLittleRoomIsCutBeforeItIsFull(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]int64{"its most bytes": 4 << 20, "the disk": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.topics[topicA] = 1
				_, seam := storm()
				n, err := w.start(t.Context(), simSeams{blobs: seam}, func(o *Options) {
					o.Remote, o.WALFileBytes, o.WALKeepBytes, o.WALMaxBytes = true, 256<<10, 1<<30, keep
				})
				if err != nil {
					t.Fatal(err)
				}
				if keep == 0 {
					w.disk.SetFreeBytes(4 << 20)
				}
				filled := fill(t, n, topicA)
				for range 5 { // each time as much as the log can take
					<-time.After(time.Minute)
					if got := fill(t, n, topicA); got < filled/4 {
						t.Fatalf("%d batches found room after a minute with an object store that works, the log took %d at first", got, filled)
					}
				}
				if text := n.Waits(); text != "" {
					t.Errorf("maintenance waits: %s", text)
				}
				if err := n.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
