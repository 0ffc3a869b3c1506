package wal

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/vfs"
)

func info(offset int64) BatchInfo {
	return BatchInfo{BaseOffset: offset, RecordCount: 1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
}

func mustAppend(t testing.TB, l *testLog, s *Stream, offset int64, n int) Ticket {
	t.Helper()
	ticket, err := l.Append(s, make([]byte, n), info(offset))
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func mustWait(t testing.TB, ticket Ticket) {
	t.Helper()
	if err := ticket.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestFullDiskRefusesAndRecoversByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := newMemDir(t)
		mem.SetFreeBytes(200 << 10)
		o := smallOptions(1, 0, 0)
		o.FS, o.Dir = mem, testDir
		reg := prometheus.NewPedanticRegistry()
		o.Registerer = reg
		l := startLog(t, o)
		s := NewStream(0, testTopic, 0)
		rng := rand.New(rand.NewPCG(1, 2))
		offset := int64(0)
		var err error
		for err == nil {
			synctest.Wait()
			if _, err = l.put(rng, s, offset, 3000); err == nil {
				offset += 2
			}
		}
		if !errors.Is(err, ErrNoSpace) {
			t.Fatalf("got %v", err)
		}
		if err := l.Admit(t.Context(), 3000); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("Admit on a full disk: %v", err)
		}
		if n := len(l.model.appended[0]); n < 30 {
			t.Fatalf("only %d batches of 3000 bytes in 200 KiB", n)
		}
		mustWait(t, l.Barrier())
		mem.SetFreeBytes(1 << 20)
		<-time.After(2 * noSpaceRetry) // of the bubble's clock
		synctest.Wait()
		if err := l.Admit(t.Context(), 3000); err != nil {
			t.Fatalf("Admit with space again: %v", err)
		}
		ticket, err := l.put(rng, s, offset, 3000)
		if err != nil {
			t.Fatal(err)
		}
		mustWait(t, ticket)
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		got, _, err := recoverAll(t, ScanOptions{FS: mem, Dir: testDir})
		if err != nil {
			t.Fatal(err)
		}
		l.model.check(t, got)
		if families, err := reg.Gather(); err != nil || len(families) != 7 {
			t.Errorf("%d metrics, %v", len(families), err)
		}
	})
}

func TestTrimMakesSpaceOnAFullChain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := newMemDir(t)
		o := smallOptions(1, 0, 0)
		o.FS, o.Dir, o.MaxBytes = mem, testDir, 4*64<<10
		l := startLog(t, o)
		s := NewStream(0, testTopic, 0)
		offset := int64(0)
		fill := func() (n int) {
			for {
				synctest.Wait()
				_, err := l.Append(s, make([]byte, 3000), info(offset))
				if errors.Is(err, ErrNoSpace) {
					return n
				}
				if err != nil {
					t.Fatal(err)
				}
				offset++
				n++
			}
		}
		first := fill()
		mustWait(t, l.Barrier())
		if l.Bytes() > o.MaxBytes {
			t.Errorf("%d bytes held, want at most %d", l.Bytes(), o.MaxBytes)
		}
		l.Trim(l.Tail())
		if second := fill(); second < first/2 {
			t.Errorf("%d batches before the trim, %d after it", first, second)
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestAcceptedBatchesAlwaysFit fills small disks with batches of awkward sizes: whatever Append took must become durable.
func TestAcceptedBatchesAlwaysFit(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 3))
		mem := newMemDir(t)
		mem.SetFreeBytes(64<<10 + int64(rng.IntN(50))*4096)
		o := smallOptions(1, 0, 0)
		o.FS, o.Dir, o.GroupBytes = mem, testDir, 1+rng.IntN(30<<10)
		l := startLog(t, o)
		var streams []*Stream
		for p := range int32(20) {
			streams = append(streams, NewStream(p%7, testTopic, p))
		}
		for refused, i := 0, int64(0); refused < 3; i++ {
			n := 1 + rng.IntN(1<<(3+rng.IntN(12)))
			if _, err := l.put(rng, streams[rng.IntN(20)], i*2, n); errors.Is(err, ErrNoSpace) {
				refused++
				mustWait(t, l.Barrier())
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		for p, bs := range l.model.appended {
			for _, b := range bs {
				if !isDone(b.ticket) || b.ticket.Err() != nil {
					t.Fatalf("seed %d: partition %d: accepted batch at %d is not durable: %v", seed, p, b.offset, b.ticket.Err())
				}
			}
		}
	}
}

func TestTicketsCompleteInOrderAndAfterOnDurable(t *testing.T) {
	t.Parallel()
	mem := newMemDir(t)
	o := smallOptions(1, 0, 0)
	o.FS, o.Dir, o.FileBytes, o.QueueBytes = mem, testDir, 1<<20, 1<<20
	var mu sync.Mutex
	var seqs []uint64
	var end int64
	o.OnDurable = func(f *Frame) {
		mu.Lock()
		defer mu.Unlock()
		seqs = append(seqs, f.Seq)
		end = f.Runs[0].NextOffset
	}
	l := startLog(t, o)
	s := NewStream(0, testTopic, 0)
	for i := range int64(200) {
		ticket := mustAppend(t, l, s, i, 3000)
		if i%7 == 0 {
			mustWait(t, ticket)
			mu.Lock()
			if end < i+1 {
				t.Errorf("ticket of offset %d is complete, OnDurable has seen up to %d", i, end)
			}
			mu.Unlock()
		}
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(seqs) || len(seqs) < 40 {
		t.Errorf("frames %v", seqs)
	}
}

func TestFailedSyncFailsAllTicketsForGood(t *testing.T) {
	t.Parallel()
	mem := newMemDir(t)
	o := smallOptions(1, 0, 0)
	hold, reached := make(chan struct{}), make(chan struct{})
	var once sync.Once
	o.FS = vfs.NewFault(mem, vfs.On(fileSuffix, func(op vfs.Op) error {
		once.Do(func() { close(reached) })
		<-hold
		return syscall.EIO
	}, vfs.OpSyncData))
	o.Dir = testDir
	l := startLog(t, o)
	s := NewStream(0, testTopic, 0)
	first := mustAppend(t, l, s, 0, 100)
	<-reached
	second := mustAppend(t, l, s, 1, 100)
	barrier := l.Barrier()
	close(hold)
	for _, ticket := range []Ticket{first, second, barrier} {
		if err := ticket.Wait(t.Context()); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Errorf("ticket: got %v, want ErrFailed and the cause", err)
		}
	}
	if err := <-l.done; !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("Run: got %v", err)
	}
	if _, err := l.Append(s, make([]byte, 10), info(2)); !errors.Is(err, ErrFailed) {
		t.Errorf("Append afterwards: got %v", err)
	}
	if err := l.Admit(t.Context(), 10); !errors.Is(err, ErrFailed) {
		t.Errorf("Admit afterwards: got %v", err)
	}
	if err := l.Barrier().Err(); !errors.Is(err, ErrFailed) {
		t.Errorf("Barrier afterwards: got %v", err)
	}
}

func TestAdmitHoldsBackUntilTheQueueIsShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := newMemDir(t)
		hold := make(chan struct{})
		o := smallOptions(1, 0, 0)
		o.FS, o.Dir = vfs.NewFault(mem, vfs.On(fileSuffix, func(vfs.Op) error { <-hold; return nil }, vfs.OpSyncData)), testDir
		l := startLog(t, o)
		s := NewStream(0, testTopic, 0)
		for i := range int64(8) {
			if err := l.Admit(t.Context(), 4000); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, l, s, i, 4000)
		}
		var wg sync.WaitGroup
		var admitted atomic.Int32
		for range 3 {
			wg.Go(func() {
				if err := l.Admit(t.Context(), 4000); err != nil {
					t.Error(err)
				}
				admitted.Add(1)
			})
			synctest.Wait()
		}
		given, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.Admit(given, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("Admit with an ended context: %v", err)
		}
		if n := admitted.Load(); n > 0 {
			t.Errorf("%d admitted beyond the bound", n)
		}
		close(hold)
		wg.Wait()
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAtMostTwoFramesAreInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := newMemDir(t)
		hold := make(chan struct{})
		var mu sync.Mutex
		syncing, most := 0, 0
		o := smallOptions(1, 0, 0)
		o.Dir = testDir
		o.FS = vfs.NewFault(mem, vfs.On(fileSuffix, func(vfs.Op) error {
			mu.Lock()
			syncing++
			most = max(most, syncing)
			mu.Unlock()
			<-hold
			mu.Lock()
			syncing--
			mu.Unlock()
			return nil
		}, vfs.OpSyncData))
		l := startLog(t, o)
		s := NewStream(0, testTopic, 0)
		mustAppend(t, l, s, 0, 100) // alone: goes at once
		synctest.Wait()
		mustAppend(t, l, s, 1, 100) // small: waits for the first
		synctest.Wait()
		if most != 1 {
			t.Errorf("%d frames in flight with little to write, want 1", most)
		}
		for i := range int64(10) {
			mustAppend(t, l, s, 2+i, 3000) // more than a group
		}
		synctest.Wait()
		if most != 2 {
			t.Errorf("%d frames in flight with much to write, want 2", most)
		}
		close(hold)
		mustWait(t, l.Barrier())
		if most != 2 {
			t.Errorf("%d frames in flight, want 2", most)
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestIdleLogVouchesForItsLastFrame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := newMemDir(t)
		o := smallOptions(1, 0, 0)
		o.FS, o.Dir = mem, testDir
		l := startLog(t, o)
		mustWait(t, mustAppend(t, l, NewStream(0, testTopic, 0), 0, 100))
		end := l.Tail()
		<-time.After(3 * markDelay) // of the bubble's clock
		synctest.Wait()
		res, err := scanAll(t, ScanOptions{FS: mem, Dir: testDir, ReadOnly: true}, nil)
		if err != nil || res.LastSynced != end || res.Frames != 2 {
			t.Errorf("got %+v, %v, want the log proven up to %v by one mark", res, err, end)
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// Files of before encryption can be read and trimmed, but not written to.
func TestTrimmedFileThatCannotBeWrittenIsRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := newMemDir(t)
		o := smallOptions(1, 0, 0)
		o.FS = vfs.NewFault(mem, vfs.On(sparePrefix, func(vfs.Op) error { return vfs.ErrUnreadable }, vfs.OpOpenReadWrite))
		o.Dir = testDir
		l := startLog(t, o)
		s := NewStream(0, testTopic, 0)
		for i := range int64(100) {
			mustWait(t, mustAppend(t, l, s, i, 5000))
			l.Trim(l.Tail())
			synctest.Wait()
		}
		names, err := mem.List(testDir)
		if err != nil || len(names) > 4 || slices.Contains(names, fileName(0)) {
			t.Errorf("left are %q, %v", names, err)
		}
		if err := l.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestPinnedFileIsNotRecycled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := newMemDir(t)
		o := smallOptions(1, 0, 0)
		o.FS, o.Dir = mem, testDir
		var first Run
		var once sync.Once
		o.OnDurable = func(f *Frame) { once.Do(func() { first = f.Runs[0] }) }
		l := startLog(t, o)
		s := NewStream(0, testTopic, 0)
		want := randomBatch(rand.New(rand.NewPCG(4, 4)), 0, 0, directReadMin+5000)
		ticket, err := l.Append(s, want, info(0))
		if err != nil {
			t.Fatal(err)
		}
		mustWait(t, ticket)
		buf := vfs.AlignedBuffer(vfs.RangeBytes(len(want)))
		for _, n := range []int{5000, len(want)} { // by way of the page cache, and past it
			if got, err := l.Read(t.Context(), buf, first.Pos, n); err != nil || string(got) != string(want[:n]) {
				t.Fatalf("read of %d bytes: %v", n, err)
			}
		}
		pin, err := l.Pin(t.Context(), first.Pos)
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(100) {
			mustWait(t, mustAppend(t, l, s, 1+i, 5000))
			l.Trim(l.Tail())
			synctest.Wait()
		}
		got := make([]byte, len(want))
		if _, err := pin.Source.ReadAt(got, pin.Off); err != nil || string(got) != string(want) {
			t.Errorf("pinned bytes have changed: %v", err)
		}
		if _, err := l.Pin(t.Context(), first.Pos); !errors.Is(err, ErrTrimmed) {
			t.Errorf("Pin of a trimmed position: %v", err)
		}
		if _, err := l.Pin(t.Context(), l.Tail()); !errors.Is(err, ErrNotWritten) {
			t.Errorf("Pin of the tail: %v", err)
		}
		names, _ := mem.List(testDir)
		if !slices.Contains(names, fileName(0)) {
			t.Errorf("pinned file has lost its name: %v", names)
		}
		pin.Release()
		synctest.Wait()
		if names, _ = mem.List(testDir); slices.Contains(names, fileName(0)) || len(names) > 8 {
			t.Errorf("files after the release: %v", names)
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestImpossibleBatchesAreRefused(t *testing.T) {
	t.Parallel()
	mem := newMemDir(t)
	o := smallOptions(1, 0, 0)
	o.FS, o.Dir = mem, testDir
	l := startLog(t, o)
	s := NewStream(0, testTopic, 0)
	for name, b := range map[string]BatchInfo{
		"negative offset": {BaseOffset: -1}, "negative delta": {LastOffsetDelta: -1}, "huge offset": {BaseOffset: math.MaxInt64}, "negative count": {RecordCount: -1},
	} {
		if _, err := l.Append(s, make([]byte, 10), b); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := l.Append(s, nil, info(0)); !errors.Is(err, ErrInvalid) {
		t.Errorf("empty batch: got %v", err)
	}
	if _, err := l.Append(s, make([]byte, 64<<10), info(0)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("batch as large as a file: got %v", err)
	}
	if _, err := l.AppendControl(Control{Kind: 77}); !errors.Is(err, ErrInvalid) {
		t.Errorf("unknown control: got %v", err)
	}
	ticket, err := l.AppendControl(Control{Shard: 3, Kind: ControlDeleteRecords, Topic: testTopic, Partition: 1, Value: 42})
	if err != nil {
		t.Fatal(err)
	}
	mustWait(t, ticket)
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(s, make([]byte, 10), info(0)); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after the end: got %v", err)
	}
	var got []Control
	_, err = scanAll(t, ScanOptions{FS: mem, Dir: testDir}, func(f *Frame) error { got = append(got, f.Controls...); return nil })
	if err != nil || len(got) != 1 || got[0].Value != 42 || got[0].Shard != 3 {
		t.Errorf("controls: got %+v, %v", got, err)
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	mem := newMemDir(t)
	for name, o := range map[string]Options{
		"no directory": {FS: mem}, "odd file size": {FS: mem, Dir: testDir, FileBytes: 100_000}, "start within a page": {FS: mem, Dir: testDir, Start: 5},
		"end beyond the start": {FS: mem, Dir: testDir, Start: 4096, Recovered: 5000}, "negative": {FS: mem, Dir: testDir, MaxBytes: -1},
	} {
		if err := New(o).Run(t.Context(), func() { t.Errorf("%s: ready", name) }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
