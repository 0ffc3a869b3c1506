package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/service"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest"
	"github.com/weir-stream/weir/internal/platform/rest/embedded"
	"github.com/weir-stream/weir/internal/schema/formats"
)

const roleRest = "rest"

// RestListen stands here as its default depends on the broker's.
var RestListen = config.String("rest.listen", "127.0.0.1:8082", config.Check("host:port, with https:// before it for TLS; --roles says what runs at all", gate.CheckAddress), config.Common,
	config.DefaultFunc("127.0.0.1:8082; any free port if kafka.listen has port 0", func(v *config.Values) string { return defaultAddress(v, "8082") }),
	"Address of the REST proxy. With https:// before it TLS is spoken, by the settings listener.name.rest.ssl.*.")

// addRest makes the REST proxy. The registry's gate, if it is there, must have been made before.
func (a *App) addRest(p *platform, b gate.Bridge, metrics *gate.Metrics, r prometheus.Registerer) error {
	hooks, err := rest.WebhooksOf(a.o.Values)
	if err != nil {
		return err
	}
	clients := gate.NewClients(b, rest.ClientOptions()...)
	s := rest.New(rest.Options{
		Clients: clients, Formats: formats.Of, Registry: a.registryFor(p), Webhooks: hooks, Limits: rest.LimitsOf(a.o.Values), Now: a.o.Now, Logger: a.o.Logger, Registerer: r,
	})
	o := rest.Gate(s)
	o.Bridge, o.Metrics = b, metrics
	g, err := a.newGate(roleRest, RestListen, o)
	if err != nil {
		return err
	}
	p.gates, p.names = append(p.gates, g), append(p.names, roleRest)
	p.parts = append(p.parts,
		service.Member{Name: "rest-clients", Needs: []string{"clients"}, Service: clients}, service.Member{Name: "rest", Needs: []string{"rest-clients"}, Service: s},
		service.Member{Name: "rest-http", Needs: []string{"rest"}, Service: g},
	)
	return nil
}

// registryTimeout is how long a Schema Registry elsewhere may take to answer.
const registryTimeout = 30 * time.Second

// registryFor is the Schema Registry that the proxy asks: the one that the settings name, or else that of this process; nil for none.
func (a *App) registryFor(p *platform) embedded.Registry {
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if url := rest.RegistryURL.Get(a.o.Values); url != "" {
		user := rest.RegistryUser.Get(a.o.Values).Reveal()
		return &embedded.HTTP{URL: url, Client: &http.Client{Timeout: registryTimeout, CheckRedirect: noRedirect}, Authorize: func(_ context.Context, r *http.Request) {
			if user != "" {
				r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user)))
			}
		}}
	}
	i := slices.Index(p.names, roleRegistry)
	if i < 0 {
		return nil
	}
	return &embedded.HTTP{URL: "http://localhost", Client: &http.Client{Transport: within{p.gates[i]}, CheckRedirect: noRedirect}, Authorize: showCaller, Who: nameCaller}
}

// showCaller makes a request to a service of this process that of whoever sent the one that is being served.
func showCaller(ctx context.Context, r *http.Request) {
	of := rest.RequestOf(ctx)
	if of == nil {
		return
	}
	r.RemoteAddr, r.TLS = of.RemoteAddr, of.TLS
	if shown := of.Header.Get("Authorization"); shown != "" {
		r.Header.Set("Authorization", shown)
	}
}

// nameCaller names whom showCaller shows, as ACLs know him.
func nameCaller(ctx context.Context) string {
	c := gate.CallerOf(ctx)
	return c.Principal.String() + " " + c.Host
}

// within sends requests to a service of this process without a connection.
type within struct{ to http.Handler }

// RoundTrip implements http.RoundTripper.
func (w within) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := &gathered{header: http.Header{}, status: http.StatusOK}
	served := r.Clone(r.Context())
	if served.Body == nil {
		served.Body = http.NoBody
	}
	w.to.ServeHTTP(answer, served)
	return &http.Response{
		StatusCode: answer.status, Status: http.StatusText(answer.status), Header: answer.header, Body: io.NopCloser(&answer.body), ContentLength: int64(answer.body.Len()),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
	}, nil
}

// gathered is an answer in memory; those of a registry are bounded by what it keeps.
type gathered struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (g *gathered) Header() http.Header { return g.header }

func (g *gathered) WriteHeader(status int) {
	if !g.wrote {
		g.status, g.wrote = status, true
	}
}

func (g *gathered) Write(b []byte) (int, error) {
	g.wrote = true
	return g.body.Write(b)
}
