package api

// DescribeDelegationToken (key 41), versions 1-3.
//
// Owners null asks for all tokens, an empty list for none. A client sees the tokens that it owns or may renew, and those
// that it, or whose owner's tokens it, may describe. 2: flexible. 3: the requester of each token (KIP-373).

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) describeDelegationToken(_ context.Context, c *Conn, req *kmsg.DescribeDelegationTokenRequest) (*kmsg.DescribeDelegationTokenResponse, error) {
	res := kmsg.NewPtrDescribeDelegationTokenResponse()
	switch {
	case !mayUseTokens(c):
		res.ErrorCode = kafka.DelegationTokenRequestNotAllowed.Code()
		return res, nil
	case !s.tokens.Enabled():
		res.ErrorCode = kafka.DelegationTokenAuthDisabled.Code()
		return res, nil
	}
	asked := func(t auth.Token) bool {
		return req.Owners == nil || slices.ContainsFunc(req.Owners, func(o kmsg.DescribeDelegationTokenRequestOwner) bool {
			return t.BelongsTo(auth.Principal{Type: o.PrincipalType, Name: o.PrincipalName})
		})
	}
	for _, t := range s.tokens.List(asked) {
		if !t.BelongsTo(c.Principal) && !s.may(c, auth.Describe, auth.DelegationToken, t.ID) && !s.may(c, auth.DescribeTokens, auth.User, t.Owner.String()) {
			continue
		}
		d := kmsg.NewDescribeDelegationTokenResponseTokenDetail()
		d.PrincipalType, d.PrincipalName = t.Owner.Type, t.Owner.Name
		d.TokenRequesterPrincipalType, d.TokenRequesterPrincipalName = t.Requester.Type, t.Requester.Name
		d.IssueTimestamp, d.ExpiryTimestamp, d.MaxTimestamp = t.Issued.UnixMilli(), t.Expires.UnixMilli(), t.Latest.UnixMilli()
		d.TokenID, d.HMAC = t.ID, s.tokens.HMAC(t.ID)
		for _, p := range t.Renewers {
			r := kmsg.NewDescribeDelegationTokenResponseTokenDetailRenewer()
			r.PrincipalType, r.PrincipalName = p.Type, p.Name
			d.Renewers = append(d.Renewers, r)
		}
		res.TokenDetails = append(res.TokenDetails, d)
	}
	return res, nil
}
