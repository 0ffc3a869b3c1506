// ElectLeaders, key 43, versions 0 to 2.
//
// A partition has one owner, which is its preferred leader and always in office: every election is answered with
// ELECTION_NOT_NEEDED. Without topics, all of them are meant; those that need no election are then left out, so that each
// topic comes without partitions.
//
//	v1  preferred (0) and unclean (1) elections; any other is INVALID_REQUEST. An error for the whole request
//	v2  flexible
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) electLeaders(_ context.Context, c *Conn, req *kmsg.ElectLeadersRequest) (*kmsg.ElectLeadersResponse, error) {
	res := kmsg.NewPtrElectLeadersResponse()
	var refused error
	switch {
	case !s.allowCluster(c, auth.Alter):
		refused = kafka.ClusterAuthorizationFailed
	case req.ElectionType < 0 || req.ElectionType > 1:
		refused = kafka.Errorf(kafka.InvalidRequest, "Unknown election type %d", req.ElectionType)
	}
	res.ErrorCode = codeOf(refused).Code()
	view := s.topics.View()
	if req.Topics == nil && refused == nil {
		for _, t := range view.All() {
			out := kmsg.NewElectLeadersResponseTopic()
			out.Topic = t.Name
			res.Topics = append(res.Topics, out)
		}
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = t.Topic
		topic, ok := view.ByName(t.Topic)
		for _, p := range t.Partitions {
			err := refused
			switch {
			case err != nil:
			case !ok:
				err = kafka.Errorf(kafka.UnknownTopicOrPartition, "No such topic as %s", t.Topic)
			case p < 0 || p >= topic.Partitions:
				err = kafka.Errorf(kafka.UnknownTopicOrPartition, "No such partition as %s-%d", t.Topic, p)
			default:
				err = kafka.Errorf(kafka.ElectionNotNeeded, "Leader election not needed for topic partition.")
			}
			one := kmsg.NewElectLeadersResponseTopicPartition()
			one.Partition, one.ErrorCode, one.ErrorMessage = p, codeOf(err).Code(), textOf(err)
			out.Partitions = append(out.Partitions, one)
		}
		res.Topics = append(res.Topics, out)
	}
	return res, nil
}
