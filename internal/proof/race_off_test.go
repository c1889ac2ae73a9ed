//go:build !race

package proof

import "time"

const (
	simulatedDays = 10_000
	soon          = 5 * time.Millisecond // within which who waits is told, 99 times of 100
)
