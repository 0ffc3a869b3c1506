// ListConfigResources, key 74, versions 0 and 1.
//
// Lists what has configs: topics, the brokers and their loggers, and the groups and client-metrics subscriptions for which
// something was set. A type that does not exist yields UNSUPPORTED_VERSION.
//
//	v0  client-metrics subscriptions only; the request was called ListClientMetricsResources
//	v1  all types, or those asked for
package api

import (
	"context"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) listConfigResources(_ context.Context, c *Conn, req *kmsg.ListConfigResourcesRequest) (*kmsg.ListConfigResourcesResponse, error) {
	res := kmsg.NewPtrListConfigResourcesResponse()
	if !s.allowCluster(c, auth.DescribeConfigs) {
		res.ErrorCode = kafka.ClusterAuthorizationFailed.Code()
		return res, nil
	}
	var types []topics.ResourceType
	if req.Version == 0 {
		types = append(types, topics.ClientMetrics)
	} else {
		for _, t := range req.ResourceTypes {
			types = append(types, topics.ResourceType(t))
		}
	}
	resources, err := s.topics.Resources(types...)
	res.ErrorCode = codeOf(err).Code()
	resources = s.withBrokers(c, resources)
	for _, r := range resources {
		out := kmsg.NewListConfigResourcesResponseConfigResource()
		out.Name, out.Type = r.Name, int8(r.Type)
		res.ConfigResources = append(res.ConfigResources, out)
	}
	return res, nil
}

// withBrokers puts all brokers that the client can reach in the place of this one.
func (s *Server) withBrokers(c *Conn, from []topics.Resource) []topics.Resource {
	at := s.neighbours(c)
	out := make([]topics.Resource, 0, len(from))
	for _, r := range from {
		if r.Type != topics.Broker && r.Type != topics.BrokerLogger {
			out = append(out, r)
			continue
		}
		for _, n := range at.all {
			out = append(out, topics.Resource{Type: r.Type, Name: strconv.Itoa(int(n.id))})
		}
	}
	return out
}
