package meta_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/meta/metatest"
)

// closeLater closes s at the end of a test, unless the test has.
func closeLater(t interface {
	Cleanup(f func())
	Errorf(format string, args ...any)
}, s meta.Store,
) {
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, meta.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
}

func openPebble(t *testing.T, dir string, o meta.PebbleOptions) *meta.Pebble {
	t.Helper()
	s, err := meta.OpenPebble(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, s)
	return s
}

func put(key, value string) meta.Op {
	return meta.Op{Kind: meta.Put, Key: key, Value: []byte(value)}
}

func TestMemConforms(t *testing.T) {
	t.Parallel()
	metatest.Run(t, func(t *testing.T) metatest.Subject {
		clock := &metatest.Clock{}
		s := meta.NewMem(clock)
		closeLater(t, s)
		return metatest.Subject{Store: s, Advance: clock.Advance}
	})
}

func TestFaultWithoutFaultsConforms(t *testing.T) {
	t.Parallel()
	metatest.Run(t, func(t *testing.T) metatest.Subject {
		clock := &metatest.Clock{}
		s := meta.NewFault(meta.NewMem(clock), nil)
		closeLater(t, s)
		return metatest.Subject{Store: s, Advance: clock.Advance}
	})
}

func TestPebbleOnDiskConforms(t *testing.T) {
	t.Parallel()
	metatest.Run(t, func(t *testing.T) metatest.Subject {
		clock := &metatest.Clock{}
		s := openPebble(t, t.TempDir(), meta.PebbleOptions{Clock: clock})
		return metatest.Subject{Store: s, Advance: clock.Advance}
	})
}

func TestForgottenPastIsRefused(t *testing.T) {
	t.Parallel()
	t.Run("Mem", func(t *testing.T) {
		t.Parallel()
		s := meta.NewMem(&metatest.Clock{})
		closeLater(t, s)
		metatest.RunForgetting(t, metatest.Subject{Store: s}, nil)
	})
	t.Run("Pebble", func(t *testing.T) {
		t.Parallel()
		metatest.RunForgetting(t, metatest.Subject{Store: openPebble(t, t.TempDir(), meta.PebbleOptions{})}, nil)
	})
}

func TestMemFollowsTheModel(t *testing.T) {
	t.Parallel()
	metatest.RunModel(t, func(*rapid.T) metatest.Subject {
		clock := &metatest.Clock{}
		return metatest.Subject{Store: meta.NewMem(clock), Advance: clock.Advance}
	}, nil)
}

func TestPebbleFollowsTheModelOverReopening(t *testing.T) {
	t.Parallel()
	type disk struct {
		*meta.Pebble
		fs *pebblevfs.MemFS
	}
	start := func(rt *rapid.T, fs *pebblevfs.MemFS) metatest.Subject {
		clock := &metatest.Clock{}
		s, err := meta.OpenPebble("meta", meta.PebbleOptions{FS: fs, Clock: clock})
		if err != nil {
			rt.Fatal(err)
		}
		closeLater(rt, s)
		return metatest.Subject{Store: disk{s, fs}, Advance: clock.Advance}
	}
	metatest.RunModel(t, func(rt *rapid.T) metatest.Subject {
		return start(rt, pebblevfs.NewCrashableMem())
	}, func(rt *rapid.T, s metatest.Subject) metatest.Subject {
		fs := s.Store.(disk).fs
		if rapid.Bool().Draw(rt, "crash") {
			return start(rt, fs.CrashClone(pebblevfs.CrashCloneCfg{}))
		}
		if err := s.Close(); err != nil {
			rt.Fatal(err)
		}
		return start(rt, fs)
	})
}

func TestPebbleKeepsEveryAcknowledgedTransactionOverACrash(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	fs := pebblevfs.NewCrashableMem()
	s := openPebble(t, "data/meta", meta.PebbleOptions{FS: fs})
	want := make(map[string]string)
	var revision int64
	for i := range 60 {
		var ops []meta.Op
		for j := range 1 + i%3 {
			key, value := fmt.Sprintf("k%d", (i*7+j)%20), fmt.Sprintf("v%d", i)
			ops = append(ops, put(key, value))
			want[key] = value
		}
		res, err := s.Txn(t.Context(), nil, ops)
		if err != nil {
			t.Fatal(err)
		}
		revision = res.Revision

		after := fs.CrashClone(pebblevfs.CrashCloneCfg{UnsyncedDataPercent: 10 * (i % 11), RNG: rng})
		again := openPebble(t, "data/meta", meta.PebbleOptions{FS: after})
		entries, err := again.Range(t.Context(), "", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != len(want) {
			t.Fatalf("after %d transactions: %d entries, want %d", i+1, len(entries), len(want))
		}
		for _, e := range entries {
			if want[e.Key] != string(e.Value) {
				t.Fatalf("after %d transactions: %s = %q, want %q", i+1, e.Key, e.Value, want[e.Key])
			}
		}
		res, err = again.Txn(t.Context(), nil, []meta.Op{put("next", "")})
		if err != nil || res.Revision != revision+1 {
			t.Fatalf("first revision after the crash: %d, %v, want %d", res.Revision, err, revision+1)
		}
		if i%10 == 9 { // and live on with it
			s, fs = again, after
			want["next"] = ""
			continue
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPebbleConcurrentTransactionsSurviveACrash(t *testing.T) {
	t.Parallel()
	fs := pebblevfs.NewCrashableMem()
	s := openPebble(t, "meta", meta.PebbleOptions{FS: fs})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for j := range 10 {
				if _, err := s.Txn(t.Context(), nil, []meta.Op{put(fmt.Sprintf("%d/%d", i, j), "v")}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	again := openPebble(t, "meta", meta.PebbleOptions{FS: fs.CrashClone(pebblevfs.CrashCloneCfg{})})
	entries, err := again.Range(t.Context(), "", "", 0)
	if err != nil || len(entries) != 320 {
		t.Errorf("got %d entries, %v, want 320", len(entries), err)
	}
}

func TestPebbleDeletesLeasedKeysWhenOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openPebble(t, dir, meta.PebbleOptions{})
	l, err := s.Grant(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	leased := func(key string) meta.Op { return meta.Op{Kind: meta.Put, Key: key, Lease: l.ID()} }
	for _, ops := range [][]meta.Op{{leased("gone"), leased("freed"), put("taken", "")}, {put("freed", ""), leased("taken")}} {
		if _, err := s.Txn(t.Context(), nil, ops); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time there is nothing more to delete
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openPebble(t, dir, meta.PebbleOptions{})
	}
	entries, err := s.Range(t.Context(), "", "", 0)
	if err != nil || len(entries) != 1 || entries[0].Key != "freed" {
		t.Errorf("got %+v, %v, want only freed", entries, err)
	}
	if res, err := s.Txn(t.Context(), nil, nil); err != nil || res.Revision != 3 {
		t.Errorf("revision %d, %v, want 3: two transactions and one clearance", res.Revision, err)
	}
	if _, err := s.Watch(t.Context(), "", 2); !errors.Is(err, meta.ErrCompacted) {
		t.Errorf("watch from before the opening: %v, want %v", err, meta.ErrCompacted)
	}
}

func TestPebbleRefusesASecondOpening(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openPebble(t, dir, meta.PebbleOptions{})
	if s, err := meta.OpenPebble(dir, meta.PebbleOptions{}); err == nil {
		t.Error("opened twice", s.Close())
	}
}

func TestPebbleRefusesTransactionsOnAFullDisk(t *testing.T) {
	t.Parallel()
	s := openPebble(t, t.TempDir(), meta.PebbleOptions{ReserveBytes: 1 << 62})
	_, err := s.Txn(t.Context(), nil, []meta.Op{put("k", "")})
	if !errors.Is(err, meta.ErrNoSpace) {
		t.Errorf("got %v, want %v", err, meta.ErrNoSpace)
	}
	if _, err := s.Range(t.Context(), "", "", 0); err != nil {
		t.Errorf("reading after that: %v", err)
	}
}

// brokenFS fails writes of the log once told to.
type brokenFS struct {
	pebblevfs.FS
	mu     sync.Mutex
	broken bool
}

func (b *brokenFS) err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return os.ErrPermission
	}
	return nil
}

func (b *brokenFS) Create(name string, c pebblevfs.DiskWriteCategory) (pebblevfs.File, error) {
	f, err := b.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return &brokenFile{File: f, fs: b}, nil
}

func (b *brokenFS) ReuseForWrite(oldName, newName string, c pebblevfs.DiskWriteCategory) (pebblevfs.File, error) {
	f, err := b.FS.ReuseForWrite(oldName, newName, c)
	if err != nil {
		return nil, err
	}
	return &brokenFile{File: f, fs: b}, nil
}

type brokenFile struct {
	pebblevfs.File
	fs *brokenFS
}

// sync fails without syncing, or syncs.
func (f *brokenFile) sync(inner func() error) error {
	if err := f.fs.err(); err != nil {
		return err
	}
	return inner()
}

func (f *brokenFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *brokenFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *brokenFile) SyncTo(n int64) (full bool, err error) {
	err = f.sync(func() (err error) {
		full, err = f.File.SyncTo(n)
		return err
	})
	return full, err
}

func TestPebbleFailsForGoodAfterAFailedSync(t *testing.T) {
	t.Parallel()
	mem := pebblevfs.NewCrashableMem()
	fs := &brokenFS{FS: mem}
	s, err := meta.OpenPebble("meta", meta.PebbleOptions{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Txn(t.Context(), nil, []meta.Op{put("a", "1")}); err != nil {
		t.Fatal(err)
	}
	events, err := s.Watch(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	fs.mu.Lock()
	fs.broken = true
	fs.mu.Unlock()
	for range 2 {
		if _, err := s.Txn(t.Context(), nil, []meta.Op{put("a", "2")}); !errors.Is(err, meta.ErrFailed) {
			t.Errorf("transaction: %v, want %v", err, meta.ErrFailed)
		}
	}
	if ev, ok := <-events; ok {
		t.Errorf("watch tells %+v of a store that failed", ev)
	}
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, meta.ErrFailed) {
		t.Errorf("get: %v, want %v", err, meta.ErrFailed)
	}
	again := openPebble(t, "meta", meta.PebbleOptions{FS: mem.CrashClone(pebblevfs.CrashCloneCfg{})})
	if e, err := again.Get(t.Context(), "a"); err != nil || string(e.Value) != "1" {
		t.Errorf("after opening again: %+v, %v, want the acknowledged value", e, err)
	}
}

func TestFaultLosesAnswersAndFailsOperations(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	s := meta.NewFault(meta.NewMem(nil), nil)
	closeLater(t, s)
	s.Inject(meta.On("k", meta.FailNth(1, broken), meta.FaultTxn))
	if _, err := s.Txn(t.Context(), nil, []meta.Op{put("k", "1")}); !errors.Is(err, broken) {
		t.Errorf("got %v, want the fault", err)
	}
	if _, err := s.Get(t.Context(), "k"); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("a failed transaction: %v, want %v", err, meta.ErrNotFound)
	}
	s.Inject(meta.On("k", meta.FailFrom(1, meta.Lost(broken)), meta.FaultTxn))
	if _, err := s.Txn(t.Context(), nil, []meta.Op{put("k", "1")}); !errors.Is(err, broken) {
		t.Errorf("got %v, want the fault", err)
	}
	if e, err := s.Get(t.Context(), "k"); err != nil || string(e.Value) != "1" {
		t.Errorf("a transaction whose answer was lost: %+v, %v, want it done", e, err)
	}
}

func BenchmarkOpenPebble(b *testing.B) {
	for _, n := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			dir := b.TempDir()
			fill(b, dir, n)
			for b.Loop() {
				s, err := meta.OpenPebble(dir, meta.PebbleOptions{})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if n == 0 {
					dir = b.TempDir()
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func fill(b *testing.B, dir string, n int) {
	s, err := meta.OpenPebble(dir, meta.PebbleOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < n; i += 100 {
		var ops []meta.Op
		for j := range 100 {
			ops = append(ops, put(fmt.Sprintf("t/%06d", i+j), string(make([]byte, 300))))
		}
		if _, err := s.Txn(b.Context(), nil, ops); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkPebbleTxn(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s, err := meta.OpenPebble(b.TempDir(), meta.PebbleOptions{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetParallelism(clients)
			value := string(make([]byte, 256))
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := s.Txn(b.Context(), nil, []meta.Op{put(fmt.Sprint("k", i%1000), value)}); err != nil {
						b.Error(err)
					}
				}
			})
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
