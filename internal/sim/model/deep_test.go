package model

import (
	"os"
	"testing"
	"time"
)

// TestDeep explores larger bounds and tells how many states they have: make model runs it. docs/design/0018-fencing-model.md keeps the figures.
func TestDeep(t *testing.T) {
	if os.Getenv("WEIR_MODEL") == "" {
		t.Log("WEIR_MODEL is not set: only the bounds of the other tests are explored")
		return
	}
	for _, row := range []struct {
		name    string
		b       Bounds
		without Mutation
	}{
		{"four objects", Bounds{Incarnations: 2, Shards: 1, Seqs: 4, Window: 2, Produces: 3, Moves: 2, Faults: 1, Checkpoints: 2, StaleGC: true}, 0},
		{"three PUTs in flight", Bounds{Incarnations: 2, Shards: 1, Seqs: 4, Window: 3, Produces: 4, Moves: 1, Faults: 2, Checkpoints: 1}, 0},
		{"many faults", Bounds{Incarnations: 2, Shards: 1, Seqs: 3, Window: 2, Produces: 2, Moves: 2, Faults: 4, Checkpoints: 1}, 0},
		{"shard comes back", Bounds{Incarnations: 2, Shards: 1, Seqs: 3, Window: 2, Produces: 2, Moves: 3, Faults: 1, Checkpoints: 1}, 0},
		{"three incarnations", Bounds{Incarnations: 3, Shards: 1, Seqs: 3, Window: 2, Produces: 2, Moves: 2, Faults: 1, Checkpoints: 2}, 0},
		{"four incarnations", Bounds{Incarnations: 4, Shards: 1, Seqs: 2, Window: 2, Produces: 2, Moves: 3}, 0},
		{"rival controllers", Bounds{Incarnations: 3, Shards: 1, Seqs: 2, Window: 2, Produces: 3, Moves: 3, StaleController: true}, 0},
		{"two shards", Bounds{Incarnations: 2, Shards: 2, Seqs: 3, Window: 2, Produces: 3, Moves: 2, Checkpoints: 1}, 0},
		{"two shards, three incarnations", Bounds{Incarnations: 3, Shards: 2, Seqs: 2, Window: 2, Produces: 2, Moves: 2, Checkpoints: 1}, 0},
		{"anyone may seal", Bounds{Incarnations: 2, Shards: 1, Seqs: 3, Window: 2, Produces: 3, Moves: 1, Faults: 1, Checkpoints: 2, StaleGC: true}, SealByAnyone},
		{"closed without a seal", Bounds{Incarnations: 3, Shards: 1, Seqs: 3, Window: 2, Produces: 2, Moves: 2, Checkpoints: 1}, CloseWithoutSeal},
		{"sealed@k without comparing open", successors, SealTxnUnconditional},
		{"sealed@k without comparing the trim", successors, SealIgnoresTrim},
		{"no RELEASE", Bounds{Incarnations: 2, Shards: 2, Seqs: 3, Window: 2, Produces: 2, Moves: 2, Checkpoints: 1}, NoRelease},
		{"a missing object is the end", successors, MissingIsEnd},
		{"sections without epochs", successors, EpochIgnored},
	} {
		t.Run(row.name, func(t *testing.T) {
			start := time.Now()
			r, err := Explore(row.b, row.without, 40_000_000)
			if err != nil {
				t.Error(err)
			}
			if r.Violation != "" {
				t.Error(schedule(r))
			}
			t.Logf("%+v: %d states, %d steps, depth %d, %v", row.b, r.States, r.Steps, r.Depth, time.Since(start).Round(time.Second))
		})
	}
}
