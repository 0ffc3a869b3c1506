package api

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// errNotLoggedIn closes a connection that asked for something else than a login, before it or in the middle of one.
var errNotLoggedIn = errors.New("the client has not logged in")

// errExpired closes a connection whose client should have logged in again.
var errExpired = errors.New("the session has expired")

// mayAsk tells whether a connection of a listener with SASL may make a request now. Before the login, that is ApiVersions and
// SaslHandshake, after SaslHandshake only SaslAuthenticate. Everything else ends the connection, as in Kafka.
func mayAsk(c *Conn, key kmsg.Key) error {
	if c.Login == nil || key == kmsg.SASLAuthenticate {
		return nil
	}
	if key == kmsg.SASLHandshake && c.Login.TakesHandshake() {
		return nil
	}
	ready, expired := c.Login.Ready()
	switch {
	case ready, key == kmsg.ApiVersions && c.Login.IsNew():
		return nil
	case expired:
		return errExpired
	}
	return errNotLoggedIn
}

// Ends tells whether the connection has to end after the replies that it was given: its login failed.
func (c *Conn) Ends() bool { return c.Login != nil && c.Login.Refused() }

// Encrypted tells whether others can read what the connection carries.
func (c *Conn) encrypted() bool { return c.TLS }

// loggedIn takes the principal over after a login.
func (c *Conn) loggedIn() {
	if id := c.Login.Identity(); id != nil {
		c.Principal = id.Principal
		if id.Host != "" {
			c.Peer = id.Host
		}
	}
}

// HandleToken serves a bare token, which follows a SaslHandshake of version 0.
func (s *Server) HandleToken(ctx context.Context, c *Conn, token []byte) (Reply, error) {
	answer, _, failure := c.Login.Authenticate(ctx, token)
	if failure != nil {
		delay := c.Login.Delay()
		return func(ctx context.Context) (wire.Response, bool, error) { //nolint:nilerr // the reply ends the connection, later
			return wire.Response{}, false, errors.Join(fmt.Errorf("login: %w", failure), pause(ctx, delay))
		}, nil
	}
	c.loggedIn()
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)
	return func(context.Context) (wire.Response, bool, error) {
		return wire.Response{Parts: []wire.Part{{Bytes: frame}}}, false, nil
	}, nil
}

// pause holds back the answer to a failed login, so that guessing takes time.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mayUseTokens tells whether delegation tokens can be asked for over a connection: not where others can read them or nobody
// has logged in, and not by who came with one.
func mayUseTokens(c *Conn) bool {
	if c.Login != nil {
		return c.Login.Identity() != nil && !c.Login.Identity().Token
	}
	return c.encrypted() && c.Principal != auth.Anonymous
}
