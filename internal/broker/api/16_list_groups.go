package api

// ListGroups (key 16), versions 0-5: the groups that this broker coordinates.
//
// 3: flexible. 4: state, and a filter by states. 5: type, and a filter by types. Filters do not look at case, and a name
// that nothing has matches nothing.

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
)

func (s *Server) listGroups(ctx context.Context, c *Conn, req *kmsg.ListGroupsRequest) (*kmsg.ListGroupsResponse, error) {
	res := kmsg.NewPtrListGroupsResponse()
	mayAll := s.mayCluster(c, auth.Describe)
	all, err := s.groups.List(ctx)
	if err != nil {
		res.ErrorCode = codeOf(err).Code()
		return res, nil
	}
	add := func(id, kind, protocolType, state string) {
		if !selected(req.StatesFilter, state) || !selected(req.TypesFilter, kind) || !mayAll && !s.may(c, auth.Describe, auth.Group, id) {
			return
		}
		g := kmsg.NewListGroupsResponseGroup()
		g.Group, g.ProtocolType, g.GroupState, g.GroupType = id, protocolType, state, kind
		res.Groups = append(res.Groups, g)
	}
	for i := range all {
		add(all[i].Group, string(all[i].Type), all[i].ProtocolType, all[i].State.String())
	}
	fail := func(err error) (*kmsg.ListGroupsResponse, error) {
		res.ErrorCode, res.Groups = codeOf(err).Code(), nil
		return res, nil
	}
	streams, err := s.groups.StreamsList(ctx)
	if err != nil {
		return fail(err)
	}
	for _, l := range streams {
		add(l.Group, groupTypeStreams, groupTypeStreams, l.State.String())
	}
	shares, err := s.shares.List(ctx)
	if err != nil {
		return fail(err)
	}
	for _, l := range shares {
		add(l.Group, groupTypeShare, groupTypeShare, l.State)
	}
	return res, nil
}

// groupTypeStreams is the type of a streams group, and its protocol.
const groupTypeStreams = "streams"

// selected tells whether a filter, if there is one, lets a value through.
func selected(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}
