package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/systemd"
)

func newServerCommand(s *session) *cobra.Command {
	settings := &settingFlags{}
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a server: broker, storage and everything around them in one process",
		Long: `Run a Weir server in this process until it is told to stop. Without any flag it keeps its data in ./weir-data and
serves Kafka clients on 127.0.0.1:9092, synced: what is acknowledged is on the disk.

Settings come from flags, then WEIR_* variables, then the file given with -c, then defaults; --set takes any of them
by its Kafka name. 'weir config show' tells what is in force and where it comes from, 'weir config docs' what there is.

When everything answers, one line with the word "ready" is logged and DIR/run.json holds the addresses. SIGTERM stops
the server within five seconds; a killed server loses nothing that was acknowledged.

With --meta etcd://… and --blob s3://… the server is a broker of a cluster, which keeps all data in the bucket: start as many as you like on the
same two stores, each takes an id that is free and its share of the load. --join refuses to begin a new cluster by a mistyped address.`,
		Example: `  weir server
  weir server --data /var/lib/weir --kafka-listen 0.0.0.0:9092 --kafka-advertise broker.example.com:9092
  weir server -c weir.yaml --set log.retention.hours=24
  weir server --roles registry,rest --bootstrap kafka:9092     Schema Registry and REST proxy alone, on any Kafka
  weir server --meta etcd://10.0.0.1:2379,10.0.0.2:2379/weir --blob 's3://weir/data?region=eu-west-1' --kafka-listen 10.0.0.11:9092 --cluster-listen 10.0.0.11:9093`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// The flags of clients say as well on which cluster services without a broker are to work.
			for flag, setting := range map[string]string{"bootstrap": app.Bootstrap.Name(), "kafka-config": app.ClientProperties.Name()} {
				if f := cmd.Flag(flag); f != nil && f.Changed {
					settings.set = append(settings.set, setting+"="+f.Value.String())
				}
			}
			values, err := settings.load(cmd)
			if err != nil {
				return err
			}
			return runServer(cmd.Context(), s, values)
		},
	}
	settings.bind(cmd, s)
	cmd.SetUsageFunc(serverUsage)
	return cmd
}

// clusterFlags are listed apart in the help of the server.
var clusterFlags = []string{"meta", "blob", "join", "node-id", "broker-rack", "cluster-listen", "cluster-tls", "cluster-lease-ms", "storage-flush-interval-ms", "storage-flush-puts-per-second"}

// serverUsage writes what help shows below the description, with the flags in groups.
func serverUsage(cmd *cobra.Command) error {
	one, many := pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if slices.Contains(clusterFlags, f.Name) {
			many.AddFlag(f)
		} else {
			one.AddFlag(f)
		}
	})
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "Usage:\n  %s\n\nExamples:\n%s\n\nFlags:\n%s\nFlags of a broker of a cluster:\n%s\nGlobal Flags:\n%s",
		cmd.UseLine(), cmd.Example, one.FlagUsages(), many.FlagUsages(), cmd.InheritedFlags().FlagUsages())
	return err
}

func runServer(ctx context.Context, s *session, values *config.Values) error {
	level := &slog.LevelVar{}
	if err := level.UnmarshalText([]byte(app.LogLevel.Get(values))); err != nil {
		return usageErrorf("setting %s: %v", app.LogLevel.Name(), err)
	}
	if err := app.Check(values); err != nil {
		return usageErrorf("%v", err)
	}
	logger := newLogger(s.errOut, app.LogFormat.Get(values), level)
	a := app.New(app.Options{Values: values, Version: readBuildInfo().Version, Logger: logger, Level: level})
	manager, err := manage(ctx, logger)
	if err != nil {
		return withFix(err, "the variable comes from who started this process, systemd with Type=notify or a container engine: start it without")
	}
	defer manager.end()
	err = a.Run(ctx, func() {
		manager.tell(systemd.Ready)
		if err := releaseImage(); err != nil {
			logger.Debug("pages of the program not released", "err", err)
		}
	})
	if errors.Is(err, app.ErrInUse) {
		return withFix(err, "stop that server, or give this one a directory of its own with --data DIR and other addresses")
	}
	return err
}

// managed tells a service manager, if one started this process, how the server is. What cannot be told is logged: the server goes on, and
// the manager does what it does with a process that says nothing.
type managed struct {
	manager *systemd.Manager
	logger  *slog.Logger
	cancel  context.CancelFunc
	tellers sync.WaitGroup
}

// manage begins to keep the watchdog satisfied, and tells when ctx ends.
func manage(ctx context.Context, logger *slog.Logger) (*managed, error) {
	manager, err := systemd.Dial(ctx, os.Getenv, os.Getpid())
	if err != nil {
		return nil, err
	}
	m := &managed{manager: manager, logger: logger}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a server that stops is still to be seen alive
	m.cancel = cancel
	m.tellers.Go(func() {
		if err := manager.KeepAlive(running); err != nil {
			logger.Warn("service manager not told that the server lives", "err", err)
		}
	})
	m.tellers.Go(func() {
		select {
		case <-ctx.Done():
			m.tell(systemd.Stopping)
		case <-running.Done():
		}
	})
	return m, nil
}

func (m *managed) tell(state string) {
	if err := m.manager.Tell(state); err != nil {
		m.logger.Warn("service manager not told", "state", state, "err", err)
	}
}

// end stops telling; the server has ended.
func (m *managed) end() {
	m.cancel()
	m.tellers.Wait()
	if err := m.manager.Close(); err != nil {
		m.logger.Debug("connection to the service manager not closed", "err", err)
	}
}

func newLogger(w io.Writer, format string, level *slog.LevelVar) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// settingFlags are the flags of a command that reads settings: one for each, -c and --set.
type settingFlags struct {
	file   string
	set    []string
	schema *config.Schema
	err    error
}

func (f *settingFlags) bind(cmd *cobra.Command, s *session) {
	if f.schema, f.err = s.serverSchema(); f.err != nil {
		return // told when the command runs
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "config", "c", "", "YAML `file` with settings")
	flags.StringArrayVar(&f.set, "set", nil, "any setting as `name=value`; repeatable")
	f.schema.BindFlags(flags)
}

func (f *settingFlags) load(cmd *cobra.Command) (*config.Values, error) {
	if f.err != nil {
		return nil, f.err
	}
	for _, pair := range f.set {
		name, text, _ := strings.Cut(pair, "=")
		if x, ok := f.schema.Lookup(strings.TrimSpace(name)); ok && x.Sensitive() && !strings.HasPrefix(text, "${") {
			return nil, usageErrorf("setting %s is a secret, and everybody on the machine can read what stands on a command line: set it in the file given with -c, or refer to a file or variable (see config.providers.allowed.paths)", x.Name())
		}
	}
	v, err := f.schema.Load(config.Sources{Flags: cmd.Flags(), Set: f.set, Env: os.Environ(), IgnoreEnv: otherVariables, File: f.file})
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	return v, nil
}

// otherVariables are the WEIR_ variables that are no settings of a server: those of clients, and the login at etcd.
var otherVariables = []string{"WEIR_BOOTSTRAP", "WEIR_KAFKA_CONFIG", "WEIR_SCHEMA_REGISTRY", passwordVariable, adminVariable, "WEIR_ETCD_USERNAME", "WEIR_ETCD_PASSWORD"}

// startEmbedded starts a throw-away server on free ports of this machine, whose data goes with it.
func startEmbedded(ctx context.Context) (addr string, stop func(), err error) {
	schema, err := app.Schema()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "weir-demo-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for the throw-away server: %w", err)
	}
	remove := func() { os.RemoveAll(dir) } //nolint:errcheck // a leftover in the temporary folder harms nobody
	values, err := schema.Load(config.Sources{Set: []string{
		"data=" + filepath.Join(dir, "data"), "roles=broker", "kafka.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0",
		"group.initial.rebalance.delay.ms=0", "storage.wal.file.bytes=8388608", "offsets.topic.num.partitions=1",
	}})
	if err != nil {
		remove()
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a := app.New(app.Options{Values: values, Version: readBuildInfo().Version, NoRunFile: true})
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- a.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		remove()
		return "", nil, errors.Join(errors.New("the throw-away server did not start"), err)
	}
	return a.Addresses()["kafka"], func() {
		cancel()
		<-done //nolint:errcheck // nobody minds how a throw-away server ended
		remove()
	}, nil
}
