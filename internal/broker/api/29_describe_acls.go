package api

// DescribeAcls (key 29), versions 1-3: the access control entries that a filter selects.
//
// A name, principal or host of null, and the codes of ANY, select everything. The pattern type MATCH selects what is about
// a resource of the name: by the same literal name, by a prefix of it, or by "*". Entries are grouped by resource and come
// sorted. A code that there is not selects nothing. Without an authorizer the answer is SECURITY_DISABLED.
//
// 1: pattern types. 2: flexible. 3: resources of type USER.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

func (s *Server) describeACLs(_ context.Context, c *Conn, req *kmsg.DescribeACLsRequest) (*kmsg.DescribeACLsResponse, error) {
	res := kmsg.NewPtrDescribeACLsResponse()
	filter := acl.Filter{
		Type: acl.ResourceType(req.ResourceType), Pattern: acl.PatternType(req.ResourcePatternType), Name: req.ResourceName,
		Principal: req.Principal, Host: req.Host, Operation: acl.Operation(req.Operation), Permission: acl.Permission(req.PermissionType),
	}
	if err := s.mayACLs(c, auth.Describe); err != nil {
		res.ErrorCode, res.ErrorMessage = codeOf(err).Code(), textOf(err)
		return res, nil
	}
	res.ErrorMessage = new("")
	for _, b := range s.access.Set().Find(filter) {
		n := len(res.Resources)
		if n == 0 || acl.ResourceType(res.Resources[n-1].ResourceType) != b.Type || res.Resources[n-1].ResourceName != b.Name ||
			acl.PatternType(res.Resources[n-1].ResourcePatternType) != b.Pattern {
			r := kmsg.NewDescribeACLsResponseResource()
			r.ResourceType, r.ResourceName, r.ResourcePatternType = kmsg.ACLResourceType(b.Type), b.Name, kmsg.ACLResourcePatternType(b.Pattern)
			res.Resources, n = append(res.Resources, r), n+1
		}
		a := kmsg.NewDescribeACLsResponseResourceACL()
		a.Principal, a.Host, a.Operation, a.PermissionType = b.Principal, b.Host, kmsg.ACLOperation(b.Operation), kmsg.ACLPermissionType(b.Permission)
		res.Resources[n-1].ACLs = append(res.Resources[n-1].ACLs, a)
	}
	return res, nil
}

// mayACLs is the error for a client that may not read or change access control entries, or a broker that has none.
func (s *Server) mayACLs(c *Conn, op auth.Operation) error {
	switch {
	case !s.allowCluster(c, op):
		return kafka.ClusterAuthorizationFailed
	case s.access == nil:
		return kafka.Errorf(kafka.SecurityDisabled, "There is no authorizer: set authorizer.class.name to weir.")
	}
	return nil
}
