package api

// ExpireDelegationToken (key 40), versions 1-2.
//
// The owner of a token and its renewers move its end; a negative period ends it at once. 2: flexible.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) expireDelegationToken(ctx context.Context, c *Conn, req *kmsg.ExpireDelegationTokenRequest) (*kmsg.ExpireDelegationTokenResponse, error) {
	res := kmsg.NewPtrExpireDelegationTokenResponse()
	if !mayUseTokens(c) {
		res.ErrorCode, res.ExpiryTimestamp = kafka.DelegationTokenRequestNotAllowed.Code(), -1
		return res, nil
	}
	at, err := s.tokens.Expire(ctx, req.HMAC, c.Principal, longMillis(req.ExpiryPeriodMillis))
	res.ErrorCode, res.ExpiryTimestamp = codeOf(err).Code(), at.UnixMilli()
	if err != nil {
		res.ExpiryTimestamp = -1
	}
	return res, nil
}
