package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// Notes of progress, for people.

// TestProgressIsShown: the note rides on the next write of the lease, and causes one at most once a
// second.
func TestProgressIsShown(t *testing.T) {
	bubbleWith(t, "within a second, and at most once a second", func(t *testing.T, b *scriptedStore) {
		at := writesAt(b)
		m, other := host(t, b), host(t, b.Store)
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Minute, Metadata: json.RawMessage(`{"host":"a"}`)}, func(ctx context.Context) error {
			for i := range 99 { // for ten seconds
				lease.Progress(ctx, i)
				time.Sleep(100 * time.Millisecond)
			}
			if l := status(t, other, "k"); string(l.Metadata) != `{"host":"a"}` || l.TTLLeft < 59*time.Second {
				t.Errorf("the metadata is %s, %v left", l.Metadata, l.TTLLeft)
			}
			if own, _ := lease.FromContext(ctx); string(own.Progress) != "98" {
				t.Errorf("the function itself sees %s", own.Progress)
			}
			time.Sleep(10 * time.Second) // the last one comes too, and then there is nothing to write
			if l := status(t, other, "k"); string(l.Progress) != "98" {
				t.Errorf("the note is %s", l.Progress)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		want := []time.Duration{0} // the acquire; then one each second, and the end
		for i := range 10 {
			want = append(want, time.Duration(i+1)*time.Second)
		}
		mustBeAt(t, *at, append(want, 19900*time.Millisecond)...)
		if l := status(t, other, "k"); string(l.Progress) != "98" {
			t.Errorf("completed, it has the note %s", l.Progress)
		}
	})
	for name, end := range map[string]struct {
		err  error
		want string
	}{
		"a completion": {nil, "completed 1"}, "a failure": {coded("boom"), "failed 1 boom, retryable"}, "a release": {context.Canceled, "released 1"},
	} {
		bubbleWith(t, "it rides on "+name, func(t *testing.T, b *scriptedStore) {
			m := host(t, b)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_ = mustExec(t, ctx, m, "k", nil, func(ctx context.Context) error {
				lease.Progress(ctx, "all done")
				if errors.Is(end.err, context.Canceled) {
					cancel()
				}
				return end.err
			})
			if l := mustStand(t, m, "k", end.want); string(l.Progress) != `"all done"` || b.writes.Load() != 2 {
				t.Errorf("the note is %s after %d writes", l.Progress, b.writes.Load())
			}
		})
	}
	bubbleWith(t, "it rides on a save, and on an extension", func(t *testing.T, b *scriptedStore) {
		m := host(t, b)
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: 3 * time.Second}, func(ctx context.Context) error {
			lease.Progress(ctx, "saved")
			if err := lease.Save(ctx, 1); err != nil {
				t.Error(err)
			}
			if l := status(t, m, "k"); string(l.Progress) != `"saved"` || l.Version != 2 {
				t.Errorf("the note is %s at version %d", l.Progress, l.Version)
			}
			time.Sleep(900 * time.Millisecond)
			lease.Progress(ctx, "extended")
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if l := status(t, m, "k"); string(l.Progress) != `"extended"` || l.Version != 3 {
				t.Errorf("the note is %s at version %d", l.Progress, l.Version)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	bubbleWith(t, "also if the write that it rode on has failed", func(t *testing.T, b *scriptedStore) {
		m, other := host(t, b), host(t, b.Store)
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Minute}, func(ctx context.Context) error {
			b.away.Store(true)
			lease.Progress(ctx, "first")
			time.Sleep(10 * time.Second)
			b.away.Store(false)
			time.Sleep(2 * time.Second)
			if l := status(t, other, "k"); string(l.Progress) != `"first"` {
				t.Errorf("the note is %s", l.Progress)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	bubbleWith(t, "to the function itself also while it is being written", func(t *testing.T, b *scriptedStore) {
		b.before = func(context.Context) error {
			time.Sleep(time.Second) // each answer takes as long
			return nil
		}
		err := mustExec(t, t.Context(), host(t, b), "k", &lease.DoOptions{TTL: time.Minute}, func(ctx context.Context) error {
			for _, note := range []string{"first", "second"} {
				lease.Progress(ctx, note)
				for range 40 { // twice as long
					time.Sleep(50 * time.Millisecond)
					if l, _ := lease.FromContext(ctx); string(l.Progress) != strconv.Quote(note) {
						t.Fatalf("the note is %s, want %q", l.Progress, note)
					}
				}
			}
			return nil
		})
		if err != nil || b.writes.Load() != 4 {
			t.Errorf("%v after %d writes, want 4", err, b.writes.Load())
		}
	})
	bubbleWith(t, "unless it cannot be: then the note says why", func(t *testing.T, b *scriptedStore) {
		m := host(t, b)
		err := mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error {
			for name, tt := range map[string]struct {
				v    any
				says string // the beginning of the note
			}{
				"the longest":   {strings.Repeat("x", 1022), `"xxx`},
				"too long":      {strings.Repeat("x", 1023), `"progress cannot be shown: 1025 bytes, limit 1024"`},
				"a channel":     {make(chan int), `"progress cannot be shown: json: unsupported type: chan int"`},
				"a bomb":        {&trap{marshal: func() { panic("boom") }}, `"progress cannot be shown: encoding panicked: boom"`},
				"an object":     {map[string]int{"done": 3}, `{"done":3}`},
				"nothing":       {nil, `null`},
				"HTML":          {"<b>", `"<b>"`},
				"invalid UTF-8": {"\xff", `"` + `\ufffd` + `"`},
			} {
				lease.Progress(ctx, tt.v)
				time.Sleep(2 * time.Second)
				if l := status(t, m, "k"); !strings.HasPrefix(string(l.Progress), tt.says) && !strings.HasPrefix(string(l.Progress), `"�`) {
					t.Errorf("%s: the note is %s, want %s", name, l.Progress, tt.says)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	bubbleWith(t, "and never blocks", func(t *testing.T, b *scriptedStore) {
		err := mustExec(t, t.Context(), host(t, b), "k", &lease.DoOptions{TTL: time.Minute}, func(ctx context.Context) error {
			b.hangs.Store(true)
			begun := time.Now()
			for i := range 1000 {
				lease.Progress(ctx, i)
			}
			if took := time.Since(begun); took != 0 {
				t.Errorf("it took %v", took)
			}
			b.hangs.Store(false)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("it is gone with the attempt", func(t *testing.T) {
		m := host(t, memory.New())
		runs := 0
		err := func() error {
			_, err := mustRunTimes(t, 2, t.Context(), m, "k", &lease.DoOptions{Attempts: 2}, func(ctx context.Context) (int, error) {
				if runs++; runs == 1 {
					lease.Progress(ctx, "of the first")
					return 0, coded("boom")
				}
				if l, _ := lease.FromContext(ctx); len(l.Progress) != 0 {
					t.Errorf("the second attempt has the note %s", l.Progress)
				}
				return 1, nil
			})
			return err
		}()
		if err != nil {
			t.Error(err)
		}
	})
}
