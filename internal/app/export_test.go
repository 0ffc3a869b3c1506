package app

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/peer"
	"github.com/weir-stream/weir/internal/broker/share"
)

// API is the handlers of a running server, for tests that say themselves who their clients are.
func (a *App) API() *api.Server { return a.handlers }

// PeerAddress is where the listener for brokers answers, and PeerSecret what opens it.
func (a *App) PeerAddress() string { return a.kafka.Address(auth.BrokerListener) }

// PeerSecret is the secret of the cluster.
func (a *App) PeerSecret() peer.Secret { return a.peers.secret }

// Directory is what this broker knows of the others.
func (a *App) Directory() *cluster.Directory { return a.peers.directory }

// CallPeer asks another broker as this one does.
func (a *App) CallPeer(ctx context.Context, broker int32, req kmsg.Request) error {
	_, err := a.peers.client.Do(ctx, broker, req)
	return err
}

// Remote is what another broker, which owns no shard, has of this one.
type Remote struct {
	Markers coordinator.Markers
	Claims  api.Transactions
	State   func(ctx context.Context, partition int32, event any) (share.StateReply, error)
}

// Remote returns the calls of a broker that knows of this one, as the owner of every shard, by d.
func (a *App) Remote(d *cluster.Directory, c *peer.Client) Remote {
	p := &peers{topics: a.peers.topics, directory: d, client: c}
	return Remote{newClusterMarkers(markers{}, p), newClusterClaims(nil, a.groups, p), p.askState}
}

// OnlyLocal is what guards the admin server's changes.
var OnlyLocal = onlyLocal
