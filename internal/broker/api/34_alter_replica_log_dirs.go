// AlterReplicaLogDirs, key 34, versions 1 and 2.
//
// There is one log directory, the one that DescribeLogDirs names: moving a partition to it changes nothing and succeeds,
// any other is LOG_DIR_NOT_FOUND.
//
//	v2  flexible
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) alterReplicaLogDirs(_ context.Context, c *Conn, req *kmsg.AlterReplicaLogDirsRequest) (*kmsg.AlterReplicaLogDirsResponse, error) {
	res := kmsg.NewPtrAlterReplicaLogDirsResponse()
	allowed := s.allowCluster(c, auth.Alter)
	view := s.topics.View()
	place := map[string]int{} // of a topic in the answer: it may stand under several directories
	for i := range req.Dirs {
		d := &req.Dirs[i]
		for j := range d.Topics {
			t := &d.Topics[j]
			at, ok := place[t.Topic]
			if !ok {
				at = len(res.Topics)
				place[t.Topic] = at
				out := kmsg.NewAlterReplicaLogDirsResponseTopic()
				out.Topic = t.Topic
				res.Topics = append(res.Topics, out)
			}
			topic, known := view.ByName(t.Topic)
			for _, p := range t.Partitions {
				code := kafka.None
				switch {
				case !allowed:
					code = kafka.ClusterAuthorizationFailed
				case d.Dir != s.logDir:
					code = kafka.LogDirNotFound
				case !known || p < 0 || p >= topic.Partitions:
					code = kafka.UnknownTopicOrPartition
				}
				one := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				one.Partition, one.ErrorCode = p, code.Code()
				res.Topics[at].Partitions = append(res.Topics[at].Partitions, one)
			}
		}
	}
	return res, nil
}
