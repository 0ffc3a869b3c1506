package shard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// changesDisk says which operations of a disk leave something that a crash may keep or lose.
func changesDisk(k vfs.Kind) bool {
	switch k {
	case vfs.OpCreate, vfs.OpLink, vfs.OpRename, vfs.OpRemove, vfs.OpSyncDir, vfs.OpWrite, vfs.OpTruncate, vfs.OpAllocate, vfs.OpSyncData, vfs.OpSync:
		return true
	}
	return false
}

// gatedMeta lets a crash see the metadata and the disk as of the same moment.
type gatedMeta struct {
	meta.Store
	gate sync.RWMutex
}

func (g *gatedMeta) Txn(ctx context.Context, compares []meta.Compare, ops []meta.Op) (meta.Result, error) {
	g.gate.RLock()
	defer g.gate.RUnlock()
	return g.Store.Txn(ctx, compares, ops)
}

// stride is the distance between the operations at which tests fail or crash a store: 1, all of them, if $TEST_THOROUGH is
// set, and otherwise what keeps the tests of every change short.
func stride(short int64) int64 {
	if os.Getenv("TEST_THOROUGH") != "" {
		return 1
	}
	return short
}

// wreck is what a crash left, and what had been promised by then.
type wreck struct {
	w        *world
	promised map[logKey]logView
	at       string
}

// crasher takes a wreck before operations of a disk.
type crasher struct {
	disk  *vfs.Mem
	meta  *gatedMeta
	rng   *rand.Rand
	every int64
	// promised and topics are asked at each crash.
	lock     func() (unlock func())
	promised func() map[logKey]logView
	world    *world

	mu     sync.Mutex
	n      int64
	wrecks []wreck
}

func (c *crasher) inject(op vfs.Op) error {
	if !changesDisk(op.Kind) {
		return nil
	}
	unlock := c.lock()
	defer unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	if c.n%c.every != 0 {
		return nil
	}
	c.meta.gate.Lock()
	defer c.meta.gate.Unlock()
	p := c.promised()
	clone := c.disk.CrashClone
	if c.rng.IntN(2) == 0 {
		clone = c.disk.CrashCloneKeepingNames
	}
	c.wrecks = append(c.wrecks, wreck{
		promised: p, at: fmt.Sprintf("before operation %d, kind %d on %s", op.N, op.Kind, op.Name),
		w: &world{disk: clone(c.rng), meta: copyMeta(c.meta.Store), topics: maps.Clone(c.world.topics), compact: c.world.compact},
	})
	return nil
}

// crashScript runs a script and returns a wreck of every operation in it.
func crashScript(t *testing.T, seed uint64, steps int, compact bool) []wreck {
	t.Helper()
	w := newWorld(t)
	w.compact = compact
	s := newSimulation(t.Context(), seed, w)
	gated := &gatedMeta{Store: w.meta}
	c := &crasher{
		disk: w.disk, meta: gated, rng: rand.New(rand.NewPCG(seed, 11)), every: 1, promised: s.view, world: w,
		lock: func() func() { s.mu.Lock(); return s.mu.Unlock },
	}
	fault := vfs.NewFault(w.disk, nil)
	start := func() {
		n, err := w.start(t.Context(), simSeams{fs: fault, meta: gated}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.restarted(n)
	}
	fault.Inject(c.inject)
	start()
	s.begin()
	for i := range steps {
		err := s.step()
		if err == nil && i%25 == 24 {
			if err = s.wait(); err == nil {
				err = s.node.stop()
			}
			if err == nil {
				start()
			}
		}
		if err != nil {
			t.Fatalf("seed %d, step %d: %v", seed, i, err)
		}
	}
	if err := s.node.stop(); err != nil {
		t.Fatalf("seed %d: store ended with %v", seed, err)
	}
	return c.wrecks
}

// survive recovers a wreck and checks it. With deeper it crashes again at operations of the recovery and of the checks,
// and recovers from that too.
func (k *wreck) survive(ctx context.Context, rng *rand.Rand, deeper bool) error {
	var seams simSeams
	var c *crasher
	if deeper {
		gated := &gatedMeta{Store: k.w.meta}
		c = &crasher{
			disk: k.w.disk, meta: gated, rng: rng, every: 1 + rng.Int64N(12), world: k.w,
			promised: func() map[logKey]logView { return k.promised }, lock: func() func() { return func() {} },
		}
		fault := vfs.NewFault(k.w.disk, nil)
		fault.Inject(c.inject)
		seams = simSeams{fs: fault, meta: gated}
	}
	n, err := k.w.start(ctx, seams, nil)
	if err != nil {
		return fmt.Errorf("crash %s: start: %w", k.at, err)
	}
	if deeper && k.w.compact {
		err = n.clean(ctx)
	}
	if deeper {
		// What is appended after a second crash is not in the promise, so the checks that write come last.
		err = errors.Join(err, n.do(ctx, n.cutAll), n.do(ctx, n.mergeIfDue))
	}
	var wrecks []wreck
	if c != nil {
		c.mu.Lock()
		wrecks, c.every = c.wrecks, 1<<60
		c.mu.Unlock()
	}
	err = errors.Join(err, verify(ctx, n, k.promised))
	if err := errors.Join(err, n.stop()); err != nil {
		return fmt.Errorf("crash %s: %w", k.at, err)
	}
	for i := range wrecks {
		again := &wrecks[i]
		again.at = fmt.Sprintf("%s, then in recovery %s", k.at, again.at)
		if err := again.survive(ctx, rng, false); err != nil {
			return err
		}
	}
	return nil
}

// A crash at any operation loses nothing that was acknowledged, leaves no hole, and does not keep the node from going on.
func TestNothingAcknowledgedIsLostByACrashAtAnyOperation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		compact := seed >= 2
		t.Run(fmt.Sprint("seed=", seed, "/compact=", compact), func(t *testing.T) {
			t.Parallel()
			wrecks := crashScript(t, seed, 45, compact)
			if len(wrecks) < 200 {
				t.Fatalf("the script had %d operations, too few to mean something", len(wrecks))
			}
			rng := rand.New(rand.NewPCG(seed, 13))
			step := int(stride(2))
			for i := int(seed) % step; i < len(wrecks); i += step {
				if err := wrecks[i].survive(t.Context(), rng, i%40 == int(seed)); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}
