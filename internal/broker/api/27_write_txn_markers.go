package api

// WriteTxnMarkers (key 27), versions 1-2: ends transactions in partitions, whatever their coordinator says.
//
// Brokers send it to each other, and tools to end a transaction that hangs (kafka-transactions abort). It needs ALTER or
// CLUSTER_ACTION on the cluster. The answer is sent when the markers are durable.
//
// 1: flexible. 2: transaction version; from transaction version 2 a marker has a higher epoch than the records.

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
)

// bumpingTransactions is the transaction version from which a marker has a higher epoch than the transaction's records.
const bumpingTransactions = 2

func (s *Server) writeTxnMarkers(ctx context.Context, c *Conn, req *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error) {
	allowed := s.mayCluster(c, auth.Alter) || s.allowCluster(c, auth.ClusterAction)
	res := kmsg.NewPtrWriteTxnMarkersResponse()
	// A broker puts the ends of many transactions into one request: they wait for the same disk together.
	var writing sync.WaitGroup
	slots := make(chan struct{}, markerWrites)
	for i := range req.Markers {
		in := &req.Markers[i]
		marker := kmsg.NewWriteTxnMarkersResponseMarker()
		marker.ProducerID = in.ProducerID
		m := machine.Marker{
			Producer: machine.Producer{ID: in.ProducerID, Epoch: in.ProducerEpoch}, CoordinatorEpoch: in.CoordinatorEpoch, Commit: in.Committed,
		}
		for _, t := range in.Topics {
			topic := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			topic.Topic = t.Topic
			topic.Partitions = make([]kmsg.WriteTxnMarkersResponseMarkerTopicPartition, len(t.Partitions))
			for j, index := range t.Partitions {
				p := &topic.Partitions[j]
				*p = kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
				p.Partition, p.ErrorCode = index, kafka.ClusterAuthorizationFailed.Code()
				if !allowed {
					continue
				}
				slots <- struct{}{}
				writing.Go(func() {
					p.ErrorCode = s.writeMarker(ctx, kafka.TopicPartition{Topic: t.Topic, Partition: index}, m, in.TransactionVersion >= bumpingTransactions).Code()
					<-slots
				})
			}
			marker.Topics = append(marker.Topics, topic)
		}
		res.Markers = append(res.Markers, marker)
	}
	writing.Wait()
	return res, nil
}

// markerWrites is how many markers of one request are written at the same time.
const markerWrites = 256

// writeMarker writes a marker to one partition.
func (s *Server) writeMarker(ctx context.Context, tp kafka.TopicPartition, m machine.Marker, bumps bool) kafka.Error {
	err := s.markers.Write(ctx, tp, m, bumps)
	switch {
	case errors.Is(err, kafka.CoordinatorNotAvailable), errors.Is(err, kafka.CoordinatorLoadInProgress), errors.Is(err, kafka.NotCoordinator):
		// Who writes markers knows the errors of partitions, not those of the coordinator behind this one.
		return kafka.NotLeaderOrFollower
	}
	if t, ok := s.topics.View().ByName(tp.Topic); ok {
		err = s.moved(t.ID, err)
	}
	return codeOf(err)
}
