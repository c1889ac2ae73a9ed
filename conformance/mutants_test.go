package conformance_test

import (
	"slices"

	"github.com/ailease/lease/backends/memory"
)

// mutant is a store with one fault, which it is named after, and the property that is meant to find
// it.
type mutant struct {
	name     string
	caughtBy string
	fault    func(s *memory.Store, f *fork)
}

var mutants = slices.Concat(ofWrites, ofManyWrites, ofConcurrency, ofHandles, ofKeys, ofValues, ofKeep, ofContexts, ofLists, ofLongLists, ofWatches, ofPrefixWatches, ofClosing, ofJournals)
