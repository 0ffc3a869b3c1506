package api

// DeleteGroups (key 42), versions 0-2: deletes groups without members, of any type, and their offsets. A group named
// twice is answered once.
//
// 2: flexible.

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) deleteGroups(ctx context.Context, c *Conn, req *kmsg.DeleteGroupsRequest) (*kmsg.DeleteGroupsResponse, error) {
	res := kmsg.NewPtrDeleteGroupsResponse()
	done := make(map[string]bool, len(req.Groups))
	for _, id := range req.Groups {
		if done[id] {
			continue
		}
		done[id] = true
		g := kmsg.NewDeleteGroupsResponseGroup()
		err := error(kafka.GroupAuthorizationFailed)
		if s.allow(c, auth.Delete, auth.Group, id) {
			if err = s.groups.Delete(ctx, id); errors.Is(err, kafka.GroupIDNotFound) {
				err = s.shares.DeleteGroup(ctx, id)
			}
		}
		g.Group, g.ErrorCode = id, codeOf(err).Code()
		res.Groups = append(res.Groups, g)
	}
	return res, nil
}
