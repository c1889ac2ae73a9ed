package lease

import "sync"

// Bounds of the memory. What is pushed out costs its key one more store call, no more.
const (
	mostKnown      = 4096
	mostKnownBytes = 16 << 20 // of checkpoints
)

// known remembers the last state seen of keys, so that a holder's next call needs no read. It may
// be out of date at any time: what comes of it must pass a compare-and-set. A finished record, and
// a lock, is remembered without its content, as a revision alone.
type known struct {
	mu    sync.Mutex
	m     map[string]stored
	bytes int
}

func (k *known) get(storeKey string) (stored, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.m[storeKey]
	return s, ok
}

func (k *known) put(storeKey string, s stored) {
	if s.rec != nil && s.rec.State != StateInProgress {
		s.rec = nil // results are large, and neither they nor locks are changed by their holder
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.revision == 0 {
		k.remove(storeKey)
		return
	}
	before := k.m[storeKey]
	k.m[storeKey] = s
	k.bytes += s.size() - before.size()
	if len(k.m) <= mostKnown && k.bytes <= mostKnownBytes {
		return
	}
	for victim := range k.m {
		if k.remove(victim); len(k.m) <= mostKnown && k.bytes <= mostKnownBytes {
			return
		}
	}
}

func (k *known) drop(storeKey string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.remove(storeKey)
}

func (k *known) remove(storeKey string) {
	if s, ok := k.m[storeKey]; ok {
		k.bytes -= s.size()
		delete(k.m, storeKey)
	}
}

func (s *stored) size() int {
	if s.rec == nil {
		return 0
	}
	return len(s.rec.Checkpoint)
}
