package api

// DescribeCluster (key 60), versions 0-2.
//
// 1: endpoint type; controllers are not reachable by clients here. 2: fenced brokers, of which there are none.

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
	res.ClusterID, res.ControllerID = s.topics.ClusterID(), s.nodeID
	if req.IncludeClusterAuthorizedOperations {
		res.ClusterAuthorizedOperations = s.clusterOperations(c)
	}
	b := kmsg.NewDescribeClusterResponseBroker()
	b.NodeID, b.Host, b.Port, b.Rack = s.nodeID, c.Host, c.Port, s.rackPtr()
	res.Brokers = append(res.Brokers, b)
	return res, nil
}
