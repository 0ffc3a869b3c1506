package model

import (
	"os"
	"strings"
	"testing"
)

// Bounds in which the metadata store is set back. In far the owner may change twice before, so that brokers of before have to be stopped.
var (
	olderTrim  = Bounds{Incarnations: 2, Shards: 1, Seqs: 2, Window: 1, Produces: 2, Moves: 1, Checkpoints: 1, SetBack: true}
	olderClaim = Bounds{Incarnations: 3, Shards: 1, Seqs: 1, Window: 1, Produces: 2, Moves: 2, SetBack: true}
	olderStop  = Bounds{Incarnations: 3, Shards: 1, Seqs: 1, Window: 1, Produces: 1, Moves: 2, SetBack: true, Stopped: true}
	olderFar   = Bounds{Incarnations: 3, Shards: 1, Seqs: 1, Window: 1, Produces: 1, Moves: 3, SetBack: true, Stopped: true}
)

func TestStampsHoldWhenTheMetadataIsSetBack(t *testing.T) {
	t.Parallel()
	taken := map[string]int{}
	for _, row := range []struct {
		in      Bounds
		without Mutation
	}{
		{olderTrim, 0},
		{olderClaim, 0},
		{olderStop, 0},
		{olderClaim, BeginUncompared}, // each of the two would do, here
		{olderClaim, ClaimsUncompared},
		{olderTrim, CollectsUnowned},
	} {
		if underRace && row.in != olderTrim {
			continue
		}
		r := explore(t, row.in, row.without)
		if r.Violation != "" {
			t.Errorf("%+v, %v: %s", row.in, row.without, schedule(r))
		}
		t.Logf("%+v, %v: %d states", row.in, row.without, r.States)
		for kind, n := range r.Taken {
			taken[kind] += n
		}
	}
	for kind := snapshotTaken; kind < stepKinds; kind++ {
		if taken[stepNames[kind]] == 0 && !underRace {
			t.Errorf("no step %q was ever taken", stepNames[kind])
		}
	}
}

func TestEveryStampIsNeeded(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		without Mutation
		in      Bounds
		want    string
	}{
		{StampsIgnored, olderTrim, "I4"},
		{StampsIgnored, olderClaim, "I3"},
		{StampsIgnored, olderStop, "I3"},
		{ClaimShared, olderClaim, "I3"},
		{TrimUncompared, olderTrim, "I4"},
		{TrimLookedBefore, olderTrim, "I4"},
	} {
		r := explore(t, row.in, row.without)
		if !strings.HasPrefix(r.Violation, row.want) {
			t.Errorf("%v: got %q after %d states, want %s; %s", row.without, r.Violation, r.States, row.want, schedule(r))
			continue
		}
		t.Logf("%v, %d states, %s", row.without, r.States, schedule(r))
	}
}

// TestDeepStamps explores more changes of an owner, in which the claims have to be compared. make model runs it.
func TestDeepStamps(t *testing.T) {
	if os.Getenv("WEIR_MODEL") == "" {
		t.Log("WEIR_MODEL is not set: only the bounds of the other tests are explored")
		return
	}
	running := olderFar
	running.Stopped = false
	for _, row := range []struct {
		name    string
		in      Bounds
		without Mutation
		want    string
	}{
		{"brokers of before are stopped", olderFar, 0, ""},
		{"nobody compares claims", olderFar, BeginUncompared | ClaimsUncompared, "I"},
		// What stamps do not hold against: who is two changes ahead of the snapshot, and goes on.
		{"brokers of before run on", running, 0, "I"},
	} {
		r, err := Explore(row.in, row.without, 40_000_000)
		if err != nil {
			t.Error(err)
		}
		if (r.Violation == "") != (row.want == "") || !strings.HasPrefix(r.Violation, row.want) {
			t.Errorf("%s: got %q, want %q; %s", row.name, r.Violation, row.want, schedule(r))
		}
		t.Logf("%s: %d states, %d steps, depth %d, %q", row.name, r.States, r.Steps, r.Depth, r.Violation)
	}
}
