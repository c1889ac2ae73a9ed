//go:build race

package proof

import "time"

// The race detector takes ten times as long for all.
const (
	simulatedDays = 1_000
	soon          = 50 * time.Millisecond
)
