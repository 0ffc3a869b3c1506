package app

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/platform/gate"
)

// ClientOf is the client by which a running server's services act as a user, until ctx ends.
func ClientOf(ctx context.Context, a *App, user string) (*kgo.Client, error) {
	return a.platform.clients.Client(ctx, gate.Caller{Principal: auth.Principal{Type: "User", Name: user}, Host: "127.0.0.1"})
}
