// AlterConfigs, key 33, versions 0 to 2.
//
// Makes the given configs all that is set for a resource: what is not named goes back to its default. Kafka has
// deprecated it for IncrementalAlterConfigs (44). Each resource succeeds or fails by itself.
//
//	v2  flexible
//
// Difference from Kafka: a resource given twice is answered with INVALID_REQUEST, where Kafka 4.3 does not answer at all. Who
// names a topic for dead letters (weir.contract.dlq.topic) must be allowed to write to it.
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) alterConfigs(ctx context.Context, c *Conn, req *kmsg.AlterConfigsRequest) (*kmsg.AlterConfigsResponse, error) {
	res := kmsg.NewPtrAlterConfigsResponse()
	times := make(map[topics.Resource]int, len(req.Resources))
	for i := range req.Resources {
		r := &req.Resources[i]
		times[topics.Resource{Type: topics.ResourceType(r.ResourceType), Name: r.ResourceName}]++
	}
	for i := range req.Resources {
		r := &req.Resources[i]
		resource := topics.Resource{Type: topics.ResourceType(r.ResourceType), Name: r.ResourceName}
		configs := make([]topics.Change, len(r.Configs))
		for j := range r.Configs {
			configs[j] = topics.Change{Name: r.Configs[j].Name, Value: r.Configs[j].Value}
		}
		err := errResourceTwice
		if times[resource] == 1 {
			err = s.refuseConfigs(c, auth.AlterConfigs, resource)
		}
		for j := 0; err == nil && j < len(configs) && resource.Type == topics.TopicResource; j++ {
			err = s.refuseDeadLetters(c, configs[j].Name, configs[j].Value)
		}
		if err == nil {
			err = s.topics.ReplaceConfigs(ctx, resource, configs, req.ValidateOnly)
		}
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		out.ErrorCode, out.ErrorMessage = codeOf(err).Code(), textOf(err)
		res.Resources = append(res.Resources, out)
	}
	return res, nil
}

// errResourceTwice answers each of the places in which a resource stands.
var errResourceTwice = kafka.Errorf(kafka.InvalidRequest, "Each resource must appear at most once.")
