package api

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/kafka"
)

// lateStorage has nothing until it has loaded.
type lateStorage struct {
	Storage
	loaded *atomic.Bool
}

func (l lateStorage) Log(id kafka.TopicID, index int32) (*partition.Log, error) {
	if !l.loaded.Load() {
		return nil, kafka.NotLeaderOrFollower
	}
	return l.Storage.Log(id, index)
}

func TestRequestsWaitForAShardThatIsBeingLoaded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		owner  int32
		comes  time.Duration // 0: never
		waits  time.Duration
		refuse bool
	}{
		{"in time", 1, 300 * time.Millisecond, 300 * time.Millisecond, false},
		{"too late", 1, 0, loadWait, true},
		{"elsewhere", 2, 0, 0, true},
		{"nobody's", cluster.Nobody, 0, 0, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newClusterServer(t)
			loaded, changed := &atomic.Bool{}, make(chan struct{})
			s.storage = lateStorage{s.dataServer.storage, loaded}
			s.ownership = func() <-chan struct{} { return changed }
			s.owners(c.owner, 1, 1, 1, 1, 1)
			if c.comes > 0 {
				time.AfterFunc(c.comes, func() {
					loaded.Store(true)
					close(changed)
				})
			}
			began := time.Now()
			res := s.producing(9, nil, oneBatch(t))
			if code, took := kafka.Error(res.Topics[0].Partitions[0].ErrorCode), time.Since(began); (code != 0) != c.refuse || took != c.waits {
				t.Errorf("%s: produce gave %v after %v", c.name, code, took)
			}
			list := kmsg.NewPtrListOffsetsRequest()
			list.Version = 4
			// All partitions of a request wait no longer than one.
			list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t"}}
			for i := range int32(6) {
				list.Topics[0].Partitions = append(list.Topics[0].Partitions, kmsg.ListOffsetsRequestTopicPartition{Partition: i, Timestamp: -2, CurrentLeaderEpoch: -1})
			}
			began = time.Now()
			handled(t, (*Server).listOffsets, s, s.outside, list)
			if took := time.Since(began); took > loadWait {
				t.Errorf("%s: ListOffsets took %v", c.name, took)
			}
		})
	}
}

// The coordinator was not asked for a partition that came between the look for its transaction and the append.
func TestATransactionalBatchThatWaitedForItsShardIsTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newClusterServer(t)
		looks, loaded, changed := 0, &atomic.Bool{}, make(chan struct{})
		s.storage = lateStorage{s.dataServer.storage, loaded}
		s.ownership = func() <-chan struct{} {
			if looks++; looks == 1 {
				time.AfterFunc(time.Millisecond, func() {
					loaded.Store(true)
					close(changed)
				})
			}
			return changed
		}
		s.owners(1, 1, 1, 1, 1, 1)
		id := "x"
		s.wantCodes("a batch whose shard was loaded meanwhile", s.producing(12, &id, txnBatch(5, 0, 0)), 0)
		if len(s.coordinator.asked) != 1 {
			t.Errorf("the coordinator was asked %d times", len(s.coordinator.asked))
		}
	})
}

// A tool's client asks twice. What is on its way from one broker to another is waited for at both, until the answer is of use.
func TestToolsWaitForAShardThatMoves(t *testing.T) {
	t.Parallel()
	ask := func(t *testing.T, s *clusterServer) (kafka.Error, time.Duration) {
		t.Helper()
		list := kmsg.NewPtrListOffsetsRequest()
		list.Version = 4
		list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: -2, CurrentLeaderEpoch: -1}}}}
		began := time.Now()
		res := handled(t, (*Server).listOffsets, s, s.outside, list)
		return kafka.Error(res.Topics[0].Partitions[0].ErrorCode), time.Since(began)
	}
	for _, c := range []struct {
		name          string
		owner, wanted int32
		then          int32 // owner, after 300 ms
		waits         time.Duration
		want          kafka.Error
	}{
		{"comes here, and the owner before still has it", 2, 1, 1, 300 * time.Millisecond, kafka.None},
		{"released here, and not taken yet", 1, 2, 2, 300 * time.Millisecond, kafka.NotLeaderOrFollower},
		{"released, and not taken yet", cluster.Nobody, 2, 2, 300 * time.Millisecond, kafka.NotLeaderOrFollower},
		{"elsewhere", 2, 2, 2, 0, kafka.NotLeaderOrFollower},
		{"never comes", 2, 1, 2, loadWait, kafka.NotLeaderOrFollower},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newClusterServer(t)
			loaded, here := &atomic.Bool{}, make(chan struct{})
			s.storage = lateStorage{s.dataServer.storage, loaded}
			s.ownership = func() <-chan struct{} { return here }
			publish := func(owner, wanted int32) {
				s.owners(owner, owner, owner, owner, owner, owner)
				v := *s.Server.cluster.View()
				v.Assigned = []int32{wanted, wanted, wanted, wanted, wanted, wanted}
				s.Server.cluster.Publish(&v)
			}
			publish(c.owner, c.wanted)
			if c.then != c.owner {
				time.AfterFunc(300*time.Millisecond, func() {
					loaded.Store(c.then == 1)
					publish(c.then, c.wanted)
				})
			}
			if code, took := ask(t, s); code != c.want || took != c.waits {
				t.Errorf("%s: %v after %v, want %v after %v", c.name, code, took, c.want, c.waits)
			}
		})
	}
}

// A producer is sent on when the cluster knows where to: no sooner, or it would be sent back here, and no later, since all that its request holds waits with it.
func TestProducersWaitForAShardThatMoves(t *testing.T) {
	t.Parallel()
	const soon = 300 * time.Millisecond
	for _, c := range []struct {
		name          string
		owner, wanted int32
		then          int32 // owner, after a while
		waits         time.Duration
		want          kafka.Error
		hint          int32
	}{
		{"goes, and is released", 1, 2, cluster.Nobody, soon, kafka.NotLeaderOrFollower, 2},
		{"goes, and is taken", 1, 2, 2, soon, kafka.NotLeaderOrFollower, 2},
		{"went, and is not taken yet", cluster.Nobody, 2, cluster.Nobody, 0, kafka.NotLeaderOrFollower, 2},
		{"comes, and the owner before still has it", 2, 1, 1, soon, kafka.None, -1},
		{"is elsewhere", 2, 2, 2, 0, kafka.NotLeaderOrFollower, 2},
		{"goes, and is not released for long", 1, 2, 1, loadWait, kafka.NotLeaderOrFollower, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newClusterServer(t)
			loaded, here := &atomic.Bool{}, make(chan struct{})
			s.storage = lateStorage{s.dataServer.storage, loaded}
			s.ownership = func() <-chan struct{} { return here } // nothing comes or goes but what the view tells
			publish := func(owner int32) {
				v := &cluster.View{Self: 1, Brokers: slices.Clone(testBrokers), Shards: make([]cluster.Ownership, 6), Assigned: slices.Repeat([]int32{c.wanted}, 6)}
				for i := range v.Brokers {
					v.Brokers[i].Incarnation, v.Brokers[i].Endpoints = 1, []cluster.Endpoint{{Host: "h", Port: 1}} // of the listener that the test produces by
				}
				for i := range v.Shards {
					v.Shards[i] = cluster.Ownership{Broker: owner, Epoch: 10}
				}
				s.Server.cluster.Publish(v) // at once: it is looked at in between
			}
			publish(c.owner)
			if c.then != c.owner {
				time.AfterFunc(soon, func() {
					loaded.Store(c.then == 1)
					publish(c.then)
				})
			}
			began := time.Now()
			p := s.producing(10, nil, oneBatch(t)).Topics[0].Partitions[0]
			if code, took := kafka.Error(p.ErrorCode), time.Since(began); code != c.want || took != c.waits || p.CurrentLeader.LeaderID != c.hint {
				t.Errorf("%s: %v after %v, leader %d; want %v after %v, leader %d", c.name, code, took, p.CurrentLeader.LeaderID, c.want, c.waits, c.hint)
			}
		})
	}
}
