// ElectLeaders, key 43, versions 0 to 2.
//
// The owner of a partition is its preferred leader, so there is nothing to elect while there is one: ELECTION_NOT_NEEDED. Without
// an owner the answer is PREFERRED_LEADER_NOT_AVAILABLE, or ELIGIBLE_LEADERS_NOT_AVAILABLE of an unclean election: the controller
// is looking for one anyway. Without topics, all of them are meant; those that need no election are then left out, so that a
// topic may come without partitions.
//
//	v1  preferred (0) and unclean (1) elections; any other is INVALID_REQUEST. An error for the whole request
//	v2  flexible
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) electLeaders(_ context.Context, c *Conn, req *kmsg.ElectLeadersRequest) (*kmsg.ElectLeadersResponse, error) {
	res := kmsg.NewPtrElectLeadersResponse()
	var refused error
	switch {
	case !s.allowCluster(c, auth.Alter):
		refused = kafka.ClusterAuthorizationFailed
	case req.ElectionType < 0 || req.ElectionType > electUnclean:
		refused = kafka.Errorf(kafka.InvalidRequest, "Unknown election type %d", req.ElectionType)
	}
	res.ErrorCode = codeOf(refused).Code()
	view, at := s.topics.View(), s.neighbours(c)
	if req.Topics == nil && refused == nil {
		for _, t := range view.All() {
			out := kmsg.NewElectLeadersResponseTopic()
			out.Topic = t.Name
			for i := range t.Partitions {
				if err := elect(&at, t, i, req.ElectionType); codeOf(err) != kafka.ElectionNotNeeded {
					out.Partitions = append(out.Partitions, elected(i, err))
				}
			}
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
				err = elect(&at, topic, p, req.ElectionType)
			}
			out.Partitions = append(out.Partitions, elected(p, err))
		}
		res.Topics = append(res.Topics, out)
	}
	return res, nil
}

// electUnclean asks for a leader that may have lost records.
const electUnclean = 1

// elect tells why no leader of a partition is elected.
func elect(at *neighbours, t *topics.Topic, index int32, kind int8) error {
	switch {
	case at.leadership(t, index).code != kafka.LeaderNotAvailable:
		return kafka.Errorf(kafka.ElectionNotNeeded, "Leader election not needed for topic partition.")
	case kind == electUnclean:
		return kafka.EligibleLeadersNotAvailable
	}
	return kafka.PreferredLeaderNotAvailable
}

func elected(index int32, err error) kmsg.ElectLeadersResponseTopicPartition {
	p := kmsg.NewElectLeadersResponseTopicPartition()
	p.Partition, p.ErrorCode, p.ErrorMessage = index, codeOf(err).Code(), textOf(err)
	return p
}
