package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

func TestYYFull(t *testing.T) {
	path := "/tmp/zzfull/leases.db"
	if _, err := os.Stat("/tmp/zzfull"); err != nil {
		t.Skip()
	}
	os.Remove(path)
	s := open(t, path)
	filler := "/tmp/zzfull/filler"
	verdict := map[string]error{}
	var mu sync.Mutex
	errsSeen := map[string]int{}
	for round := range 6 {
		var wg sync.WaitGroup
		for c := range 8 {
			wg.Go(func() {
				for n := range 60 {
					key := fmt.Sprintf("%d/%d/%d", round, c, n)
					_, err := s.CompareAndSet(context.Background(), key, 0, make([]byte, 1000*(c+1)/2), 0)
					mu.Lock()
					verdict[key] = err
					if err != nil {
						errsSeen[errors.Unwrap(err).Error()]++
					}
					mu.Unlock()
					if _, err := s.Get(context.Background(), key); err != nil && !errors.Is(err, backend.ErrNotFound) {
						t.Log("get", err)
					}
				}
			})
		}
		if round%2 == 0 {
			time.Sleep(time.Duration(3+round*2) * time.Millisecond)
			os.WriteFile(filler, make([]byte, 3<<20), 0o600)
		}
		wg.Wait()
		os.Remove(filler)
		// delete everything to make space
		for e, err := range s.List(context.Background(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if v, ok := verdict[e.Key]; ok && errors.Is(v, backend.ErrUnavailable) {
				t.Error("nothing written but there", e.Key, v)
			}
			if err := s.CompareAndDelete(context.Background(), e.Key, e.Revision); err != nil {
				t.Log("del", err)
				break
			}
			verdict[e.Key] = errors.New("deleted")
		}
		for k, v := range verdict {
			if v == nil {
				if _, err := s.Get(context.Background(), k); err != nil {
					t.Error("lost", k)
				}
			}
		}
	}
	t.Log(errsSeen)
	img := crashImage(t, path)
	s2 := open(t, img)
	for e := range s2.List(context.Background(), "") {
		if errors.Is(verdict[e.Key], backend.ErrUnavailable) { t.Error("in image", e.Key) }
	}
	set(t, s, "after", 0, "")
}

func TestYYStrace(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	time.Sleep(50 * time.Millisecond)
	os.Stat("/zzmark-begin")
	var r uint64
	for range 20 {
		r = set(t, s, "k", r, "v")
	}
	os.Stat("/zzmark-end")
	for range 20 {
		s.CompareAndSet(context.Background(), "k", 0, nil, 0)
	}
	os.Stat("/zzmark-lost")
}

func TestYYTwoProcs(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	var cs []*child
	for range 3 {
		c := start(t, "zzhog", path)
		c.begin.Close()
		cs = append(cs, c)
	}
	time.Sleep(time.Second)
	var worst time.Duration
	n := 0
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
		b := time.Now()
		_, err := s.CompareAndSet(context.Background(), fmt.Sprint(n), 0, nil, 0)
		if err != nil {
			t.Error(err)
		}
		n++
		worst = max(worst, time.Since(b))
		time.Sleep(5 * time.Millisecond)
	}
	t.Log(n, "worst", worst)
	for _, c := range cs {
		c.Wait()
		t.Log(c.stderr.String())
	}
	_ = sqlite.Full
}
