package api

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// offsetsInMemory is an offsets topic of three partitions.
type offsetsInMemory struct {
	store *topics.Store // that knows the topic by its name, once it is made
	name  string

	mu      sync.Mutex
	created bool
	logs    [3]offsetsLog
}

type offsetsLog struct {
	mu      sync.Mutex
	batches [][]byte
}

func (o *offsetsInMemory) Lookup() (int32, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return int32(len(o.logs)), o.created
}

func (o *offsetsInMemory) Ensure(ctx context.Context) (int32, error) {
	if _, err := o.store.Create(ctx, topics.Spec{Name: o.name, Partitions: int32(len(o.logs)), ReplicationFactor: -1}, false); err != nil {
		return 0, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.created = true
	return int32(len(o.logs)), nil
}

func (o *offsetsInMemory) Owned(int32) (int32, bool) { return 1, true }

func (o *offsetsInMemory) Changed() <-chan struct{} { return nil }

func (o *offsetsInMemory) Open(partition int32) (coordinator.Log, error) {
	return &o.logs[partition], nil
}

func (l *offsetsLog) Append(_ context.Context, batch []byte) (func(context.Context) error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches = append(l.batches, batch)
	return func(context.Context) error { return nil }, nil
}

func (l *offsetsLog) Replay(_ context.Context, visit func([]byte) error) error {
	l.mu.Lock()
	batches := slices.Clone(l.batches)
	l.mu.Unlock()
	for _, b := range batches {
		if err := visit(b); err != nil {
			return err
		}
	}
	return nil
}

// groupServer is a server that knows the topic "t" with two partitions, and groups.
type groupServer struct {
	*Server
	t    *testing.T
	conn *Conn
	id   kafka.TopicID
}

func newGroupServer(t *testing.T) *groupServer {
	t.Helper()
	schema, err := config.NewSchema(topics.Settings()...)
	if err != nil {
		t.Fatalf("declare settings: %v", err)
	}
	store, err := topics.Open(t.Context(), meta.NewMem(nil), topics.Options{Values: schema.Defaults()})
	if err != nil {
		t.Fatalf("open topics: %v", err)
	}
	topic, err := store.Create(t.Context(), topics.Spec{Name: "t", Partitions: 2, ReplicationFactor: -1}, false)
	if err != nil {
		t.Fatalf("create topic: %v", err)
	}
	groups := coordinator.NewGroups(coordinator.GroupsOptions{
		Options: coordinator.Options{Topics: &offsetsInMemory{store: store, name: kafka.GroupMetadataTopic}, Logger: slog.New(slog.DiscardHandler)}, Group: group.Options{InitialRebalanceDelay: -1},
	})
	shares := coordinator.NewShares(coordinator.SharesOptions{
		Options: coordinator.Options{Topics: &offsetsInMemory{store: store, name: kafka.ShareGroupStateTopic}, Logger: slog.New(slog.DiscardHandler)}, Groups: groups,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- groups.Run(ctx, func() {}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return &groupServer{
		Server: &Server{topics: store, groups: groups, shares: shares, cluster: alone(7, 1), logger: slog.New(slog.DiscardHandler)},
		t:      t, conn: &Conn{Peer: "192.0.2.1", Host: "broker", Port: 9092, ClientID: "client"}, id: topic.ID,
	}
}

// inBubble runs a test with a server of its own in a synctest bubble.
func inBubble(t *testing.T, test func(*groupServer)) {
	synctest.Test(t, func(t *testing.T) { test(newGroupServer(t)) })
}

// loaded makes the coordinator and waits until it has loaded its logs. It needs a synctest bubble.
func (s *groupServer) loaded() *groupServer {
	s.t.Helper()
	find := ask(s, (*Server).findCoordinator, 4, &kmsg.FindCoordinatorRequest{CoordinatorKeys: []string{"g", "h"}})
	if len(find.Coordinators) != 2 {
		s.t.Fatalf("FindCoordinator: %+v", find)
	}
	for _, c := range find.Coordinators {
		if c.ErrorCode != 0 || c.NodeID != 7 || c.Host != "broker" || c.Port != 9092 {
			s.t.Fatalf("FindCoordinator: %+v", c)
		}
	}
	synctest.Wait()
	return s
}

// versioned is a kmsg message with a version.
type versioned interface {
	SetVersion(int16)
	AppendTo([]byte) []byte
	ReadFrom([]byte) error
}

// ask calls a handler in a version. Request and answer pass through the bytes of that version, so that a field which the
// version does not have is not seen.
func ask[Req any, Res any](s *groupServer, handle func(*Server, context.Context, *Conn, *Req) (*Res, error), version int16, req *Req) *Res {
	s.t.Helper()
	in := any(req).(versioned)
	in.SetVersion(version)
	received := any(new(Req)).(versioned)
	received.SetVersion(version)
	if err := received.ReadFrom(in.AppendTo(nil)); err != nil {
		s.t.Fatalf("%T version %d: %v", req, version, err)
	}
	res, err := handle(s.Server, s.t.Context(), s.conn, received.(any).(*Req))
	if err != nil {
		s.t.Fatalf("%T version %d: %v", req, version, err)
	}
	out := any(res).(versioned)
	out.SetVersion(version)
	answer := any(new(Res)).(versioned)
	answer.SetVersion(version)
	if err := answer.ReadFrom(out.AppendTo(nil)); err != nil {
		s.t.Fatalf("%T version %d: %v", res, version, err)
	}
	return answer.(any).(*Res)
}

func joinRequest(id, member string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID = id, member
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = 10_000, 20_000, "consumer"
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name = "range"
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics = []string{"t"}
	p.Metadata = m.AppendTo(nil)
	req.Protocols = append(req.Protocols, p)
	return req
}

// commitRequest commits to t-0, t-9 and x-0, of which only the first is there.
func (s *groupServer) commitRequest(id, member string, generation int32, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = id, member, generation
	for _, name := range []string{"t", "x"} {
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic = name
		if name == "t" {
			topic.TopicID = s.id
		} else {
			topic.TopicID = kafka.TopicID{9}
		}
		for _, partition := range []int32{0, 9} {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, 5, new("note")
			topic.Partitions = append(topic.Partitions, p)
		}
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// fetched is what a group has committed for t-0 and t-1 and for all, in the words of the version.
func (s *groupServer) fetched(version int16, id string, all bool) string {
	s.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = id
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = id
	if !all {
		req.Topics = append(req.Topics, kmsg.OffsetFetchRequestTopic{Topic: "t", Partitions: []int32{0, 1}})
		g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: "t", TopicID: s.id, Partitions: []int32{0, 1}})
	}
	req.Groups = append(req.Groups, g)
	res := ask(s, (*Server).offsetFetch, version, req)
	out := fmt.Sprintf("%d", res.ErrorCode)
	for _, topic := range res.Topics {
		for _, p := range topic.Partitions {
			out += fmt.Sprintf(" %s-%d=%d/%d/%s/%d", topic.Topic, p.Partition, p.Offset, p.LeaderEpoch, *p.Metadata, p.ErrorCode)
		}
	}
	for _, g := range res.Groups {
		out = fmt.Sprintf("%d", g.ErrorCode)
		for _, topic := range g.Topics {
			name := topic.Topic
			if version >= 10 && topic.TopicID == s.id {
				name = "t"
			}
			for _, p := range topic.Partitions {
				out += fmt.Sprintf(" %s-%d=%d/%d/%s/%d", name, p.Partition, p.Offset, p.LeaderEpoch, *p.Metadata, p.ErrorCode)
			}
		}
	}
	return out
}

func TestGroupLifeInEveryVersion(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *groupServer) {
		s.loaded()
		for version := range int16(11) {
			s.oneLife(version)
		}
	})
}

// oneLife takes a member through join, sync, commit, fetch and leave, with each request in the version or the nearest
// that is served.
func (s *groupServer) oneLife(version int16) {
	s.t.Helper()
	s.t.Logf("version %d", version)
	t, id := s.t, fmt.Sprintf("life-%d", version)
	within := func(lowest, highest int16) int16 { return max(lowest, min(version, highest)) }

	joined := ask(s, (*Server).joinGroup, within(0, 9), joinRequest(id, ""))
	if version >= 4 {
		if joined.ErrorCode != kafka.MemberIDRequired.Code() || joined.MemberID == "" {
			t.Fatalf("first join: %+v", joined)
		}
		joined = ask(s, (*Server).joinGroup, within(0, 9), joinRequest(id, joined.MemberID))
	}
	member := joined.MemberID
	if joined.ErrorCode != 0 || joined.Generation != 1 || joined.LeaderID != member || len(joined.Members) != 1 || *joined.Protocol != "range" {
		t.Fatalf("join: %+v", joined)
	}
	if (joined.ProtocolType != nil) != (version >= 7) {
		t.Errorf("protocol type in the answer: %v", joined.ProtocolType)
	}

	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation = id, member, 1
	sync.ProtocolType, sync.Protocol = new("consumer"), new("range")
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: member, MemberAssignment: []byte("mine")}}
	if res := ask(s, (*Server).syncGroup, within(0, 5), sync); res.ErrorCode != 0 || string(res.MemberAssignment) != "mine" {
		t.Fatalf("sync: %+v", res)
	}
	heartbeat := &kmsg.HeartbeatRequest{Group: id, MemberID: member, Generation: 1}
	if res := ask(s, (*Server).heartbeat, within(0, 4), heartbeat); res.ErrorCode != 0 {
		t.Fatalf("heartbeat: %+v", res)
	}
	s.commitAndFetch(version, id, member)

	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group, leave.MemberID = id, member
	leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: member}, {MemberID: "nobody"}}
	switch res := ask(s, (*Server).leaveGroup, within(0, 5), leave); {
	case res.ErrorCode != 0:
		t.Fatalf("leave: %+v", res)
	case version >= 3 && (len(res.Members) != 2 || res.Members[0].ErrorCode != 0 || res.Members[1].ErrorCode != kafka.UnknownMemberID.Code()):
		t.Fatalf("leave: %+v", res)
	}
	if res := ask(s, (*Server).heartbeat, within(0, 4), heartbeat); res.ErrorCode != kafka.UnknownMemberID.Code() {
		t.Errorf("heartbeat after leaving: %+v", res)
	}
}

func (s *groupServer) commitAndFetch(version int16, id, member string) {
	t := s.t
	v := max(2, version)
	res := ask(s, (*Server).offsetCommit, v, s.commitRequest(id, member, 1, 42))
	var codes []int16
	for _, topic := range res.Topics {
		for _, p := range topic.Partitions {
			codes = append(codes, p.ErrorCode)
		}
	}
	want := []int16{0, 3, 3, 3}
	if v >= 10 {
		want = []int16{0, 3, 100, 100}
	}
	if !slices.Equal(codes, want) {
		t.Errorf("commit: codes %v, want %v", codes, want)
	}
	// Version 5 of the fetch has the leader epoch, version 6 of the commit.
	v, epoch := max(1, version), -1
	if version >= 6 {
		epoch = 5
	}
	if got, want := s.fetched(v, id, false), fmt.Sprintf("0 t-0=42/%d/note/0 t-1=-1/-1//0", epoch); got != want {
		t.Errorf("fetch version %d: %s, want %s", v, got, want)
	}
	if v >= 2 {
		if got, want := s.fetched(v, id, true), fmt.Sprintf("0 t-0=42/%d/note/0", epoch); got != want {
			t.Errorf("fetch of all, version %d: %s, want %s", v, got, want)
		}
	}
}

func TestRefusalsHaveTheirPlaceInEveryVersion(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *groupServer) {
		t := s.t
		s.loaded()
		for version := range int16(10) {
			res := ask(s, (*Server).joinGroup, version, joinRequest("g", "nobody"))
			if res.ErrorCode != kafka.UnknownMemberID.Code() || res.MemberID != "nobody" || res.Generation != -1 {
				t.Errorf("join version %d: %+v", version, res)
			}
			if (res.Protocol == nil) != (version >= 7) {
				t.Errorf("join version %d: protocol %v", version, res.Protocol)
			}
		}
		for version := range int16(6) {
			leave := kmsg.NewPtrLeaveGroupRequest()
			leave.Group, leave.MemberID = "never", "m"
			leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "m"}}
			res := ask(s, (*Server).leaveGroup, version, leave)
			if version < 3 && res.ErrorCode != 25 || version >= 3 && (res.ErrorCode != 0 || len(res.Members) != 1 || res.Members[0].ErrorCode != 25) {
				t.Errorf("leave version %d: %+v", version, res)
			}
		}
		if res := ask(s, (*Server).syncGroup, 5, &kmsg.SyncGroupRequest{Group: "g", MemberID: "m"}); res.ErrorCode != kafka.InconsistentGroupProtocol.Code() {
			t.Errorf("sync 5 without a protocol: %+v", res)
		}
		for version, want := range map[int16]kafka.Error{8: kafka.IllegalGeneration, 9: kafka.GroupIDNotFound} {
			res := ask(s, (*Server).offsetCommit, version, s.commitRequest("never", "m", 3, 1))
			if got := res.Topics[0].Partitions[0].ErrorCode; got != want.Code() {
				t.Errorf("commit %d to an unknown group: %d, want %d", version, got, want)
			}
		}
		for _, version := range []int16{1, 2, 7, 8, 10} {
			if got, want := s.fetched(version, "never", false), "0 t-0=-1/-1//0 t-1=-1/-1//0"; got != want {
				t.Errorf("fetch %d of an unknown group: %s, want %s", version, got, want)
			}
		}
		unknown := kmsg.NewPtrOffsetFetchRequest()
		unknown.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g", Topics: []kmsg.OffsetFetchRequestGroupTopic{{TopicID: [16]byte{1}, Partitions: []int32{0}}}}}
		if p := ask(s, (*Server).offsetFetch, 10, unknown).Groups[0].Topics[0].Partitions[0]; p.ErrorCode != 100 || p.Offset != -1 {
			t.Errorf("fetch of an unknown topic id: %+v", p)
		}
	})
}

func TestGroupsBeforeTheCoordinatorIsThere(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *groupServer) {
		t := s.t
		notCoordinator := kafka.NotCoordinator.Code()
		if res := ask(s, (*Server).joinGroup, 9, joinRequest("g", "")); res.ErrorCode != notCoordinator {
			t.Errorf("join: %+v", res)
		}
		for version, want := range map[int16]string{
			1: "0 t-0=-1/-1//16 t-1=-1/-1//16", 2: "16", 8: "16", 10: "16",
		} {
			if got := s.fetched(version, "g", false); got != want {
				t.Errorf("fetch %d: %s, want %s", version, got, want)
			}
		}
		if res := ask(s, (*Server).offsetCommit, 9, s.commitRequest("g", "", -1, 1)); res.Topics[0].Partitions[0].ErrorCode != notCoordinator {
			t.Errorf("commit: %+v", res)
		}
		if res := ask(s, (*Server).listGroups, 5, &kmsg.ListGroupsRequest{}); res.ErrorCode != 0 || len(res.Groups) != 0 {
			t.Errorf("list: %+v", res)
		}
		if res := ask(s, (*Server).describeGroups, 6, &kmsg.DescribeGroupsRequest{Groups: []string{"g"}}); res.Groups[0].ErrorCode != notCoordinator {
			t.Errorf("describe: %+v", res)
		}
	})
}

func TestFindCoordinatorRefusesOtherKinds(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *groupServer) {
		t := s.t
		s.loaded()
		if res := ask(s, (*Server).findCoordinator, 0, &kmsg.FindCoordinatorRequest{CoordinatorKey: "g"}); res.ErrorCode != 0 || res.NodeID != 7 {
			t.Errorf("version 0: %+v", res)
		}
		if res := ask(s, (*Server).findCoordinator, 3, &kmsg.FindCoordinatorRequest{CoordinatorKey: "x", CoordinatorType: 9}); res.ErrorCode != kafka.InvalidRequest.Code() || res.NodeID != -1 || res.Port != -1 || res.ErrorMessage == nil {
			t.Errorf("version 3: %+v", res)
		}
	})
}

func TestAdministrationOfGroups(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *groupServer) {
		t := s.t
		s.loaded()
		joined := ask(s, (*Server).joinGroup, 3, joinRequest("g", ""))
		member := joined.MemberID
		sync := &kmsg.SyncGroupRequest{Group: "g", MemberID: member, Generation: 1}
		sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: member, MemberAssignment: []byte("mine")}}
		ask(s, (*Server).syncGroup, 0, sync)
		ask(s, (*Server).offsetCommit, 9, s.commitRequest("g", member, 1, 42))
		ask(s, (*Server).offsetCommit, 9, s.commitRequest("simple", "", -1, 43))

		describe := &kmsg.DescribeGroupsRequest{Groups: []string{"g", "never"}, IncludeAuthorizedOperations: true}
		d := ask(s, (*Server).describeGroups, 6, describe)
		g, never := d.Groups[0], d.Groups[1]
		if g.State != "Stable" || g.Protocol != "range" || g.AuthorizedOperations != 3400 || len(g.Members) != 1 || g.Members[0].ClientHost != "/192.0.2.1" || string(g.Members[0].MemberAssignment) != "mine" {
			t.Errorf("describe: %+v", g)
		}
		if never.State != "Dead" || never.ErrorCode != 69 || never.ErrorMessage == nil || *never.ErrorMessage != "Group never not found." || never.AuthorizedOperations != operationsNotAsked {
			t.Errorf("describe of an unknown group: %+v", never)
		}
		if never := ask(s, (*Server).describeGroups, 5, describe).Groups[1]; never.State != "Dead" || never.ErrorCode != 0 || never.AuthorizedOperations != 3400 {
			t.Errorf("describe of an unknown group, version 5: %+v", never)
		}
		for _, c := range []struct {
			states, types []string
			want          int
		}{{nil, nil, 2}, {[]string{"stable"}, nil, 1}, {[]string{"Empty", "Stable"}, []string{"Classic"}, 2}, {nil, []string{"consumer"}, 0}, {[]string{"Bogus"}, nil, 0}} {
			if res := ask(s, (*Server).listGroups, 5, &kmsg.ListGroupsRequest{StatesFilter: c.states, TypesFilter: c.types}); len(res.Groups) != c.want {
				t.Errorf("list %v %v: %+v, want %d", c.states, c.types, res.Groups, c.want)
			}
		}
		s.deleteThings()
	})
}

func (s *groupServer) deleteThings() {
	s.t.Helper()
	offsets := func(id string) (int16, []int16) {
		req := &kmsg.OffsetDeleteRequest{Group: id}
		for _, name := range []string{"t", "x"} {
			topic := kmsg.OffsetDeleteRequestTopic{Topic: name}
			topic.Partitions = []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 7}, {Partition: 0}, {Partition: 1}}
			req.Topics = append(req.Topics, topic)
		}
		res := ask(s, (*Server).offsetDelete, 0, req)
		var codes []int16
		for _, topic := range res.Topics {
			for _, p := range topic.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
		return res.ErrorCode, codes
	}
	for id, want := range map[string]string{"never": "69 []", "g": "0 [3 86 86 3 3 3]", "simple": "0 [3 0 0 3 3 3]"} {
		code, codes := offsets(id)
		if got := fmt.Sprint(code, " ", codes); got != want {
			s.t.Errorf("delete offsets of %s: %s, want %s", id, got, want)
		}
	}
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{"g", "never"}
	res := ask(s, (*Server).deleteGroups, 2, req)
	if got := []int16{res.Groups[0].ErrorCode, res.Groups[1].ErrorCode}; !slices.Equal(got, []int16{68, 69}) {
		s.t.Errorf("delete groups: %v", got)
	}
	if res := ask(s, (*Server).leaveGroup, 3, &kmsg.LeaveGroupRequest{Group: "g"}); res.ErrorCode != 0 || len(res.Members) != 0 {
		s.t.Errorf("leave of nobody: %+v", res)
	}
}
