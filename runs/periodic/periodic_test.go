package periodic_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/runs/periodic"
)

var task = runs.Task[int, int]{Name: "task"}

func newManager(t *testing.T, clock *leasetest.Clock) *lease.Manager {
	t.Helper()
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	m, err := lease.NewManager(store, lease.WithClock(clock))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// starts counts what was asked for and what was started, by key.
type starts struct {
	mu      sync.Mutex
	asked   map[string]int
	started map[string]int
	each    chan string // has the key of each that was asked for
}

func newStarts() *starts {
	return &starts{asked: make(map[string]int), started: make(map[string]int), each: make(chan string, 1000)}
}

// by is the Start of a job that counts.
func (s *starts) by(t *testing.T, r *runs.Runner) func(ctx context.Context, key string, tick time.Time) error {
	return func(ctx context.Context, key string, tick time.Time) error {
		_, started, err := task.Start(ctx, r, key, 1, nil)
		if err != nil {
			t.Errorf("start of %s: %v", key, err)
		}
		s.mu.Lock()
		if s.asked[key]++; started {
			s.started[key]++
		}
		s.mu.Unlock()
		s.each <- key
		return err
	}
}

// await waits until n servers wait for the clock.
func await(t *testing.T, clock *leasetest.Clock, n int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); clock.Timers() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d servers wait for the clock, want %d", clock.Timers(), n)
		}
	}
}

// serve has a server start jobs until the test ends, or until stop.
func serve(t *testing.T, m *lease.Manager, jobs ...periodic.Job) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- periodic.Work(ctx, m, nil, jobs...) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("work: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// Three servers on one file start each tick, and one of them has started it.
func TestThreeServersStartEachTickOnce(t *testing.T) {
	clock := leasetest.NewClock(time.Date(2026, 10, 24, 23, 59, 0, 0, time.UTC))
	file := filepath.Join(t.TempDir(), "leases.db")
	counted := newStarts()
	for range 3 {
		store, err := sqlite.Open(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		m, err := lease.NewManager(store, lease.WithClock(clock))
		if err != nil {
			t.Fatal(err)
		}
		serve(t, m, periodic.Job{
			Name: "often", Late: time.Minute, Schedule: mustEvery(t, 20*time.Minute), Start: counted.by(t, runs.New(m)),
		}, periodic.Job{
			Name: "nightly", Late: time.Minute, Schedule: mustCron(t, "30 2 * * *", "Europe/Berlin"), Start: counted.by(t, runs.New(m)),
		})
	}
	want := make(map[string]int)
	for range 4 * 60 { // with the night on which clocks show half past two twice
		await(t, clock, 6)
		clock.Advance(time.Minute)
		now := clock.Now()
		var due []string
		if now.Unix()%1200 == 0 {
			due = append(due, periodic.Key("often", now))
		}
		if now.Equal(time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)) {
			due = append(due, "nightly@2026-10-25T00:30:00Z")
		}
		for range 3 * len(due) {
			<-counted.each
		}
		for _, key := range due {
			want[key] = 1
		}
	}
	counted.mu.Lock()
	defer counted.mu.Unlock()
	if !reflect.DeepEqual(counted.started, want) || len(want) != 13 {
		t.Errorf("started were %v, want %v", counted.started, want)
	}
	for key, n := range counted.asked {
		if n != 3 {
			t.Errorf("%s was asked for %d times", key, n)
		}
	}
}

// A server that was not there starts the last tick, if that is not too long ago, and none that was
// started.
func TestALateServer(t *testing.T) {
	for name, tt := range map[string]struct {
		late  time.Duration
		at    string
		start string
	}{
		"just so":               {0, "2026-11-25T13:00:00Z", "job@2026-11-25T12:00:00Z"},
		"too late":              {0, "2026-11-25T13:00:01Z", ""},
		"a job with more time":  {6 * time.Hour, "2026-11-25T17:59:00Z", "job@2026-11-25T12:00:00Z"},
		"the last of several":   {24 * time.Hour, "2026-11-26T01:00:00Z", "job@2026-11-26T00:00:00Z"},
		"at the time of a tick": {time.Minute, "2026-11-25T18:00:00Z", "job@2026-11-25T18:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			clock := leasetest.NewClock(instant(t, tt.at))
			m := newManager(t, clock)
			counted := newStarts()
			job := periodic.Job{Name: "job", Late: tt.late, Schedule: mustEvery(t, 6*time.Hour), Start: counted.by(t, runs.New(m))}
			for range 2 {
				stop := serve(t, m, job)
				await(t, clock, 1)
				stop()
			}
			want := map[string]int{}
			if tt.start != "" {
				want[tt.start] = 1
			}
			if !reflect.DeepEqual(counted.started, want) || tt.start != "" && counted.asked[tt.start] != 2 {
				t.Errorf("started were %v, asked for %v, want %v", counted.started, counted.asked, want)
			}
		})
	}
}

// A clock that leaps over ticks, as that of a machine which was suspended, starts the last.
func TestAClockThatLeaps(t *testing.T) {
	clock := leasetest.NewClock(instant(t, "2026-11-25T12:00:30Z"))
	m := newManager(t, clock)
	var keys []string
	began := make(chan struct{}, 10)
	serve(t, m, periodic.Job{Name: "job", Schedule: mustEvery(t, time.Minute), Start: func(_ context.Context, key string, _ time.Time) error {
		keys = append(keys, key)
		began <- struct{}{}
		return nil
	}})
	<-began
	await(t, clock, 1)
	clock.Advance(-time.Hour) // it was set back: nothing is started anew
	clock.Advance(time.Minute)
	await(t, clock, 1)
	clock.Advance(59*time.Minute + 5*time.Hour)
	for last := periodic.Key("job", instant(t, "2026-11-25T17:00:00Z")); ; {
		<-began
		await(t, clock, 1)
		if keys[len(keys)-1] == last {
			break
		}
	}
	if want := periodic.Key("job", instant(t, "2026-11-25T12:00:00Z")); keys[0] != want || slices.Contains(keys[1:], want) || len(keys) > 3 {
		t.Errorf("started were %q", keys)
	}
}

// A store that is away is asked again, and told of once. A tick that is over meanwhile gives way.
func TestAStoreThatIsAway(t *testing.T) {
	clock := leasetest.NewClock(instant(t, "2026-11-25T12:00:00Z"))
	var log bytes.Buffer
	asked := 0
	job := periodic.Job{Name: "job", Schedule: mustEvery(t, time.Hour), Start: func(_ context.Context, key string, _ time.Time) error {
		if asked++; asked <= 5 {
			return &lease.Error{Op: "start", Key: "s3cret", Err: lease.ErrUnavailable}
		}
		return nil
	}}
	m := newManager(t, clock)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- periodic.Work(ctx, m, slog.New(slog.NewTextHandler(&log, nil)), job) }()
	for range 6 {
		await(t, clock, 1)
		clock.Advance(time.Second)
	}
	await(t, clock, 1)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if text := log.String(); asked != 6 || strings.Count(text, "level=WARN") != 1 || strings.Count(text, "level=INFO") != 1 || strings.Contains(text, "s3cret") {
		t.Errorf("asked %d times, logged %s", asked, text)
	}
}

// What cannot be started is told, and not tried for ever.
func TestWhatIsNoJob(t *testing.T) {
	clock := leasetest.NewClock(instant(t, "2026-11-25T12:00:00Z"))
	m := newManager(t, clock)
	fails := fmt.Errorf("too large: %w", lease.ErrInvalid)
	start := func(context.Context, string, time.Time) error { return fails }
	hourly := mustEvery(t, time.Hour)
	for name, jobs := range map[string][]periodic.Job{
		"name":       {{Schedule: hourly, Start: start}},
		"a name":     {{Name: strings.Repeat("s3cret", 30), Schedule: hourly, Start: start}},
		"two":        {{Name: "s3cret", Schedule: hourly, Start: start}, {Name: "s3cret", Schedule: hourly, Start: start}},
		"no ticks":   {{Name: "a", Start: start}},
		"no start":   {{Name: "a", Schedule: hourly}},
		"late":       {{Name: "a", Schedule: hourly, Start: start, Late: 24*time.Hour + 1}},
		"early":      {{Name: "a", Schedule: hourly, Start: start, Late: -1}},
		"a bad task": {{Name: "a", Schedule: hourly, Start: start}},
	} {
		if err := periodic.Work(t.Context(), m, nil, jobs...); !errors.Is(err, lease.ErrInvalid) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
