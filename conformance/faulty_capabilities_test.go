package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
)

// TestFaultyKeepsCapabilities: whoever asks by backend.As finds what the store can do, and no more.
func TestFaultyKeepsCapabilities(t *testing.T) {
	store := memory.New()
	for _, tt := range []struct {
		name                                      string
		store                                     backend.Backend
		lists, watches, prefixes, journals, close bool
	}{
		{"all", store, true, true, true, true, true},
		{"none", struct{ backend.Backend }{store}, false, false, false, false, false},
		{"it lists", struct {
			backend.Backend
			backend.Lister
		}{store, store}, true, false, false, false, false},
		{"it watches", struct {
			backend.Backend
			backend.Watcher
		}{store, store}, false, true, false, false, false},
		{"it watches prefixes", struct {
			backend.Backend
			backend.PrefixWatcher
		}{store, store}, false, false, true, false, false},
		{"it has a journal", struct {
			backend.Backend
			backend.Journal
		}{store, store}, false, false, false, true, false},
		{"another Faulty", conformance.NewFaulty(store, conformance.Faults{}, 2), true, true, true, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := conformance.NewFaulty(tt.store, conformance.Faults{}, 1)
			if _, ok := backend.As[backend.Lister](f); ok != tt.lists {
				t.Errorf("a Lister is found: %t, want %t", ok, tt.lists)
			}
			if _, ok := backend.As[backend.Watcher](f); ok != tt.watches {
				t.Errorf("a Watcher is found: %t, want %t", ok, tt.watches)
			}
			if _, ok := backend.As[backend.PrefixWatcher](f); ok != tt.prefixes {
				t.Errorf("a PrefixWatcher is found: %t, want %t", ok, tt.prefixes)
			}
			if _, ok := backend.As[backend.Journal](f); ok != tt.journals {
				t.Errorf("a Journal is found: %t, want %t", ok, tt.journals)
			}
			if _, ok := backend.As[io.Closer](f); ok != tt.close {
				t.Errorf("an io.Closer is found: %t, want %t", ok, tt.close)
			}
			if got, ok := backend.As[*conformance.Faulty](f); !ok || got != f {
				t.Errorf("the Faulty itself is found: %t", ok)
			}
		})
	}
}

// TestFaultyConforms: without faults it is as good as its store, listings and watches included.
func TestFaultyConforms(t *testing.T) {
	conformance.Run(t, func(t *testing.T) backend.Backend {
		return conformance.NewFaulty(memory.New(), conformance.Faults{}, 1)
	})
}

// TestFaultyReads shows what each kind of fault does to a listing of two entries, and to a watch.
func TestFaultyReads(t *testing.T) {
	for _, tt := range []struct {
		name    string
		faults  conformance.Faults
		err     error // of both; nil: none
		entries int   // that the listing yields before
		listErr error // of the listing alone
		ends    bool  // the watch, after its first state
		later   bool  // both begin, but not at once
	}{
		{name: "none", entries: 2},
		{name: "refused", faults: conformance.Faults{Refused: 1}, err: backend.ErrUnavailable},
		{name: "lost request", faults: conformance.Faults{LostRequest: 1}, err: conformance.ErrInjected},
		{name: "late", faults: conformance.Faults{Late: 1}, err: conformance.ErrInjected},
		{name: "lost answer", faults: conformance.Faults{LostAnswer: 1}, entries: 1, listErr: conformance.ErrInjected, ends: true},
		{name: "delay", faults: conformance.Faults{Delay: 1, MaxDelay: time.Hour}, entries: 2, later: true},
		{name: "duplicate", faults: conformance.Faults{Duplicate: 1, MaxDelay: time.Hour}, entries: 2, later: true},
		{name: "stale", faults: conformance.Faults{Stale: 1}, entries: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				for i := range 2 {
					if _, err := store.CompareAndSet(bg, fmt.Sprint("k", i), 0, nil, 0); err != nil {
						t.Fatal(err)
					}
				}
				f := conformance.NewFaulty(store, tt.faults, 7)

				begun := time.Now()
				entries, err := listAll(f)
				want := tt.err
				if tt.listErr != nil {
					want = tt.listErr
				}
				if entries != tt.entries || !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("the listing yields %d entries and ends with %v, want %d and %v", entries, err, tt.entries, want)
				}
				if waited := time.Since(begun) > 0; waited != tt.later {
					t.Errorf("the listing waits: %t", waited)
				}

				w, _ := backend.As[backend.Watcher](f)
				watches(t, tt.err, tt.ends, func(ctx context.Context) (<-chan backend.Entry, error) { return w.Watch(ctx, "k0") }, func() {})
				p, _ := backend.As[backend.PrefixWatcher](f)
				watches(t, tt.err, tt.ends, func(ctx context.Context) (<-chan backend.Entry, error) { return p.WatchPrefix(ctx, "k") }, func() {
					e, _ := store.Get(bg, "k0")
					store.CompareAndSet(bg, "k0", e.Revision, nil, 0)
				})

				count := 1
				if tt.name == "none" {
					count = 0
				}
				for _, call := range []string{"list: ", "watch: ", "watch prefix: "} {
					if n := f.Injected()[call+tt.name]; n != count {
						t.Errorf("%d faults are counted under %q", n, call+tt.name)
					}
				}
			})
		})
	}
}

// watches begins a watch of k0, which is told a state then or by change, and looks at how it ends.
func watches(t *testing.T, want error, ends bool, begin func(ctx context.Context) (<-chan backend.Entry, error), change func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	states, err := begin(ctx)
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("the watch fails with %v, want %v", err, want)
	}
	if err != nil {
		return
	}
	change()
	if e := <-states; e.Key != "k0" || e.Revision == 0 {
		t.Errorf("the first state is %+v", e)
	}
	synctest.Wait()
	select {
	case e, ok := <-states:
		if ok || !ends {
			t.Errorf("then comes %+v, %t", e, ok)
		}
	default:
		if ends {
			t.Error("the watch goes on")
		}
	}
}

// listAll lists all that f has, and tells how that ended.
func listAll(f *conformance.Faulty) (entries int, err error) {
	l, _ := backend.As[backend.Lister](f)
	for e, err := range l.List(bg, "") {
		if err != nil {
			return entries, err
		}
		if e.Revision != 0 {
			entries++
		}
	}
	return entries, nil
}

// TestFaultyLosesTheEndOfAListing: that there is no entry may be lost as well.
func TestFaultyLosesTheEndOfAListing(t *testing.T) {
	f := conformance.NewFaulty(memory.New(), conformance.Faults{LostAnswer: 1}, 1)
	if n, err := listAll(f); n != 0 || !errors.Is(err, conformance.ErrInjected) {
		t.Errorf("%d entries, %v", n, err)
	}
}

// TestCrashEndsListingsAndWatches: those that run end, and new ones see the new store.
func TestCrashEndsListingsAndWatches(t *testing.T) {
	before, after := memory.New(), memory.New()
	for i := range 3 {
		before.CompareAndSet(bg, fmt.Sprint("before", i), 0, nil, 0)
	}
	after.CompareAndSet(bg, "after", 0, nil, 0)
	f := conformance.NewFaulty(before, conformance.Faults{}, 1)
	l, _ := backend.As[backend.Lister](f)
	w, _ := backend.As[backend.Watcher](f)
	states, err := w.Watch(t.Context(), "before0")
	if err != nil {
		t.Fatal(err)
	}
	p, _ := backend.As[backend.PrefixWatcher](f)
	below, err := p.WatchPrefix(t.Context(), "before")
	if err != nil {
		t.Fatal(err)
	}
	entries := 0
	var last error
	for _, err := range l.List(bg, "") {
		if last = err; err == nil {
			entries++
			f.Crash(func(backend.Backend) backend.Backend { return after })
		}
	}
	if entries != 1 || !errors.Is(last, conformance.ErrInjected) {
		t.Errorf("the listing yields %d entries and ends with %v", entries, last)
	}
	for range states { // until the channel is closed
	}
	for range below {
	}
	for e, err := range l.List(bg, "") {
		if err != nil || e.Key != "after" {
			t.Errorf("after the crash a listing yields %+v, %v", e, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	again, err := w.Watch(ctx, "after")
	if err != nil {
		t.Fatal(err)
	}
	if e := <-again; e.Revision == 0 {
		t.Errorf("after the crash a watch sends %+v", e)
	}
}
