package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

func init() {
	roles["zzhog"] = func(path string) error {
		s, err := sqlite.Open(context.Background(), path)
		if err != nil {
			return err
		}
		stop := time.Now().Add(8 * time.Second)
		var wg sync.WaitGroup
		var n atomic.Int64
		for c := range 64 {
			wg.Go(func() {
				var rev uint64
				for time.Now().Before(stop) {
					r, err := s.CompareAndSet(context.Background(), fmt.Sprintf("hog%d-%d", os.Getpid(), c), rev, make([]byte, 300), 0)
					if err != nil {
						fmt.Fprintln(os.Stderr, err)
						return
					}
					rev = r
					n.Add(1)
				}
			})
		}
		wg.Wait()
		fmt.Fprintln(os.Stderr, "hog wrote", n.Load())
		return s.Close()
	}
}

func TestZZStarve(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	c := start(t, "zzhog", path)
	c.begin.Close()
	time.Sleep(time.Second)
	var lat []time.Duration
	var rev uint64
	errs := 0
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
		b := time.Now()
		r, err := s.CompareAndSet(context.Background(), "mine", rev, nil, 0)
		if err != nil {
			errs++
			t.Log(err)
		} else {
			rev = r
		}
		lat = append(lat, time.Since(b))
	}
	sort.Slice(lat, func(i, j int) bool { return lat[i] < lat[j] })
	t.Logf("%d writes, %d errs, p50 %v p99 %v max %v", len(lat), errs, lat[len(lat)/2], lat[len(lat)*99/100], lat[len(lat)-1])
	c.Wait()
	t.Log(c.stderr.String())
}

func TestZZVerdicts(t *testing.T) {
	path := newPath(t)
	a, b := open(t, path, sqlite.WithBusyTimeout(20*time.Millisecond)), open(t, path, sqlite.WithBusyTimeout(20*time.Millisecond))
	db := raw(t, path)
	end := time.Now().Add(6 * time.Second)
	var mu sync.Mutex
	verdict := map[string]error{}
	revs := map[string]uint64{}
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			s := a
			if i%2 == 0 {
				s = b
			}
			rnd := rand.New(rand.NewSource(int64(i)))
			for n := 0; time.Now().Before(end); n++ {
				key := fmt.Sprintf("%d/%d", i, n)
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				if i%3 != 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.Intn(3000))*time.Microsecond)
				}
				bb := time.Now()
				r, err := s.CompareAndSet(ctx, key, 0, []byte(key), 0)
				if d := time.Since(bb); d > 500*time.Millisecond {
					t.Log("slow", d, err)
				}
				cancel()
				mu.Lock()
				verdict[key], revs[key] = err, r
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for time.Now().Before(end) {
			if _, err := db.Exec("BEGIN IMMEDIATE"); err == nil {
				time.Sleep(time.Duration(rand.Intn(30)) * time.Millisecond)
				db.Exec("ROLLBACK")
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	wg.Wait()
	time.Sleep(100 * time.Millisecond)
	there := map[string]backend.Entry{}
	seen := map[uint64]string{}
	for e, err := range a.List(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		there[e.Key] = e
		if seen[e.Revision] != "" {
			t.Fatal("dup revision", e.Revision)
		}
		seen[e.Revision] = e.Key
	}
	var ok, un, unknown, unknownThere int
	for k, err := range verdict {
		_, in := there[k]
		switch {
		case err == nil:
			ok++
			if !in || there[k].Revision != revs[k] {
				t.Error("ack lost", k)
			}
		case errors.Is(err, backend.ErrUnavailable):
			un++
			if in {
				t.Error("nothing written, but there", k, err)
			}
		default:
			unknown++
			if in {
				unknownThere++
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
	}
	t.Log("ok", ok, "unavailable", un, "unknown", unknown, "of which there", unknownThere)
}

func TestZZWatch(t *testing.T) {
	path := newPath(t)
	o := sqlite.WithSynchronous(sqlite.Normal)
	stores := []*sqlite.Store{open(t, path, o), open(t, path, o)}
	end := time.Now().Add(6 * time.Second)
	var wg sync.WaitGroup
	// writers
	for i := range 4 {
		wg.Go(func() {
			s := stores[i%2]
			rnd := rand.New(rand.NewSource(int64(i)))
			for time.Now().Before(end) {
				k := fmt.Sprint(rnd.Intn(5))
				e, _ := s.Get(context.Background(), k)
				switch {
				case e.Revision != 0 && rnd.Intn(4) == 0:
					s.CompareAndDelete(context.Background(), k, e.Revision)
				default:
					s.CompareAndSet(context.Background(), k, e.Revision, []byte(k), time.Duration(rnd.Intn(2))*time.Millisecond)
				}
				if rnd.Intn(50) == 0 {
					time.Sleep(time.Duration(rnd.Intn(60)) * time.Millisecond)
				}
			}
		})
	}
	// short watchers churn
	for i := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewSource(int64(100 + i)))
			for time.Now().Before(end) {
				s := stores[rnd.Intn(2)]
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rnd.Intn(120))*time.Millisecond)
				ch, err := s.Watch(ctx, fmt.Sprint(rnd.Intn(5)))
				var last uint64
				if err == nil {
					for e := range ch {
						if e.Revision != 0 {
							if e.Revision <= last {
								t.Error("back")
							}
							last = e.Revision
						}
					}
				}
				cancel()
			}
		})
	}
	wg.Wait()
	// now: final states, fresh watchers then a single change by the other store, repeatedly with churn
	for round := range 30 {
		ctx, cancel := context.WithCancel(context.Background())
		k := fmt.Sprint(round % 5)
		ch, err := stores[0].Watch(ctx, k)
		if err != nil {
			t.Fatal(err)
		}
		e, _ := stores[1].Get(ctx, k)
		r, err := stores[1].CompareAndSet(ctx, k, e.Revision, []byte("x"), 0)
		if err != nil {
			t.Fatal(err)
		}
		// a write of ours of another key hides it
		ee, _ := stores[0].Get(ctx, "z")
		stores[0].CompareAndSet(ctx, "z", ee.Revision, nil, 0)
		to := time.After(2 * time.Second)
		for got := uint64(0); got != r; {
			select {
			case e := <-ch:
				got = e.Revision
			case <-to:
				t.Fatal("not seen")
			}
		}
		cancel()
	}
}
