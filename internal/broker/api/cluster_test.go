package api

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/sharepartition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// alone is the directory of a broker that owns so many shards, in epoch 0, and has no others.
func alone(id, shards int32) *cluster.Directory {
	d := cluster.NewDirectory(id)
	d.Publish(&cluster.View{Self: id, Controller: id, Brokers: []cluster.Broker{{ID: id}}, Shards: slices.Repeat([]cluster.Ownership{{Broker: id}}, int(shards))})
	return d
}

// ownedStorage is storage that has only what the directory says the broker owns.
type ownedStorage struct {
	Storage
	topics  *topics.Store
	cluster *cluster.Directory
}

func (o ownedStorage) Log(id kafka.TopicID, index int32) (*partition.Log, error) {
	if !o.cluster.View().Local(o.topics.Shard(id, index)) {
		return nil, kafka.NotLeaderOrFollower
	}
	return o.Storage.Log(id, index)
}

// The brokers of a clusterServer: 1 is the server; 3 has no listener INSIDE, and is not the one that listens as OUTSIDE at 9092.
var testBrokers = []cluster.Broker{
	{ID: 1, Rack: "a", Endpoints: []cluster.Endpoint{{Listener: "OUTSIDE", Host: "one", Port: 1}, {Listener: "INSIDE", Host: "one.in", Port: 11}}},
	{ID: 2, Rack: "b", Endpoints: []cluster.Endpoint{{Listener: "OUTSIDE", Host: "two", Port: 2}, {Listener: "INSIDE", Host: "two.in", Port: 12}}},
	{ID: 3, Endpoints: []cluster.Endpoint{{Listener: "OUTSIDE", Host: "three", Port: 3}}},
}

// clusterServer is broker 1 of three. The topic "t" has six partitions in as many shards.
type clusterServer struct {
	*dataServer
	outside, inside *Conn
}

func newClusterServer(t *testing.T) *clusterServer {
	t.Helper()
	d := newShardedServer(t, 6, 6)
	d.storage = ownedStorage{d.storage, d.topics, d.cluster}
	return &clusterServer{d, &Conn{Listener: "OUTSIDE", Host: "me", Port: 1001}, &Conn{Listener: "INSIDE", Host: "me.in", Port: 1011}}
}

// owners makes partition i of "t" that of the broker owners[i], in epoch 10 + i; broker 2 is the controller.
func (s *clusterServer) owners(owners ...int32) {
	v := &cluster.View{Self: 1, Controller: 2, Brokers: testBrokers, Shards: make([]cluster.Ownership, 6)}
	for i, id := range owners {
		v.Shards[s.topic.Shard(int32(i))] = cluster.Ownership{Broker: id, Epoch: 10 + int32(i)}
	}
	s.cluster.Publish(v)
}

func handled[Req any, Res any](t *testing.T, f func(*Server, context.Context, *Conn, *Req) (Res, error), s *clusterServer, c *Conn, req *Req) Res {
	t.Helper()
	res, err := f(s.Server, t.Context(), c, req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestMetadataNamesTheBrokersOfTheListener(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.owners(1, 2, 3, cluster.Nobody, 9, 1)
	for _, c := range []struct {
		version int16
		inside  bool
		brokers []string
		leaders []int32
		codes   []kafka.Error
		offline []int
		total   []int // replicas
	}{
		{13, false, []string{"me", "two", "three"}, []int32{1, 2, 3, -1, -1, 1}, []kafka.Error{0, 0, 0, kafka.LeaderNotAvailable, kafka.LeaderNotAvailable, 0}, []int{0, 0, 0, 0, 1, 0}, []int{1, 1, 1, 0, 1, 1}},
		{6, true, []string{"me.in", "two.in"}, []int32{1, 2, -1, -1, -1, 1}, []kafka.Error{0, 0, kafka.ListenerNotFound, kafka.LeaderNotAvailable, kafka.LeaderNotAvailable, 0}, []int{0, 0, 1, 0, 1, 0}, []int{1, 1, 1, 0, 1, 1}},
		{5, true, []string{"me.in", "two.in"}, []int32{1, 2, -1, -1, -1, 1}, []kafka.Error{0, 0, kafka.LeaderNotAvailable, kafka.LeaderNotAvailable, kafka.LeaderNotAvailable, 0}, []int{0, 0, 1, 0, 1, 0}, []int{1, 1, 1, 0, 1, 1}},
		{0, true, []string{"me.in", "two.in"}, []int32{1, 2, -1, -1, -1, 1}, []kafka.Error{0, 0, kafka.LeaderNotAvailable, kafka.LeaderNotAvailable, kafka.LeaderNotAvailable, 0}, []int{0, 0, 1, 0, 1, 0}, []int{1, 1, 0, 0, 0, 1}},
	} {
		conn := s.outside
		if c.inside {
			conn = s.inside
		}
		req := kmsg.NewPtrMetadataRequest()
		req.Version = c.version
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: new("t")})
		res := handled(t, (*Server).metadata, s, conn, req)
		var brokers []string
		for _, b := range res.Brokers {
			brokers = append(brokers, b.Host)
		}
		if !slices.Equal(brokers, c.brokers) || res.ControllerID != 2 {
			t.Errorf("version %d: brokers %v, controller %d, want %v and 2", c.version, brokers, res.ControllerID, c.brokers)
		}
		for i, p := range res.Topics[0].Partitions {
			if p.Leader != c.leaders[i] || kafka.Error(p.ErrorCode) != c.codes[i] || p.LeaderEpoch != 10+int32(i) || len(p.OfflineReplicas) != c.offline[i] ||
				len(p.Replicas) != c.total[i] || len(p.ISR) != c.total[i] {
				t.Errorf("version %d, partition %d: %+v; want leader %d, code %v, %d replicas, %d offline", c.version, i, p, c.leaders[i], c.codes[i], c.total[i], c.offline[i])
			}
		}
	}
}

func TestABrokerThatKnowsNobodyNamesItself(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.Server.cluster = cluster.NewDirectory(1)
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 13
	req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: new("t")})
	res := handled(t, (*Server).metadata, s, s.outside, req)
	if len(res.Brokers) != 1 || res.Brokers[0].NodeID != 1 || res.Brokers[0].Host != "me" || res.ControllerID != 1 {
		t.Errorf("brokers %+v, controller %d", res.Brokers, res.ControllerID)
	}
	if p := res.Topics[0].Partitions[0]; p.Leader != -1 || kafka.Error(p.ErrorCode) != kafka.LeaderNotAvailable {
		t.Errorf("partition %+v", p)
	}
}

func TestDescribeTopicPartitionsAndClusterTellOfAllBrokers(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.owners(1, 2, 3, cluster.Nobody, 1, 1)
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 2000
	req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: "t"})
	parts := handled(t, (*Server).describeTopicPartitions, s, s.inside, req).Topics[0].Partitions
	for i, want := range []struct {
		leader int32
		code   kafka.Error
	}{{1, 0}, {2, 0}, {-1, kafka.ListenerNotFound}, {-1, kafka.LeaderNotAvailable}} {
		if p := parts[i]; p.LeaderID != want.leader || kafka.Error(p.ErrorCode) != want.code || p.LeaderEpoch != 10+int32(i) {
			t.Errorf("partition %d: %+v, want %+v", i, p, want)
		}
	}
	for _, c := range []struct {
		conn *Conn
		want []int32
	}{{s.outside, []int32{1, 2, 3}}, {s.inside, []int32{1, 2}}} {
		res := handled(t, (*Server).describeCluster, s, c.conn, &kmsg.DescribeClusterRequest{Version: 2, EndpointType: 1, IncludeFencedBrokers: true})
		var got []int32
		for _, b := range res.Brokers {
			if got = append(got, b.NodeID); b.IsFenced {
				t.Errorf("broker %d is fenced", b.NodeID)
			}
		}
		if !slices.Equal(got, c.want) || res.ControllerID != 2 {
			t.Errorf("%s: brokers %v, controller %d; want %v and 2", c.conn.Listener, got, res.ControllerID, c.want)
		}
	}
	if res := handled(t, (*Server).describeCluster, s, s.outside, &kmsg.DescribeClusterRequest{Version: 2, EndpointType: 2}); kafka.Error(res.ErrorCode) != kafka.MismatchedEndpointType {
		t.Errorf("controllers: %+v", res)
	}
}

func TestTheControllerIsOneThatClientsReach(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	for _, c := range []struct {
		controller, want int32
	}{{1, 1}, {2, 2}, {3, 1}, {cluster.Nobody, 1}, {8, 1}} {
		s.cluster.Publish(&cluster.View{Self: 1, Controller: c.controller, Brokers: testBrokers})
		at := s.neighbours(s.inside)
		if got := at.controller(); got != c.want {
			t.Errorf("controller %d: clients are told %d, want %d", c.controller, got, c.want)
		}
	}
	// This broker's lease has ended, as far as it knows.
	s.cluster.Publish(&cluster.View{Self: 1, Controller: cluster.Nobody, Brokers: testBrokers[1:]})
	at := s.neighbours(s.outside)
	if got := at.controller(); got != 2 {
		t.Errorf("clients are told %d, want 2", got)
	}
}

func TestDescribeQuorumNamesTheController(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.owners(1, 1, 1, 1, 1, 1)
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Version = 2
	req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: clusterMetadataTopic, Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
	res := handled(t, (*Server).describeQuorum, s, s.outside, req)
	p := res.Topics[0].Partitions[0]
	if p.LeaderID != 2 || len(p.CurrentVoters) != 1 || p.CurrentVoters[0].ReplicaID != 2 || len(p.Observers) != 2 || p.Observers[0].LogEndOffset != p.HighWatermark || p.Observers[1].LogEndOffset != -1 {
		t.Errorf("%+v", p)
	}
	if len(res.Nodes) != 1 || res.Nodes[0].NodeID != 2 || res.Nodes[0].Listeners[0].Host != "two" {
		t.Errorf("nodes %+v", res.Nodes)
	}
	s.cluster.Publish(&cluster.View{Self: 1, Controller: cluster.Nobody, Brokers: testBrokers})
	if p := handled(t, (*Server).describeQuorum, s, s.outside, req).Topics[0].Partitions[0]; kafka.Error(p.ErrorCode) != kafka.LeaderNotAvailable || p.LeaderID != -1 {
		t.Errorf("without a controller: %+v", p)
	}
}

func TestElectionsAndReassignmentsFollowTheShards(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.owners(1, 2, 3, cluster.Nobody, 1, 1)
	elect := func(kind int8, partitions ...int32) []kmsg.ElectLeadersResponseTopicPartition {
		req := &kmsg.ElectLeadersRequest{Version: 2, ElectionType: kind}
		if partitions != nil {
			req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: partitions}}
		}
		return handled(t, (*Server).electLeaders, s, s.inside, req).Topics[0].Partitions
	}
	for i, want := range []kafka.Error{kafka.ElectionNotNeeded, kafka.ElectionNotNeeded, kafka.ElectionNotNeeded, kafka.PreferredLeaderNotAvailable} {
		if got := elect(0, int32(i))[0]; kafka.Error(got.ErrorCode) != want {
			t.Errorf("partition %d: %+v, want %v", i, got, want)
		}
	}
	if got := elect(1); len(got) != 1 || got[0].Partition != 3 || kafka.Error(got[0].ErrorCode) != kafka.EligibleLeadersNotAvailable {
		t.Errorf("all partitions: %+v", got)
	}
	for _, c := range []struct {
		partition int32
		replicas  []int32
		want      kafka.Error
		text      string
	}{
		{0, []int32{1}, 0, ""},
		{1, []int32{2}, 0, ""},
		{2, []int32{3}, 0, ""}, // whatever the listener
		{0, []int32{2}, kafka.InvalidReplicaAssignment, "Partition t-0 is on broker 1, where its shard is. Brokers own whole shards; a partition cannot be moved alone."},
		{0, []int32{1, 2}, kafka.InvalidReplicaAssignment, "The manual partition assignment includes 2 brokers, but a partition has one replica: the object store keeps its records."},
		{0, []int32{2, 2}, kafka.InvalidReplicaAssignment, "The manual partition assignment includes the broker 2 more than once."},
		{0, []int32{7, 1}, kafka.InvalidReplicaAssignment, "The manual partition assignment includes broker 7, but no such broker is registered."},
		{0, nil, kafka.NoReassignmentInProgress, ""},
	} {
		req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "t", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: c.partition, Replicas: c.replicas}}}}
		got := handled(t, (*Server).alterPartitionAssignments, s, s.inside, req).Topics[0].Partitions[0]
		if kafka.Error(got.ErrorCode) != c.want || text(got.ErrorMessage) != c.text {
			t.Errorf("partition %d to %v: %v %q, want %v %q", c.partition, c.replicas, kafka.Error(got.ErrorCode), text(got.ErrorMessage), c.want, c.text)
		}
	}
	for id, want := range map[int32]kafka.Error{1: kafka.InvalidRequest, 3: kafka.InvalidRequest, 4: kafka.BrokerIDNotRegistered} {
		if got := handled(t, (*Server).unregisterBroker, s, s.outside, &kmsg.UnregisterBrokerRequest{BrokerID: id}); kafka.Error(got.ErrorCode) != want {
			t.Errorf("unregister %d: %+v, want %v", id, got, want)
		}
	}
}

func TestCoordinatorIsTheOwnerOfItsPartition(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	topic, err := s.topics.Create(t.Context(), topics.Spec{Name: kafka.TransactionStateTopic, Partitions: 6, ReplicationFactor: -1}, false)
	if err != nil {
		t.Fatal(err)
	}
	key := "some id"
	shard := topic.Shard(coordinator.PartitionOf(key, 6))
	for _, c := range []struct {
		owner int32
		conn  *Conn
		id    int32
		host  string
	}{{1, s.outside, 1, "me"}, {2, s.inside, 2, "two.in"}, {3, s.outside, 3, "three"}, {3, s.inside, -1, ""}, {cluster.Nobody, s.inside, -1, ""}} {
		v := &cluster.View{Self: 1, Controller: 1, Brokers: testBrokers, Shards: make([]cluster.Ownership, 6)}
		v.Shards[shard].Broker = c.owner
		for i := range v.Shards {
			if int32(i) != shard {
				v.Shards[i].Broker = 99
			}
		}
		s.cluster.Publish(v)
		at, err := s.coordinatorAt(c.conn, kafka.TransactionStateTopic, func(n int32) int32 { return coordinator.PartitionOf(key, n) })
		if c.id < 0 {
			if codeOf(err) != kafka.CoordinatorNotAvailable {
				t.Errorf("owner %d: %+v, %v", c.owner, at, err)
			}
			continue
		}
		if err != nil || at.id != c.id || at.host != c.host {
			t.Errorf("owner %d: %+v, %v; want %d at %s", c.owner, at, err, c.id, c.host)
		}
	}
	if _, err := s.coordinatorAt(s.outside, kafka.GroupMetadataTopic, func(int32) int32 { return 0 }); codeOf(err) != kafka.CoordinatorNotAvailable {
		t.Errorf("without the topic: %v", err)
	}
}

func TestProduceToAnotherBrokersPartitionNamesTheLeader(t *testing.T) {
	t.Parallel()
	for _, version := range []int16{9, 10, 13} {
		s := newClusterServer(t)
		s.owners(1, 2, 2, 3, cluster.Nobody, 1)
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks = version, -1
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic, topic.TopicID = "t", s.topic.ID
		for i := range int32(5) {
			topic.Partitions = append(topic.Partitions, kmsg.ProduceRequestTopicPartition{Partition: i, Records: oneBatch(t)})
		}
		req.Topics = append(req.Topics, topic)
		reply, err := s.produce(t.Context(), s.inside, wire.RequestHeader{Version: version}, req)
		res := kmsg.NewPtrProduceResponse()
		res.Version = version
		answered(t, reply, err, res)
		type leader struct {
			code      kafka.Error
			id, epoch int32
		}
		not := kafka.NotLeaderOrFollower
		want := []leader{{0, -1, -1}, {not, 2, 11}, {not, 2, 12}, {not, -1, -1}, {not, -1, -1}}
		brokers := 1
		if version < 10 {
			want[1], want[2], brokers = leader{not, -1, -1}, leader{not, -1, -1}, 0
		}
		for i, p := range res.Topics[0].Partitions {
			if got := (leader{kafka.Error(p.ErrorCode), p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch}); got != want[i] {
				t.Errorf("version %d, partition %d: %+v, want %+v", version, i, got, want[i])
			}
		}
		if len(res.Brokers) != brokers || brokers == 1 && (res.Brokers[0].NodeID != 2 || res.Brokers[0].Host != "two.in" || res.Brokers[0].Port != 12 || *res.Brokers[0].Rack != "b") {
			t.Errorf("version %d: brokers %+v", version, res.Brokers)
		}
	}
}

// fetching is a fetch of partitions of "t", in session id at epoch.
func (s *clusterServer) fetching(version int16, c *Conn, id, epoch int32, maxWait time.Duration, partitions ...int32) *kmsg.FetchResponse {
	s.t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.SessionID, req.SessionEpoch, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = version, id, epoch, int32(maxWait.Milliseconds()), 1, 1<<20
	if len(partitions) > 0 {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic, topic.TopicID = "t", s.topic.ID
		for _, i := range partitions {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.PartitionMaxBytes = i, 1<<20
			topic.Partitions = append(topic.Partitions, p)
		}
		req.Topics = append(req.Topics, topic)
	}
	reply, err := s.fetch(s.t.Context(), c, wire.RequestHeader{Key: 1, Version: version}, req)
	res := kmsg.NewPtrFetchResponse()
	res.Version = version
	return answered(s.t, reply, err, res)
}

func TestFetchOfAnotherBrokersPartitionNamesTheLeader(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.owners(1, 2, 3, cluster.Nobody, 1, 1)
	for _, version := range []int16{12, 15, 16, 18} {
		res := s.fetching(version, s.inside, 0, -1, 0, 0, 1, 2, 3)
		for i, p := range res.Topics[0].Partitions {
			want := kafka.NotLeaderOrFollower
			if i == 0 {
				want = 0
			}
			id, epoch := int32(-1), int32(-1)
			if i == 1 && version >= 16 {
				id, epoch = 2, 11
			}
			if kafka.Error(p.ErrorCode) != want || p.CurrentLeader.LeaderID != id || p.CurrentLeader.LeaderEpoch != epoch {
				t.Errorf("version %d, partition %d: %v, leader %+v; want %v, %d, %d", version, i, kafka.Error(p.ErrorCode), p.CurrentLeader, want, id, epoch)
			}
		}
		if (version >= 16) != (len(res.Brokers) == 1 && res.Brokers[0].Host == "two.in") {
			t.Errorf("version %d: brokers %+v", version, res.Brokers)
		}
	}
}

func TestAPartitionThatMovesStaysInItsFetchSession(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.owners(1, 1, 1, 1, 1, 1)
	first := s.fetching(17, s.outside, 0, 0, 0, 0, 1)
	if first.SessionID == 0 || len(first.Topics[0].Partitions) != 2 {
		t.Fatalf("%+v", first)
	}
	if second := s.fetching(17, s.outside, first.SessionID, 1, 0); len(second.Topics) != 0 {
		t.Errorf("nothing has changed: %+v", second)
	}
	s.owners(1, 2, 1, 1, 1, 1)
	third := s.fetching(17, s.outside, first.SessionID, 2, 0)
	if len(third.Topics) != 1 || len(third.Topics[0].Partitions) != 1 || third.Topics[0].Partitions[0].Partition != 1 || kafka.Error(third.Topics[0].Partitions[0].ErrorCode) != kafka.NotLeaderOrFollower {
		t.Errorf("the partition has moved: %+v", third)
	}
	s.owners(1, 1, 1, 1, 1, 1)
	fourth := s.fetching(17, s.outside, first.SessionID, 3, 0)
	if len(fourth.Topics) != 1 || len(fourth.Topics[0].Partitions) != 1 || fourth.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("the partition is back: %+v", fourth)
	}
}

func TestAWaitingFetchEndsWhenItsLogIsTakenAway(t *testing.T) {
	t.Parallel()
	for _, deleted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { takeAwayWhileWaiting(t, deleted) })
	}
}

func takeAwayWhileWaiting(t *testing.T, deleted bool) {
	s := newClusterServer(t)
	s.owners(1, 1, 1, 1, 1, 1)
	log := s.log(0)
	answer := make(chan *kmsg.FetchResponse)
	go func() { answer <- s.fetching(17, s.outside, 0, -1, time.Hour, 0) }()
	synctest.Wait()
	want, began := kafka.NotLeaderOrFollower, time.Now()
	if deleted {
		want = kafka.UnknownTopicOrPartition
		if err := s.topics.Delete(t.Context(), topics.Target{Name: "t"})[0]; err != nil {
			t.Fatal(err)
		}
	} else {
		s.owners(2, 1, 1, 1, 1, 1)
	}
	log.Close()
	got := <-answer
	// The topic of a fetch by id that is gone is not known at all any more.
	if code := kafka.Error(got.Topics[0].Partitions[0].ErrorCode); code != want && (!deleted || code != kafka.UnknownTopicID) {
		t.Errorf("deleted %v: %v, want %v", deleted, code, want)
	}
	if waited := time.Since(began); waited > 0 {
		t.Errorf("deleted %v: the fetch went on for %v", deleted, waited)
	}
}

func TestClosedLogOfALivingTopicIsElsewhere(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	if got := codeOf(s.moved(s.topic.ID, partition.ErrClosed)); got != kafka.NotLeaderOrFollower {
		t.Errorf("got %v", got)
	}
	if got := codeOf(s.moved(kafka.TopicID{9}, partition.ErrClosed)); got != kafka.UnknownTopicOrPartition {
		t.Errorf("got %v", got)
	}
	if s.moved(s.topic.ID, nil) != nil || codeOf(s.moved(s.topic.ID, kafka.OffsetOutOfRange)) != kafka.OffsetOutOfRange {
		t.Error("other errors stay")
	}
	s.owners(1, 1, 1, 1, 1, 1)
	s.log(0).Close() // and storage still has it
	list := kmsg.NewPtrListOffsetsRequest()
	list.Version = 4
	list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Partition: 1, Timestamp: -2, CurrentLeaderEpoch: -1}}}}
	if got := handled(t, (*Server).listOffsets, s, s.outside, list).Topics[0].Partitions[0]; got.ErrorCode != 0 {
		t.Errorf("%+v", got)
	}
	res := s.producing(9, nil, oneBatch(t))
	if code := kafka.Error(res.Topics[0].Partitions[0].ErrorCode); code != kafka.NotLeaderOrFollower {
		t.Errorf("produce: %v", code)
	}
}

func TestOtherRequestsForAnotherBrokersPartition(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.owners(2, 1, 1, 1, 1, 1)
	list := kmsg.NewPtrListOffsetsRequest()
	list.Version = 4
	list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: -1, CurrentLeaderEpoch: -1}}}}
	epoch := kmsg.NewPtrOffsetForLeaderEpochRequest()
	epoch.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{{CurrentLeaderEpoch: -1}}}}
	trim := kmsg.NewPtrDeleteRecordsRequest()
	trim.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: -1}}}}
	producers := &kmsg.DescribeProducersRequest{Topics: []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0}}}}
	for name, code := range map[string]int16{
		"ListOffsets":          handled(t, (*Server).listOffsets, s, s.outside, list).Topics[0].Partitions[0].ErrorCode,
		"OffsetForLeaderEpoch": handled(t, (*Server).offsetForLeaderEpoch, s, s.outside, epoch).Topics[0].Partitions[0].ErrorCode,
		"DeleteRecords":        handled(t, (*Server).deleteRecords, s, s.outside, trim).Topics[0].Partitions[0].ErrorCode,
		"DescribeProducers":    handled(t, (*Server).describeProducers, s, s.outside, producers).Topics[0].Partitions[0].ErrorCode,
	} {
		if kafka.Error(code) != kafka.NotLeaderOrFollower {
			t.Errorf("%s: %v", name, kafka.Error(code))
		}
	}
	dirs := handled(t, (*Server).describeLogDirs, s, s.outside, &kmsg.DescribeLogDirsRequest{})
	if got := dirs.Dirs[0].Topics[0].Partitions; len(got) != 5 || got[0].Partition != 1 {
		t.Errorf("log directory has %+v", got)
	}
	s.owners(2, 2, 2, 2, 2, 2)
	if dirs := handled(t, (*Server).describeLogDirs, s, s.outside, &kmsg.DescribeLogDirsRequest{}); len(dirs.Dirs[0].Topics) != 0 {
		t.Errorf("log directory has %+v", dirs.Dirs[0].Topics)
	}
}

func TestConfigResourcesListAllBrokers(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.owners(1, 1, 1, 1, 1, 1)
	req := &kmsg.ListConfigResourcesRequest{Version: 1, ResourceTypes: []int8{int8(topics.Broker), int8(topics.BrokerLogger)}}
	var got []string
	for _, r := range handled(t, (*Server).listConfigResources, s, s.inside, req).ConfigResources {
		got = append(got, r.Name)
	}
	if want := []string{"1", "2", "1", "2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPartitionMetricsAreOfWhatTheBrokerOwns(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.groups = coordinator.NewGroups(coordinator.GroupsOptions{Options: coordinator.Options{Topics: &offsetsInMemory{store: s.topics}, Logger: s.logger}})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCollector(s.Server))
	values := func() map[string][]float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string][]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				out[f.GetName()] = append(out[f.GetName()], m.GetGauge().GetValue())
			}
		}
		return out
	}
	s.owners(1, 2, 3, cluster.Nobody, 1, 3)
	got := values()
	for name, want := range map[string][]float64{
		"kafka_brokers": {3}, "kafka_topic_partitions": {6}, "kafka_topic_partition_leader": {1, 1}, "kafka_server_replicamanager_partitioncount": {2},
		"kafka_controller_kafkacontroller_activecontrollercount": {0}, "kafka_controller_kafkacontroller_offlinepartitionscount": {0},
	} {
		if !slices.Equal(got[name], want) {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	v := *s.cluster.View()
	v.Controller = 1
	v.Shards = slices.Clone(v.Shards)
	v.Shards[s.topic.Shard(0)].Broker = 2
	s.cluster.Publish(&v)
	got = values()
	for name, want := range map[string][]float64{
		"kafka_topic_partitions": nil, "kafka_topic_partition_leader": {1},
		"kafka_controller_kafkacontroller_activecontrollercount": {1}, "kafka_controller_kafkacontroller_offlinepartitionscount": {1},
	} {
		if !slices.Equal(got[name], want) {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

// madeElsewhere makes a topic on another broker, which this one has not heard of.
func (s *clusterServer) madeElsewhere(name string) *topics.Topic {
	s.t.Helper()
	other, err := topics.Open(s.t.Context(), s.meta, topics.Options{Values: s.Values(), Shards: 6})
	if err != nil {
		s.t.Fatal(err)
	}
	made, err := other.Create(s.t.Context(), topics.Spec{Name: name, Partitions: 1, ReplicationFactor: -1}, false)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, ok := s.topics.View().ByName(name); ok {
		s.t.Fatal("the topic is known already")
	}
	return made
}

func TestTopicsThatAnotherBrokerJustMadeAreLookedFor(t *testing.T) {
	t.Parallel()
	for what, ask := range map[string]func(*clusterServer, *topics.Topic) int16{
		"Metadata by name": func(s *clusterServer, made *topics.Topic) int16 {
			req := &kmsg.MetadataRequest{Version: 12, Topics: []kmsg.MetadataRequestTopic{{Topic: &made.Name}}}
			return handled(t, (*Server).metadata, s, s.outside, req).Topics[0].ErrorCode
		},
		"Metadata by id": func(s *clusterServer, made *topics.Topic) int16 {
			req := &kmsg.MetadataRequest{Version: 12, Topics: []kmsg.MetadataRequestTopic{{TopicID: made.ID}}}
			return handled(t, (*Server).metadata, s, s.outside, req).Topics[0].ErrorCode
		},
		"Produce by id": func(s *clusterServer, made *topics.Topic) int16 {
			s.topic = made
			return s.producing(13, nil, oneBatch(t)).Topics[0].Partitions[0].ErrorCode
		},
		"Fetch by id": func(s *clusterServer, made *topics.Topic) int16 {
			s.topic = made
			return s.fetching(17, s.outside, 0, -1, 0, 0).Topics[0].Partitions[0].ErrorCode
		},
	} {
		s := newClusterServer(t)
		s.owners(1, 1, 1, 1, 1, 1)
		if code := kafka.Error(ask(s, s.madeElsewhere("new"))); code != kafka.None {
			t.Errorf("%s: %v", what, code)
		}
	}
}

func TestATopicIsNotReadBeforeItIsAskedWhoMay(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.owners(1, 1, 1, 1, 1, 1)
	access, err := auth.Open(t.Context(), auth.Options{Meta: s.meta})
	if err != nil {
		t.Fatal(err)
	}
	s.access = access
	made := s.madeElsewhere("secret")
	p := &fetchPartition{topicID: made.ID, FetchRequestTopicPartition: kmsg.FetchRequestTopicPartition{PartitionMaxBytes: 100, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1}}
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxBytes = 17, 1<<20
	denied := s.fetchRights(s.outside, req, []*fetchPartition{p})
	if err := s.topics.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The topic has become known since the client's rights were looked at.
	results, _, _, final := s.readAll(t.Context(), s.Server.fetching(s.outside, req), []*fetchPartition{p}, denied, true)
	if results[0].code != kafka.UnknownTopicID || !final {
		t.Errorf("got %v", results[0].code)
	}
	if got := s.fetchRights(s.outside, req, []*fetchPartition{p}).of(p); got != kafka.TopicAuthorizationFailed {
		t.Errorf("asked again: %v", got)
	}
}

func TestShareFetchOfAnotherBrokersPartitionNamesTheLeader(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.owners(1, 2, 3, cluster.Nobody, 2, 1)
	at := func(i int32) sharepartition.ID { return sharepartition.ID{Topic: s.topic.ID, Partition: i} }
	res := &wire.ShareFetchResponse{}
	s.fillShareFetch(s.inside, res, &sharePlan{}, []sharepartition.Result{
		{ID: at(0), Err: kafka.InvalidRecordState},
		{ID: at(1), Err: kafka.NotLeaderOrFollower},
		{ID: at(2), Err: kafka.NotLeaderOrFollower},
		{ID: at(3), Err: kafka.NotLeaderOrFollower},
		{ID: at(5), Err: partition.ErrClosed},
	}, []ackResult{{at(4), kafka.NotLeaderOrFollower}})
	want := map[int32]wire.CurrentLeader{1: {LeaderID: 2, LeaderEpoch: 11}, 4: {LeaderID: 2, LeaderEpoch: 14}, 5: {LeaderID: 1, LeaderEpoch: 15}}
	for _, p := range res.Topics[0].Partitions {
		if p.Leader != want[p.Partition] {
			t.Errorf("partition %d: %+v, want %+v", p.Partition, p.Leader, want[p.Partition])
		}
		if p.Partition == 5 && p.Err != kafka.NotLeaderOrFollower {
			t.Errorf("a log that is gone: %v", p.Err)
		}
	}
	if len(res.Brokers) != 2 || res.Brokers[0].Host != "two.in" || res.Brokers[1].Host != "me.in" {
		t.Errorf("brokers %+v", res.Brokers)
	}
}

// closedMarkers are markers whose logs are taken away while they are written.
type closedMarkers struct{}

func (closedMarkers) Write(context.Context, kafka.TopicPartition, machine.Marker, bool) error {
	return partition.ErrClosed
}

func TestMarkersForALogThatIsTakenAway(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.markers = closedMarkers{}
	for topic, want := range map[string]kafka.Error{"t": kafka.NotLeaderOrFollower, "gone": kafka.UnknownTopicOrPartition} {
		if got := s.writeMarker(t.Context(), kafka.TopicPartition{Topic: topic}, machine.Marker{}, false); got != want {
			t.Errorf("topic %s: %v, want %v", topic, got, want)
		}
	}
}
