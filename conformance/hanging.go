package conformance

import (
	"fmt"
	"os"
	"time"
)

// opening opens a store, the first or one in place of another. If that hangs, the process ends, as
// it does after a cleanup that hangs. before says what came before.
func (tr *trial) opening(before string) {
	done := make(chan struct{})
	defer close(done)
	go tr.mustEnd("the opening of a store", 6*tr.pace.least, before, done)
	tr.renew()
}

// mustEnd ends the process unless done is closed in time: the test would never end, and what was
// found before never be shown.
func (tr *trial) mustEnd(what string, patience time.Duration, before string, done <-chan struct{}) {
	if !endsWithin(patience, done) {
		fmt.Fprintf(os.Stderr, "%s: %s\n", tr.t.Name(), before)
		panic(fmt.Sprintf("conformance: %s: %s has not returned for %v", tr.t.Name(), what, patience))
	}
}

// watchCleanup must be called before the functions given to [Run] register their own cleanups, and
// what it returns after that. A store's cleanup may hang after a call that did.
func (tr *trial) watchCleanup() (isOpen func()) {
	cleaned := make(chan struct{})
	tr.t.Cleanup(func() { close(cleaned) })
	return func() {
		tr.t.Cleanup(func() {
			patience, before := 6*tr.pace.least, "broken promise: Close returns"
			if tr.found != nil {
				patience, before = tr.pace.least, tr.found.text
			}
			go tr.mustEnd("the store's cleanup", patience, before, cleaned)
		})
	}
}

// endsWithin tells whether done is closed in time.
func endsWithin(patience time.Duration, done <-chan struct{}) bool {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for waited := time.Duration(0); waited < patience; waited += tick {
		select {
		case <-done:
			return true
		case <-ticker.C:
		}
	}
	return false
}
