package api

// SaslAuthenticate (key 36), versions 0-2.
//
// One message of the mechanism that SaslHandshake chose. A login that fails is answered after
// connection.failed.authentication.delay.ms, with a text that tells nothing of users or passwords, and the connection ends.
//
// 1: how long the session may last, after which the client has to log in again (KIP-368). 2: flexible.

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

func (s *Server) saslAuthenticate(ctx context.Context, c *Conn, h wire.RequestHeader, r kmsg.Request) (Reply, error) {
	req := r.(*kmsg.SASLAuthenticateRequest)
	res := kmsg.NewPtrSASLAuthenticateResponse()
	res.SetVersion(h.Version)
	now := func(context.Context) (wire.Response, bool, error) { return wire.EncodeResponse(h, res), false, nil }
	if c.Login == nil || c.Login.IsDone() {
		res.ErrorCode = kafka.IllegalSASLState.Code()
		res.ErrorMessage = new("SaslAuthenticate request received after successful authentication")
		return now, nil
	}
	answer, lifetime, err := c.Login.Authenticate(ctx, req.SASLAuthBytes)
	if f, ok := errors.AsType[*auth.Failure](err); ok {
		res.ErrorCode, res.ErrorMessage = kafka.SASLAuthenticationFailed.Code(), &f.Text
		delay := c.Login.Delay()
		return func(ctx context.Context) (wire.Response, bool, error) {
			if err := pause(ctx, delay); err != nil {
				return wire.Response{}, false, err
			}
			return now(ctx)
		}, nil
	}
	if err != nil {
		return nil, err
	}
	c.loggedIn()
	res.SASLAuthBytes, res.SessionLifetimeMillis = answer, lifetime.Milliseconds()
	if res.SASLAuthBytes == nil {
		res.SASLAuthBytes = []byte{}
	}
	return now, nil
}
