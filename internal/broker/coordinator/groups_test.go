package coordinator

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// The partitions were read from the __consumer_offsets of a running Apache Kafka 4.3.1 with 50 of them; the last two
// follow from the definition of String.hashCode: one is a surrogate pair, one has the hash without an absolute value.
func TestPartitionOfIsThatOfKafka(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]int32{"": 0, "g1": 42, "gs": 8, "simple": 26, "gx": 13, "ret": 1, "\U0001F600": 49, "polygenelubricants": 0} {
		if got := PartitionOf(id, 50); got != want {
			t.Errorf("PartitionOf(%q, 50) = %d, want %d", id, got, want)
		}
	}
}

func TestNoReplyLeavesBeforeItsRecordsAreDurable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		g, _ := ready(t, topics, nil)
		held := make(chan struct{})
		topics.log(0).set(func(l *memLog) { l.held = held })
		var commits []<-chan result[group.CommitReply]
		for i := range 20 {
			commits = append(commits, begin(func() (group.CommitReply, error) { return g.Commit(t.Context(), commit("g", int64(i))) }))
			synctest.Wait()
		}
		// A reader sees the newest state, and so has to wait for it to be durable.
		fetch := begin(func() (int64, error) { return committed(t, g, "g"), nil })
		synctest.Wait()
		if n := topics.log(0).count(); n != 20 {
			t.Fatalf("%d batches are on their way, want all 20 at once", n)
		}
		for i, c := range append(commits, nil) {
			select {
			case r := <-c:
				t.Fatalf("commit %d was answered before it was durable: %+v", i, r)
			case r := <-fetch:
				t.Fatalf("fetch was answered before what it saw was durable: %+v", r)
			default:
			}
		}
		close(held)
		for i, c := range commits {
			if r := <-c; r.err != nil || r.value.Offsets[0] != kafka.None {
				t.Errorf("commit %d: %+v", i, r)
			}
		}
		if r := <-fetch; r.value != 19 {
			t.Errorf("fetched %d, want 19", r.value)
		}
	})
}

func TestRefusedAppendFencesAndLoadsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		g, _ := ready(t, topics, nil)
		if _, err := g.Commit(t.Context(), commit("g", 1)); err != nil {
			t.Fatal(err)
		}
		first, err := g.Join(t.Context(), join("a"))
		if err != nil {
			t.Fatal(err)
		}
		waiting := begin(func() (group.JoinReply, error) { return g.Join(t.Context(), join("b")) })
		synctest.Wait()
		log := topics.log(0)
		log.set(func(l *memLog) { l.refuse = true })
		if _, err := g.Commit(t.Context(), commit("other", 2)); !errors.Is(err, kafka.CoordinatorNotAvailable) {
			t.Errorf("Commit that was not appended: %v, want COORDINATOR_NOT_AVAILABLE", err)
		}
		if r := <-waiting; !errors.Is(r.err, kafka.CoordinatorNotAvailable) {
			t.Errorf("Join that waited: %+v, want COORDINATOR_NOT_AVAILABLE", r)
		}
		synctest.Wait()
		if _, err := g.Commit(t.Context(), commit("other", 2)); !errors.Is(err, kafka.CoordinatorLoadInProgress) {
			t.Errorf("Commit to a fenced shard: %v, want COORDINATOR_LOAD_IN_PROGRESS", err)
		}
		log.set(func(l *memLog) { l.refuse = false })
		time.Sleep(firstReloadPause) //nolint:forbidigo // time in a bubble
		synctest.Wait()
		if got := committed(t, g, "g"); got != 1 {
			t.Errorf("durable offset after the fence = %d, want 1", got)
		}
		if got := committed(t, g, "other"); got != group.NoOffset {
			t.Errorf("refused offset after the fence = %d, want none", got)
		}
		if err := g.Heartbeat(t.Context(), group.Heartbeat{Group: "g", MemberID: first.MemberID, Generation: 1}); !errors.Is(err, kafka.UnknownMemberID) {
			t.Errorf("heartbeat of a member that was in no record: %v, want UNKNOWN_MEMBER_ID", err)
		}
	})
}

func TestUnknownOutcomeIsFoundOutByReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		g, _ := ready(t, topics, nil)
		log := topics.log(0)
		held := make(chan struct{})
		log.set(func(l *memLog) { l.lose, l.held = true, held })
		lost := begin(func() (group.CommitReply, error) { return g.Commit(t.Context(), commit("g", 1)) })
		synctest.Wait()
		log.set(func(l *memLog) { l.lose = false })
		// These are behind it: they become durable, but nobody may be told so before the state is known again.
		behind := begin(func() (group.CommitReply, error) { return g.Commit(t.Context(), commit("h", 2)) })
		read := begin(func() (group.Description, error) { return g.Describe(t.Context(), "g") })
		synctest.Wait()
		close(held)
		if r := <-lost; !errors.Is(r.err, kafka.CoordinatorNotAvailable) {
			t.Errorf("commit with unknown outcome: %+v", r)
		}
		if r := <-behind; !errors.Is(r.err, kafka.CoordinatorNotAvailable) {
			t.Errorf("commit behind it: %+v", r)
		}
		if r := <-read; !errors.Is(r.err, kafka.CoordinatorNotAvailable) {
			t.Errorf("read behind it: %+v", r)
		}
		time.Sleep(firstReloadPause) //nolint:forbidigo // time in a bubble
		synctest.Wait()
		if a, b := committed(t, g, "g"), committed(t, g, "h"); a != 1 || b != 2 {
			t.Errorf("offsets after the replay = %d, %d, want 1, 2", a, b)
		}
	})
}

func TestNothingIsAnsweredBeforeTheReplayHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		g, stop := ready(t, topics, nil)
		if _, err := g.Commit(t.Context(), commit("g", 7)); err != nil {
			t.Fatal(err)
		}
		stop()
		if _, err := g.Describe(t.Context(), "g"); !errors.Is(err, kafka.CoordinatorLoadInProgress) && !errors.Is(err, kafka.NotCoordinator) {
			t.Errorf("Describe after the end: %v", err)
		}
		blocked := make(chan struct{})
		topics.log(0).set(func(l *memLog) { l.blocked = blocked })
		g, stop = ready(t, topics, nil)
		for name, call := range map[string]func() error{
			"fetch":  func() error { _, err := g.Fetch(t.Context(), group.Fetch{Group: "g", All: true}); return err },
			"list":   func() error { _, err := g.List(t.Context()); return err },
			"join":   func() error { _, err := g.Join(t.Context(), join("a")); return err },
			"leave":  func() error { _, err := g.Leave(t.Context(), group.Leave{Group: "g"}); return err },
			"sync":   func() error { _, err := g.Sync(t.Context(), group.Sync{Group: "g"}); return err },
			"delete": func() error { return g.Delete(t.Context(), "g") },
			"offset delete": func() error {
				_, err := g.OffsetDelete(t.Context(), group.DeleteOffsets{Group: "g"})
				return err
			},
		} {
			if err := call(); !errors.Is(err, kafka.CoordinatorLoadInProgress) {
				t.Errorf("%s while loading: %v, want COORDINATOR_LOAD_IN_PROGRESS", name, err)
			}
		}
		close(blocked)
		stop()
		// Who comes at the begin of a tenure waits a moment, and is answered by what was loaded.
		blocked = make(chan struct{})
		topics.log(0).set(func(l *memLog) { l.blocked = blocked })
		g, stop = ready(t, topics, nil)
		fetched := begin(func() (int64, error) { return committed(t, g, "g"), nil })
		synctest.Wait()
		close(blocked)
		if r := <-fetched; r.value != 7 {
			t.Errorf("offset after the load = %d, want 7", r.value)
		}
		stop()
		// The deletion of a topic is not lost on a shard that is being loaded.
		blocked = make(chan struct{})
		topics.log(0).set(func(l *memLog) { l.blocked = blocked })
		g, _ = ready(t, topics, nil)
		deletion := begin(func() (struct{}, error) {
			return struct{}{}, g.DeleteTopics(t.Context(), []group.DeletedTopic{{Name: "t"}})
		})
		synctest.Wait()
		close(blocked)
		if r := <-deletion; r.err != nil {
			t.Errorf("DeleteTopics: %v", r.err)
		}
		if got := committed(t, g, "g"); got != group.NoOffset {
			t.Errorf("offset of a deleted topic = %d, want none", got)
		}
	})
}

func TestDamagedLogIsNeverServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		b := record.NewBuilder(record.None, 0)
		b.Append(0, []byte{0, 1, 0}, []byte{0, 3}, nil)
		damaged := b.Build(record.BuildOptions{})
		topics.log(0).batches = [][]byte{damaged}
		g, _ := ready(t, topics, nil)
		time.Sleep(time.Minute) //nolint:forbidigo // time in a bubble
		synctest.Wait()
		if _, err := g.List(t.Context()); !errors.Is(err, kafka.CoordinatorLoadInProgress) {
			t.Errorf("List over a damaged log: %v", err)
		}
		if n := topics.log(0).replays; n < 5 || n > 20 {
			t.Errorf("%d attempts in a minute, want them with growing pauses", n)
		}
		// A record of a kind that others keep is no damage.
		b.Append(0, []byte{0, 3, 0, 1, 'g'}, nil, nil)
		topics.log(0).set(func(l *memLog) { l.batches = [][]byte{b.Build(record.BuildOptions{})} })
		time.Sleep(lastReloadPause) //nolint:forbidigo // time in a bubble
		synctest.Wait()
		if list, err := g.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("List = %v, %v", list, err)
		}
	})
}

func TestRebalanceOverTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(3)
		g, stop := ready(t, topics, func(o *GroupsOptions) { o.Group.InitialRebalanceDelay = 3 * time.Second })
		began := time.Now()
		a := begin(func() (group.JoinReply, error) { return g.Join(t.Context(), join("a")) })
		time.Sleep(time.Second) //nolint:forbidigo // time in a bubble
		b := begin(func() (group.JoinReply, error) { return g.Join(t.Context(), join("b")) })
		leader, follower := (<-a).value, (<-b).value
		if waited := time.Since(began); waited != 6*time.Second || leader.Generation != 1 || len(leader.Members) != 2 || follower.Leader != leader.MemberID {
			t.Fatalf("after %v: leader %+v, follower %+v", waited, leader, follower)
		}
		parked := begin(func() (group.SyncReply, error) {
			return g.Sync(t.Context(), group.Sync{Group: "g", MemberID: follower.MemberID, Generation: 1})
		})
		synctest.Wait()
		if _, err := g.Sync(t.Context(), group.Sync{Group: "g", MemberID: leader.MemberID, Generation: 1, Assignments: map[string][]byte{follower.MemberID: []byte("B")}}); err != nil {
			t.Fatal(err)
		}
		if r := <-parked; string(r.value.Assignment) != "B" {
			t.Fatalf("follower's assignment: %+v", r)
		}
		// The leader falls silent: its session ends after 10 s, and the follower is asked to join again.
		for range 11 {
			time.Sleep(time.Second) //nolint:forbidigo // time in a bubble
			if err := g.Heartbeat(t.Context(), group.Heartbeat{Group: "g", MemberID: follower.MemberID, Generation: 1}); errors.Is(err, kafka.RebalanceInProgress) {
				break
			} else if err != nil {
				t.Fatalf("heartbeat: %v", err)
			}
		}
		again := join("b")
		again.MemberID = follower.MemberID
		reply, err := g.Join(t.Context(), again)
		if err != nil || reply.Generation != 2 || reply.Leader != follower.MemberID {
			t.Fatalf("join after the leader's end: %+v, %v", reply, err)
		}
		if _, err := g.Sync(t.Context(), group.Sync{Group: "g", MemberID: follower.MemberID, Generation: 2, Assignments: map[string][]byte{follower.MemberID: []byte("all")}}); err != nil {
			t.Fatal(err)
		}
		// A restart keeps the group as it is.
		stop()
		g, _ = ready(t, topics, nil)
		d, err := g.Describe(t.Context(), "g")
		if err != nil || d.State != group.Stable || len(d.Members) != 1 || string(d.Members[0].Assignment) != "all" {
			t.Fatalf("after a restart: %+v, %v", d, err)
		}
		time.Sleep(11 * time.Second) //nolint:forbidigo // time in a bubble
		synctest.Wait()
		if d, _ := g.Describe(t.Context(), "g"); d.State != group.Empty {
			t.Errorf("after the last session: %+v", d)
		}
		if list, err := g.List(t.Context()); err != nil || len(list) != 1 || list[0].State != group.Empty {
			t.Errorf("List = %+v, %v", list, err)
		}
		if err := g.Delete(t.Context(), "g"); err != nil {
			t.Errorf("Delete: %v", err)
		}
		if err := g.Delete(t.Context(), "g"); !errors.Is(err, kafka.GroupIDNotFound) {
			t.Errorf("second Delete: %v", err)
		}
	})
}

func TestCallerThatGoesAwayLeavesItsMember(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := ready(t, newMemTopics(1), func(o *GroupsOptions) { o.Group.InitialRebalanceDelay = 3 * time.Second })
		ctx, cancel := context.WithCancel(t.Context())
		gone := begin(func() (group.JoinReply, error) { return g.Join(ctx, join("a")) })
		synctest.Wait()
		cancel()
		if r := <-gone; !errors.Is(r.err, context.Canceled) {
			t.Errorf("Join of a caller that went away: %+v", r)
		}
		d, err := g.Describe(t.Context(), "g")
		if err != nil || d.State != group.PreparingRebalance || len(d.Members) != 1 {
			t.Errorf("its group: %+v, %v", d, err)
		}
		time.Sleep(20 * time.Second) //nolint:forbidigo // time in a bubble
		synctest.Wait()
		if d, _ := g.Describe(t.Context(), "g"); d.State != group.Empty {
			t.Errorf("its group after the session: %+v", d)
		}
	})
}

func TestStopAnswersEverybody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		g, stop := ready(t, topics, func(o *GroupsOptions) { o.Group.InitialRebalanceDelay = time.Minute })
		parked := begin(func() (group.JoinReply, error) { return g.Join(t.Context(), join("a")) })
		synctest.Wait()
		// A disk that never answers does not hold the end up for ever.
		topics.log(0).set(func(l *memLog) { l.held = make(chan struct{}) })
		stuck := begin(func() (group.CommitReply, error) { return g.Commit(t.Context(), commit("h", 1)) })
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("stopped after %v, want StopTimeout", took)
		}
		if r := <-parked; r.err == nil {
			t.Errorf("parked join: %+v, want an error", r)
		}
		if r := <-stuck; r.err == nil {
			t.Errorf("commit that never became durable: %+v, want an error", r)
		}
	})
}

func TestStopWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		g, stop := ready(t, topics, nil)
		held := make(chan struct{})
		topics.log(0).set(func(l *memLog) { l.held = held })
		slow := begin(func() (group.CommitReply, error) { return g.Commit(t.Context(), commit("g", 1)) })
		synctest.Wait()
		time.AfterFunc(time.Second, func() { close(held) })
		stop()
		if r := <-slow; r.err != nil {
			t.Errorf("commit on its way at shutdown: %+v", r)
		}
	})
}

func TestFirstCoordinatorCreatesTheTopic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(5)
		topics.ensureErr = errDisk
		g, _ := start(t, topics, nil)
		if list, err := g.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("List without a topic = %v, %v", list, err)
		}
		if _, err := g.Join(t.Context(), join("a")); !errors.Is(err, kafka.NotCoordinator) {
			t.Errorf("Join without a topic: %v, want NOT_COORDINATOR", err)
		}
		if err := g.Coordinator(t.Context()); !errors.Is(err, kafka.CoordinatorNotAvailable) {
			t.Errorf("Coordinator without a topic: %v, want COORDINATOR_NOT_AVAILABLE", err)
		}
		topics.mu.Lock()
		topics.ensureErr = nil
		topics.mu.Unlock()
		if err := g.Coordinator(t.Context()); err != nil {
			t.Fatalf("Coordinator: %v", err)
		}
		synctest.Wait()
		for _, id := range []string{"g", "h", "i", "j"} {
			if _, err := g.Commit(t.Context(), commit(id, 3)); err != nil {
				t.Errorf("Commit to %s: %v", id, err)
			}
		}
		all, err := g.Committed(t.Context(), false)
		if err != nil || len(all) != 4 {
			t.Errorf("Committed = %v, %v", all, err)
		}
	})
}

func TestLargeDecisionsAreCutIntoBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		g, stop := ready(t, topics, func(o *GroupsOptions) { o.BatchBytes = 1000 })
		e := group.Commit{Group: "g", Generation: -1, Retention: -1}
		for i := range int32(200) {
			e.Offsets = append(e.Offsets, group.CommitOffset{Topic: "t", Partition: i, Offset: int64(i)})
		}
		if _, err := g.Commit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		log := topics.log(0)
		if n := log.count(); n < 10 {
			t.Errorf("%d batches, want at least 10", n)
		}
		for _, b := range log.batches {
			if err := record.Validate(b, 1<<20); err != nil || len(b) > 1000 {
				t.Errorf("batch of %d bytes: %v", len(b), err)
			}
		}
		stop()
		g, _ = ready(t, topics, nil)
		if all, err := g.Committed(t.Context(), false); err != nil || len(all) != 200 {
			t.Errorf("%d offsets after a restart, want 200 (%v)", len(all), err)
		}
	})
}

func TestMemberIDsCarryTheClient(t *testing.T) {
	t.Parallel()
	g := NewGroups(GroupsOptions{Random: bytes.NewReader(bytes.Repeat([]byte{0xff}, 32))})
	id, err := g.newMemberID("client")
	if want := regexp.MustCompile(`^client-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`); err != nil || !want.MatchString(id) {
		t.Errorf("newMemberID = %q, %v", id, err)
	}
}
