package api

// DescribeLogDirs (key 35), versions 1-5.
//
// There is one log directory, the data directory. Only partitions that this broker owns are in it. The size of a partition is what
// its log keeps, wherever the bytes lie. In a cluster the bytes lie in an object store, whose size nobody knows: -1, as KIP-827 has it.
//
// 2: flexible. 3: top-level error. 4: total and usable bytes. 5: whether the directory takes no new replicas, which never
// is so.
//
// Unlike in Kafka, what was deleted does not count, even if its bytes are not yet given back.

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) describeLogDirs(_ context.Context, c *Conn, req *kmsg.DescribeLogDirsRequest) (*kmsg.DescribeLogDirsResponse, error) {
	res := kmsg.NewPtrDescribeLogDirsResponse()
	if !s.allowCluster(c, auth.Describe) {
		res.ErrorCode = kafka.ClusterAuthorizationFailed.Code()
		return res, nil
	}
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir, dir.TotalBytes, dir.UsableBytes = s.logDir, -1, -1
	if u, err := s.storage.Free(); err == nil {
		dir.TotalBytes, dir.UsableBytes = int64(u.TotalBytes), int64(u.FreeBytes)
	} else if !errors.Is(err, errors.ErrUnsupported) {
		dir.ErrorCode = codeOf(err).Code()
	}
	view := s.topics.View()
	if req.Topics == nil {
		for _, t := range view.All() {
			all := make([]int32, t.Partitions)
			for i := range all {
				all[i] = int32(i)
			}
			if sizes := s.logSizes(t, all); len(sizes.Partitions) > 0 {
				dir.Topics = append(dir.Topics, sizes)
			}
		}
	}
	for _, t := range req.Topics {
		if topic, ok := view.ByName(t.Topic); ok {
			dir.Topics = append(dir.Topics, s.logSizes(topic, t.Partitions))
		}
	}
	res.Dirs = append(res.Dirs, dir)
	return res, nil
}

func (s *Server) logSizes(t *topics.Topic, partitions []int32) kmsg.DescribeLogDirsResponseDirTopic {
	out := kmsg.NewDescribeLogDirsResponseDirTopic()
	out.Topic = t.Name
	for _, i := range partitions {
		log, err := s.log(t, i)
		if err != nil {
			continue // Kafka leaves out partitions that it does not host
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition, p.Size = i, log.Bytes()
		out.Partitions = append(out.Partitions, p)
	}
	return out
}
