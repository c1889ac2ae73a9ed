package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"time"
	_ "time/tzdata" // the zones of periodic runs, on machines that have none

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends"
	_ "github.com/ailease/lease/backends/all" // whichever --backend names
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/usage"
)

// Bounds on what a client can hold up.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	longestWait       = time.Minute // of a status request that is held
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
	openTimeout       = 30 * time.Second
	flushTimeout      = 5 * time.Second

	// At the end, clients have bodyGrace to send what they have announced. Then the store has its
	// timeout, and answerGrace is for answers on their way. After that, the log has logTimeout if
	// nobody reads it. Service managers wait 10 seconds.
	bodyGrace   = 3 * time.Second
	answerGrace = 2 * time.Second
	logTimeout  = time.Second
)

// writeTimeout is longer than the longest answer takes: the body, the wait, and the store.
func (c *config) writeTimeout() time.Duration {
	return readTimeout + longestWait + c.storeTimeout + 10*time.Second
}

func (c *config) shutdownTimeout() time.Duration { return bodyGrace + c.storeTimeout + answerGrace }

// run serves until ctx ends. It prints the address on out, and logs on errOut. It waits for neither
// of them to be read.
func run(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	said, logged := newLines(out), newLines(errOut)
	defer closeLines(logTimeout, said, logged)
	c, err := parse(args, logged)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(logged, nil))
	addr, err := c.checkAddr()
	if err != nil {
		return err
	}
	worked, err := c.handlerSet(ctx, log)
	if err != nil {
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

	story, err := c.openJournal(store, log)
	if err != nil {
		return err
	}
	var end time.Time // of the shutdown
	defer func() { story.close(end) }()
	if worked != nil {
		worked.timeline = story.store
	}
	m, err := c.manager(store, log, story.observer()...)
	if err != nil {
		return err
	}
	defer flush(m)
	counters := usage.New(store, usage.WithLogger(log))
	defer func() { closeUsage(counters, end) }()
	admits, namespaces, err := c.auth(ctx, addr, said, log)
	if err != nil {
		return err
	}
	handler, api, err := c.handler(m, slices.Concat(admits, []httpserver.Option{httpserver.WithUsage(counters)}, story.served(), worked.served()), log)
	if err != nil {
		return err
	}

	// Only now: whoever can connect is served.
	listener, err := c.listen()
	if err != nil {
		return err
	}
	conns := newEnding(listener)
	defer conns.Close()
	stopWork, err := worked.work(ctx, m, namespaces, log)
	if err != nil {
		return err
	}
	defer stopWork()
	server := c.server(handler, log)
	server.RegisterOnShutdown(api.EndWaits)
	fmt.Fprintf(said, "serving http://%s on %s\n", listener.Addr(), backends.Redact(c.backend))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(conns) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	log.Info("shutting down")
	now := time.Now()
	end = now.Add(c.shutdownTimeout())
	ending, cancel := context.WithDeadline(context.WithoutCancel(ctx), end)
	defer cancel()
	conns.end(now.Add(bodyGrace), end.Add(-answerGrace/2))
	if err := server.Shutdown(ending); err != nil {
		return errors.Join(fmt.Errorf("requests were cut off: %w", err), server.Close())
	}
	return nil
}

func (c *config) server(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      c.writeTimeout(),
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(newRunLog(log.Handler(), serverKind), slog.LevelWarn),
	}
}

func (c *config) manager(store backends.Store, log *slog.Logger, opts ...lease.Option) (*lease.Manager, error) {
	return lease.NewManager(store, append(opts,
		lease.WithLogger(slog.New(newRunLog(log.Handler(), managerKind))),
		lease.WithNamespace(defaultNamespace),
		lease.WithDefaultTTL(c.defaultTTL),
		lease.WithMaxTTL(c.maxTTL),
		lease.WithRetention(c.retention),
		lease.WithMaxRetention(c.maxRetention),
		lease.WithClockSkew(c.clockSkew),
	)...)
}

// flush waits until the last events are logged.
func flush(m *lease.Manager) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	m.Flush(ctx)
}

// auth says who is admitted, and to which namespaces. The default one is always among them.
func (c *config) auth(ctx context.Context, addr net.Addr, out io.Writer, log *slog.Logger) (admits []httpserver.Option, namespaces []string, err error) {
	if c.noAuth {
		return []httpserver.Option{httpserver.WithoutAuth(), httpserver.WithHosts(c.hosts(addr)...)}, []string{defaultNamespace}, nil
	}
	keys, err := c.apiKeys(ctx, out, log)
	namespaces = append(slices.Collect(maps.Values(keys)), defaultNamespace)
	slices.Sort(namespaces)
	return []httpserver.Option{httpserver.WithAPIKeys(keys)}, slices.Compact(namespaces), err
}

// handler returns the API of m with the health check beside it, and the API alone.
func (c *config) handler(m *lease.Manager, opts []httpserver.Option, log *slog.Logger) (http.Handler, *httpserver.Handler, error) {
	opts = append(opts,
		httpserver.WithLogger(log),
		httpserver.WithStoreTimeout(c.storeTimeout),
		httpserver.WithMaxHeldBytes(c.maxHeldBytes),
		httpserver.WithCheckLockDown(c.checkLockDown),
	)
	if c.hideLeaseIDs {
		opts = append(opts, httpserver.WithHiddenLeaseIDs())
	}
	if c.duplicateConflict {
		opts = append(opts, httpserver.WithDuplicateConflict())
	}
	if c.rateLimit > 0 {
		opts = append(opts, httpserver.WithRateLimit(c.rateLimit, int(math.Ceil(min(c.rateLimit, math.MaxInt32)))))
	}
	api, err := httpserver.New(m, opts...)
	if err != nil {
		return nil, nil, err
	}
	health, err := newHealth(m, log)
	if err != nil {
		return nil, nil, err
	}
	// No http.ServeMux: it would redirect the path of a base URL that ends with a slash.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			health.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	}), api, nil
}
