package conformance

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease/backend"
)

var cases atomic.Uint64

// subject is the backend under one test case. Its methods call the backend, write the step down,
// and fail the case if the call returned what no state of the store could explain. It may be used
// by several goroutines.
type subject struct {
	*opened
	b       backend.Backend // the handle that it uses
	promise string
	id      string // stands in all keys of the case, so that cases do not meet in one store
	handle  string // which of several handles it uses, for the steps; "" for the first
	*history
}

// history is what the case has done so far, and what it waits for.
type history struct {
	ctx    context.Context // ends when the case is over
	cancel context.CancelFunc
	given  chan struct{} // closed when a promise was broken: the case is given up

	mu    sync.Mutex
	steps []string
	waits []*wait
	ticks int // that the case has lasted
	broke *breach
}

// wait is a step under way.
type wait struct {
	what  string // "Get "k" has not returned"
	kind  waitFor
	since int // in ticks
}

func newSubject(o *opened, promise string) *subject {
	h := &history{given: make(chan struct{})}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return &subject{opened: o, b: o.first, promise: promise, id: fmt.Sprintf("~%d~", cases.Add(1)), history: h}
}

// through is the same case with its calls made through another handle.
func (s *subject) through(b backend.Backend, handle string) *subject {
	other := *s
	other.b, other.handle = b, handle
	return &other
}

// key returns a key of this case only.
func (s *subject) key(tail string) string { return s.id + tail }

func (s *subject) step(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, s.tell(format, args...))
}

// tell formats what a reader sees. The case's id is no use to him.
func (s *subject) tell(format string, args ...any) string {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), s.id, "~")
	if s.handle != "" {
		text = s.handle + ": " + text
	}
	return text
}

// waiting says that a step is under way, until the function that it returns is called. what must
// have happened by then, in words that say that it has not. If the case is over it does not return.
func (s *subject) waiting(k waitFor, format string, args ...any) (done func()) {
	w := &wait{what: s.tell(format, args...), kind: k}
	begun := time.Now()
	s.mu.Lock()
	w.since = s.ticks
	s.waits = append(s.waits, w)
	over := s.broke != nil
	s.mu.Unlock()
	if over {
		runtime.Goexit()
	}
	return func() {
		s.mustGoOn() // nothing is learned from what comes when the case is over, and its context has ended
		s.pace.answered(k, time.Since(begun))
		s.mu.Lock()
		s.waits = slices.DeleteFunc(s.waits, func(other *wait) bool { return other == w })
		s.mu.Unlock()
		s.mustGoOn()
	}
}

// mustGoOn ends the goroutine if the case is over.
func (s *subject) mustGoOn() {
	if s.breach() != nil {
		runtime.Goexit()
	}
}

// lookForOverdue is called with every tick of the watchdog.
func (s *subject) lookForOverdue() {
	s.mu.Lock()
	s.ticks++
	var late *wait
	var waited time.Duration
	for _, w := range s.waits {
		waited = time.Duration(s.ticks-w.since) * tick
		if waited > s.pace.patience(w.kind) {
			late = w
			break
		}
	}
	s.mu.Unlock()
	if late != nil {
		longest := s.pace.longestOf(late.kind)
		s.breaks(breach{waited: true, spoilt: true}, "%s for %v; the longest of its kind took %v before", late.what, waited.Round(tick), longest.Round(time.Microsecond))
		s.pace.tooLong()
	}
}

// broken ends the case: the promise first, then what was seen, then how it came to that. It does
// not return, and may be called in any goroutine of the case.
func (s *subject) broken(format string, args ...any) {
	s.breaks(breach{}, format, args...)
	runtime.Goexit()
}

// breaks is broken, for the watchdog too. The first breach of a case counts.
func (s *subject) breaks(how breach, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broke != nil {
		return
	}
	steps := s.steps
	var b strings.Builder
	fmt.Fprintf(&b, "broken promise: %s\n", s.promise)
	fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(fmt.Sprintf(format, args...), s.id, "~"))
	const most = 60
	if n := len(steps) - most; n > 0 {
		fmt.Fprintf(&b, "  steps (the last %d of %d):\n", most, len(steps))
		steps = steps[n:]
	} else {
		fmt.Fprintf(&b, "  steps:\n")
	}
	for _, step := range steps {
		fmt.Fprintf(&b, "    %s\n", step)
	}
	for _, w := range s.waits {
		fmt.Fprintf(&b, "    %s\n", w.what)
	}
	how.text, how.steps = strings.TrimSuffix(b.String(), "\n"), len(s.steps)+len(s.waits)
	s.broke = &how
	close(s.given)
}

func (s *subject) breach() *breach {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broke
}

// together runs f in n goroutines at once, and comes back when all have. Steps, and failures, are
// the subject's.
func (s *subject) together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			finished := false
			defer s.catch(&finished, nil)
			<-start
			f(i)
			finished = true
		})
	}
	close(start)
	wg.Wait()
	s.mustGoOn()
}

// await waits for what another goroutine of the case does, unless the case is over.
func (s *subject) await(done <-chan struct{}) {
	select {
	case <-done:
	case <-s.given:
		runtime.Goexit()
	}
}
