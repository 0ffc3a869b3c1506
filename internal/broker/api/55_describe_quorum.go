// DescribeQuorum, key 55, versions 0 to 2.
//
// Tells of the metadata what tools ask about a KRaft quorum: the controller is the leader and only voter, its epoch is one above
// that of the first shard, which grows with each owner, and the high watermark is the revision of the metadata that this broker
// serves, all of which is durable. The other brokers are observers; how far they have come only they know, so that their end
// offset is -1 but for this broker's. Without a controller the partition is LEADER_NOT_AVAILABLE. Anything but one partition 0 of __cluster_metadata is UNKNOWN_TOPIC_OR_PARTITION.
//
//	v1  times of the last fetch, and of the last time that a voter had caught up
//	v2  errors come with a text; directories of voters (none), and where the nodes listen
//
// Differences from Kafka: there is no controller listener, so the controller is listed with the listener that was asked.
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/kafka"
)

// clusterMetadataTopic is the name under which Kafka keeps metadata as a log.
const clusterMetadataTopic = "__cluster_metadata"

func (s *Server) describeQuorum(_ context.Context, c *Conn, req *kmsg.DescribeQuorumRequest) (*kmsg.DescribeQuorumResponse, error) {
	res := kmsg.NewPtrDescribeQuorumResponse()
	res.ErrorMessage = new("")
	if !s.allowCluster(c, auth.Describe) {
		err := kafka.ClusterAuthorizationFailed
		res.ErrorCode, res.ErrorMessage = err.Code(), textOf(err)
		return res, nil
	}
	at := s.neighbours(c)
	known := len(req.Topics) == 1 && req.Topics[0].Topic == clusterMetadataTopic && len(req.Topics[0].Partitions) == 1 && req.Topics[0].Partitions[0].Partition == 0
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewDescribeQuorumResponseTopic()
		out.Topic = t.Topic
		for j := range t.Partitions {
			p := kmsg.NewDescribeQuorumResponseTopicPartition()
			p.Partition, p.ErrorMessage = t.Partitions[j].Partition, new("")
			switch {
			case known && at.Controller == cluster.Nobody:
				err := kafka.LeaderNotAvailable
				p.LeaderID, p.ErrorCode, p.ErrorMessage = cluster.Nobody, err.Code(), textOf(err)
			case known:
				s.describeLeader(&at, &p)
			default:
				err := kafka.Errorf(kafka.UnknownTopicOrPartition, "This server does not host this topic-partition.")
				p.ErrorCode, p.ErrorMessage = codeOf(err).Code(), textOf(err)
			}
			out.Partitions = append(out.Partitions, p)
		}
		res.Topics = append(res.Topics, out)
	}
	if leader, ok := at.reach(at.Controller); known && ok {
		node := kmsg.NewDescribeQuorumResponseNode()
		node.NodeID = leader.id
		l := kmsg.NewDescribeQuorumResponseNodeListener()
		l.Name, l.Host, l.Port = c.Listener, leader.host, uint16(leader.port) //nolint:gosec // a port
		node.Listeners = append(node.Listeners, l)
		res.Nodes = append(res.Nodes, node)
	}
	return res, nil
}

func (s *Server) describeLeader(at *neighbours, p *kmsg.DescribeQuorumResponseTopicPartition) {
	now := s.now().UnixMilli()
	// Epochs of shards count from 0, those of a quorum that has a leader from 1.
	p.LeaderID, p.LeaderEpoch, p.HighWatermark = at.Controller, at.Owner(0).Epoch+1, s.topics.View().Revision
	for _, id := range at.ids {
		v := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		v.ReplicaID, v.LogEndOffset, v.LastFetchTimestamp, v.LastCaughtUpTimestamp = id, -1, -1, -1
		if id == at.Self || id == at.Controller {
			v.LogEndOffset, v.LastFetchTimestamp, v.LastCaughtUpTimestamp = p.HighWatermark, now, now
		}
		if id == at.Controller {
			p.CurrentVoters = append(p.CurrentVoters, v)
		} else {
			p.Observers = append(p.Observers, v)
		}
	}
}
