// Package explore has no code but its tests. They run real Managers, and [lease.Do], through every
// interleaving of a few operations on one key, with every choice of what goes wrong with their
// store calls, within bounds. The table of rows in rows_test.go says which operations, and how much
// may go wrong.
//
// A schedule is a list of steps: an operation begins, a store call is answered or fails, a late
// write lands, a watch sees what stands, the clock steps over the deadline. Every schedule is
// executed from its beginning, in a bubble of testing/synctest. None is continued from a state that
// another one has reached before. The rules in rules_test.go are checked after each write and each
// return. A schedule that breaks one is printed, and can be run again:
//
//	go test ./internal/explore -run 'TestEverySchedule/an_end_is_repeated' -v \
//		-explore.replay='m1 acquire begins; ...'
//
// TestAblation leaves rules of the package out, one at a time, and expects that a schedule is found
// which breaks a promise.
//
// A row that takes seconds is explored within less than its bounds: not all may go wrong in one
// schedule. With -explore.whole it may. With -explore.long the rows that take minutes are explored
// too. Under the race detector each row ends after some hundred schedules.
package explore
