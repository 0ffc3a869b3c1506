package app

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/weir-stream/weir/internal/base/properties"
	"github.com/weir-stream/weir/internal/base/service"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka/client"
	"github.com/weir-stream/weir/internal/platform/gate"
)

// assembleAlone makes the parts of a process without a broker: the services, on the Kafka cluster that the settings name. It opens no
// store.
func (a *App) assembleAlone(context.Context, *closers) ([]service.Member, error) {
	v := a.o.Values
	if len(Bootstrap.Get(v)) == 0 {
		return nil, fmt.Errorf("setting %s: roles without %s need a Kafka cluster", Bootstrap.Name(), roleBroker)
	}
	o := client.Options{Bootstrap: Bootstrap.Get(v), SoftwareVersion: a.o.Version, Logger: a.o.Logger}
	if file := ClientProperties.Get(v); file != "" {
		var err error
		if o.Properties, err = properties.Load(file); err != nil {
			return nil, fmt.Errorf("setting %s: %w", ClientProperties.Name(), err)
		}
	}
	bridge, err := gate.NewOutside(gate.OutsideOptions{Cluster: o, Mechanism: gate.BasicMechanism.Get(v), Authentication: gate.Authentication.Get(v), Logger: a.o.Logger})
	if err != nil {
		return nil, err
	}
	gatherer := prometheus.NewRegistry()
	gatherer.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.logins = auth.NewMetrics(gatherer)
	p := &platform{outside: bridge, clients: gate.NewClients(bridge), proves: bridge.Required()}
	p.parts = append(p.parts, service.Member{Name: "bridge", Service: bridge}, service.Member{Name: "clients", Needs: []string{"bridge"}, Service: p.clients})
	if err := a.addServices(p, bridge, gatherer); err != nil {
		return nil, err
	}
	a.platform = p
	a.admin = &admin{address: AdminListen.Get(v), gather: gatherer, pprof: AdminProfiling.Get(v), logger: a.o.Logger, waits: p.waits}
	return append([]service.Member{{Name: "admin", Service: a.admin}}, p.members()...), nil
}
