package conformance

import (
	"testing"
	"time"
)

// TestPatience shows how long the suite waits for a step, by what it has seen of the store.
func TestPatience(t *testing.T) {
	const least = 5 * time.Second
	for _, tt := range []struct {
		name  string
		calls []time.Duration // that were answered
		state time.Duration   // after which a watch told of a change; 0: none did
		told  bool            // the store has kept the suite waiting in vain
		kind  waitFor
		want  time.Duration
	}{
		{"nothing is known of the store", nil, 0, false, aCall, least},
		{"its calls are quick", []time.Duration{time.Microsecond, time.Millisecond}, 0, false, aCall, least},
		{"its calls are slow", []time.Duration{500 * time.Millisecond}, 0, false, aCall, 8 * time.Second},
		{"its calls are very slow", []time.Duration{time.Minute}, 0, false, aCall, 20 * time.Second},
		{"what is known of calls holds for listings", []time.Duration{500 * time.Millisecond}, 0, false, aListing, 8 * time.Second},
		{"no watch has told of anything yet", []time.Duration{500 * time.Millisecond}, 0, false, aState, 8 * time.Second},
		{"its watch has told at once", []time.Duration{time.Microsecond}, time.Millisecond, false, aState, least},
		{"its watch has told late", []time.Duration{time.Microsecond}, 400 * time.Millisecond, false, aState, 6400 * time.Millisecond},
		{"it has blocked before", []time.Duration{time.Microsecond}, 0, true, aCall, 625 * time.Millisecond},
		{"its watch was silent before", []time.Duration{time.Microsecond}, 0, true, aState, 625 * time.Millisecond},
		{"it has blocked before, and is slow", []time.Duration{200 * time.Millisecond}, 0, true, aCall, 3200 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &pace{least: least}
			for _, d := range tt.calls {
				p.answered(aCall, d)
			}
			if tt.state > 0 {
				p.answered(aState, tt.state)
			}
			if tt.told {
				p.tooLong()
			}
			if got := p.patience(tt.kind); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
