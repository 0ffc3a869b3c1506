package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/weir-stream/weir/internal/broker"
	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka/client"
	"github.com/weir-stream/weir/internal/kafka/terms"
	"github.com/weir-stream/weir/internal/platform/contract"
	"github.com/weir-stream/weir/internal/platform/registry"
	"github.com/weir-stream/weir/internal/schema/formats"
)

// contracts joins the platform's validator to the broker's handlers.
type contracts struct{ *contract.Validator }

// Judge implements api.Contracts.
func (c contracts) Judge(topic string, t *terms.Terms) api.Judge { return c.Validator.Judge(topic, t) }

// openContracts makes the validator, and what shows it the schemas. Where this process has a registry that is its state; else it reads
// the registry's topic itself, as the broker, from when a record is to be judged.
func (a *App) openContracts(metrics prometheus.Registerer) *contract.Follower {
	var f *contract.Follower
	if a.hasRole(roleRegistry) {
		a.schemas = a.newRegistry(func() *platform { return a.platform }, metrics)
		f = contract.Follow(a.schemas)
	} else {
		log := registry.NewKafkaLog(registry.LogOptions{Connect: a.insideClient, Topic: RegistryTopic.Get(a.o.Values), Logger: a.o.Logger})
		f = contract.NewFollower(registry.New(registry.Options{Log: log, Formats: formats.Of, Version: a.o.Version, Logger: a.o.Logger}))
	}
	a.contracts = contract.New(contract.Options{Schemas: f, Formats: formats.Of, Rules: contract.NewRules(), Now: a.o.Now, Registerer: metrics})
	return f
}

// insideClient makes a Kafka client that acts as the broker itself. In a cluster it speaks to all brokers as they do to each other.
func (a *App) insideClient(opts ...kgo.Opt) (*kgo.Client, error) {
	o := client.Options{SoftwareVersion: a.o.Version}
	all := []kgo.Opt{kgo.ClientID("weir-contracts")}
	if a.peers.client == nil {
		o.Bootstrap = []string{a.within.Addr().String()}
		o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return a.within.Dial(ctx) }
	} else {
		if o.Bootstrap = a.peers.seeds(); len(o.Bootstrap) == 0 {
			return nil, errNoBrokers
		}
		all = append(all, kgo.SASL(scram.Auth{User: auth.BrokerUser, Pass: a.peers.password()}.AsSha256Mechanism()))
		if a.peers.tls != nil {
			o.Dial = a.peers.dialTLS
		}
	}
	cl, err := client.New(o, append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("make a client of the broker's own: %w", err)
	}
	return cl, nil
}

// errNoBrokers cannot be met once the broker serves: it is one of them.
var errNoBrokers = errors.New("no broker of the cluster is known")

// seeds are where brokers of the cluster serve each other.
func (p *peers) seeds() []string {
	var out []string
	for _, b := range p.directory.View().Brokers {
		if e, ok := b.Endpoint(auth.BrokerListener); ok {
			out = append(out, net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
		}
	}
	return out
}

// dialTLS connects to another broker as the peer client does.
func (p *peers) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{Config: p.tls.Dialing(host)}).DialContext(ctx, network, address)
}

// withinListener is the listener for clients in this process, where there is none for other brokers.
func (a *App) withinListener() broker.Listener {
	a.within = broker.NewWithin()
	return broker.Listener{Name: auth.BrokerListener, Internal: true, Within: a.within, Principal: auth.Broker}
}
