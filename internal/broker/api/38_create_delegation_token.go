package api

// CreateDelegationToken (key 38), versions 1-3.
//
// The token is for who asks, or for somebody else whom it may create tokens for. Whoever came with a token, or over a
// connection that others can read, gets DELEGATION_TOKEN_REQUEST_NOT_ALLOWED; without delegation.token.secret.key there are no
// tokens: DELEGATION_TOKEN_AUTH_DISABLED.
//
// 2: flexible. 3: owner and requester apart (KIP-373).

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) createDelegationToken(ctx context.Context, c *Conn, req *kmsg.CreateDelegationTokenRequest) (*kmsg.CreateDelegationTokenResponse, error) {
	res := kmsg.NewPtrCreateDelegationTokenResponse()
	owner := c.Principal
	if req.OwnerPrincipalName != nil && *req.OwnerPrincipalName != "" {
		owner = auth.Principal{Type: "User", Name: *req.OwnerPrincipalName}
		if req.OwnerPrincipalType != nil {
			owner.Type = *req.OwnerPrincipalType
		}
	}
	refuse := func(err error) (*kmsg.CreateDelegationTokenResponse, error) {
		res.ErrorCode = codeOf(err).Code()
		res.PrincipalType, res.PrincipalName = owner.Type, owner.Name
		res.TokenRequesterPrincipalType, res.TokenRequesterPrincipalName = c.Principal.Type, c.Principal.Name
		res.IssueTimestamp, res.ExpiryTimestamp, res.MaxTimestamp = -1, -1, -1
		res.HMAC = []byte{}
		return res, nil
	}
	if !mayUseTokens(c) {
		return refuse(kafka.DelegationTokenRequestNotAllowed)
	}
	if owner != c.Principal && !s.allow(c, auth.CreateTokens, auth.User, owner.String()) {
		return refuse(kafka.DelegationTokenAuthorizationFailed)
	}
	var renewers []auth.Principal
	for _, r := range req.Renewers {
		if r.PrincipalType != "User" {
			return refuse(kafka.InvalidPrincipalType)
		}
		renewers = append(renewers, auth.Principal{Type: r.PrincipalType, Name: r.PrincipalName})
	}
	token, err := s.tokens.Create(ctx, owner, c.Principal, renewers, longMillis(req.MaxLifetimeMillis))
	if err != nil {
		return refuse(err)
	}
	res.PrincipalType, res.PrincipalName = owner.Type, owner.Name
	res.TokenRequesterPrincipalType, res.TokenRequesterPrincipalName = c.Principal.Type, c.Principal.Name
	res.IssueTimestamp, res.ExpiryTimestamp, res.MaxTimestamp = token.Issued.UnixMilli(), token.Expires.UnixMilli(), token.Latest.UnixMilli()
	res.TokenID, res.HMAC = token.ID, s.tokens.HMAC(token.ID)
	return res, nil
}

// longMillis is a time that a client gave in milliseconds; more than Go can hold becomes the most that it can.
func longMillis(ms int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(max(min(ms, most), -most)) * time.Millisecond
}
