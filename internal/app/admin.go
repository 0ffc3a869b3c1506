package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// admin is the HTTP server for operators: /healthz, /readyz, /metrics, /v1/cluster (admin_cluster.go), /v1/contracts (admin_contracts.go), and /debug/pprof where it is allowed.
type admin struct {
	address string
	gather  prometheus.Gatherer
	pprof   bool
	cluster *clusterAdmin
	// contracts tells of violations.
	contracts *contractAdmin
	logger    *slog.Logger
	// waits names the service that is still reading what it has, "" if none is.
	waits func() string

	// isReady says that every other part answers.
	isReady atomic.Bool
	bound   atomic.Pointer[string]
}

// Limits of the admin server. Its clients are probes and scrapers.
const (
	adminHeaderTimeout = 5 * time.Second
	adminIdleTimeout   = time.Minute
	adminBodyBytes     = 4 << 10 // nothing that is served has a body
	adminWriteTimeout  = time.Minute
	adminHeaderBytes   = 16 << 10
	adminStopTimeout   = time.Second
)

func (a *admin) Run(ctx context.Context, ready func()) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", a.address)
	if err != nil {
		return fmt.Errorf("listen on %s for the admin server: %w", a.address, err)
	}
	bound := ln.Addr().String()
	a.bound.Store(&bound)
	srv := &http.Server{
		Handler: http.MaxBytesHandler(a.handler(), adminBodyBytes), ReadHeaderTimeout: adminHeaderTimeout, ReadTimeout: adminWriteTimeout,
		WriteTimeout: adminWriteTimeout, IdleTimeout: adminIdleTimeout,
		MaxHeaderBytes: adminHeaderBytes, ErrorLog: slog.NewLogLogger(a.logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	ready()
	select {
	case err = <-served:
	case <-ctx.Done():
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminStopTimeout)
		defer cancel()
		if err = srv.Shutdown(stop); err != nil {
			err = srv.Close()
		}
		<-served //nolint:errcheck // tells only that Shutdown was called
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

func (a *admin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }) //nolint:errcheck // the probe has gone
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.isReady.Load() {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		if name := a.waits(); name != "" {
			http.Error(w, name+" is loading", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok") //nolint:errcheck // the probe has gone
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.gather, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(a.logger.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4}))
	if a.cluster != nil { // there is a broker in this process
		a.cluster.register(mux)
		a.contracts.register(mux)
	}
	if a.pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	}
	return mux
}
