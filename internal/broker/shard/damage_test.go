package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/kafka"
)

// oldWorld is a world with a history in objects of both levels and in the WAL, after an orderly end.
func oldWorld(t *testing.T, seed uint64) (*world, map[logKey]logView) {
	t.Helper()
	w := newWorld(t)
	s := newSimulation(t.Context(), seed, w)
	n, err := w.start(t.Context(), simSeams{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.node = n
	s.begin()
	run := func(appends int, then ...func(context.Context) error) {
		for range appends {
			if err := s.append(); err != nil {
				t.Fatal(err)
			}
			if s.rng.IntN(3) == 0 {
				if err := s.wait(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.wait(); err != nil {
			t.Fatal(err)
		}
		for _, f := range then {
			if err := n.do(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
	}
	mergeAll := func(ctx context.Context) error {
		for _, sh := range n.shards {
			if err := n.merge(ctx, sh, nil, 0, len(sh.objects)); err != nil {
				return err
			}
		}
		return nil
	}
	run(15, n.cutAll)
	run(15, n.cutAll, mergeAll)
	run(15, n.cutAll)
	run(20, n.checkpointAll)
	run(10)
	s.mu.Lock()
	promised := s.view()
	s.mu.Unlock()
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	return w, promised
}

func (w *world) clone(rng *rand.Rand) *world {
	return &world{disk: w.disk.CrashClone(rng), meta: copyMeta(w.meta), topics: maps.Clone(w.topics), compact: w.compact}
}

// filesIn returns the files below dir.
func (w *world) filesIn(t *testing.T, dir string) []string {
	t.Helper()
	names, err := w.disk.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range names {
		name = path.Join(dir, name)
		info, err := w.disk.Stat(name)
		switch {
		case err != nil:
			t.Fatal(err)
		case info.IsDir():
			out = append(out, w.filesIn(t, name)...)
		case info.Size() > 0:
			out = append(out, name)
		}
	}
	return out
}

// flip changes one bit of a file.
func (w *world) flip(t *testing.T, name string, off int64) {
	t.Helper()
	f, err := w.disk.OpenReadWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	b[0] ^= 0x10
	if err == nil {
		_, err = f.WriteAt(b[:], off)
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// readEach reads every batch by itself. It returns how many logs have damage; any other answer than the batch or
// CORRUPT_MESSAGE is an error.
func readEach(ctx context.Context, n *simNode, promised map[logKey]logView) (damaged int, err error) {
	for k, v := range promised {
		l, err := n.Log(k.topic, k.partition)
		if err != nil {
			return damaged, err
		}
		if o := l.Offsets(); o.HighWatermark < v.ackedEnd {
			return damaged, fmt.Errorf("%v ends at %d, promised was %d", k, o.HighWatermark, v.ackedEnd)
		}
		bad := 0
		for _, b := range v.batches {
			got, err := readBytesAt(ctx, l, b.base, int64(len(b.bytes)))
			switch {
			case errors.Is(err, kafka.CorruptMessage):
				bad = 1
			case err != nil:
				return damaged, fmt.Errorf("%v at %d: %w", k, b.base, err)
			case !bytes.Equal(got, b.bytes):
				return damaged, fmt.Errorf("%v at %d: wrong bytes", k, b.base)
			}
		}
		damaged += bad
	}
	return damaged, nil
}

func readBytesAt(ctx context.Context, l *partition.Log, offset, size int64) ([]byte, error) {
	b, _, err := l.ReadBytes(ctx, offset, size)
	return b, err
}

func corruptCount(t *testing.T, n *simNode) float64 {
	t.Helper()
	var m dto.Metric
	if err := n.metrics.corrupt.(prometheus.Metric).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// One flipped bit, anywhere: the start is refused and says where, or every batch is served as it was or answered with
// CORRUPT_MESSAGE. Cuts and merges go on, and a restart changes nothing.
func TestFlippedBitIsNeverServedAndNeverStopsTheRest(t *testing.T) {
	t.Parallel()
	for _, class := range []struct {
		dir     string
		flips   int
		refused bool // the start may be refused
	}{
		{simWAL, 50, true},
		{simObjects + "/" + objectPrefix, 40, false},
		{simObjects + "/" + manifestPrefix, 10, true},
		{simObjects + "/" + checkpointPrefix, 20, true},
	} {
		t.Run(path.Base(class.dir), func(t *testing.T) {
			t.Parallel()
			w, promised := oldWorld(t, 17)
			files := slices.DeleteFunc(w.filesIn(t, class.dir), func(name string) bool { return path.Base(name) == reserveName })
			rng := rand.New(rand.NewPCG(23, 29))
			refused, damaged := 0, 0
			for range class.flips {
				c := w.clone(rng)
				name := files[rng.IntN(len(files))]
				info, err := c.disk.Stat(name)
				if err != nil {
					t.Fatal(err)
				}
				off := rng.Int64N(info.Size())
				if strings.HasPrefix(name, simWAL) {
					off = rng.Int64N(min(info.Size(), 40<<10)) // what is used of most files
				}
				c.flip(t, name, off)
				r, d := c.live(t, fmt.Sprintf("byte %d of %s", off, name), path.Base(name), promised)
				if r && !class.refused {
					t.Errorf("byte %d of %s: the start was refused", off, name)
				}
				refused, damaged = refused+btoi(r), damaged+btoi(d)
			}
			if refused+damaged == 0 {
				t.Errorf("none of %d flips was noticed", class.flips)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// live starts a node on a damaged world, and lets it go through all that moves bytes.
func (w *world) live(t *testing.T, what, file string, promised map[logKey]logView) (refused, damaged bool) {
	t.Helper()
	ctx := t.Context()
	before := 0
	for life := range 2 {
		n, err := w.start(ctx, simSeams{}, nil)
		if err != nil {
			if life > 0 || !strings.Contains(err.Error(), file) {
				t.Errorf("%s: start %d: %v, which does not name the file", what, life, err)
			}
			return true, false
		}
		for _, step := range []struct {
			name string
			run  func(context.Context) error
		}{{"start", func(context.Context) error { return nil }}, {"cut", n.cutAll}, {"merge", n.mergeAll}} {
			if err := n.do(ctx, step.run); err != nil {
				t.Fatalf("%s: %s: %v", what, step.name, err)
			}
			bad, err := readEach(ctx, n, promised)
			if err != nil {
				t.Fatalf("%s: life %d, after %s: %v", what, life, step.name, err)
			}
			if before > 0 && bad == 0 {
				t.Fatalf("%s: life %d, after %s: the damage is gone", what, life, step.name)
			}
			before = bad
			if count := corruptCount(t, n); bad > 0 && (count < 1 || count > 12) && life == 0 {
				t.Errorf("%s: %v damages counted, %d logs have some", what, count, bad)
			}
		}
		if err := n.stop(); err != nil {
			t.Fatalf("%s: end: %v", what, err)
		}
	}
	return false, before > 0
}

// mergeAll merges as if everything were due, with the same care for damage as mergeIfDue.
func (n *simNode) mergeAll(ctx context.Context) error {
	for _, sh := range n.shards {
		for _, o := range sh.objects {
			o.Data = o.Bytes * 4 // looks half dead
		}
	}
	return n.mergeIfDue(ctx)
}

func TestDamagedPointerRefusesTheStart(t *testing.T) {
	t.Parallel()
	w, _ := oldWorld(t, 18)
	if _, err := w.meta.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: ownership.ShardKey(1), Value: []byte(`{"v":1,"epo`)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.start(t.Context(), simSeams{}, nil); err == nil || !strings.Contains(err.Error(), ownership.ShardKey(1)) {
		t.Errorf("start with a damaged pointer: %v, want an error that names the key", err)
	}
}
