package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker"
	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/peer"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// Settings of the listener on which brokers of a cluster speak to each other.
var (
	ClusterListen = config.String("cluster.listen", "", config.Check("host:port", checkClusterListen), config.Common,
		config.DefaultFunc("host of the first listener, any port", func(*config.Values) string { return "" }),
		"Address on which the other brokers of a cluster are served, by a listener named WEIR that clients are not told of. Brokers log in there with a secret that the metadata store holds.")
	ClusterTLS = config.Bool("cluster.tls", false, config.Common,
		"Whether brokers speak TLS to each other, with the settings ssl.* or those of listener.name.weir.ssl.*: each shows its key store's certificate, which must name the host that it is reached by, and checks the others' against its trust store, of whoever connects too (certificates are for servers and for clients then; listener.name.weir.ssl.client.auth=none asks for none).")
)

func checkClusterListen(v any) error {
	text, _ := v.(string)
	if text == "" {
		return nil
	}
	_, err := portOf(text)
	return err
}

// peers is what this broker has for its calls to others, and for theirs. A broker that can have no others has neither client
// nor secret.
type peers struct {
	topics    *topics.Store
	directory *cluster.Directory
	client    *peer.Client
	fetches   *peer.Client // for what may wait long, and is asked by many
	watch     *peer.Watch  // nil where no broker can be expelled
	secret    peer.Secret
	tls       *auth.TLS // nil: connections are not encrypted
}

// openPeers reads the secret of the cluster and the certificates, and connects to nobody.
func (a *App) openPeers(ctx context.Context, store meta.Store, t *topics.Store, d *cluster.Directory, registry prometheus.Registerer) (*peers, error) {
	if !a.hasPeers() {
		return &peers{topics: t, directory: d}, nil
	}
	secret, err := peer.LoadSecret(ctx, store, rand.Reader)
	if err != nil {
		return nil, err
	}
	p := &peers{topics: t, directory: d, secret: secret}
	o := peer.Options{Directory: d, User: auth.BrokerUser, Secret: secret, Logger: a.o.Logger, Registerer: registry}
	if ClusterTLS.Get(a.o.Values) {
		if p.tls, err = auth.NewTLS(auth.BrokerListener, true, a.o.Values, a.authn.metrics, a.o.Logger); err != nil {
			return nil, fmt.Errorf("setting %s: %w", ClusterTLS.Name(), err)
		}
		o.TLS = func(host string) *tls.Config { return p.tls.Dialing(host) }
	}
	p.client = peer.New(o)
	if a.member != nil {
		p.watch = peer.NewWatch(p.client, a.member.Expel)
	}
	o.Connections, o.Registerer = fetchConnections, nil // it counts with the other
	p.fetches = peer.New(o)
	return p, nil
}

// fetchConnections is how many fetches of this broker's clients may wait at one other broker. Clients beyond that go to the owner.
const fetchConnections = 256

// away asks the owners of partitions, for clients and for metrics of this broker; nil where there are no others.
func (p *peers) away(storage *shard.Store) api.Away {
	if p.client == nil {
		return nil
	}
	return away{p, storage}
}

type away struct {
	*peers

	storage *shard.Store
}

func (a away) Ask(ctx context.Context, broker int32, req *kmsg.FetchRequest) (*kmsg.FetchResponse, error) {
	res, err := a.fetches.Do(ctx, broker, req)
	if err != nil {
		return nil, err
	}
	return res.(*kmsg.FetchResponse), nil
}

func (a away) Ends(ctx context.Context, broker int32, req *kmsg.ListOffsetsRequest) (*kmsg.ListOffsetsResponse, error) {
	res, err := a.client.Do(ctx, broker, req)
	if err != nil {
		return nil, err
	}
	return res.(*kmsg.ListOffsetsResponse), nil
}

func (a away) ReadPlaces(ctx context.Context, topic kafka.TopicID, index int32, places []byte, req partition.ReadRequest) (partition.ReadResult, error) {
	return a.storage.ReadPlaces(ctx, topic, index, places, req)
}

// hasPeers says whether other brokers may be there.
func (a *App) hasPeers() bool { return a.inCluster() || ClusterListen.Get(a.o.Values) != "" }

// Run keeps the connections to other brokers. It is a service.Service.
func (p *peers) Run(ctx context.Context, ready func()) error {
	if p.client == nil {
		ready()
		<-ctx.Done()
		return nil
	}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { _ = p.fetches.Run(ctx, func() {}) }) // ends with ctx alone
	if p.watch != nil {
		running.Go(func() { _ = p.watch.Run(ctx, func() {}) }) // likewise
	}
	return p.client.Run(ctx, ready)
}

// listener is the one for other brokers. first is the first of those for clients.
func (p *peers) listener(a *App, first listenerSpec) (broker.Listener, error) {
	address := ClusterListen.Get(a.o.Values)
	l := broker.Listener{Name: auth.BrokerListener, Internal: true, TLS: p.tls, AdvertisedHost: first.advertisedHost}
	if address == "" {
		host, _, err := net.SplitHostPort(first.address)
		if err != nil {
			return l, fmt.Errorf("host of listener %s: %w", first.name, err)
		}
		address = net.JoinHostPort(host, "0")
	} else if host, _, err := net.SplitHostPort(address); err == nil && host != "" && !net.ParseIP(host).IsUnspecified() {
		l.AdvertisedHost = host
	}
	l.Address = address
	if p.tls == nil && beyondThisMachine(address) {
		a.o.Logger.Warn("brokers speak to each other without encryption: keep the address inside a network that you trust, or set cluster.tls", "listener", l.Name, "address", address)
	}
	login, err := auth.NewBrokerAuthenticator(auth.AuthenticatorOptions{
		Values: a.o.Values, Users: a.authn.users, Passwords: a.authn.passwords, Tokens: a.authn.tokens, Metrics: a.authn.metrics, Logger: a.o.Logger, Now: a.o.Now, Observe: a.authn.observe,
	}, p.password())
	if err != nil {
		return l, err
	}
	l.Login = func() *auth.Authenticator { return login }
	return l, nil
}

// beyondThisMachine reports whether others than this machine can connect to an address that is listened on, as far as it tells.
func beyondThisMachine(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback())
}

// password is what brokers log in with on each other's listener.
func (p *peers) password() string { return hex.EncodeToString(p.secret[:]) }

// errNoOwner is for a partition whose shard nobody has now.
var errNoOwner = fmt.Errorf("nobody owns the partition now: %w", kafka.LeaderNotAvailable)

// owner returns the broker that has a partition; remote is false for this one. Where nothing is known of a cluster it is
// this one, which storage then confirms or not.
func (p *peers) owner(t *topics.Topic, index int32) (broker int32, remote bool, err error) {
	view := p.directory.View()
	o := view.Owner(t.Shard(index))
	switch {
	case len(view.Shards) == 0 || o.Broker == view.Self:
		return view.Self, false, nil
	case o.Broker == cluster.Nobody:
		return cluster.Nobody, false, errNoOwner
	}
	return o.Broker, true, nil
}

// coordinatorOf returns the broker that coordinates a key by a topic, and the partition.
func (p *peers) coordinatorOf(topic, key string) (broker int32, remote bool, err error) {
	t, ok := p.topics.View().ByName(topic)
	if !ok {
		return p.directory.View().Self, false, nil // whose coordinator says that there is none
	}
	return p.owner(t, coordinator.PartitionOf(key, t.Partitions))
}

// coordinatorError is what a coordinator's error is to those who ask it through another broker.
func coordinatorError(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := errors.AsType[kafka.Error](err); ok && !errors.Is(err, kafka.LeaderNotAvailable) {
		return err
	}
	return fmt.Errorf("%w: %w", kafka.CoordinatorNotAvailable, err)
}
