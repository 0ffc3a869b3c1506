package shard

import (
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/shard/state"
)

// stateOf is what a log knows, without where its bytes lie.
func stateOf(l *partition.Log) state.Partition {
	p := l.Snapshot(func(*partition.Object) int { return 0 }, math.MaxInt64)
	p.Runs, p.Extents = nil, nil
	// An epoch in which nothing is left says what the next one says.
	p.Epochs = slices.DeleteFunc(slices.Clone(p.Epochs), func(e state.EpochStart) bool {
		i := slices.Index(p.Epochs, e)
		return i+1 < len(p.Epochs) && p.Epochs[i+1].Start == e.Start
	})
	return p
}

// After any history a node that was recovered knows what the one before it knew.
func TestRecoveredStateEqualsTheLiveOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		steps := rapid.IntRange(1, 60).Draw(rt, "steps")
		w := newWorld(t)
		s := newSimulation(t.Context(), seed, w)
		node, err := w.start(t.Context(), simSeams{}, smallSegments)
		if err != nil {
			rt.Fatal(err)
		}
		s.node = node
		s.begin()
		for range steps {
			if err := s.step(); err != nil {
				rt.Fatal(err)
			}
		}
		if err := s.wait(); err != nil {
			rt.Fatal(err)
		}
		crashed := &world{disk: w.disk.CrashClone(rand.New(rand.NewPCG(seed, 3))), meta: copyMeta(w.meta), topics: maps.Clone(w.topics)}
		again, err := crashed.start(t.Context(), simSeams{}, smallSegments)
		if err != nil {
			rt.Fatal(err)
		}
		for k := range s.logs {
			live, err := node.Log(k.topic, k.partition)
			if err != nil {
				rt.Fatal(err)
			}
			recovered, err := again.Log(k.topic, k.partition)
			if err != nil {
				rt.Fatal(err)
			}
			if a, b := stateOf(live), stateOf(recovered); !reflect.DeepEqual(a, b) {
				rt.Errorf("partition %d of topic %x: recovered %+v, was %+v", k.partition, k.topic[:1], b, a)
			}
			if a, b := live.Offsets(), recovered.Offsets(); a.LogStart != b.LogStart || a.HighWatermark != b.HighWatermark || a.LastStable != b.LastStable {
				rt.Errorf("partition %d of topic %x: recovered %+v, was %+v", k.partition, k.topic[:1], b, a)
			}
		}
		for _, n := range []*simNode{node, again} {
			if err := n.stop(); err != nil {
				rt.Error(err)
			}
		}
	})
}

// smallSegments lets scripts reach the end of segments.
func smallSegments(o *Options) { o.Topics.(*fakeTopics).config.SegmentBytes = 6000 }
