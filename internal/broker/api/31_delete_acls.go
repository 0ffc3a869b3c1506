package api

// DeleteAcls (key 31), versions 1-3: deletes the access control entries that filters select, and tells which they were.
//
// Filters are those of DescribeAcls. Each has its own outcome; an entry that several filters select is told to each.
//
// 1: pattern types. 2: flexible. 3: resources of type USER.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

func (s *Server) deleteACLs(ctx context.Context, c *Conn, req *kmsg.DeleteACLsRequest) (*kmsg.DeleteACLsResponse, error) {
	res := kmsg.NewPtrDeleteACLsResponse()
	refused := s.mayACLs(c, auth.Alter)
	var filters []acl.Filter
	var where []int
	outcomes := make([]error, len(req.Filters))
	for i := range req.Filters {
		in := &req.Filters[i]
		filter := acl.Filter{
			Type: acl.ResourceType(in.ResourceType), Pattern: acl.PatternType(in.ResourcePatternType), Name: in.ResourceName,
			Principal: in.Principal, Host: in.Host, Operation: acl.Operation(in.Operation), Permission: acl.Permission(in.PermissionType),
		}
		if outcomes[i] = refused; refused == nil {
			outcomes[i] = auth.ValidateFilter(filter)
		}
		if outcomes[i] == nil {
			filters, where = append(filters, filter), append(where, i)
		}
	}
	var deleted [][]acl.Binding
	if len(filters) > 0 {
		var err error
		if deleted, err = s.access.Delete(ctx, filters); err != nil {
			deleted = make([][]acl.Binding, len(filters))
			for _, i := range where {
				outcomes[i] = err
			}
		}
	}
	matches := make([][]acl.Binding, len(req.Filters))
	for j, i := range where {
		matches[i] = deleted[j]
	}
	for i, err := range outcomes {
		out := kmsg.NewDeleteACLsResponseResult()
		out.ErrorCode, out.ErrorMessage = codeOf(err).Code(), textOf(err)
		for _, b := range matches[i] {
			m := kmsg.NewDeleteACLsResponseResultMatchingACL()
			m.ResourceType, m.ResourceName, m.ResourcePatternType = kmsg.ACLResourceType(b.Type), b.Name, kmsg.ACLResourcePatternType(b.Pattern)
			m.Principal, m.Host, m.Operation, m.PermissionType = b.Principal, b.Host, kmsg.ACLOperation(b.Operation), kmsg.ACLPermissionType(b.Permission)
			out.MatchingACLs = append(out.MatchingACLs, m)
		}
		res.Results = append(res.Results, out)
	}
	return res, nil
}
