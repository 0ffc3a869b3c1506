package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker"
	"github.com/weir-stream/weir/internal/broker/audit"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
)

// BootstrapUsers names the file of the first users: without one, nobody could log in to make any.
var BootstrapUsers = config.String("bootstrap.users.file", "", config.NoDefault,
	"File with users, a line NAME:PASSWORD each, who are made at the start unless they exist. Afterwards 'weir user' changes them, and the file is not needed.")

// authentication is what the listeners need to know who a client is.
type authentication struct {
	users     *auth.Users
	passwords *auth.Passwords
	tokens    *auth.Tokens
	metrics   *auth.Metrics
	logger    *slog.Logger
	observe   auth.Observer
	app       *App

	listeners []*securedListener
	services  []*securedListener // those of the HTTP services that speak TLS
}

// securedListener is a listener with what may be replaced while it runs.
type securedListener struct {
	spec  listenerSpec
	tls   *auth.TLS
	login atomic.Pointer[auth.Authenticator]
}

// openAuthentication reads users, tokens and certificates, and makes the users of the file.
func (a *App) openAuthentication(ctx context.Context, store meta.Store, registry prometheus.Registerer) (*authentication, error) {
	users, err := auth.OpenUsers(ctx, store, nil, a.o.Logger)
	if err != nil {
		return nil, fmt.Errorf("open users: %w", err)
	}
	au := &authentication{
		users: users, passwords: auth.NewPasswords(users), tokens: auth.NewTokens(users, a.o.Values, a.o.Now, a.o.Logger),
		metrics: auth.NewMetrics(registry), logger: a.o.Logger, app: a,
	}
	if file := BootstrapUsers.Get(a.o.Values); file != "" {
		if err := au.bootstrap(ctx, file); err != nil {
			return nil, fmt.Errorf("setting %s: %w", BootstrapUsers.Name(), err)
		}
	}
	return au, nil
}

// tellAudit hands logins to the audit log.
func (au *authentication) tellAudit(log *audit.Log) {
	au.observe = func(e auth.Event) {
		log.Authentication(&audit.Authentication{
			Client:    audit.Client{Principal: e.Principal, Address: e.Peer, Listener: e.Listener},
			Mechanism: e.Mechanism, Granted: e.Success, Reason: e.Reason,
		})
	}
}

// bootstrap makes the users of a file who do not exist. Errors tell the line and nothing of what stands in it.
func (au *authentication) bootstrap(ctx context.Context, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	if fi, err := f.Stat(); err == nil && fi.Mode().Perm()&0o077 != 0 {
		au.logger.Warn("others on this machine can read the file of users", "file", file, "mode", fi.Mode().Perm().String())
	}
	lines := bufio.NewScanner(f)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, password, ok := strings.Cut(line, ":")
		if !ok || name == "" || password == "" {
			return fmt.Errorf("%s line %d: want NAME:PASSWORD", file, number)
		}
		made, err := au.users.AddUser(ctx, name, password)
		if err != nil {
			return fmt.Errorf("%s line %d: %w", file, number, err)
		}
		if made {
			au.logger.Info("user was made", "user", name, "file", file)
		}
	}
	if lines.Err() != nil {
		return fmt.Errorf("%s cannot be read as lines of text", file)
	}
	return nil
}

// secure prepares the listeners with the settings as they are now.
func (au *authentication) secure(specs []listenerSpec, values *config.Values) ([]broker.Listener, error) {
	var out []broker.Listener
	for _, spec := range specs {
		s := &securedListener{spec: spec}
		l := broker.Listener{Name: spec.name, Address: spec.address, AdvertisedHost: spec.advertisedHost, AdvertisedPort: spec.advertisedPort, Observe: au.observe}
		if spec.tls {
			var err error
			if s.tls, err = auth.NewTLS(spec.name, spec.sasl, values, au.metrics, au.logger); err != nil {
				return nil, err
			}
			l.TLS = s.tls
		}
		if spec.sasl {
			login, err := au.authenticator(spec.name, values)
			if err != nil {
				return nil, err
			}
			s.login.Store(login)
			l.Login = s.login.Load
			if !spec.tls && slices.Contains(login.Mechanisms(), auth.Plain) {
				au.logger.Warn("passwords cross the network in the clear: offer PLAIN on a listener of SASL_SSL only", "listener", spec.name)
			}
		}
		au.listeners = append(au.listeners, s)
		out = append(out, l)
	}
	return out, nil
}

func (au *authentication) authenticator(listener string, values *config.Values) (*auth.Authenticator, error) {
	return auth.NewAuthenticator(auth.AuthenticatorOptions{
		Listener: listener, Values: values, Users: au.users, Passwords: au.passwords, Tokens: au.tokens, Metrics: au.metrics,
		Logger: au.logger, Now: au.app.o.Now, Observe: au.observe,
	})
}

// check tells what is wrong with settings that the listeners are to take.
func (au *authentication) check(values *config.Values) error {
	var errs []error
	for _, l := range slices.Concat(au.listeners, au.services) {
		if l.tls != nil {
			errs = append(errs, l.tls.Check(values))
		}
		if l.spec.sasl {
			_, err := au.authenticator(l.spec.name, values)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// changed takes settings that were changed while the broker runs; new connections see them.
func (au *authentication) changed(before, after *topics.View) {
	if before.Values() == after.Values() {
		return
	}
	for _, l := range slices.Concat(au.listeners, au.services) {
		if !differ(before.Values(), after.Values(), l.spec.name) {
			continue
		}
		if l.tls != nil {
			l.tls.Apply(after.Values())
		}
		if !l.spec.sasl {
			continue
		}
		login, err := au.authenticator(l.spec.name, after.Values())
		if err != nil {
			au.logger.Error("changed settings of logins are not taken, the old ones stay", "listener", l.spec.name, "err", err)
			continue
		}
		l.login.Store(login)
	}
}

// differ tells whether a setting of authentication has another value for a listener.
func differ(a, b *config.Values, listener string) bool {
	scope := auth.ScopeOf(listener)
	for _, v := range []*config.Values{a, b} {
		for _, name := range v.Explicits() {
			if strings.HasPrefix(name, scope) || slices.ContainsFunc(auth.AuthenticationSettings(), func(d config.Declared) bool { return d.Setting().Name() == name }) {
				x, _ := a.Explicit(name)
				y, _ := b.Explicit(name)
				if x.Text != y.Text {
					return true
				}
			}
		}
	}
	return false
}

// proves tells of each listener whether its clients have to prove who they are.
func (au *authentication) proves(l *securedListener) bool {
	return l.spec.sasl || l.tls != nil && l.tls.ProvesClients()
}
