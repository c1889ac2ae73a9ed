package explore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/ailease/lease"
)

// state is the fingerprint of all that the future and the rules depend on, but for what may still go wrong: what was
// written, what may still land, the clock, what each Manager saw, and what each worker waits for. A Manager's memory
// need not be looked at: it follows from what it saw.
type state [16]byte

func (r *run) state() state {
	b := make([]byte, 0, 2048)
	b = appendInts(b, r.used.clocks, len(r.store.history), len(r.store.late))
	for _, w := range r.store.history {
		b = append(appendInts(b, int(w.expected), len(w.canon)), w.canon...)
	}
	for _, w := range r.store.late {
		b = append(appendInts(b, int(w.expected), len(w.canon)), w.canon...)
	}
	atWork := make([]bool, len(r.trace))
	for _, w := range r.workers {
		b = appendInts(b, w.at, bit(w.done))
		atWork[w.manager] = atWork[w.manager] || !w.done
		if c := w.waiting; c != nil {
			b = append(appendInts(b, int(c.kind), bit(c.ended()), bit(w.cancelled), int(c.expected), len(c.canon)), c.canon...)
		}
		for _, res := range w.results {
			b = appendInts(b, res.at, bit(res.acquired), int(res.lease.Version), bit(res.err == nil), bit(errors.Is(res.err, lease.ErrUnknownOutcome)))
		}
	}
	for i, t := range r.trace {
		if atWork[i] { // of a Manager that will not be called again only the results count
			b = append(appendInts(b, len(t)), t...)
		}
	}
	sum := sha256.Sum256(b)
	return state(sum[:16])
}

func appendInts(b []byte, ns ...int) []byte {
	for _, n := range ns {
		b = binary.AppendVarint(b, int64(n))
	}
	return b
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// saw notes what a worker is about to see in the trace of its Manager.
func (r *run) saw(w *worker, k stepKind, revision uint64) {
	r.trace[w.manager] = appendInts(r.trace[w.manager], w.id, int(k), int(revision), bit(w.waiting.ended()))
}

// canonical is w's value with every random id replaced by the operation that wrote it first.
func (r *run) canonical(w write) string {
	canon := string(w.value)
	for _, id := range []string{w.rec.LeaseID, w.rec.Op, w.rec.PrevOp} {
		if id == "" {
			continue
		}
		if r.names[id] == "" {
			r.names[id] = fmt.Sprintf("%d.%d", w.op.worker, w.op.at)
		}
		canon = strings.Replace(canon, id, r.names[id], 1)
	}
	return canon
}
