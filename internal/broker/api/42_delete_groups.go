package api

// DeleteGroups (key 42), versions 0-2: deletes groups without members, and their offsets.
//
// 2: flexible.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func (s *Server) deleteGroups(ctx context.Context, _ *Conn, req *kmsg.DeleteGroupsRequest) (*kmsg.DeleteGroupsResponse, error) {
	res := kmsg.NewPtrDeleteGroupsResponse()
	for _, id := range req.Groups {
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group, g.ErrorCode = id, codeOf(s.groups.Delete(ctx, id)).Code()
		res.Groups = append(res.Groups, g)
	}
	return res, nil
}
