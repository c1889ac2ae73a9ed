package timeline_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/timeline"
)

// Each case notes a burst that empties the bucket, and then four entries a millisecond for ten
// seconds. A write lasts as long as the case says for each of its entries.
func TestRate(t *testing.T) {
	for _, tt := range []struct {
		name        string
		opts        []timeline.Option
		perEntry    time.Duration
		least, most int // written, besides the burst
	}{
		{"the default", nil, 0, 9_900, 10_100},
		{"one that is set", []timeline.Option{timeline.WithRate(300)}, 0, 2_900, 3_100},
		{"a store that needs long", nil, time.Millisecond, 500, 1_500},
		{"a store that needs long, and a rate that is set", []timeline.Option{timeline.WithRate(300)}, time.Millisecond, 1_900, 3_100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const burst = 1000
				var b *scripted
				b = newScripted(func(n int, add func() error) error {
					time.Sleep(time.Duration(b.appends()[n-1]) * tt.perEntry)
					return add()
				})
				s := mustOpen(t, b, append(tt.opts, timeline.WithBuffer(burst))...)
				noted := 0
				observe := func() {
					s.Observe(lease.Event{Kind: lease.EventLocked, Namespace: "ns", Key: "k", At: time.Now()})
					noted++
				}
				for range burst {
					observe()
				}
				if n := s.Dropped(); n > 0 {
					t.Errorf("%d of the burst were dropped", n)
				}
				for range 10_000 {
					time.Sleep(time.Millisecond)
					for range 4 {
						observe()
					}
				}
				mustFlush(t, s)
				written := 0
				for _, n := range b.appends() {
					written += n
				}
				if n := written - burst; n < tt.least || n > tt.most {
					t.Errorf("%d were written besides the burst, want from %d to %d", n, tt.least, tt.most)
				}
				if n := int(s.Dropped()); n != noted-written {
					t.Errorf("%d were dropped, of %d that were noted and %d that were written", n, noted, written)
				}
				mustAppend(t, s, note("r", 0)) // is not limited
				for range burst {
					s.Note(note("r", 1))
				}
				mustAppend(t, s, note("r", 2))
			})
		})
	}
}

// The log tells of the rate once, and of the end when nothing has been refused for a while.
func TestRateIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := mustOpen(t, memory.New(), timeline.WithRate(10), timeline.WithBuffer(1000), timeline.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		for range 1000 {
			s.Note(note("r", 0))
		}
		mustFlush(t, s)
		for range 200 { // twice as many as are taken
			time.Sleep(50 * time.Millisecond)
			s.Note(note("r", 1))
		}
		dropped := s.Dropped()
		time.Sleep(time.Minute)
		s.Note(note("r", 2))
		mustFlush(t, s)
		synctest.Wait() // the writer logs after it has answered
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "rate") || dropped == 0 || !strings.Contains(lines[1], fmt.Sprint("dropped=", dropped)) {
			t.Errorf("%d were dropped, and logged was %q", dropped, lines)
		}
	})
}

// Large entries fill the buffer before it has as many as it may have.
func TestBufferInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, memory.New(), timeline.WithBuffer(100)) // 1 MiB
		large := note("r", 0)
		large.Fields = []byte(`{"x":"` + strings.Repeat("x", 60_000) + `"}`)
		for range 2 { // what is written makes room
			for range 20 {
				s.Note(large)
			}
			mustFlush(t, s)
		}
		if got, n := len(mustRead(t, s, "r")), s.Dropped(); got != 34 || n != 6 {
			t.Errorf("%d were written and %d were dropped, want 34 and 6", got, n)
		}
	})
}
