package api

// ShareAcknowledge (key 79), versions 1-2: takes the acknowledgements of a share consumer (KIP-932).
//
// It belongs to a session that a ShareFetch has opened; epoch -1 ends the session, after the acknowledgements. They are
// persisted before they are answered.
//
// Partitions that this broker does not own are NOT_LEADER_OR_FOLLOWER, with the leader and where it is (KIP-951).
//
// 2: renewing of locks.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/broker/sharepartition"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) shareAcknowledge(ctx context.Context, c *Conn, req *kmsg.ShareAcknowledgeRequest) (*kmsg.ShareAcknowledgeResponse, error) {
	res := kmsg.NewPtrShareAcknowledgeResponse()
	key := sharepartition.SessionKey{Group: text(req.GroupID), Member: text(req.MemberID)}
	if err := s.beginShareAcknowledge(c, key, req.ShareSessionEpoch); err != nil {
		res.ErrorCode = codeOf(err).Code()
		return res, nil
	}
	res.AcquisitionLockTimeoutMillis = int32(s.windows.Settings(key.Group).Lock.Milliseconds())
	view := s.topics.View()
	var requests []ackRequest
	for i := range req.Topics {
		t := &req.Topics[i]
		refused := s.refuseShareTopic(c, view, t.TopicID)
		topic, _ := view.ByID(t.TopicID)
		for _, p := range t.Partitions {
			a := ackRequest{id: sharepartition.ID{Topic: t.TopicID, Partition: p.Partition}, err: refused}
			if a.err == nil && !hasPartition(topic, p.Partition) {
				a.err = kafka.UnknownTopicOrPartition
			}
			for _, b := range p.AcknowledgementBatches {
				a.acks = append(a.acks, share.Ack{First: b.FirstOffset, Last: b.LastOffset, Types: b.AcknowledgeTypes})
			}
			requests = append(requests, a)
		}
	}
	results := s.acknowledge(ctx, key.Group, key.Member, requests, req.IsRenewAck)(ctx)
	if req.ShareSessionEpoch == sharepartition.SessionFinal {
		s.windows.Close(key) //nolint:contextcheck // what is given back is written, whoever waits
	}
	leaders := s.hints(c, true)
	for _, r := range results {
		if n := len(res.Topics); n == 0 || res.Topics[n-1].TopicID != r.id.Topic {
			t := kmsg.NewShareAcknowledgeResponseTopic()
			t.TopicID = r.id.Topic
			res.Topics = append(res.Topics, t)
		}
		t := &res.Topics[len(res.Topics)-1]
		p := kmsg.NewShareAcknowledgeResponseTopicPartition()
		code, reason := ackCode(r.err)
		p.Partition, p.ErrorCode, p.ErrorMessage = r.id.Partition, code.Code(), reason
		topic, _ := view.ByID(r.id.Topic)
		if l, ok := leaderHint(&leaders, topic, p.Partition, code); ok {
			p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = l.Broker, l.Epoch
		}
		t.Partitions = append(t.Partitions, p)
	}
	for _, n := range leaders.nodes {
		at := kmsg.NewShareAcknowledgeResponseNodeEndpoint()
		at.NodeID, at.Host, at.Port, at.Rack = n.id, n.host, n.port, n.rack
		res.NodeEndpoints = append(res.NodeEndpoints, at)
	}
	return res, nil
}

// beginShareAcknowledge checks who asks and goes on with the session.
func (s *Server) beginShareAcknowledge(c *Conn, key sharepartition.SessionKey, epoch int32) error {
	if err := s.refuseShareMember(c, key); err != nil {
		return err
	}
	switch epoch {
	case sharepartition.SessionFirst:
		return kafka.InvalidShareSessionEpoch
	case sharepartition.SessionFinal:
		return s.windows.Sessions().Check(key, epoch)
	}
	_, err := s.windows.Sessions().Advance(key, epoch, nil, nil)
	return err
}
