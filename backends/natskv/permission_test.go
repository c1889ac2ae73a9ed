package natskv_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// TestMissingPermission: a server does not answer a user whom it does not permit to ask. So the
// error has to say what is missing.
func TestMissingPermission(t *testing.T) {
	t.Parallel() // it waits for answers that do not come
	o := natstest.Options(t.TempDir())
	deny := func(subject string) *server.Permissions {
		return &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{subject}}}
	}
	o.Users = []*server.User{
		{Username: "all", Password: "x"},
		{Username: "reader", Password: "x", Permissions: deny("$KV.>")},
		{Username: "stranger", Password: "x", Permissions: deny("$JS.API.>")},
		{Username: "indirect", Password: "x", Permissions: deny("$JS.API.DIRECT.GET.>")},
	}
	quiet := natskv.WithConnectOptions(nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	host := natstest.Start(t, o).Addr().String()
	patience := natskv.WithTimeout(5 * time.Second) // what is permitted must be answered within that
	open(t, "nats://all:x@"+host)
	t.Run("to write", func(t *testing.T) {
		t.Parallel()
		s := open(t, "nats://reader:x@"+host, quiet, patience)
		_, err := s.CompareAndSet(ctx, "k", 0, nil, 0)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `Publish to "$KV.leases.k"`) && !strings.Contains(err.Error(), `Publish to \"$KV.leases.k\"`) {
			t.Error(err)
		}
	})
	for name, tt := range map[string]struct{ user, says string }{
		"to ask":  {"stranger", "permission for $JS.API.>"},
		"to read": {"indirect", `permission to publish to "$JS.API.DIRECT.GET.KV_leases`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := natskv.Open(ctx, "nats://"+tt.user+":x@"+host, quiet, patience); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want one that says %q", err, tt.says)
			}
		})
	}
}

// TestPasswordsAreNotTold: an error of the opening names the servers, and nothing that may be
// secret.
func TestPasswordsAreNotTold(t *testing.T) {
	for url, says := range map[string]string{
		"nats://u:hunter2@127.0.0.1:1,nats://u:hunter2@localhost:1": "nats://127.0.0.1:1,nats://localhost:1",
		"u:hunter2@127.0.0.1:1":           "127.0.0.1:1",
		"nats://hunter2@127.0.0.1:1":      "127.0.0.1:1",
		"nats://127.0.0.1:1/?t=hunter2":   "127.0.0.1:1",
		"nats://u:hunter2@127.0.0.1:port": "not a URL",
		"nats://u:hunter2/3@127.0.0.1:1":  "not a URL",
	} {
		_, err := natskv.Open(ctx, url)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want one that says %q, and no password", err, says)
		}
	}
}

// TestPermissions: the subjects that the package's documentation names are enough for every call.
func TestPermissions(t *testing.T) {
	for name, setup := range map[string]func(t *testing.T, users []*server.User) (host string, replicas int){
		"alone": func(t *testing.T, users []*server.User) (string, int) {
			o := natstest.Options(t.TempDir())
			o.Users = users
			return natstest.Start(t, o).Addr().String(), 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			host, replicas := setup(t, []*server.User{{Username: "app", Password: "x", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: []string{
					"$KV.leases.>",
					"$JS.API.DIRECT.GET.KV_leases",
					"$JS.API.DIRECT.GET.KV_leases.$KV.leases.>",
					"$JS.API.STREAM.MSG.GET.KV_leases",
					"$JS.API.STREAM.INFO.KV_leases",
					"$JS.API.STREAM.CREATE.KV_leases",
					"$JS.API.CONSUMER.CREATE.KV_leases.>",
					"$JS.API.CONSUMER.DELETE.KV_leases.>",
					"$JS.FC.KV_leases.>",

					"$JOURNAL.leases.>",
					"$JS.API.DIRECT.GET.JOURNAL_leases",
					"$JS.API.STREAM.INFO.JOURNAL_leases",
					"$JS.API.STREAM.CREATE.JOURNAL_leases",
				}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}}})
			refused := make(chan error, 100)
			s := open(t, "nats://app:x@"+host, natskv.WithReplicas(replicas),
				natskv.WithConnectOptions(nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })))
			watched, end := context.WithCancel(t.Context())
			states, err := s.Watch(watched, "default/k")
			if err != nil {
				t.Fatal(err)
			}
			nextState(t, states, 10*time.Second)
			revision := set(t, s, "default/k", 0, "v", time.Hour)
			if e, _ := nextState(t, states, 10*time.Second); e.Revision != revision {
				t.Errorf("the watch sent %+v", e)
			}
			if _, err := s.Get(ctx, "default/k"); err != nil {
				t.Error(err)
			}
			if keys := keysOf(t, s, "default/"); len(keys) != 1 {
				t.Errorf("listed: %q", keys)
			}
			if err := s.CompareAndDelete(ctx, "default/k", revision); err != nil {
				t.Error(err)
			}
			add(t, natstest.Patient{Store: s}, entry("default/k", "start", "v"), entry("default/k", "", "v"))
			wantStream(t, natstest.Patient{Store: s}, "default/k", "default/k:start:v default/k::v")
			if newest, err := s.ReadNewest(ctx, "default/", 0, 1); err != nil || len(newest) != 1 {
				t.Errorf("the newest: %v, %v", newest, err)
			}
			if _, total, err := s.Streams(ctx, "", 0, 1); err != nil || total != 1 {
				t.Errorf("%d streams, %v", total, err)
			}
			end()
			for range states {
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			select {
			case err := <-refused:
				t.Error(err)
			default:
			}
		})
	}
}
