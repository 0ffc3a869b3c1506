package api

// RenewDelegationToken (key 39), versions 1-2.
//
// The owner of a token and its renewers move its end, up to the latest that its creation fixed. 2: flexible.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) renewDelegationToken(ctx context.Context, c *Conn, req *kmsg.RenewDelegationTokenRequest) (*kmsg.RenewDelegationTokenResponse, error) {
	res := kmsg.NewPtrRenewDelegationTokenResponse()
	if !mayUseTokens(c) {
		res.ErrorCode, res.ExpiryTimestamp = kafka.DelegationTokenRequestNotAllowed.Code(), -1
		return res, nil
	}
	at, err := s.tokens.Renew(ctx, req.HMAC, c.Principal, longMillis(req.RenewTimeMillis))
	res.ErrorCode, res.ExpiryTimestamp = codeOf(err).Code(), at.UnixMilli()
	if err != nil {
		res.ExpiryTimestamp = -1
	}
	return res, nil
}
