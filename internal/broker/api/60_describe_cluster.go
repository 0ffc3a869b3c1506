package api

// DescribeCluster (key 60), versions 0-2.
//
// Lists the brokers that the clients of the listener can reach, and as controller the one that decides who owns what.
//
// 1: endpoint type; controllers are not reachable by clients here. 2: fenced brokers, of which there are none: a broker whose
// lease has ended is not known any more.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka"
)

const endpointBrokers = 1

func (s *Server) describeCluster(_ context.Context, c *Conn, req *kmsg.DescribeClusterRequest) (*kmsg.DescribeClusterResponse, error) {
	res := kmsg.NewPtrDescribeClusterResponse()
	if req.Version >= 1 && req.EndpointType != endpointBrokers {
		res.ErrorCode = kafka.UnsupportedEndpointType.Code()
		if req.EndpointType == 2 {
			res.ErrorCode = kafka.MismatchedEndpointType.Code()
		}
		res.ErrorMessage = new("This is an endpoint of brokers.")
		return res, nil
	}
	res.EndpointType = endpointBrokers
	at := s.neighbours(c)
	res.ClusterID, res.ControllerID = s.topics.ClusterID(), at.controller()
	if req.IncludeClusterAuthorizedOperations {
		res.ClusterAuthorizedOperations = s.clusterOperations(c)
	}
	for _, n := range at.all {
		b := kmsg.NewDescribeClusterResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = n.id, n.host, n.port, n.rack
		res.Brokers = append(res.Brokers, b)
	}
	return res, nil
}
