package natskv

import "sync"

// mostGranted bounds each of the two generations of granted. Forgetting a number costs one read.
const mostGranted = 16 << 10

// granted remembers which sequence numbers are known to be those of values.
//
// A deletion leaves a marker, which has a number like a value, and the server compares numbers
// alone. So a compare-and-set that expects a marker's number would succeed, although the key is
// absent. No caller is ever given a marker's number, but one may make it up. For numbers in here
// that is excluded; for others the key is read first.
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
