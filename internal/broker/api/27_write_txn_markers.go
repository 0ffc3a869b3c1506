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
			for _, index := range t.Partitions {
				p := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
				p.Partition = index
				topic.Partitions = append(topic.Partitions, p)
			}
			s.writeMarkers(ctx, &topic, m, in.TransactionVersion >= bumpingTransactions, allowed)
			marker.Topics = append(marker.Topics, topic)
		}
		res.Markers = append(res.Markers, marker)
	}
	return res, nil
}

// markerWrites is how many markers of one request are written at the same time.
const markerWrites = 32

// writeMarkers writes a marker to the partitions of one topic.
func (s *Server) writeMarkers(ctx context.Context, topic *kmsg.WriteTxnMarkersResponseMarkerTopic, m machine.Marker, bumps, allowed bool) {
	var writing sync.WaitGroup
	defer writing.Wait()
	slots := make(chan struct{}, markerWrites)
	for i := range topic.Partitions {
		p := &topic.Partitions[i]
		if !allowed {
			p.ErrorCode = kafka.ClusterAuthorizationFailed.Code()
			continue
		}
		slots <- struct{}{}
		writing.Go(func() {
			err := s.markers.Write(ctx, kafka.TopicPartition{Topic: topic.Topic, Partition: p.Partition}, m, bumps)
			code := codeOf(err)
			switch {
			case errors.Is(err, kafka.CoordinatorNotAvailable), errors.Is(err, kafka.CoordinatorLoadInProgress), errors.Is(err, kafka.NotCoordinator):
				// Who writes markers knows the errors of partitions, not those of the coordinator behind this one.
				code = kafka.NotLeaderOrFollower
			}
			p.ErrorCode = code.Code()
			<-slots
		})
	}
}
