package wal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/seal"
	"github.com/weir-stream/weir/internal/base/vfs"
)

const testDir = "wal"

func newMemDir(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	if err := vfs.MakeDirs(m, testDir); err != nil {
		t.Fatal(err)
	}
	return m
}

// history is what a workload appended, and what its frames said.
type history struct {
	mu       sync.Mutex
	batches  map[int32][]historyBatch
	frameEnd map[int32]map[int64]Position // of the frame that holds the batch at an offset
	low      atomic.Int64                 // trimmed below
}

type historyBatch struct {
	offset int64
	data   []byte
	ticket Ticket
}

func newHistory() *history {
	return &history{batches: map[int32][]historyBatch{}, frameEnd: map[int32]map[int64]Position{}}
}

func (h *history) durable(f *Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range f.Runs {
		r := &f.Runs[i]
		if h.frameEnd[r.Partition] == nil {
			h.frameEnd[r.Partition] = map[int64]Position{}
		}
		for _, b := range r.Batches {
			h.frameEnd[r.Partition][b.BaseOffset] = f.End()
		}
	}
}

// acked counts, for each partition, the batches whose tickets have completed well.
func (h *history) acked() map[int32]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[int32]int{}
	for p, bs := range h.batches {
		for i, b := range bs {
			if isDone(b.ticket) && b.ticket.Err() == nil {
				out[p] = i + 1
			}
		}
	}
	return out
}

// check compares what a scan from low gave with what was appended: of each partition a stretch without a gap, which begins
// where the scan began and holds at least what was acknowledged.
func (h *history) check(t testing.TB, what string, got map[int32][]found, acked map[int32]int, low Position) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for p, bs := range h.batches {
		first := 0
		for first < len(bs) {
			end, ok := h.frameEnd[p][bs[first].offset]
			if !ok || end > low {
				break
			}
			first++
		}
		have := got[p]
		if first+len(have) < acked[p] {
			t.Fatalf("%s: partition %d: acknowledged batch %d is lost: recovered %d from %d on, acknowledged %d", what, p, first+len(have), len(have), first, acked[p])
		}
		for i, x := range have {
			if first+i >= len(bs) || x.offset != bs[first+i].offset || string(x.data) != string(bs[first+i].data) {
				t.Fatalf("%s: partition %d: batch %d at offset %d is not what was appended", what, p, first+i, x.offset)
			}
		}
	}
}

// testPlan is a workload.
type testPlan struct {
	seed    uint64
	batches int
	options Options
	trim    bool
}

// play runs the plan on fsys: a log opened, batches appended, part of it trimmed, ended in order. It returns what Run returned.
func (p testPlan) play(t testing.TB, fsys vfs.FS, h *history, offsets map[int32]int64) error {
	rng := rand.New(rand.NewPCG(p.seed, 1))
	o := p.options
	o.FS, o.Dir, o.ClusterID, o.Nonce = fsys, testDir, testCluster, testNonce(o.Incarnation)
	o.OnDurable = h.durable
	l := New(o)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- l.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		return err
	}
	streams := []*Stream{}
	for i := range int32(3) {
		streams = append(streams, NewStream(i%2, testTopic, i))
	}
	for i := range p.batches {
		s := streams[rng.IntN(len(streams))]
		n := 1 + rng.IntN(3000)
		if rng.IntN(10) == 0 {
			n = 4000 + rng.IntN(12000)
		}
		if err := l.Admit(ctx, int64(n)); err != nil {
			break
		}
		b := randomBatch(rng, s.Partition, offsets[s.Partition], n)
		h.mu.Lock() // held over Append, so that the batch is in the history before its frame is
		ticket, err := l.Append(s, b, BatchInfo{BaseOffset: offsets[s.Partition], RecordCount: 1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
		if err == nil {
			h.batches[s.Partition] = append(h.batches[s.Partition], historyBatch{offsets[s.Partition], b, ticket})
			offsets[s.Partition]++
		}
		h.mu.Unlock()
		if err != nil {
			if errors.Is(err, ErrNoSpace) {
				continue
			}
			break
		}
		if rng.IntN(4) == 0 {
			ticket.Wait(ctx) //nolint:errcheck // looked at through the history
		}
		if low := l.Tail() - 150<<10; p.trim && i%16 == 0 && int64(low) > h.low.Load() {
			h.low.Store(int64(low))
			l.Trim(low)
		}
	}
	cancel()
	return <-done
}

// inspect recovers from a crashed disk, and checks what comes out, that it stays, and that the log can go on.
func inspect(t *testing.T, what string, over layer, disk *vfs.Mem, h *history, acked map[int32]int, low Position, rng *rand.Rand) {
	t.Helper()
	got, res, err := recoverAll(t, ScanOptions{FS: over(disk), Dir: testDir, From: low})
	if err != nil {
		t.Fatalf("%s: scan from %v: %v", what, low, err)
	}
	h.check(t, what, got, acked, low)
	// What a scan has shown must survive another crash.
	again := disk.CrashClone(rng)
	got2, res2, err := recoverAll(t, ScanOptions{FS: over(again), Dir: testDir, From: low})
	if err != nil {
		t.Fatalf("%s: scan after a second crash: %v", what, err)
	}
	if res2.End != res.End || res2.NextSeq != res.NextSeq || fmt.Sprint(counts(got)) != fmt.Sprint(counts(got2)) {
		t.Fatalf("%s: the first scan gave %+v, after a second crash %+v", what, res, res2)
	}
	if rng.IntN(4) > 0 {
		return
	}
	h2 := newHistory()
	plan := testPlan{seed: rng.Uint64(), batches: 10, options: smallOptions(res.Incarnation+1, res.NextStart, res.End)}
	offsets := map[int32]int64{0: 1 << 40, 1: 1 << 40, 2: 1 << 40}
	if err := plan.play(t, over(again), h2, offsets); err != nil {
		t.Fatalf("%s: next life: %v", what, err)
	}
	got3, res3, err := recoverAll(t, ScanOptions{FS: over(again), Dir: testDir, From: low, Sealed: map[uint64]uint64{res.Incarnation: res.NextSeq}})
	if err != nil {
		t.Fatalf("%s: scan after the next life: %v", what, err)
	}
	for p := range got3 {
		if len(got3[p]) != len(got[p])+len(h2.batches[p]) {
			t.Fatalf("%s: partition %d: %d batches of the first life, %d of the second, %d found by scan %+v", what, p, len(got[p]), len(h2.batches[p]), len(got3[p]), res3)
		}
	}
}

func counts(m map[int32][]found) map[int32]int {
	out := map[int32]int{}
	for p, f := range m {
		out[p] = len(f)
	}
	return out
}

func smallOptions(incarnation uint64, start, recovered Position) Options {
	return Options{Incarnation: incarnation, Start: start, Recovered: recovered, FileBytes: 64 << 10, GroupBytes: 8 << 10, QueueBytes: 32 << 10}
}

// layer is what stands between the log and its files.
type layer func(vfs.FS) vfs.FS

func plain(fsys vfs.FS) vfs.FS { return fsys }

// encrypted returns a layer that encrypts under one ring of keys.
func encrypted(t *testing.T) layer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(strings.Repeat("0f", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	keeper, err := seal.OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.OpenRing(t.Context(), meta.NewMem(nil), keeper, nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(fsys vfs.FS) vfs.FS { return seal.NewFS(fsys, ring) }
}

func TestCrashAtAnyOperationKeepsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		over := layer(plain)
		if seed%2 == 1 {
			over = encrypted(t)
		}
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			mem := newMemDir(t)
			h := newHistory()
			type image struct {
				disk  *vfs.Mem
				acked map[int32]int
				low   Position
				op    vfs.Op
			}
			var mu sync.Mutex
			var images []image
			rng := rand.New(rand.NewPCG(seed, 99))
			hook := func(op vfs.Op) error {
				if op.Kind == vfs.OpRead || op.Kind == vfs.OpSize {
					return nil // changes nothing
				}
				mu.Lock()
				defer mu.Unlock()
				low, acked := h.low.Load(), h.acked()
				disk := mem.CrashClone(rng)
				if rng.IntN(2) == 0 {
					disk = mem.CrashCloneKeepingNames(rng)
				}
				if low == h.low.Load() {
					images = append(images, image{disk, acked, Position(low), op})
				}
				return nil
			}
			offsets := map[int32]int64{}
			plan := testPlan{seed: seed, batches: 100, options: smallOptions(1, 0, 0), trim: seed < 3}
			if err := plan.play(t, over(vfs.NewFault(mem, hook)), h, offsets); err != nil {
				t.Fatal(err)
			}
			if len(images) < 80 {
				t.Fatalf("only %d crashes", len(images))
			}
			for _, im := range images {
				inspect(t, fmt.Sprintf("crash before operation %d (kind %d of %s at %d)", im.op.N, im.op.Kind, im.op.Name, im.op.Off), over, im.disk, h, im.acked, im.low, rng)
			}
			t.Logf("%d crashes", len(images))
		})
	}
}

func TestFailureOfAnyOperationLosesNothing(t *testing.T) {
	t.Parallel()
	for _, torn := range []bool{false, true} {
		over := layer(plain)
		if torn {
			over = encrypted(t)
		}
		t.Run(fmt.Sprintf("torn=%v", torn), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(5, 5))
			failed := 0
			for n := int64(1); ; n++ {
				mem := newMemDir(t)
				h := newHistory()
				hit := atomic.Bool{}
				inject := func(op vfs.Op) error {
					if op.N != n {
						return nil
					}
					hit.Store(true)
					if torn && op.Kind == vfs.OpWrite {
						return vfs.Torn(op.Len*2/3, syscall.EIO)
					}
					return syscall.EIO
				}
				plan := testPlan{seed: 3, batches: 40, options: smallOptions(1, 0, 0), trim: true}
				err := plan.play(t, over(vfs.NewFault(mem, inject)), h, map[int32]int64{})
				if !hit.Load() {
					break
				}
				if err == nil || !errors.Is(err, syscall.EIO) || !errors.Is(err, ErrFailed) {
					t.Fatalf("operation %d failed and Run returned %v", n, err)
				}
				failed++
				for p, bs := range h.batches {
					for _, b := range bs {
						if !isDone(b.ticket) {
							t.Fatalf("operation %d: a ticket of partition %d at %d never completes", n, p, b.offset)
						}
					}
				}
				acked, low := h.acked(), Position(h.low.Load())
				inspect(t, fmt.Sprintf("failure of operation %d", n), over, mem.CrashClone(rng), h, acked, low, rng)
			}
			if failed < 40 {
				t.Fatalf("only %d operations failed", failed)
			}
		})
	}
}
