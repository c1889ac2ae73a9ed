package explore

import (
	"fmt"
	"strconv"
	"strings"
)

// operation is one step of a worker's program.
type operation struct {
	text string // as the program has it
	verb string // acquire, extend, release, complete, fail, or do
	of   int    // the worker whose lease it is about

	again       bool   // acquire: with the nonce of the worker's acquire before
	retryFailed bool   // acquire, do
	atMostOnce  bool   // acquire, do
	replace     bool   // acquire, do
	input       string // acquire, do

	save uint64 // extend: with a checkpoint of that number; 0 for none

	retryable bool // fail; do: the function's failures are marked so
	permanent bool // do: the function's failures are marked so
	fails     int  // do: so many runs of the function fail
	attempts  int  // do
	deaf      bool // do: the function does not heed its context
}

// parse reads a program: verbs, each with its options, "acquire+once", and perhaps with the worker
// whose lease it is about, "extend@m1"; the worker's own unless told.
//
//	again        the nonce of the worker's acquire before
//	retry        RetryFailed
//	once         AtMostOnce
//	replace      Replace
//	in1 ... in9  the input
//	save1 ...    a checkpoint with that number
//	retryable    a failure that is Retryable
//	permanent    a failure of the function that is Permanent
//	fail         every run of the function fails
//	fail1 ...    so many runs of the function fail
//	attempts2    Attempts
//	deaf         the function does not heed its context
func parse(program string, self int) []operation {
	var ops []operation
	for word := range strings.FieldsSeq(program) {
		o := operation{text: word, of: self}
		word, of, ok := strings.Cut(word, "@m")
		if ok {
			o.of = int(of[0] - '1')
		}
		parts := strings.Split(word, "+")
		o.verb = parts[0]
		for _, option := range parts[1:] {
			o.set(option)
		}
		ops = append(ops, o)
	}
	return ops
}

func (o *operation) set(option string) {
	name := strings.TrimRight(option, "0123456789")
	n, numbered := 0, name != option
	if numbered {
		n, _ = strconv.Atoi(option[len(name):])
	}
	switch name {
	case "again":
		o.again = true
	case "retry":
		o.retryFailed = true
	case "once":
		o.atMostOnce = true
	case "replace":
		o.replace = true
	case "in":
		o.input = option
	case "save":
		o.save = uint64(n)
	case "retryable":
		o.retryable = true
	case "permanent":
		o.permanent = true
	case "fail":
		if o.fails = n; !numbered {
			o.fails = 1 << 30
		}
	case "attempts":
		o.attempts = n
	case "deaf":
		o.deaf = true
	default:
		panic(fmt.Sprintf("no such option: %q", option))
	}
}

// ends tells whether o ends or releases a lease.
func (o *operation) ends() bool {
	return o.verb == "release" || o.verb == "complete" || o.verb == "fail"
}

// endsAs tells whether r is what the operation of w makes of a lease that it ends.
func (o *operation) endsAs(w *worker, r *record) bool {
	switch o.verb {
	case "release":
		return r.State == "released"
	case "complete":
		return r.State == "completed" && string(r.Result) == string(w.output())
	case "fail":
		return r.State == "failed" && r.ErrorCode == errorCode && r.Retryable == o.retryable
	}
	return false
}
