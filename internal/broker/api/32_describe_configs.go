// DescribeConfigs, key 32, versions 1 to 4.
//
// Lists the configs of topics (2), brokers (4), broker loggers (8), client-metrics subscriptions (16) and groups (32):
// every one with its value, where that comes from and, if asked, where else it could come from. A list of names restricts
// it; names that do not exist are left out. Sensitive values are null. The broker "" shows what was set for all brokers.
//
//	v1  synonyms
//	v3  types, and documentation if asked
//	v4  flexible
//
// Differences from Kafka: there is one logger, root; documentation is Weir's own and tells where a setting has no effect;
// configs come sorted by name.
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
)

func (s *Server) describeConfigs(_ context.Context, c *Conn, req *kmsg.DescribeConfigsRequest) (*kmsg.DescribeConfigsResponse, error) {
	res := kmsg.NewPtrDescribeConfigsResponse()
	for i := range req.Resources {
		r := &req.Resources[i]
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		out.ErrorMessage = new("")
		resource := topics.Resource{Type: topics.ResourceType(r.ResourceType), Name: r.ResourceName}
		var configs []topics.Config
		err := s.refuseConfigs(c, auth.DescribeConfigs, resource)
		if err == nil {
			configs, err = s.topics.Describe(resource, r.ConfigNames)
		}
		if err != nil {
			out.ErrorCode, out.ErrorMessage = codeOf(err).Code(), textOf(err)
		}
		for j := range configs {
			out.Configs = append(out.Configs, describedConfig(&configs[j], req.IncludeSynonyms, req.IncludeDocumentation))
		}
		res.Resources = append(res.Resources, out)
	}
	return res, nil
}

func describedConfig(c *topics.Config, synonyms, documentation bool) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Value, out.ReadOnly, out.IsSensitive = c.Name, c.Value, c.ReadOnly, c.Sensitive
	out.Source, out.ConfigType = kmsg.ConfigSource(c.Source), kmsg.ConfigType(c.Type)
	if documentation && c.Doc != "" {
		out.Documentation = &c.Doc
	}
	if synonyms {
		for _, x := range c.Synonyms {
			y := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			y.Name, y.Value, y.Source = x.Name, x.Value, kmsg.ConfigSource(x.Source)
			out.ConfigSynonyms = append(out.ConfigSynonyms, y)
		}
	}
	return out
}
