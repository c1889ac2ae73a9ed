package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// config holds the values of the flags.
type config struct {
	addr              string
	backend           string
	keyFile           string
	handlerFile       string
	noAuth            bool
	hideLeaseIDs      bool
	duplicateConflict bool
	checkLockDown     int
	defaultTTL        time.Duration
	maxTTL            time.Duration
	retention         time.Duration
	maxRetention      time.Duration
	clockSkew         time.Duration
	storeTimeout      time.Duration
	rateLimit         float64
	maxHeldBytes      int64
	journal           bool
	journalKeep       time.Duration

	apiKey string // from the environment only: every user of the machine can read a flag
}

// apiKeyVariable is no flag's: every user of the machine can read the flags of a program.
const apiKeyVariable = "LEASED_API_KEY"

const usageBegin = `leased serves leases over HTTP, in the wire format of the hosted OnceOnly API.

Usage: leased [flags]

Every flag can be set in the environment instead: --addr is LEASED_ADDR, and so on.

`

const usageEnd = `
API keys. The file that --api-keys names has an API key and its namespace on each line, separated
by white space; a '#' begins a comment. A key has 8 to 256 printable ASCII characters, and more
than its namespace's name: swapped columns are noticed. Without --api-keys the file is
leased.keys in the working folder. If that is absent and LEASED_API_KEY is not set either, it is
made with one key, which is printed once.
The variable LEASED_API_KEY admits one key more, to the namespace "default". It has no flag: every
user of the machine can read flags. A key that stands in the file for another namespace too is
refused.

Runs. The file that --handlers names, JSON, says what is done for a run by the task in its metadata:

  {"tasks": {"summary": {"command": ["./summary.sh"], "attempts": 5, "ttl": "30s", "concurrency": 2},
             "mail": {"url": "https://example.com/mail", "secret_env": "MAIL_SECRET"}},
   "tools": {"lookup": {"command": ["./lookup.sh"]}},
   "periodic": [{"name": "nightly", "cron": "0 3 * * *", "zone": "Europe/Berlin", "task": "summary"}]}

A run of no task, or of one that is not there, calls the tools of its metadata.actions in a row. A
command gets the metadata on its standard input; a URL gets a signed POST. HANDLERS.md, beside the
source of leased, has all the fields. Secrets stand in the file, which others must not read then, or
in the variables that it names. Each leased works on the runs of all namespaces that have an API
key; those on one store should have the same file.

--no-auth is for programs on this machine. It refuses what web pages send: requests of another
origin, and those whose Host is no loopback address, localhost or the host of --addr.

GET /healthz says whether the store takes writes: 200 or 503. It needs no API key, and writes at
most once a second, under the namespace "leased.healthz".

Leases and locks that are asked for are counted in the store, by namespace and day, and shown at
/v1/usage and /v1/metrics. Servers on one store count together. A leased that is killed loses what
it counted in about the last second.

What happens to leases and runs, and what clients post, stands in timelines: see --journal. They are
written within about 100 ms, and never hold a lease up. With the store away they wait in memory; the
log says when some are dropped.

The log goes to the standard error. If nobody reads it, lines are dropped and counted, and nothing
waits for it. An outage of the store is one line when it begins and one when it ends, and as many
of those who work on runs.

On SIGINT and SIGTERM leased answers the requests under way and closes the store. A body that is
not there 3 seconds later is waited for no longer. All of it takes 6 seconds more than
--store-timeout at most. Meanwhile commands get SIGTERM, and their grace later SIGKILL; their runs,
and all others under way, are given back, and another leased goes on with them. A second signal ends it at once.

Errors and the log name flags and variables, and do not print their values, but for numbers and
durations that are out of range. Of the store's URL they show the scheme, the hosts and the path.
`

func parse(args []string, usage io.Writer) (config, error) {
	var c config
	fs := flag.NewFlagSet("leased", flag.ContinueOnError)
	c.define(fs)
	if err := parseFlags(fs, args, usage); err != nil {
		return c, err
	}
	c.apiKey = os.Getenv(apiKeyVariable)
	switch {
	case c.noAuth && (c.keyFile != "" || c.apiKey != ""):
		return c, errors.New("--no-auth admits everybody, but API keys are given too, by --api-keys, LEASED_API_KEYS or LEASED_API_KEY: remove one of the two")
	case c.defaultTTL > c.maxTTL:
		return c, errors.New("--default-ttl is more than --max-ttl: set both")
	case !(c.rateLimit >= 0) || math.IsInf(c.rateLimit, 1):
		return c, fmt.Errorf("%s must be a number of at least 0", named("rate-limit"))
	}
	return c, nil
}

func (c *config) define(fs *flag.FlagSet) {
	fs.StringVar(&c.addr, "addr", "127.0.0.1:8080", "`host:port` to listen on")
	fs.StringVar(&c.backend, "backend", "sqlite:leased.db", "`URL` of the store: sqlite:///path/leases.db, nats://host:4222?bucket=leases&replicas=3 or memory:")
	fs.StringVar(&c.keyFile, "api-keys", "", "`file` with API keys, see below")
	fs.StringVar(&c.handlerFile, "handlers", "", "`file` with the handlers of runs, see below, or off, to work on no runs")
	fs.BoolVar(&c.noAuth, "no-auth", false, "admit everybody to the namespace \"default\"; on loopback addresses only")
	fs.BoolVar(&c.hideLeaseIDs, "hide-lease-ids", false, "show a lease id only to its holder, and not to pollers of the same namespace")
	fs.BoolVar(&c.duplicateConflict, "duplicate-conflict", false, "answer a check-lock of a locked key with 409 instead of 200")
	fs.IntVar(&c.checkLockDown, "check-lock-down", 503, "`status` of a check-lock that the store or this server cannot answer: 503, which clients of the hosted API take for \"go ahead\", or 429, with which they wait")
	fs.DurationVar(&c.defaultTTL, "default-ttl", time.Hour, "`duration` of a lease or lock that is asked for without a TTL")
	fs.DurationVar(&c.maxTTL, "max-ttl", 30*24*time.Hour, "longest `duration` that is granted as a TTL; a longer one is clamped")
	fs.DurationVar(&c.retention, "retention", 7*24*time.Hour, "`duration` for which an ended lease stays readable unless its client says otherwise")
	fs.DurationVar(&c.maxRetention, "max-retention", 30*24*time.Hour, "longest `duration` that a client may ask for as a retention")
	fs.DurationVar(&c.clockSkew, "clock-skew", 0, "`duration` by which the clocks of the servers on one store may differ")
	fs.DurationVar(&c.storeTimeout, "store-timeout", 4*time.Second, "`duration` for which a request waits for the store, up to 10m; clients of the hosted API give up after 5s")
	fs.Float64Var(&c.rateLimit, "rate-limit", 0, "requests `per-second` for each namespace, a second's worth at once; 0 for no limit")
	fs.BoolVar(&c.journal, "journal", true, "keep timelines of leases and runs in the store, and serve them at /v1/events and /v1/runs; --journal=false for none")
	fs.DurationVar(&c.journalKeep, "journal-keep", 7*24*time.Hour, "`duration` for which the events of a timeline stay readable")
	fs.Int64Var(&c.maxHeldBytes, "max-held-bytes", 64<<20, "`bytes` that bodies, each counted twice, and unread answers may take together, and one call to the store at a time for each 512 KiB; beyond it requests get 503")
}
