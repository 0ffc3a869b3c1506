package weirtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// Time limits. They are far above what is needed, for machines that are busy with other tests.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

// Option changes how a server is started.
type Option func(*options)

type options struct {
	settings []string
	topics   []topic
	logger   *slog.Logger
}

type topic struct {
	name       string
	partitions int32
}

// Setting sets a setting of the server by its name, such as "auto.create.topics.enable". A name that no setting has, or a
// value that it does not take, fails the test. Of two options for one setting the later counts. The settings that
// say where data lies have no effect.
func Setting(name, value string) Option {
	return func(o *options) { o.settings = append(o.settings, name+"="+value) }
}

// Registry starts a Schema Registry beside the broker, at [Server.RegistryURL].
func Registry() Option { return Setting("roles", "broker,registry") }

// Topic makes a topic before Start returns.
func Topic(name string, partitions int) Option {
	return func(o *options) { o.topics = append(o.topics, topic{name, int32(partitions)}) }
}

// Logger gives the server's log to a logger. Without it the log is discarded.
func Logger(l *slog.Logger) Option {
	return func(o *options) { o.logger = l }
}

// Server is a running server.
type Server struct {
	addr, admin string
	registry    string // empty without one
	stop        context.CancelFunc
	ended       chan struct{}
	once        sync.Once
	err         error // of the server; read it after ended
}

// settings of every server, which those of the caller overlay.
var settings = []string{
	"data=/weir", "roles=broker", "kafka.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0",
	"group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=4",
	"storage.shards=2", "storage.wal.file.bytes=16777216",
}

// Start starts a server and returns once it answers. The server stops when the test ends; a test that cannot have its
// server ends at once.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	s, err := start(t.Context(), o)
	if err != nil {
		t.Fatalf("weirtest: %v", err)
	}
	t.Cleanup(func() {
		if err := s.end(); err != nil {
			t.Errorf("weirtest: %v", err)
		}
	})
	if err := s.makeTopics(t.Context(), o.topics); err != nil {
		t.Fatalf("weirtest: %v", err)
	}
	return s
}

func start(ctx context.Context, o options) (*Server, error) {
	schema, err := app.Schema()
	if err != nil {
		return nil, err
	}
	values, err := schema.Load(config.Sources{Set: append(slices.Clip(settings), o.settings...)})
	if err != nil {
		return nil, err
	}
	a := app.New(app.Options{Values: values, Version: "test", Logger: o.logger, Level: new(slog.LevelVar), FS: vfs.NewMem(), Blob: blob.NewMem(), Meta: meta.NewMem(nil), NoRunFile: true})
	// The server outlives the test's context, which ends before its cleanup: clients are closed first.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{stop: cancel, ended: make(chan struct{})}
	ready := make(chan struct{})
	go func() {
		defer close(s.ended)
		s.err = a.Run(ctx, func() { close(ready) })
	}()
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-ready:
		addresses := a.Addresses()
		s.addr, s.admin, s.registry = addresses["kafka"], addresses["admin"], addresses["registry"]
		return s, nil
	case <-s.ended:
		cancel()
		return nil, fmt.Errorf("the server did not start: %w", s.err)
	case <-timeout.C:
		cancel()
		return nil, fmt.Errorf("the server was not ready after %v", startTimeout)
	}
}

func (s *Server) makeTopics(ctx context.Context, topics []topic) error {
	if len(topics) == 0 {
		return nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	for _, t := range topics {
		if _, err := kadm.NewClient(cl).CreateTopic(ctx, t.partitions, -1, nil, t.name); err != nil {
			return fmt.Errorf("make topic %s: %w", t.name, err)
		}
	}
	return nil
}

// Addr returns host:port of the server's Kafka listener, for a client's bootstrap.servers.
func (s *Server) Addr() string { return s.addr }

// AdminURL returns the base of the server's admin pages: append /metrics, /healthz or /readyz.
func (s *Server) AdminURL() string { return "http://" + s.admin }

// RegistryURL returns the base of the server's Schema Registry, empty if it was started without [Registry].
func (s *Server) RegistryURL() string {
	if s.registry == "" {
		return ""
	}
	return "http://" + s.registry
}

// Stop stops the server before its test ends, as SIGTERM would, and returns once it has ended. What was said to it in
// full is answered; the test fails if it does not stop cleanly. Further calls do nothing.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.end(); err != nil {
		t.Errorf("weirtest: %v", err)
	}
}

// end stops the server and tells, the first time, how it ended.
func (s *Server) end() (err error) {
	s.once.Do(func() {
		s.stop()
		timeout := time.NewTimer(stopTimeout)
		defer timeout.Stop()
		select {
		case <-s.ended:
			if s.err != nil {
				err = fmt.Errorf("the server failed: %w", s.err)
			}
		case <-timeout.C:
			err = errors.New("the server does not stop")
		}
	})
	return err
}
