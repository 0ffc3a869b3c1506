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
	for i := range all {
		state := all[i].State.String()
		if !selected(req.StatesFilter, state) || !selected(req.TypesFilter, string(all[i].Type)) {
			continue
		}
		if !mayAll && !s.may(c, auth.Describe, auth.Group, all[i].Group) {
			continue
		}
		g := kmsg.NewListGroupsResponseGroup()
		g.Group, g.ProtocolType, g.GroupState, g.GroupType = all[i].Group, all[i].ProtocolType, state, string(all[i].Type)
		res.Groups = append(res.Groups, g)
	}
	if err := s.listShareGroups(ctx, c, req, res, mayAll); err != nil {
		res.ErrorCode, res.Groups = codeOf(err).Code(), nil
	}
	return res, nil
}

// listShareGroups adds the share groups, whose type and protocol are one.
func (s *Server) listShareGroups(ctx context.Context, c *Conn, req *kmsg.ListGroupsRequest, res *kmsg.ListGroupsResponse, mayAll bool) error {
	if !selected(req.TypesFilter, groupTypeShare) {
		return nil
	}
	all, err := s.shares.List(ctx)
	if err != nil {
		return err
	}
	for _, l := range all {
		if !selected(req.StatesFilter, l.State) || !mayAll && !s.may(c, auth.Describe, auth.Group, l.Group) {
			continue
		}
		g := kmsg.NewListGroupsResponseGroup()
		g.Group, g.ProtocolType, g.GroupState, g.GroupType = l.Group, groupTypeShare, l.State, groupTypeShare
		res.Groups = append(res.Groups, g)
	}
	return nil
}

// selected tells whether a filter, if there is one, lets a value through.
func selected(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}
