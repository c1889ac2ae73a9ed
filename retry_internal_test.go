package lease

import (
	"slices"
	"testing"
	"time"
)

// TestPauses: the schedule of each kind of try. Each pause is spread by a quarter either way.
func TestPauses(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for _, tt := range []struct {
		what string
		p    pauses
		want []time.Duration // the first ones
		last time.Duration
	}{
		{"after a failure", afterFailure(), []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms}, 30 * s},
		{"while the store is away", whileAway(), []time.Duration{50 * ms, 56250 * time.Microsecond, 63281250}, 10 * s},
		{"while an outcome is unknown", whileUnknown(), []time.Duration{2 * ms, 4 * ms, 8 * ms, 16 * ms}, 250 * ms},
		{"while nothing changes", whileUnchanged(5 * s), []time.Duration{20 * ms, 22500 * time.Microsecond}, 5 * s},
		{"while nothing changes, and at most each millisecond", whileUnchanged(ms), []time.Duration{ms}, ms},
		{"while the lease is said to be gone", whileAbsent(), []time.Duration{s, 2 * s, 4 * s}, time.Hour},
	} {
		t.Run(tt.what, func(t *testing.T) {
			p := tt.p
			var got []time.Duration
			for range 200 {
				before := p.waited
				pause := p.next()
				d := p.waited - before
				got = append(got, d)
				if pause < d-d/4 || pause > d+d/4 {
					t.Fatalf("a pause of %v was spread to %v", d, pause)
				}
			}
			if first := got[:len(tt.want)]; !slices.Equal(first, tt.want) || got[199] != tt.last || !slices.IsSorted(got) {
				t.Errorf("the pauses are %v ... %v, want %v ... %v", first, got[199], tt.want, tt.last)
			}
		})
	}
}
