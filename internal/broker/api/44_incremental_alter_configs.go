// IncrementalAlterConfigs, key 44, versions 0 and 1.
//
// Sets and deletes single configs of a resource, and appends to and subtracts from lists. The changes of one resource
// happen all or not at all; each resource succeeds or fails by itself.
//
//	v1  flexible
//
// Differences from Kafka: an operation that does not exist is INVALID_REQUEST, not an unknown error; listeners and
// listener.security.protocol.map change with a restart only; what Weir cannot do is refused where Kafka would try (unknown
// cipher suites, TLS versions and SASL mechanisms, a negative log.cleaner.io.max.bytes.per.second). Who names a topic for dead
// letters (weir.contract.dlq.topic) must be allowed to write to it.
package api

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) incrementalAlterConfigs(ctx context.Context, c *Conn, req *kmsg.IncrementalAlterConfigsRequest) (*kmsg.IncrementalAlterConfigsResponse, error) {
	res := kmsg.NewPtrIncrementalAlterConfigsResponse()
	times := make(map[topics.Resource]int, len(req.Resources))
	for i := range req.Resources {
		r := &req.Resources[i]
		times[topics.Resource{Type: topics.ResourceType(r.ResourceType), Name: r.ResourceName}]++
	}
	for i := range req.Resources {
		r := &req.Resources[i]
		resource := topics.Resource{Type: topics.ResourceType(r.ResourceType), Name: r.ResourceName}
		changes := make([]topics.Change, len(r.Configs))
		for j := range r.Configs {
			c := &r.Configs[j]
			changes[j] = topics.Change{Name: c.Name, Op: topics.Op(c.Op), Value: c.Value}
		}
		err := errResourceTwice
		if times[resource] == 1 {
			err = s.refuseConfigs(c, auth.AlterConfigs, resource)
		}
		for j := 0; err == nil && j < len(changes) && resource.Type == topics.TopicResource; j++ {
			err = s.refuseDeadLetters(c, changes[j].Name, changes[j].Value)
		}
		if err == nil {
			err = s.topics.AlterConfigs(ctx, resource, changes, req.ValidateOnly)
		}
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		out.ErrorCode, out.ErrorMessage = codeOf(err).Code(), textOf(err)
		if resource.Type == topics.BrokerLogger && errors.Is(err, kafka.ClusterAuthorizationFailed) {
			out.ErrorMessage = nil // as Kafka has it
		}
		res.Resources = append(res.Resources, out)
	}
	return res, nil
}
