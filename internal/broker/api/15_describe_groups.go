package api

// DescribeGroups (key 15), versions 0-6: the state and members of classic groups.
//
// The protocol, and the metadata of members, are only told of a group that is Stable; assignments until the next generation.
//
// 3: authorized operations. 4: instance ids. 5: flexible. 6: an unknown group is GROUP_ID_NOT_FOUND with a text; before
// it is a group in state Dead, without an error.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) describeGroups(ctx context.Context, c *Conn, req *kmsg.DescribeGroupsRequest) (*kmsg.DescribeGroupsResponse, error) {
	res := kmsg.NewPtrDescribeGroupsResponse()
	for _, id := range req.Groups {
		if !s.allow(c, auth.Describe, auth.Group, id) {
			out := kmsg.NewDescribeGroupsResponseGroup()
			out.Group, out.AuthorizedOperations, out.ErrorCode = id, operationsNotAsked, kafka.GroupAuthorizationFailed.Code()
			res.Groups = append(res.Groups, out)
			continue
		}
		out := s.describeGroup(ctx, id, req.Version)
		if req.IncludeAuthorizedOperations && out.ErrorCode == 0 {
			out.AuthorizedOperations = s.operations(c, auth.Group, id)
		}
		res.Groups = append(res.Groups, out)
	}
	return res, nil
}

func (s *Server) describeGroup(ctx context.Context, id string, version int16) kmsg.DescribeGroupsResponseGroup {
	out := kmsg.NewDescribeGroupsResponseGroup()
	out.Group, out.AuthorizedOperations = id, operationsNotAsked
	d, err := s.groups.Describe(ctx, id)
	switch {
	case err != nil:
		out.ErrorCode = codeOf(err).Code()
		return out
	case d.Err == kafka.GroupIDNotFound && version < 6:
	case d.Err == kafka.GroupIDNotFound:
		out.ErrorCode, out.ErrorMessage = d.Err.Code(), new("Group "+id+" not found.")
		if d.OtherType {
			out.ErrorMessage = new("Group " + id + " is not a classic group.")
		}
	}
	out.State, out.ProtocolType, out.Protocol = d.State.String(), d.ProtocolType, d.Protocol
	for i := range d.Members {
		from := &d.Members[i]
		m := kmsg.NewDescribeGroupsResponseGroupMember()
		m.MemberID, m.InstanceID = from.ID, nullable(from.InstanceID)
		m.ClientID, m.ClientHost = from.ClientID, from.ClientHost
		m.ProtocolMetadata, m.MemberAssignment = from.Metadata, from.Assignment
		out.Members = append(out.Members, m)
	}
	return out
}
