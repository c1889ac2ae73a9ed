package lease

import "sync"

// Bounds of the memory. What is pushed out costs its key one more store call, no more.
const (
	mostCached      = 4096
	mostCachedBytes = 16 << 20 // of checkpoints
)

// cache remembers the last state seen of keys, so that a holder's next call needs no read. It may
// be out of date at any time: what comes of it must pass a compare-and-set. A finished record, and
// a lock, is remembered without its content, as a revision alone.
type cache struct {
	mu    sync.Mutex
	m     map[string]stored
	bytes int
}

func (c *cache) get(storeKey string) (stored, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.m[storeKey]
	return s, ok
}

func (c *cache) put(storeKey string, s stored) {
	if s.rec != nil && s.rec.State != StateInProgress {
		s.rec = nil // results are large, and neither they nor locks are changed by their holder
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.revision == 0 {
		c.remove(storeKey)
		return
	}
	before := c.m[storeKey]
	c.m[storeKey] = s
	c.bytes += s.size() - before.size()
	if len(c.m) <= mostCached && c.bytes <= mostCachedBytes {
		return
	}
	for victim := range c.m {
		if c.remove(victim); len(c.m) <= mostCached && c.bytes <= mostCachedBytes {
			return
		}
	}
}

func (c *cache) drop(storeKey string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(storeKey)
}

func (c *cache) remove(storeKey string) {
	if s, ok := c.m[storeKey]; ok {
		c.bytes -= s.size()
		delete(c.m, storeKey)
	}
}

func (s *stored) size() int {
	if s.rec == nil {
		return 0
	}
	return len(s.rec.Checkpoint)
}
