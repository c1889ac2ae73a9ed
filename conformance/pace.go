package conformance

import (
	"sync"
	"time"
)

// tick is how often the watchdog looks. Waiting is counted in its ticks: while the whole process
// gets no processor, none passes.
const tick = 20 * time.Millisecond

// generous is how many times as long as the longest answer so far a step may take.
const generous = 16

// waitFor is what a step waits for.
type waitFor uint8

const (
	aCall      waitFor = iota // an answer to one of the three methods, or to Watch or Close
	aListing                  // the next entry of a listing, or its end
	aState                    // a later state from a watch
	anEnd                     // the closing of a watch's channel
	aReopening                // the store as it is found after a crash
	waitsFor
)

// pace is what the suite has learned of how long the store takes. One serves all properties of a
// [Run].
type pace struct {
	least time.Duration // what every step is given

	mu      sync.Mutex
	longest [waitsFor]time.Duration
	told    bool // a step that took too long was reported
}

// answered tells how long a step took.
func (p *pace) answered(k waitFor, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.longest[k] = max(p.longest[k], took, 1)
}

// longestOf is how long a step of a kind took at most. If there was none yet, that is the longest
// call.
func (p *pace) longestOf(k waitFor) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.longest[k] == 0 {
		return p.longest[aCall]
	}
	return p.longest[k]
}

// patience is how long a step of a kind may take: a multiple of what the longest took so far. Once
// the store has kept the suite waiting in vain, the suite has less time for it.
func (p *pace) patience(k waitFor) time.Duration {
	longest := p.longestOf(k)
	p.mu.Lock()
	defer p.mu.Unlock()
	least := p.least
	if p.told {
		least /= 8
	}
	return min(max(generous*longest, least), 4*p.least)
}

// tooLong says that the store kept the suite waiting.
func (p *pace) tooLong() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = true
}
