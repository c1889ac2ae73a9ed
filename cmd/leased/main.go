// Command leased serves leases over HTTP, in the wire format of the hosted OnceOnly API. Package
// httpserver documents the endpoints.
//
// Without any flag it listens on 127.0.0.1:8080 and keeps leases in the SQLite file leased.db in
// the working folder. It admits one API key, which it makes once, prints, and keeps in leased.keys.
//
//	leased --addr 0.0.0.0:8080 --api-keys /etc/leased.keys \
//		--backend 'nats://nats:4222?bucket=leases&replicas=3'
//
// Every flag can be set in the environment instead: --addr is LEASED_ADDR, and so on. leased --help
// tells them all, and says how API keys, the log, the health check and the end work.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// A standard output or error whose reader has gone must not kill the daemon.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		last := newLines(os.Stderr)
		fmt.Fprintln(last, "leased:", err)
		closeLines(logTimeout, last)
		os.Exit(1)
	}
}
