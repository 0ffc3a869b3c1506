package api

// SaslHandshake (key 17), versions 0-1.
//
// The client chooses a SASL mechanism. One that the listener does not offer is answered with those that it does, and the
// connection ends; Kerberos (GSSAPI) is never offered. On a listener without SASL, and for a client that has logged in and need
// or may not do so again yet (KIP-368), the answer is ILLEGAL_SASL_STATE.
//
// 0: tokens follow as bare frames, without the header of requests. 1: they follow in SaslAuthenticate.

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) saslHandshake(_ context.Context, c *Conn, req *kmsg.SASLHandshakeRequest) (*kmsg.SASLHandshakeResponse, error) {
	res := kmsg.NewPtrSASLHandshakeResponse()
	if c.Login == nil || !c.Login.AwaitsHandshake() {
		res.ErrorCode = kafka.IllegalSASLState.Code()
		return res, nil
	}
	res.SupportedMechanisms = c.Login.Mechanisms()
	switch err := c.Login.Handshake(req.Mechanism, req.Version); {
	case errors.Is(err, auth.ErrMechanism):
		res.ErrorCode = kafka.UnsupportedSASLMechanism.Code()
	case err != nil:
		return nil, err
	}
	return res, nil
}
