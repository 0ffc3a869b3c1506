package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Options say how to reach a cluster. The zero value is not enough: Bootstrap, or bootstrap.servers in Properties, is
// needed.
type Options struct {
	// Bootstrap lists brokers as host:port. It wins over bootstrap.servers in Properties.
	Bootstrap []string
	// Properties are Java's names and values: security.protocol, sasl.*, ssl.*, client.id and so on.
	Properties map[string]string
	// Dial replaces the network, for a broker in the same process. TLS, if the properties ask for it, is spoken on top of
	// what it returns. Default: TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Logger gets the client's own messages, at the levels where the logger is enabled. Default: none.
	Logger *slog.Logger
	// SoftwareName and SoftwareVersion tell the broker who connects (KIP-511). Default: "weir" and "unknown".
	SoftwareName    string
	SoftwareVersion string
}

// Kgo returns o as options of kgo, to which the caller may append others. An error names the property at fault.
func (o Options) Kgo() ([]kgo.Opt, error) {
	s, err := parse(o.Properties)
	if err != nil {
		return nil, err
	}
	if len(o.Bootstrap) > 0 {
		s.bootstrap = o.Bootstrap
	}
	if len(s.bootstrap) == 0 {
		return nil, errors.New("no broker to connect to: set bootstrap.servers")
	}
	opts := append(s.opts, kgo.SeedBrokers(s.bootstrap...))
	mechanism, err := s.sasl()
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: s.dialTimeout}).DialContext
	}
	if s.usesTLS() {
		config, err := s.tls()
		if err != nil {
			return nil, err
		}
		dial = dialTLS(dial, config, s.dialTimeout)
	}
	opts = append(opts, kgo.Dialer(dial))
	name, version := o.SoftwareName, o.SoftwareVersion
	if name == "" {
		name = "weir"
	}
	if version == "" {
		version = "unknown"
	}
	opts = append(opts, kgo.SoftwareNameAndVersion(softwareWord(name), softwareWord(version)))
	if o.Logger != nil {
		opts = append(opts, kgo.WithLogger(logger{o.Logger}))
	}
	return opts, nil
}

// softwareWord replaces what brokers refuse in the name or version of a client (KIP-511), such as the plus sign in 1.2.0+dirty.
func softwareWord(s string) string {
	ok := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '.'
	}
	s = strings.Map(func(r rune) rune {
		if ok(r) {
			return r
		}
		return '-'
	}, s)
	if s = strings.Trim(s, "-."); s == "" {
		return "unknown"
	}
	return s
}

// New returns a client made of o and more. It does not connect before its first use; the caller closes it.
func New(o Options, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := o.Kgo()
	if err != nil {
		return nil, err
	}
	c, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("make kafka client: %w", err)
	}
	return c, nil
}

// logger hands kgo's messages to slog. kgo's Info is slog's Debug, as it speaks of every connection; its Debug, which
// speaks of every request, is left out. Its Error is slog's Warn: the client heals itself, or its user gets the error.
type logger struct{ to *slog.Logger }

// Level implements kgo.Logger.
func (l logger) Level() kgo.LogLevel { return kgo.LogLevelInfo }

// Log implements kgo.Logger.
func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	attributes := append([]any{"event", msg}, keyvals...)
	switch level {
	case kgo.LogLevelError, kgo.LogLevelWarn:
		l.to.Warn("kafka client", attributes...)
	case kgo.LogLevelInfo:
		l.to.Debug("kafka client", attributes...)
	}
}
