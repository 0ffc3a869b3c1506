package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/weir-stream/weir/internal/base/certstore"
	"github.com/weir-stream/weir/internal/base/properties"
	"github.com/weir-stream/weir/internal/base/secret"
)

// Environment variables for those whom etcd asks for a password.
const (
	UsernameVariable = "WEIR_ETCD_USERNAME"
	PasswordVariable = "WEIR_ETCD_PASSWORD" //nolint:gosec // the name of a variable, not a password
)

// Options say how a store is reached and how it behaves.
type Options struct {
	Location
	// Username and Password are for an etcd with authentication; see Credentials.
	Username string
	Password secret.Text
	// Compact makes this store, or another opened with it, tell etcd every few minutes to forget what is older than
	// Retention. etcd can do that by itself; see docs/ops/etcd.md. It concerns all of etcd, not the prefix alone.
	Compact bool
	// Retention is how long changes can be watched from the past; 10 minutes if 0.
	Retention time.Duration
	// Attempt is the time of one try of a request, before another member of etcd is asked; 5 seconds if 0.
	Attempt time.Duration
	// Session is how long guards outlive a store that died, and an outage of etcd that a store survives without
	// forgetting what became of its transactions; 10 minutes if 0. Whole seconds.
	Session time.Duration
	// Logger gets what an operator may want to know. Nil: nobody does.
	Logger *slog.Logger
	// Registerer gets the metrics. Nil: nobody does.
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.Retention, 10 * time.Minute}, {&o.Attempt, 5 * time.Second}, {&o.Session, 10 * time.Minute}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) validate() error {
	if o.Retention < 0 || o.Attempt < 0 || o.Session < time.Second {
		return errors.New("times of a metadata store in etcd must be above 0, that of its session at least a second")
	}
	if (o.Username == "") != o.Password.IsEmpty() {
		return errors.New("user and password of etcd go together")
	}
	return o.Location.validate()
}

// Credentials returns user and password from the location's file, or if it names none from the environment; both are empty
// if nothing is set.
func (l Location) Credentials(getenv func(string) string) (user string, password secret.Text, err error) {
	if l.CredentialsFile == "" {
		return getenv(UsernameVariable), secret.New(getenv(PasswordVariable)), nil
	}
	values, err := properties.Load(l.CredentialsFile)
	if err != nil {
		return "", secret.Text{}, fmt.Errorf("read the credentials of etcd: %w", err)
	}
	user, text := values["username"], values["password"]
	if user == "" || text == "" {
		return "", secret.Text{}, fmt.Errorf("the credentials file of etcd %s needs username and password", l.CredentialsFile)
	}
	return user, secret.New(text), nil
}

// tlsConfig is nil without TLS. Own certificates are read again for each connection, so renewed files need no restart.
func (o Options) tlsConfig() (*tls.Config, error) {
	l := o.Location
	if !l.TLS {
		return nil, nil //nolint:nilnil // no configuration is what says that there is no TLS
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if l.CAFile != "" {
		trusted, err := certstore.Store{Type: "PEM", Location: l.CAFile}.Trust()
		if err != nil {
			return nil, fmt.Errorf("ca_file of etcd: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		for _, cert := range trusted {
			c.RootCAs.AddCert(cert)
		}
	}
	if l.CertFile != "" {
		shown, err := certstore.NewShown("etcd", l.CertFile, l.KeyFile, o.Logger)
		if err != nil {
			return nil, err
		}
		c.GetClientCertificate = shown.Get
	}
	return c, nil
}

// dial makes one client, which connects when it is first used. life ends its background work.
func (o Options) dial(life context.Context, config *tls.Config) (*clientv3.Client, error) {
	scheme := "http://"
	if config != nil {
		scheme = "https://"
	}
	endpoints := make([]string, len(o.Endpoints))
	for i, e := range o.Endpoints {
		endpoints[i] = scheme + e
	}
	return clientv3.New(clientv3.Config{
		Endpoints: endpoints,
		TLS:       config,
		Username:  o.Username,
		Password:  o.Password.Reveal(),
		Context:   life,
		// It bounds the first exchange of a password, which New waits for.
		DialTimeout: o.Attempt,
		// Connections on which nothing comes back are given up. etcd refuses to be asked more often than each 5 seconds.
		DialKeepAliveTime:    6 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		// One try: whoever tries again must know that it does. See Store.Txn.
		MaxUnaryRetries: 1,
		Logger:          zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		})},
	})
}
