package api

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/kafka"
)

// sessionClock is a clock that tests turn.
type sessionClock struct{ at time.Time }

func (c *sessionClock) now() time.Time { return c.at }

func asked(topic string, partitions ...int32) []*fetchPartition {
	var out []*fetchPartition
	for _, i := range partitions {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition = i
		out = append(out, &fetchPartition{topic: topic, FetchRequestTopicPartition: p})
	}
	return out
}

// result is what a read of p gave: some bytes, up to the high watermark hw.
func result(p *fetchPartition, bytes, hw int64) fetchResult {
	return fetchResult{partition: p, read: partition.ReadResult{Bytes: bytes, Offsets: partition.Offsets{HighWatermark: hw, LastStable: hw}}}
}

func indexes(results []fetchResult) []int32 {
	var out []int32
	for _, r := range results {
		out = append(out, r.partition.Partition)
	}
	return out
}

func mustAdvance(t *testing.T, f *fetchSession, epoch int32, changed []*fetchPartition, forgotten ...fetchKey) []*fetchPartition {
	t.Helper()
	ps, err := f.advance(epoch, changed, forgotten, false)
	if err != nil {
		t.Fatalf("advance at epoch %d: %v", epoch, err)
	}
	return ps
}

func TestSessionEpochsMustFollowEachOther(t *testing.T) {
	t.Parallel()
	f := newFetchSessions(1, time.Now).create(asked("t", 0, 1), false)
	mustAdvance(t, f, 1, nil)
	for _, epoch := range []int32{1, 3, -5} {
		if _, err := f.advance(epoch, nil, nil, false); !errors.Is(err, kafka.InvalidFetchSessionEpoch) {
			t.Errorf("epoch %d after 1 gives %v", epoch, err)
		}
	}
	mustAdvance(t, f, 2, nil)
	f.epoch = 1<<31 - 1
	mustAdvance(t, f, 1<<31-1, nil)
	mustAdvance(t, f, 1, nil) // after the largest comes 1, since 0 means a new session
}

func TestSessionsDoNotMixNamesAndIDs(t *testing.T) {
	t.Parallel()
	f := newFetchSessions(1, time.Now).create(asked("t", 0), false)
	if _, err := f.advance(1, nil, nil, true); !errors.Is(err, kafka.FetchSessionTopicIDError) {
		t.Errorf("ids in a session of names give %v", err)
	}
}

func TestSessionRemembersWhatIsAddedChangedAndForgotten(t *testing.T) {
	t.Parallel()
	f := newFetchSessions(1, time.Now).create(asked("t", 0, 1, 2), false)
	changed := asked("t", 1, 3)
	changed[0].FetchOffset = 7
	got := mustAdvance(t, f, 1, changed, fetchKey{topic: "t", partition: 0}, fetchKey{topic: "no", partition: 0})
	var parts []int32
	for _, p := range got {
		parts = append(parts, p.Partition)
	}
	if !slices.Equal(parts, []int32{1, 2, 3}) || got[0].FetchOffset != 7 {
		t.Errorf("partitions %v, offset %d", parts, got[0].FetchOffset)
	}
}

func TestSessionTellsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	ps := asked("t", 0, 1, 2)
	f := newFetchSessions(1, time.Now).create(ps, false)
	if got := indexes(f.filter([]fetchResult{result(ps[0], 0, 5), result(ps[1], 0, 5), result(ps[2], 0, 5)}, true)); len(got) != 3 {
		t.Errorf("the first answer names %v", got)
	}
	failed := result(ps[2], 0, 5)
	failed.code = kafka.FencedLeaderEpoch
	for i, c := range []struct {
		results []fetchResult
		want    []int32
	}{
		{[]fetchResult{result(ps[0], 0, 5), result(ps[1], 0, 6), failed}, []int32{1, 2}},
		{[]fetchResult{result(ps[0], 0, 5), result(ps[1], 0, 6), result(ps[2], 0, 5)}, []int32{2}}, // the error is over
		{[]fetchResult{result(ps[0], 0, 5), result(ps[1], 0, 6), result(ps[2], 0, 5)}, nil},
		{[]fetchResult{result(ps[0], 1, 5), result(ps[1], 0, 6), result(ps[2], 0, 5)}, []int32{0}},
	} {
		if got := indexes(f.filter(c.results, false)); !slices.Equal(got, c.want) {
			t.Errorf("answer %d names %v, want %v", i, got, c.want)
		}
	}
}

func TestSessionServesPartitionsInTurns(t *testing.T) {
	t.Parallel()
	ps := asked("t", 0, 1, 2)
	f := newFetchSessions(1, time.Now).create(ps, false)
	f.filter([]fetchResult{result(ps[0], 9, 5), result(ps[1], 0, 5), result(ps[2], 0, 5)}, true)
	var order []int32
	for _, p := range mustAdvance(t, f, 1, nil) {
		order = append(order, p.Partition)
	}
	if !slices.Equal(order, []int32{1, 2, 0}) {
		t.Errorf("the partition that gave records does not come last: %v", order)
	}
}

func TestSessionsEndAndUnknownOnesAreNotFound(t *testing.T) {
	t.Parallel()
	s := newFetchSessions(2, time.Now)
	f := s.create(asked("t", 0), false)
	if got, err := s.get(f.id); err != nil || got != f {
		t.Errorf("get gives %v, %v", got, err)
	}
	s.drop(f.id)
	if _, err := s.get(f.id); !errors.Is(err, kafka.FetchSessionIDNotFound) {
		t.Errorf("a dropped session gives %v", err)
	}
	if f := s.create(nil, false); f != nil {
		t.Error("a session of nothing was made")
	}
	if f := newFetchSessions(0, time.Now).create(asked("t", 0), false); f != nil {
		t.Error("a session was made where there is no slot")
	}
}

func TestFullSessionsMakeWayWhenIdleOrSmall(t *testing.T) {
	t.Parallel()
	clock := &sessionClock{time.Unix(1000, 0)}
	s := newFetchSessions(2, clock.now)
	first := s.create(asked("t", 0, 1, 2), false)
	clock.at = clock.at.Add(time.Second)
	second := s.create(asked("t", 0, 1), false)
	if s.create(asked("t", 0, 1, 2, 3), false) != nil {
		t.Fatal("a young session in use made way")
	}
	clock.at = clock.at.Add(sessionEvictAfter)
	for _, f := range []*fetchSession{first, second} {
		if _, err := s.get(f.id); err != nil {
			t.Fatal(err)
		}
	}
	clock.at = clock.at.Add(time.Second)
	if s.create(asked("t", 0, 1), false) != nil {
		t.Fatal("a session made way for one that is not larger")
	}
	third := s.create(asked("t", 0, 1, 2, 3), false)
	if _, err := s.get(second.id); third == nil || err == nil {
		t.Fatal("the smallest session did not make way for a larger one")
	}
	clock.at = clock.at.Add(sessionEvictAfter)
	if _, err := s.get(third.id); err != nil {
		t.Fatal(err)
	}
	clock.at = clock.at.Add(time.Second)
	if s.create(asked("t", 0), false) == nil {
		t.Fatal("no idle session made way")
	}
	if _, err := s.get(first.id); err == nil || s.len() != 2 {
		t.Errorf("the session that was idle longest is still there, %d in all", s.len())
	}
}
