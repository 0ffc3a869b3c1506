package api

// DeleteGroups (key 42), versions 0-2: deletes groups without members, and their offsets. A group named
// twice is answered once.
//
// 2: flexible.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func (s *Server) deleteGroups(ctx context.Context, _ *Conn, req *kmsg.DeleteGroupsRequest) (*kmsg.DeleteGroupsResponse, error) {
	res := kmsg.NewPtrDeleteGroupsResponse()
	done := make(map[string]bool, len(req.Groups))
	for _, id := range req.Groups {
		if done[id] {
			continue
		}
		done[id] = true
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group, g.ErrorCode = id, codeOf(s.groups.Delete(ctx, id)).Code()
		res.Groups = append(res.Groups, g)
	}
	return res, nil
}
