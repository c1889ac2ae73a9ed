package usage

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ailease/lease"
)

func TestJudge(t *testing.T) {
	e := entry{Writes: 9, Dropped: 4, Writers: map[string]last{"known": {Batch: 7, Write: 9}}}
	for _, tt := range []struct {
		name   string
		writer string
		batch  batch
		want   verdict
	}{
		{"the last batch of a writer is there", "known", batch{number: 7, first: 9}, added},
		{"an older batch is there", "known", batch{number: 6, first: 2}, added},
		{"a newer batch is not there", "known", batch{number: 8, first: 2}, notAdded},
		{"a batch that was never sent is not there", "new", batch{number: 1}, notAdded},
		{"a batch that was sent after the last drop is not there", "new", batch{number: 1, first: 5}, notAdded},
		{"a batch that was sent before the last drop may have been there", "new", batch{number: 1, first: 4}, undecided},
	} {
		if got := e.judge(tt.writer, &tt.batch); got != tt.want {
			t.Errorf("%s: verdict %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestAnEntryIsBounded(t *testing.T) {
	var e entry
	for i := range 1000 {
		b := batch{number: 1}
		b.sums.count(AI, Charged)
		e.add(fmt.Sprintf("writer_of_16_%03d", i), &b, mostWriters)
	}
	if e.AI != (Tally{Requests: 1000, Charged: 1000}) || len(e.Writers) != mostWriters || e.Dropped != 1000-mostWriters {
		t.Errorf("%v, %d writers, dropped up to write %d", e.Sums, len(e.Writers), e.Dropped)
	}
	if _, there := e.Writers["writer_of_16_999"]; !there {
		t.Error("the newest writer was dropped")
	}
	if n := len(e.encode()); n > 16<<10 {
		t.Errorf("the entry has %d bytes", n)
	}
}

func TestEntriesThatCannotBeRead(t *testing.T) {
	for _, text := range []string{"", "x", "[]", `{"v":2}`, `{"v":1,"make":3}`} {
		if _, err := decodeEntry([]byte(text)); !errors.Is(err, lease.ErrUnreadable) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestDates(t *testing.T) {
	for _, tt := range []struct{ instant, want string }{
		{"2026-03-31T23:59:59.999Z", "2026-03-31"},
		{"2026-04-01T00:00:00Z", "2026-04-01"},
		{"2026-04-01T01:30:00+02:00", "2026-03-31"},
		{"1969-12-31T23:59:59Z", "1969-12-31"},
		{"1969-12-31T00:00:00Z", "1969-12-31"},
		{"0001-01-01T00:00:00Z", "0001-01-01"},
	} {
		at, err := time.Parse(time.RFC3339Nano, tt.instant)
		if err != nil {
			t.Fatal(err)
		}
		if got := dateOf(at).String(); got != tt.want {
			t.Errorf("%s is on %s, want %s", tt.instant, got, tt.want)
		}
	}
}
