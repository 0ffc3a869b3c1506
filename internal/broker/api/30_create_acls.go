package api

// CreateAcls (key 30), versions 1-3: adds access control entries.
//
// Each entry succeeds or fails by itself; one that is there already is no error. They decide about the next request, of
// any connection, once the answer is sent. Without an authorizer every entry is answered SECURITY_DISABLED.
//
// 1: pattern types. 2: flexible. 3: resources of type USER.
//
// Difference from Kafka: names of resources, principals and hosts have bounds (1024, 4096 and 255 bytes), and there can be
// no more than 100,000 entries.

import (
	"cmp"
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

func (s *Server) createACLs(ctx context.Context, c *Conn, req *kmsg.CreateACLsRequest) (*kmsg.CreateACLsResponse, error) {
	res := kmsg.NewPtrCreateACLsResponse()
	refused := s.mayACLs(c, auth.Alter)
	bindings := make([]acl.Binding, len(req.Creations))
	outcomes := make([]error, len(req.Creations))
	for i := range req.Creations {
		a := &req.Creations[i]
		bindings[i] = acl.Binding{
			Type: acl.ResourceType(a.ResourceType), Pattern: acl.PatternType(a.ResourcePatternType), Name: a.ResourceName,
			Principal: a.Principal, Host: a.Host, Operation: acl.Operation(a.Operation), Permission: acl.Permission(a.PermissionType),
		}
		outcomes[i] = refused
	}
	if refused == nil {
		outcomes = s.access.Create(ctx, bindings)
	}
	for _, err := range outcomes {
		out := kmsg.NewCreateACLsResponseResult()
		out.ErrorCode, out.ErrorMessage = codeOf(err).Code(), cmp.Or(textOf(err), new(""))
		res.Results = append(res.Results, out)
	}
	return res, nil
}
