package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends"
	_ "github.com/ailease/lease/backends/all" // whichever --backend names
	"github.com/ailease/lease/httpserver"
)

// Bounds on what a client can hold up.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 90 * time.Second // longer than a status request may wait
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
	openTimeout       = 30 * time.Second
	healthTimeout     = 2 * time.Second
	shutdownTimeout   = 10 * time.Second
	flushTimeout      = 5 * time.Second
)

// run serves until ctx ends. It prints the address on out, and logs on errOut.
func run(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	c, err := parse(args, errOut)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(errOut, nil))

	// The address first: it is wrong most often, and costs nothing to check.
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := c.checkNoAuth(listener.Addr()); err != nil {
		return err
	}

	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	store, err := backends.Open(opening, c.backend)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	defer watchRoom(ctx, store, log)()

	m, err := c.manager(store, log)
	if err != nil {
		return err
	}
	defer flush(m)
	handler, api, err := c.handler(m, out, log)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(api.EndWaits)
	fmt.Fprintf(out, "serving http://%s on %s\n", listener.Addr(), backends.Redact(c.backend))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	log.Info("shutting down")
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		return errors.Join(fmt.Errorf("requests were cut off: %w", err), server.Close())
	}
	return nil
}

func (c *config) manager(store backends.Store, log *slog.Logger) (*lease.Manager, error) {
	return lease.NewManager(store,
		lease.WithLogger(log),
		lease.WithNamespace(defaultNamespace),
		lease.WithDefaultTTL(c.defaultTTL),
		lease.WithMaxTTL(c.maxTTL),
		lease.WithRetention(c.retention),
		lease.WithMaxRetention(c.maxRetention),
		lease.WithClockSkew(c.clockSkew),
	)
}

// flush waits until the last events are logged.
func flush(m *lease.Manager) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	m.Flush(ctx)
}

// handler returns the API of m with the health check beside it, and the API alone.
func (c *config) handler(m *lease.Manager, out io.Writer, log *slog.Logger) (http.Handler, *httpserver.Handler, error) {
	opts := []httpserver.Option{httpserver.WithLogger(log), httpserver.WithStoreTimeout(c.storeTimeout)}
	if c.hideLeaseIDs {
		opts = append(opts, httpserver.WithHiddenLeaseIDs())
	}
	if c.duplicateConflict {
		opts = append(opts, httpserver.WithDuplicateConflict())
	}
	if c.rateLimit > 0 {
		opts = append(opts, httpserver.WithRateLimit(c.rateLimit, int(math.Ceil(min(c.rateLimit, math.MaxInt32)))))
	}
	if c.noAuth {
		opts = append(opts, httpserver.WithoutAuth())
	} else {
		keys, err := c.apiKeys(out, log)
		if err != nil {
			return nil, nil, err
		}
		opts = append(opts, httpserver.WithAPIKeys(keys))
	}
	api, err := httpserver.New(m, opts...)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (API keys: %s)", err, c.keySource())
	}
	mux := http.NewServeMux()
	mux.Handle("/", api)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		if _, err := m.Status(ctx, "healthz"); err != nil && !errors.Is(err, lease.ErrUnreadable) {
			log.Warn("health check failed", "err", err)
			http.Error(w, "the store does not answer", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ok\n")
	})
	return mux, api, nil
}
