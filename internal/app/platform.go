package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/service"
	"github.com/weir-stream/weir/internal/broker/audit"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry"
	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema/formats"
)

// Names of roles.
const (
	roleBroker   = "broker"
	roleRegistry = "registry"
)

// Settings of the platform's services. They stand here and not beside the services, since their defaults depend on the broker's.
var (
	RegistryListen = config.String("registry.listen", "127.0.0.1:8081", config.Check("host:port, with https:// before it for TLS; --roles says what runs at all", gate.CheckAddress), config.Common,
		config.DefaultFunc("127.0.0.1:8081; any free port if kafka.listen has port 0", func(v *config.Values) string { return defaultAddress(v, "8081") }),
		"Address of the Schema Registry. With https:// before it TLS is spoken, by the settings listener.name.registry.ssl.*.")
	RegistryTopic = config.String("registry.topic", gate.SchemasTopic, config.NonEmpty,
		"Topic in which the Schema Registry keeps everything, in Confluent's form.")
	RegistryReplication = config.Short("registry.topic.replication.factor", -1, config.AtLeast(-1),
		"Replicas of the registry's topic, when it is made; -1 is the cluster's default.")
	Bootstrap = config.List("bootstrap.servers", nil, config.FlagName("bootstrap-servers"), config.Common,
		"Brokers, as host:port, of the Kafka cluster that the services use where no broker runs in this process.")
	ClientProperties = config.String("client.properties.file", "",
		"File with Java's properties of a Kafka client, such as security.protocol and sasl.*, by which the services log in where no broker runs in this process.")
)

// defaultAddress is the usual port on this machine, or any free one for servers that take free ports.
func defaultAddress(v *config.Values, port string) string {
	for _, key := range []config.Key[string]{KafkaListen, AdminListen} {
		if _, p, err := net.SplitHostPort(key.Get(v)); err == nil && p == "0" {
			port = "0"
		}
	}
	return net.JoinHostPort("127.0.0.1", port)
}

func (a *App) hasRole(role string) bool { return slices.Contains(Roles.Get(a.o.Values), role) }

// platform are the services beside the broker.
type platform struct {
	// inside is how they reach the broker in the same process; nil where there is none, or no service.
	inside   *inside
	outside  *gate.Outside // the other way
	clients  *gate.Clients
	registry *registry.Registry
	gates    []*gate.Gate
	names    []string // of gates
	proves   bool     // callers have to prove who they are
	parts    []service.Member
}

func (p *platform) addresses() map[string]string {
	out := map[string]string{}
	if p != nil {
		for i, g := range p.gates {
			out[p.names[i]] = g.Address()
		}
	}
	return out
}

func (p *platform) members() []service.Member { return p.parts }

// waits names the service that has not yet read what it has.
func (p *platform) waits() string {
	if p.registry == nil {
		return ""
	}
	select {
	case <-p.registry.Loaded():
		return ""
	default:
		return roleRegistry
	}
}

// openPlatform makes the services of a process with a broker in it.
func (a *App) openPlatform(directory *cluster.Directory, access *auth.Authorizer, log *audit.Log, r prometheus.Registerer) (*platform, error) {
	p := &platform{}
	if !slices.ContainsFunc(Roles.Get(a.o.Values), func(role string) bool { return role != roleBroker }) {
		return p, nil
	}
	var err error
	if p.inside, err = a.newInside(directory, access, log); err != nil {
		return nil, err
	}
	p.proves = p.inside.required()
	p.clients = gate.NewClients(p.inside)
	p.parts = append(p.parts, service.Member{Name: "clients", Needs: []string{"kafka"}, Service: p.clients})
	return p, a.addServices(p, p.inside, r)
}

// addServices makes the services that the roles ask for, behind a bridge.
func (a *App) addServices(p *platform, b gate.Bridge, r prometheus.Registerer) error {
	metrics := gate.NewMetrics(r)
	if a.hasRole(roleRegistry) {
		if err := a.addRegistry(p, b, metrics, r); err != nil {
			return err
		}
	}
	if a.hasRole(roleRest) {
		return a.addRest(p, b, metrics, r)
	}
	return nil
}

func (a *App) addRegistry(p *platform, b gate.Bridge, metrics *gate.Metrics, r prometheus.Registerer) error {
	if p.registry = a.schemas; p.registry == nil {
		p.registry = a.newRegistry(func() *platform { return p }, r)
	}
	connect := func(more ...kgo.Opt) (*kgo.Client, error) { return p.clients.New(gate.Service(roleRegistry), more...) }
	keys, err := a.addKeys(p, b, connect)
	if err != nil {
		return err
	}
	g, err := a.newGate(roleRegistry, RegistryListen, gate.Options{
		Title: "Weir Schema Registry", Description: "Confluent's Schema Registry API 8.x.", Routes: registry.NewAPI(p.registry, b).Routes(keys.Routes()...), Bridge: b,
		Types: registry.Types(), Strict: true, Translate: registry.Translate, Metrics: metrics, MaxBodyBytes: 2 * gate.RequestBytes.Get(a.o.Values),
	})
	if err != nil {
		return err
	}
	p.gates, p.names = append(p.gates, g), append(p.names, roleRegistry)
	p.parts = append(p.parts, service.Member{Name: "registry", Needs: []string{"clients"}, Service: p.registry}, service.Member{Name: "registry-http", Needs: []string{"registry", "keys"}, Service: g})
	return nil
}

// newRegistry makes the registry of this process. Once it runs it asks for the platform, whose clients it uses.
func (a *App) newRegistry(p func() *platform, r prometheus.Registerer) *registry.Registry {
	v, self := a.o.Values, gate.Service(roleRegistry)
	log := registry.NewKafkaLog(registry.LogOptions{
		Connect: func(more ...kgo.Opt) (*kgo.Client, error) { return p().clients.New(self, more...) }, Topic: RegistryTopic.Get(v), TransactionalID: "weir-registry-" + RegistryTopic.Get(v),
		Replication: int16(RegistryReplication.Get(v)), Logger: a.o.Logger,
	})
	return registry.New(registry.Options{
		Log: registry.TakeTurns(log, state.Noop()), Formats: formats.Of, Version: a.o.Version, ClusterID: a.clusterOf(p, self), Logger: a.o.Logger, Registerer: r,
	})
}

// newGate makes the listener of a service by the settings.
func (a *App) newGate(name string, listen config.Key[string], o gate.Options) (*gate.Gate, error) {
	v := a.o.Values
	address, secure, err := gate.ParseAddress(listen.Get(v))
	if err != nil {
		return nil, fmt.Errorf("setting %s: %w", listen.Name(), err)
	}
	_, chosen := v.Explicit(listen.Name())
	o.Name, o.Version, o.Address, o.Fallback, o.Logger = name, a.o.Version, address, !chosen, a.o.Logger
	o.Origins, o.Hosts = gate.Origins.Get(v), gate.Hosts.Get(v)
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = gate.RequestBytes.Get(v)
	}
	if secure {
		metrics, observe := a.logins, auth.Observer(nil)
		if a.authn != nil {
			metrics, observe = a.authn.metrics, a.authn.observe
		}
		o.Refused = func(host string, err error) {
			auth.Tell(auth.Event{Listener: name, Peer: host, Mechanism: "SSL", Reason: err.Error()}, metrics, a.o.Logger, observe)
		}
		t, err := auth.NewTLS(name, false, v, metrics, a.o.Logger)
		if err != nil {
			return nil, err
		}
		o.TLS = t
		if a.authn != nil {
			a.authn.services = append(a.authn.services, &securedListener{spec: listenerSpec{name: name, tls: true}, tls: t})
		}
	}
	return gate.New(o)
}

// clusterOf asks for the id of the cluster.
func (a *App) clusterOf(p func() *platform, caller gate.Caller) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if a.clusterID != "" {
			return a.clusterID, nil
		}
		client, err := p().clients.Client(ctx, caller)
		if err != nil {
			return "", err
		}
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{}
		res, err := req.RequestWith(ctx, client)
		if err != nil {
			return "", fmt.Errorf("ask for the id of the cluster: %w", err)
		}
		if res.ClusterID == nil {
			return "", errors.New("the cluster has no id")
		}
		return *res.ClusterID, nil
	}
}
