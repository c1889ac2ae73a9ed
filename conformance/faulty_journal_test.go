package conformance_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
)

// TestFaultyJournal shows what each kind of fault does to an Append and to reads.
func TestFaultyJournal(t *testing.T) {
	for _, tt := range []struct {
		name         string
		faults       conformance.Faults
		err, readErr error // nil: none
		entries      int   // that are there when the Append has returned
		afterwards   int   // and an hour later
		later        bool  // calls take their time
	}{
		{name: "none", entries: 1, afterwards: 1},
		{name: "refused", faults: conformance.Faults{Refused: 1}, err: backend.ErrUnavailable, readErr: backend.ErrUnavailable},
		{name: "lost request", faults: conformance.Faults{LostRequest: 1}, err: conformance.ErrInjected, readErr: conformance.ErrInjected},
		{name: "lost answer", faults: conformance.Faults{LostAnswer: 1}, err: conformance.ErrInjected, readErr: conformance.ErrInjected, entries: 1, afterwards: 1},
		{name: "late", faults: conformance.Faults{Late: 1, MaxDelay: time.Hour}, err: conformance.ErrInjected, readErr: conformance.ErrInjected, afterwards: 1},
		{name: "delay", faults: conformance.Faults{Delay: 1, MaxDelay: time.Hour}, entries: 1, afterwards: 1, later: true},
		{name: "duplicate", faults: conformance.Faults{Duplicate: 1, MaxDelay: time.Hour}, entries: 1, afterwards: 1, later: true},
		{name: "false conflict", faults: conformance.Faults{FalseConflict: 1}, entries: 1, afterwards: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				f := conformance.NewFaulty(store, tt.faults, 7)
				j, _ := backend.As[backend.Journal](f)
				entries := func() int {
					page, err := store.ReadStream(t.Context(), "s", 0, 10)
					if err != nil {
						t.Fatal(err)
					}
					return len(page)
				}
				begun := time.Now()
				data := []byte("data")
				err := j.Append(t.Context(), []backend.JournalEntry{{Stream: "s", Data: data, Keep: 100 * time.Hour}})
				clear(data)
				if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
					t.Errorf("Append returned %v, want %v", err, tt.err)
				}
				if n := entries(); n != tt.entries {
					t.Errorf("then there are %d entries, want %d", n, tt.entries)
				}
				for name, read := range map[string]func() error{
					"ReadStream": func() error { _, err := j.ReadStream(t.Context(), "s", 0, 10); return err },
					"ReadNewest": func() error { _, err := j.ReadNewest(t.Context(), "", 0, 10); return err },
					"Streams":    func() error { _, _, err := j.Streams(t.Context(), "", 0, 10); return err },
				} {
					if err := read(); !errors.Is(err, tt.readErr) || tt.readErr == nil && err != nil {
						t.Errorf("%s returned %v, want %v", name, err, tt.readErr)
					}
				}
				if later := time.Since(begun) > 0; later != tt.later {
					t.Errorf("the calls take time: %t", later)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				page, err := store.ReadStream(t.Context(), "s", 0, 10)
				if err != nil || len(page) != tt.afterwards || len(page) > 0 && string(page[0].Data) != "data" {
					t.Errorf("an hour later there are %+v, %v, want %d", page, err, tt.afterwards)
				}
				for call, want := range map[string]int{"append: ": 1, "journal: ": 3} {
					if n := f.Injected()[call+tt.name]; tt.name != "none" && n != want {
						t.Errorf("%d faults are counted under %q", n, call+tt.name)
					}
				}
			})
		})
	}
}

// TestCrashOfAFaultyJournal: it goes on with the new store.
func TestCrashOfAFaultyJournal(t *testing.T) {
	before, after := memory.New(), memory.New()
	f := conformance.NewFaulty(before, conformance.Faults{}, 1)
	j, _ := backend.As[backend.Journal](f)
	f.Crash(func(backend.Backend) backend.Backend { return after })
	if err := j.Append(t.Context(), []backend.JournalEntry{{Stream: "s", Keep: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	for store, want := range map[*memory.Store]int{before: 0, after: 1} {
		if page, err := store.ReadStream(t.Context(), "s", 0, 10); err != nil || len(page) != want {
			t.Errorf("a store holds %d entries, %v, want %d", len(page), err, want)
		}
	}
}
