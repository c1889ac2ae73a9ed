package natskv

import (
	"testing"

	"github.com/ailease/lease/internal/natstest"
	"github.com/ailease/lease/internal/prefixwatch"
)

// TestPrefixWatchThatIsSilentEnds: what had been written at one look, and has not come by the next,
// never will.
func TestPrefixWatchThatIsSilentEnds(t *testing.T) {
	s, err := Open(t.Context(), natstest.Alone(t).ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, tt := range []struct {
		name   string
		key    string
		pushed bool
		behind bool
	}{
		{"nothing was written", "", false, false},
		{"another namespace was written", "others/k", false, false},
		{"a write has come", "ns/k", true, false},
		{"a write has not come", "ns/l", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &prefixWatcher{store: s, Feed: prefixwatch.New("ns/"), selectors: selectors("ns/")}
			if w.newest, err = s.lastNumber(t.Context()); err != nil {
				t.Fatal(err)
			}
			if w.behind(t.Context()) {
				t.Error("behind at the first look")
			}
			if tt.key != "" {
				revision, err := s.CompareAndSet(t.Context(), tt.key, 0, nil, 0)
				if err != nil {
					t.Fatal(err)
				}
				if w.behind(t.Context()) { // it may be on its way
					t.Error("behind when it has just been written")
				}
				if tt.pushed {
					w.newest = revision
				}
			}
			if got := w.behind(t.Context()); got != tt.behind {
				t.Errorf("behind: %t", got)
			}
		})
	}
}
