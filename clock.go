package lease

import "time"

// Clock tells a [Manager] the time. Implementations are safe for concurrent use.
//
// Tests replace it by [ManualClock]; programs have no reason to.
type Clock interface {
	// Now is the current wall-clock time. Leases carry deadlines from one process to another,
	// so it must agree between the Managers of one store, within [WithClockSkew].
	Now() time.Time
}

// SystemClock is the clock of the machine, the default of [NewManager].
func SystemClock() Clock { return systemClock{} }

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }
