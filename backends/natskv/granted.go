package natskv

import "sync"

// mostGranted bounds each of the two generations of granted; what is forgotten costs one read more,
// no more.
const mostGranted = 16 << 10

// granted remembers which sequence numbers are known to be those of values.
//
// It closes a gap. A deletion leaves a marker, which has a sequence number like a value, and the
// server compares numbers alone: a compare-and-set that expects the marker's number would succeed,
// although the key is absent. Nobody is ever told the number of a marker; but that a caller did not
// make one up has to be known, and for numbers that are in here it is. For others the key is read
// first.
type granted struct {
	mu       sync.Mutex
	now, old map[uint64]struct{}
}

func (g *granted) add(revision uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == nil || len(g.now) >= mostGranted {
		g.now, g.old = make(map[uint64]struct{}), g.now
	}
	g.now[revision] = struct{}{}
}

func (g *granted) has(revision uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.now[revision]; ok {
		return true
	}
	_, ok := g.old[revision]
	return ok
}
