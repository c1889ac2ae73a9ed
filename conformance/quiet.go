package conformance

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// quiet is a test that keeps what rapid says to itself.
type quiet struct {
	*testing.T
	said   []string // when it failed
	passed string   // when it passed
	failed bool
}

type enough struct{}

// during runs f until it fails.
func (q *quiet) during(f func()) {
	defer func() {
		if v := recover(); v != nil && v != (enough{}) {
			panic(v)
		}
	}()
	f()
}

func (q *quiet) Errorf(format string, args ...any) {
	q.failed = true
	q.said = append(q.said, fmt.Sprintf(format, args...))
}
func (q *quiet) Error(args ...any)                 { q.Errorf("%s", fmt.Sprint(args...)) }
func (q *quiet) Fatalf(format string, args ...any) { q.Errorf(format, args...); q.FailNow() }
func (q *quiet) Fatal(args ...any)                 { q.Fatalf("%s", fmt.Sprint(args...)) }
func (q *quiet) Log(...any)                        {}
func (q *quiet) Logf(format string, args ...any) {
	if strings.HasPrefix(format, "[rapid] OK") {
		q.passed = fmt.Sprintf(format, args...)
	}
}
func (q *quiet) Fail()        { q.failed = true }
func (q *quiet) FailNow()     { q.failed = true; panic(enough{}) }
func (q *quiet) Failed() bool { return q.failed || q.T.Failed() }

var (
	toRepeat  = regexp.MustCompile(`To (?:try to )?reproduce, (specify .*)`)
	afterHow  = regexp.MustCompile(`failed after (\d+) tests`)
	didNotRun = "flaky test"
)

// hint says how to see the failure again.
func (q *quiet) hint() string {
	said := strings.Join(q.said, "\n")
	var b strings.Builder
	if m := afterHow.FindStringSubmatch(said); m != nil && m[1] != "0" {
		fmt.Fprintf(&b, "\n  found after %s cases that passed", m[1])
	}
	if strings.Contains(said, didNotRun) {
		b.WriteString("\n  the same case passed when it was repeated: it takes a certain timing")
	}
	if m := toRepeat.FindStringSubmatch(said); m != nil {
		fmt.Fprintf(&b, "\n  to repeat it, %s", m[1])
	}
	return b.String()
}
