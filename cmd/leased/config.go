package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/peterbourgon/ff/v3"
)

// config holds the values of the flags.
type config struct {
	addr              string
	backend           string
	keyFile           string
	noAuth            bool
	hideLeaseIDs      bool
	duplicateConflict bool
	defaultTTL        time.Duration
	maxTTL            time.Duration
	retention         time.Duration
	maxRetention      time.Duration
	clockSkew         time.Duration
	storeTimeout      time.Duration
	rateLimit         float64

	apiKey string // from the environment only: every user of the machine can read a flag
}

func parse(args []string, usage io.Writer) (config, error) {
	var c config
	fs := flag.NewFlagSet("leased", flag.ContinueOnError)
	fs.SetOutput(usage)
	fs.StringVar(&c.addr, "addr", "127.0.0.1:8080", "`host:port` to listen on")
	fs.StringVar(&c.backend, "backend", "sqlite:leased.db", "`URL` of the store: sqlite:///path/leases.db, nats://host:4222?bucket=leases&replicas=3 or memory:")
	fs.StringVar(&c.keyFile, "api-keys", "", "`file` with an API key and its namespace on each line (without this flag: leased.keys, which is made with one key if it is absent)")
	fs.BoolVar(&c.noAuth, "no-auth", false, "admit everybody to the namespace \"default\"; on loopback addresses only")
	fs.BoolVar(&c.hideLeaseIDs, "hide-lease-ids", false, "show a lease id only to its holder, and not to pollers of the same namespace")
	fs.BoolVar(&c.duplicateConflict, "duplicate-conflict", false, "answer a check-lock of a locked key with 409 instead of 200")
	fs.DurationVar(&c.defaultTTL, "default-ttl", time.Hour, "TTL of a lease or lock that is asked for without one")
	fs.DurationVar(&c.maxTTL, "max-ttl", 30*24*time.Hour, "the longest TTL that is granted; a longer one is clamped")
	fs.DurationVar(&c.retention, "retention", 7*24*time.Hour, "how long an ended lease stays readable unless its client says otherwise")
	fs.DurationVar(&c.maxRetention, "max-retention", 30*24*time.Hour, "the longest retention that a client may ask for")
	fs.DurationVar(&c.clockSkew, "clock-skew", 0, "by how much the clocks of the servers on one store may differ")
	fs.DurationVar(&c.storeTimeout, "store-timeout", 4*time.Second, "how long a request waits for the store; clients of the hosted API give up after 5s")
	fs.Float64Var(&c.rateLimit, "rate-limit", 0, "requests `per second` for each namespace, a second's worth at once; 0 for no limit")
	if err := ff.Parse(fs, args, ff.WithEnvVarPrefix("LEASED")); err != nil {
		return c, err
	}
	if fs.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q: all settings are flags, see --help", fs.Arg(0))
	}
	c.apiKey = os.Getenv("LEASED_API_KEY")
	switch {
	case c.noAuth && (c.keyFile != "" || c.apiKey != ""):
		return c, errors.New("--no-auth admits everybody, but API keys are given too: remove one of the two")
	case c.defaultTTL > c.maxTTL:
		return c, fmt.Errorf("--default-ttl is %v, more than --max-ttl, %v: set both", c.defaultTTL, c.maxTTL)
	case c.rateLimit < 0:
		return c, fmt.Errorf("--rate-limit is %v, must not be negative", c.rateLimit)
	}
	return c, nil
}

// checkNoAuth refuses to serve without API keys on an address that other machines can reach.
func (c *config) checkNoAuth(addr net.Addr) error {
	if tcp, ok := addr.(*net.TCPAddr); c.noAuth && !(ok && tcp.IP.IsLoopback()) {
		return fmt.Errorf("--no-auth on %s would admit everybody who can reach it: listen on a loopback address such as 127.0.0.1:8080, or use API keys", addr)
	}
	return nil
}
