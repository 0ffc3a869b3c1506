package model

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The bounds that quick tests use, smallest first. Each holds something that the others do not.
var (
	one        = Bounds{Incarnations: 2, Shards: 1, Seqs: 3, Window: 2, Produces: 2, Moves: 1, Faults: 1, Checkpoints: 1}
	late       = Bounds{Incarnations: 2, Shards: 1, Seqs: 2, Window: 2, Produces: 2, Moves: 1, Faults: 1, Checkpoints: 2}
	wide       = Bounds{Incarnations: 2, Shards: 1, Seqs: 3, Window: 3, Produces: 3, Moves: 1, Faults: 2}
	staleGC    = Bounds{Incarnations: 2, Shards: 1, Seqs: 3, Window: 2, Produces: 2, Moves: 1, Checkpoints: 1, StaleGC: true}
	rivals     = Bounds{Incarnations: 3, Shards: 1, Seqs: 2, Window: 2, Produces: 2, Moves: 2, StaleController: true}
	successors = Bounds{Incarnations: 3, Shards: 1, Seqs: 2, Window: 2, Produces: 2, Moves: 2, Checkpoints: 1}
	alone      = Bounds{Incarnations: 2, Shards: 1, Seqs: 2, Window: 2, Produces: 2, Moves: 1, Checkpoints: 1}
	elders     = Bounds{Incarnations: 3, Shards: 1, Seqs: 2, Window: 1, Produces: 1, Moves: 2, Checkpoints: 1}
	neighbours = Bounds{Incarnations: 2, Shards: 2, Seqs: 2, Window: 2, Produces: 2, Moves: 1, Checkpoints: 1}
)

func TestProtocolHoldsInEveryState(t *testing.T) {
	t.Parallel()
	taken := map[string]int{}
	for _, b := range []Bounds{one, late, wide, staleGC, rivals, successors, neighbours} {
		if underRace && b != one && b != staleGC {
			continue // nothing here runs at once, and it takes twenty times as long
		}
		r := explore(t, b, 0)
		if r.Violation != "" {
			t.Errorf("%+v: %s", b, schedule(r))
		}
		for kind, n := range r.Taken {
			taken[kind] += n
		}
	}
	// Nothing is shown by steps that never happen. These two belong to mutations, those of stamps to their own test.
	for _, kind := range stepNames {
		if taken[kind] == 0 && !underRace && kind != stepNames[handOverGivenUp] && kind != stepNames[closedUnsealed] && !slices.Contains(stepNames[snapshotTaken:], kind) {
			t.Errorf("no step %q was ever taken", kind)
		}
	}
}

// mutations are rules that the protocol needs: each row is found by the invariants named.
var mutations = []struct {
	without Mutation
	in      Bounds
	want    string
}{
	{NoSeals, one, "I1"},
	{SealsDeleted, one, "I1"},
	{AckWithGaps, one, "I1"},
	{RefusedContinues, one, "I2"},
	{RefusedIsSuccess, one, "I1"},
	{DeleteByAge, one, "I1"},
	{ReadBeforeSeal, one, "I2"},
	{SealOverData, one, "I1"},
	{SealAtTail, one, "I7"},
	{SealTxnUnconditional | SealIgnoresTrim, successors, "I4"},
	{SealIgnoresTrim | SealByAnyone, one, "I4"},
	{TrimNotRecorded, one, "I1"},
	{TrimByOneShard, neighbours, "I1"},
	{TrimByCheckpoint, one, "I7"},
	{TrimIgnoresHistory, one, "I1"},
	{TrimToTail, staleGC, "I1"},
	{HandOverWithoutEnd, one, "I2"},
	{HandOverIntakeOpen, one, "I1"},
	{HandOverEarly, one, "I7"},
	{HandOverResumed, one, "I1"},
	{AssignUncompared, rivals, "I3"},
	{EpochKept, successors, "I1"},
	{CheckpointUncompared, one, "I1"},
	{CheckpointEpochOnly, late, "I1"},
	{CheckpointVersionOnly, one, "I1"},
	{CheckpointAhead, one, "I7"},
	{CheckpointAbandoned, one, "I7"},
	{CheckpointForgets, successors, "I1"},
}

func TestEveryRuleTakenOutIsFound(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for _, m := range mutations {
		if underRace && m.in == successors {
			continue
		}
		r := explore(t, m.in, m.without)
		if !strings.HasPrefix(r.Violation, m.want) {
			t.Errorf("%v: got %q after %d states, want %s; %s", m.without, r.Violation, r.States, m.want, schedule(r))
			continue
		}
		found[r.Violation[:2]] = true
		t.Logf("%v, %d states, %s", m.without, r.States, schedule(r))
	}
	for _, id := range []string{"I1", "I2", "I3", "I4", "I7"} {
		if !found[id] {
			t.Errorf("no mutation is found by %s", id)
		}
	}
}

// TestZombieCreatesADeletedKeyAgain holds the schedule for which seals are never deleted: the fence is an object that GC
// removes with the log that it ended, and the zombie's PUT finds its key free.
func TestZombieCreatesADeletedKeyAgain(t *testing.T) {
	t.Parallel()
	r := explore(t, one, SealsDeleted)
	want := []string{
		"sends PUT A/", "sends PUT of a seal at A/", "sealed@", "serves it in epoch 2", "transaction of the checkpoint",
		"store deletes A/0: a seal", "store creates A/0", "acknowledges",
	}
	at := 0
	for _, line := range r.Schedule {
		if at < len(want) && strings.Contains(line, want[at]) {
			at++
		}
	}
	if at < len(want) {
		t.Errorf("got %s, want %q in it, after those before", schedule(r), want[at])
	}
}

// TestProtocolHoldsWithoutTheseToo tells what safety does not hang on, so that nobody takes it for a fence.
func TestProtocolHoldsWithoutTheseToo(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		without Mutation
		in      Bounds
	}{
		{CloseWithoutSeal, one},
		{GoneIsSuccess, one},
		{NoEndButStopped, one},
		{NoRelease, one},
		{MissingIsEnd, elders},
		{EpochIgnored, elders},
		{SealTxnUnconditional, elders},
		{SealIgnoresTrim, elders},
		{SealByAnyone, alone},
	} {
		if underRace && row.in != alone {
			continue
		}
		if r := explore(t, row.in, row.without); r.Violation != "" {
			t.Errorf("%v: %s", row.without, schedule(r))
		}
	}
}

func TestWalkIsTheSameForOneSeed(t *testing.T) {
	t.Parallel()
	walk := func() Result {
		r, err := Walk(one, SealsDeleted, rand.New(rand.NewPCG(1, 2)), 1_000_000)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first, second := walk(), walk()
	if first.Violation == "" || first.Steps != second.Steps || !slices.Equal(first.Schedule, second.Schedule) {
		t.Errorf("got %q after %d steps and %q after %d", first.Violation, first.Steps, second.Violation, second.Steps)
	}
}

// large is more than can be explored: random walks go there.
var large = Bounds{Incarnations: 4, Shards: 2, Seqs: 6, Window: 3, Produces: 6, Moves: 5, Faults: 4, Checkpoints: 4, StaleGC: true, StaleController: true}

func TestProtocolHoldsOnRandomWalks(t *testing.T) {
	t.Parallel()
	steps := 200_000
	if underRace {
		steps = 5_000
	}
	if os.Getenv("WEIR_MODEL") != "" {
		steps = 30_000_000
	}
	walk(t, large, 0, 1, steps)
	walk(t, large, SealByAnyone, 2, steps)
	older := large
	older.SetBack, older.Stopped = true, true
	walk(t, older, 0, 3, steps)
}

func walk(t *testing.T, b Bounds, without Mutation, seed uint64, steps int) {
	t.Helper()
	start := time.Now()
	r, err := Walk(b, without, rand.New(rand.NewPCG(seed, 0)), steps)
	if err != nil {
		t.Fatal(err)
	}
	if r.Violation != "" {
		t.Errorf("seed %d: %s", seed, schedule(r))
	}
	t.Logf("walk %v, seed %d: %d steps in schedules of up to %d, %v", without, seed, r.Steps, r.Depth, time.Since(start).Round(time.Second))
}

func TestExploreRefusesWhatHasNoRoom(t *testing.T) {
	t.Parallel()
	b := one
	b.Seqs = maxSeqs + 1
	if _, err := Explore(b, 0, 0); err == nil {
		t.Error("got no error for more seqs than a state has room for")
	}
	if r, err := Explore(one, 0, 100); err == nil || r.States < 100 {
		t.Errorf("got %d states and error %v, want to be stopped after 100", r.States, err)
	}
}

func explore(t *testing.T, b Bounds, without Mutation) Result {
	t.Helper()
	r, err := Explore(b, without, 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func schedule(r Result) string {
	return r.Violation + "\n  " + strings.Join(r.Schedule, "\n  ")
}
