package proof

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/ailease/lease"
)

// model is the lease as porcupine takes it. Each step returns the states in which the operation
// could leave the lease, having come to what it came to.
var model = porcupine.NondeterministicModel{
	Partition: byKey,
	Init:      func() []any { return []any{state{}} },
	Step: func(s, in, _ any) []any {
		var next []any
		for _, n := range step(s.(state), in.(*Operation)) {
			next = append(next, n)
		}
		return next
	},
	DescribeOperation: func(in, _ any) string { return in.(*Operation).String() },
	DescribeState:     func(s any) string { return fmt.Sprintf("%+v", s) },
}

func byKey(history []porcupine.Operation) [][]porcupine.Operation {
	keys := map[string][]porcupine.Operation{}
	for _, o := range history {
		key := o.Input.(*Operation).Key
		keys[key] = append(keys[key], o)
	}
	var parts [][]porcupine.Operation
	for _, part := range keys {
		parts = append(parts, part)
	}
	return parts
}

// Linearizable tells whether the operations could have happened one after the other, each at some
// moment between its call and its return.
func Linearizable(ops []Operation, timeout time.Duration) porcupine.CheckResult {
	var history []porcupine.Operation
	for i := range ops {
		o := &ops[i]
		returned := o.Returned
		if open(o) {
			returned = math.MaxInt64 // it may take effect at any later time
		}
		// Each operation is a client of its own: a client of an open one goes on, which porcupine's
		// clients do not.
		history = append(history, porcupine.Operation{ClientId: i, Input: o, Call: o.Called, Return: returned})
	}
	return porcupine.CheckOperationsTimeout(model.ToModel(), history, timeout)
}

// again returns the operations, and once more each extension that was applied before it was made
// again: a store that refused it although it applied it was believed, since others had extended the
// lease meanwhile, and to extend twice does no harm. The first time is an operation of its own,
// whose caller was told nothing.
func (h *History) again() []Operation {
	times := map[int]int{}
	for _, w := range h.Writes {
		times[w.By.Operation]++
	}
	all := slices.Clone(h.Operations)
	for _, o := range h.Operations {
		for range times[o.Number] - 1 {
			first := o
			first.Err, first.Lease = lease.ErrUnknownOutcome, lease.Lease{}
			all = append(all, first)
		}
	}
	return all
}

// open tells whether it is not known if, and when, the operation was applied.
func open(o *Operation) bool { return errors.Is(o.Err, lease.ErrUnknownOutcome) }

// lostLate tells whether the lease may have been acquired or extended, and lost before that could
// be said. An extension may also find that the one who took over has ended the work since.
func lostLate(o *Operation) bool {
	switch o.Verb {
	case Acquire:
		return errors.Is(o.Err, lease.ErrLost)
	case Extend:
		return errors.Is(o.Err, lease.ErrLost) || errors.Is(o.Err, lease.ErrFinished)
	}
	return false
}
