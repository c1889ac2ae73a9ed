package lease_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// levels has the level of each kind of event. Kinds are labels of metrics, and stay as they are.
var levels = map[lease.EventKind]slog.Level{
	"acquired":         slog.LevelDebug,
	"taken_over":       slog.LevelInfo,
	"replaced":         slog.LevelInfo,
	"extended":         slog.LevelDebug,
	"released":         slog.LevelInfo,
	"completed":        slog.LevelDebug,
	"failed":           slog.LevelInfo,
	"lost":             slog.LevelWarn,
	"expired_seen":     slog.LevelInfo,
	"conflict_retried": slog.LevelDebug,
	"outcome_settled":  slog.LevelWarn,
	"clock_suspect":    slog.LevelWarn,
	"unreadable":       slog.LevelError,
}

// TestTheLogKeepsSecrets has everything in it happen that is logged.
func TestTheLogKeepsSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		bad := newScriptedStore()
		store := bad.Store
		m, clock := newManager(t, bad, lease.WithLogger(j.logger(slog.LevelDebug)))
		secret := json.RawMessage(`{"s":"secret"}`)
		opt := &lease.AcquireOptions{TTL: time.Minute, Metadata: secret, Nonce: "secret", InputHash: "secret", RetryFailed: true}
		var ids []string
		acquire := func() string {
			opt.Nonce = fmt.Sprint("secret ", len(ids))
			l := mustAcquire(t, m, "k", opt)
			ids = append(ids, l.LeaseID)
			return l.LeaseID
		}
		must := func(_ lease.Lease, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		acquire()
		clock.Advance(time.Hour)
		must(m.Status(ctx, "k"))
		must(m.Extend(ctx, "k", acquire(), nil))
		if _, err := m.Extend(ctx, "k", ids[0], nil); !errors.Is(err, lease.ErrLost) {
			t.Errorf("error is %v, want ErrLost", err)
		}
		bad.plan = []day{answerLost}
		must(m.Fail(ctx, "k", ids[1], lease.Failure{Code: "code", Hash: "secret", Text: "secret"}))
		must(m.Release(ctx, "k", acquire()))
		acquire()
		clock.Advance(-time.Hour) // as a wall clock that is set back
		must(m.Status(ctx, "k"))
		clock.Advance(time.Hour)
		opt.InputHash, opt.Replace = "secret input", true
		bad.plan = []day{busy}
		must(m.Complete(ctx, "k", acquire(), lease.Completion{Result: secret, ResultHash: "secret"}))
		e, err := store.Get(ctx, "default/k")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.CompareAndSet(ctx, "default/k", e.Revision, append([]byte(`{"format":1,"state":"completed","result":"secret"} `), e.Value...), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Status(ctx, "k"); !errors.Is(err, lease.ErrUnreadable) {
			t.Errorf("error is %v, want ErrUnreadable", err)
		}
		_, log := j.told(t, m)
		for kind, level := range levels {
			if want := fmt.Sprintf("level=%v msg=\"lease: %s\" ", level, kind); !strings.Contains(log, want) {
				t.Errorf("nothing was logged that begins with %s", want)
			}
		}
		for _, s := range append(ids, "lease_", "secret") {
			if strings.Contains(log, s) {
				t.Errorf("%q is in the log:\n%s", s, log)
			}
		}
	})
}

func TestTheLogLevelIsHeeded(t *testing.T) {
	for _, tt := range []struct {
		level slog.Level
		lines int
	}{
		{slog.LevelDebug, 5},
		{slog.LevelInfo, 3},
		{slog.LevelWarn, 1},
		{slog.LevelError, 0},
	} {
		var j journal
		m, clock := newManager(t, memory.New(), lease.WithLogger(j.logger(tt.level)))
		l := mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
		clock.Advance(time.Minute)
		second := mustAcquire(t, m, "k", nil)
		if _, err := m.Extend(ctx, "k", l.LeaseID, nil); !errors.Is(err, lease.ErrLost) {
			t.Errorf("error is %v, want ErrLost", err)
		}
		_, err := m.Extend(ctx, "k", second.LeaseID, nil)
		_, err2 := m.Cancel(ctx, "k", second.LeaseID, "")
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		_, log := j.told(t, m)
		if lines := strings.Count(log, "\n"); lines != tt.lines {
			t.Errorf("%v: %d lines, want %d:\n%s", tt.level, lines, tt.lines, log)
		}
	}
}
