package coordinator

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/streamsgroup"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
)

// oneTopic is a view of topics with one.
type oneTopic struct{}

func (oneTopic) Revision() int64 { return 1 }
func (oneTopic) Names() []string { return []string{"t"} }
func (oneTopic) Partitions(name string) int32 {
	if name == "t" {
		return 1
	}
	return 0
}

func streamsHeartbeat(epoch int32) streamsgroup.Heartbeat {
	e := streamsgroup.Heartbeat{
		Group: "g", MemberID: "m", Epoch: epoch, RebalanceTimeout: -1, Topics: oneTopic{},
		Settings: streamsgroup.Settings{SessionTimeout: 45 * time.Second, HeartbeatInterval: 5 * time.Second},
	}
	if epoch == streamsgroup.JoinEpoch {
		e.RebalanceTimeout, e.Owned, e.ProcessID = time.Minute, &streamsgroup.Tasks{}, new("p")
		e.Topology = &streamsgroup.Topology{Subtopologies: []streamsrecord.Subtopology{{ID: "0", SourceTopics: []string{"t"}}}}
	}
	return e
}

func TestStreamsGroupsKeepTheirOffsetsBesideOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		g, stop := ready(t, topics, nil)
		// A group without members gives its name and its offsets up to a streams group.
		if _, err := g.Commit(t.Context(), commit("g", 5)); err != nil {
			t.Fatal(err)
		}
		reply, err := g.StreamsHeartbeat(t.Context(), streamsHeartbeat(streamsgroup.JoinEpoch))
		if err != nil || reply.Err != nil || reply.Epoch != 2 {
			t.Fatalf("heartbeat: %+v, %v", reply, err)
		}
		if got := committed(t, g, "g"); got != 5 {
			t.Errorf("inherited offset %d, want 5", got)
		}
		if list, err := g.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("groups of other kinds: %v, %v", list, err)
		}
		commitAs := func(member string, epoch int32, offset int64) kafka.Error {
			e := commit("g", offset)
			e.MemberID, e.Generation = member, epoch
			r, err := g.Commit(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			return r.Err
		}
		for _, c := range []struct {
			member string
			epoch  int32
			want   kafka.Error
		}{{"m", 2, kafka.None}, {"m", 3, kafka.StaleMemberEpoch}, {"x", 2, kafka.UnknownMemberID}, {"", -1, kafka.UnknownMemberID}} {
			if got := commitAs(c.member, c.epoch, 9); got != c.want {
				t.Errorf("commit of %q in epoch %d: %v, want %v", c.member, c.epoch, got, c.want)
			}
		}
		if r, err := g.Join(t.Context(), join("a")); err != nil || r.Err != kafka.InconsistentGroupProtocol {
			t.Errorf("classic join: %+v, %v", r, err)
		}
		if err := g.Delete(t.Context(), "g"); !errors.Is(err, kafka.NonEmptyGroup) {
			t.Errorf("Delete with a member: %v", err)
		}
		stop()
		g, _ = ready(t, topics, nil)
		if got := committed(t, g, "g"); got != 9 {
			t.Errorf("offset after a restart %d, want 9", got)
		}
		if reply, err = g.StreamsHeartbeat(t.Context(), streamsHeartbeat(2)); err != nil || reply.Err != nil {
			t.Errorf("heartbeat after a restart: %+v, %v", reply, err)
		}
		if _, err := g.StreamsHeartbeat(t.Context(), streamsHeartbeat(streamsgroup.LeaveEpoch)); err != nil {
			t.Fatal(err)
		}
		if err := g.Delete(t.Context(), "g"); err != nil {
			t.Errorf("Delete: %v", err)
		}
		if list, err := g.StreamsList(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("after Delete: %v, %v", list, err)
		}
		if got := committed(t, g, "g"); got != group.NoOffset {
			t.Errorf("offset after Delete %d", got)
		}
		if err := g.Delete(t.Context(), "g"); !errors.Is(err, kafka.GroupIDNotFound) {
			t.Errorf("second Delete: %v", err)
		}
	})
}
