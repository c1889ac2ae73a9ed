// Command leased serves leases over HTTP, in the wire format of the hosted OnceOnly API. Package
// httpserver documents the endpoints.
//
// Without any flag it listens on 127.0.0.1:8080 and keeps leases in the SQLite file leased.db in
// the working folder. It admits one API key, which it makes once, prints, and keeps in leased.keys.
//
//	leased --addr 0.0.0.0:8080 --api-keys /etc/leased.keys \
//		--backend 'nats://nats:4222?bucket=leases&replicas=3'
//
// Every flag can be set in the environment instead: --addr is LEASED_ADDR, and so on.
//
// The key file has an API key and its namespace on each line, separated by white space. A '#'
// begins a comment. LEASED_API_KEY, which exists only in the environment, admits one more key, to
// the namespace "default".
//
// GET /healthz says whether the store answers, and needs no API key.
//
// On SIGINT and SIGTERM leased lets the requests under way finish, for ten seconds at most, and
// closes the store.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "leased:", err)
		os.Exit(1)
	}
}
