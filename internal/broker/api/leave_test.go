package api

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/kafka"
)

func TestABrokerThatLeavesIsNamedToNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		left       int32
		draining   bool
		alone      bool
		brokers    []int32
		controller int32
	}{
		{"another", 2, true, false, []int32{1, 3}, 1},
		{"this one", 1, true, false, []int32{2, 3}, 2},
		{"this one, and nobody else is there", 1, true, true, []int32{1}, 1},
		{"this one is about to begin", 1, false, false, []int32{1, 2, 3}, 2},
	} {
		s := newClusterServer(t)
		v := &cluster.View{Self: 1, Controller: 2, Brokers: slices.Clone(testBrokers), Shards: make([]cluster.Ownership, 6)}
		if c.alone {
			v.Brokers, v.Controller = v.Brokers[:1], 1
		}
		v.Brokers[c.left-1].Draining, v.Brokers[c.left-1].Endpoints = c.draining, nil
		s.Server.cluster.Publish(v)
		req := kmsg.NewPtrMetadataRequest()
		req.Version = 12
		res := handled(t, (*Server).metadata, s, s.outside, req)
		var got []int32
		for _, b := range res.Brokers {
			got = append(got, b.NodeID)
		}
		if !slices.Equal(got, c.brokers) || res.ControllerID != c.controller {
			t.Errorf("%s leaves: brokers %v, controller %d; want %v and %d", c.name, got, res.ControllerID, c.brokers, c.controller)
		}
	}
}

// owner is what another broker says of its partitions.
type owner struct {
	Away

	mu    sync.Mutex
	asked map[int32][]int32 // partitions by broker
	say   map[int32]kmsg.ListOffsetsResponseTopicPartition
}

func (o *owner) Ends(_ context.Context, broker int32, req *kmsg.ListOffsetsRequest) (*kmsg.ListOffsetsResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	res := kmsg.NewPtrListOffsetsResponse()
	for _, t := range req.Topics {
		out := kmsg.ListOffsetsResponseTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			o.asked[broker] = append(o.asked[broker], p.Partition)
			said, ok := o.say[p.Partition]
			if !ok {
				return nil, errors.New("no answer")
			}
			said.Partition = p.Partition
			out.Partitions = append(out.Partitions, said)
		}
		res.Topics = append(res.Topics, out)
	}
	return res, nil
}

func TestOwnersAreAskedForOffsetsInTheSteadOfATool(t *testing.T) {
	t.Parallel()
	s := newClusterServer(t)
	s.owners(1, 2, 2, 3, cluster.Nobody, 2)
	wrong, offset := kafka.NotLeaderOrFollower.Code(), func(n int64) kmsg.ListOffsetsResponseTopicPartition {
		return kmsg.ListOffsetsResponseTopicPartition{Offset: n, Timestamp: -1, LeaderEpoch: 7}
	}
	ask := func(c *Conn, away Away) []kmsg.ListOffsetsResponseTopicPartition {
		s.away = away
		req := kmsg.NewPtrListOffsetsRequest()
		req.Version = 7
		req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t"}}
		for i := range int32(6) {
			epoch := int32(-1)
			if i == 5 {
				epoch = 15 // a consumer, which has to hear that it knows the wrong leader
			}
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, kmsg.ListOffsetsRequestTopicPartition{Partition: i, Timestamp: timeLatest, CurrentLeaderEpoch: epoch})
		}
		return handled(t, (*Server).listOffsets, s, c, req).Topics[0].Partitions
	}
	fenced := kmsg.ListOffsetsResponseTopicPartition{ErrorCode: kafka.OffsetNotAvailable.Code(), Offset: -1, Timestamp: -1, LeaderEpoch: -1}
	others := &owner{asked: map[int32][]int32{}, say: map[int32]kmsg.ListOffsetsResponseTopicPartition{1: offset(41), 2: fenced}} // broker 3 does not answer
	for i, p := range ask(s.outside, others) {
		wantCode := []int16{0, 0, fenced.ErrorCode, wrong, wrong, wrong}[i]
		wantOffset := []int64{0, 41, -1, -1, -1, -1}[i]
		if p.Partition != int32(i) || p.ErrorCode != wantCode || p.Offset != wantOffset {
			t.Errorf("partition %d: %+v, want code %d and offset %d", i, p, wantCode, wantOffset)
		}
	}
	if !slices.Equal(others.asked[2], []int32{1, 2}) || !slices.Equal(others.asked[3], []int32{3}) || len(others.asked) != 2 {
		t.Errorf("asked %v", others.asked)
	}
	broker := &Conn{Listener: auth.BrokerListener, Principal: auth.Broker}
	others = &owner{asked: map[int32][]int32{}}
	for i, p := range ask(broker, others) {
		if (p.ErrorCode == wrong) != (i > 0) {
			t.Errorf("a broker asks for partition %d: %+v", i, p)
		}
	}
	if len(others.asked) != 0 {
		t.Errorf("a broker's question was handed on: %v", others.asked)
	}
}
