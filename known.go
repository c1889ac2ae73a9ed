package lease

import "sync"

// mostKnown bounds the memory; what is pushed out costs its key one more store call, no more.
const mostKnown = 4096

// known remembers the last state seen of keys, so that a holder's next call needs no read. It may be out of date at any time: what
// comes of it must pass a compare-and-set. A finished record, and a lock, is remembered without its content, as a revision alone.
type known struct {
	mu sync.Mutex
	m  map[string]stored
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
		delete(k.m, storeKey)
		return
	}
	if _, ok := k.m[storeKey]; !ok && len(k.m) >= mostKnown {
		for victim := range k.m {
			delete(k.m, victim)
			break
		}
	}
	k.m[storeKey] = s
}

func (k *known) drop(storeKey string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.m, storeKey)
}
