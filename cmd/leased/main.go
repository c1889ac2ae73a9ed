// Command leased serves leases over HTTP, in the wire format of the hosted OnceOnly API.
//
// Without any flag it listens on 127.0.0.1:8080, keeps leases in the SQLite file leased.db in the working folder, and admits one API key, which
// it makes once, prints, and keeps in leased.keys. All flags can be set in the environment instead: --addr is LEASED_ADDR, and so on.
//
//	leased --addr 0.0.0.0:8080 --backend 'nats://nats:4222?bucket=leases&replicas=3' --api-keys /etc/leased.keys
//
// The key file has an API key and its namespace on each line, separated by white space; '#' begins a comment. LEASED_API_KEY, which
// exists only in the environment, admits one key more, to the namespace "default".
//
// GET /healthz, for whoever restarts or balances servers, needs no API key and says whether the store answers. On SIGINT and SIGTERM
// leased lets the requests under way finish, for ten seconds at the most, and closes the store.
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
