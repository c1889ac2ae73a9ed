package natskv

import "testing"

func TestTooOld(t *testing.T) {
	for _, tt := range []struct {
		version  string
		replicas int
		refused  bool
	}{
		{"2.10.29", 3, true},
		{"2.9.0-beta.1", 5, true},
		{"1.4.1", 3, true},
		{"2.10.29", 1, false},
		{"2.11.0", 3, false},
		{"2.15.2", 3, false},
		{"3.0.0-dev", 3, false},
		{"", 3, false},
		{"devel", 3, false},
	} {
		if got := tooOld(tt.version, tt.replicas); (got != "") != tt.refused {
			t.Errorf("%s with %d replicas: %q", tt.version, tt.replicas, got)
		}
	}
}
