package usage

// WithMostWriters sets how many writers an entry remembers.
func WithMostWriters(n int) Option { return func(c *Counters) { c.mostWriters = n } }

// MostPlaces is how many pairs of a namespace and a day stay in memory.
const MostPlaces = mostPlaces

// WaitPlanned waits for a planned write that is under way.
func (c *Counters) WaitPlanned() { c.background.Wait() }
