// ListConfigResources, key 74, versions 0 and 1.
//
// Lists what has configs: topics, this broker and its logger, and the groups and client-metrics subscriptions for which
// something was set. A type that does not exist yields UNSUPPORTED_VERSION.
//
//	v0  client-metrics subscriptions only; the request was called ListClientMetricsResources
//	v1  all types, or those asked for
package api

import (
	"context"

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
	for _, r := range resources {
		out := kmsg.NewListConfigResourcesResponseConfigResource()
		out.Name, out.Type = r.Name, int8(r.Type)
		res.ConfigResources = append(res.ConfigResources, out)
	}
	return res, nil
}
