package explore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/ailease/lease"
)

// state is the fingerprint of all that the future and the rules depend on, but for what may still
// go wrong: what was written, what may still land, the clock, what each Manager saw, and what each
// worker waits for. A Manager's memory need not be looked at: it follows from what it saw.
type state [16]byte

func (r *run) state() state {
	f := fingerprint{b: make([]byte, 0, 4096), names: make(map[string]int)}
	f.add(r.used.clocks, len(r.store.history), len(r.store.late))
	for i := range r.store.history {
		f.write(&r.store.history[i].write)
	}
	for i := range r.store.late {
		f.write(&r.store.late[i])
	}
	for _, w := range r.workers {
		f.add(w.at, bit(w.done))
		if c := w.waiting; c != nil {
			f.add(int(c.kind), bit(c.ended()), bit(w.cancelled))
			f.write(&c.write)
		} else if !w.done {
			f.add(bit(w.cancelled))
		}
		for _, res := range w.results {
			f.add(res.at, bit(res.acquired), int(res.lease.Version), bit(res.err == nil), bit(errors.Is(res.err, lease.ErrUnknownOutcome)))
		}
	}
	for _, m := range r.managers {
		if m.works() { // of a Manager that will not be called again only the results count
			f.add(len(m.trace))
			f.b = append(f.b, m.trace...)
		}
	}
	sum := sha256.Sum256(f.b)
	return state(sum[:16])
}

// works tells whether m will be called again.
func (m *manager) works() bool {
	return slices.ContainsFunc(m.run.workers, func(w *worker) bool { return w.manager == m && !w.done })
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

// saw notes what w is about to see in the trace of its Manager.
func (w *worker) saw(k stepKind, revision uint64) {
	w.trace = appendInts(w.trace, w.id, int(k), int(revision), bit(w.waiting != nil && w.waiting.ended()))
}

// fingerprint collects what makes a state. Ids that Managers drew at random have names in it, in
// the order in which they come.
type fingerprint struct {
	b     []byte
	names map[string]int
}

func (f *fingerprint) add(ns ...int) { f.b = appendInts(f.b, ns...) }

// drawn is how ids begin that Managers drew at random.
var drawn = [][]byte{[]byte(`"lease_`), []byte(`"op_`), []byte(`"do_`)}

func (f *fingerprint) write(w *write) {
	f.add(w.op.worker, w.op.at, int(w.expected), len(w.value))
	for rest := w.value; len(rest) > 0; {
		i := bytes.IndexByte(rest, '"')
		if i < 0 {
			f.b = append(f.b, rest...)
			return
		}
		end := i + 2 + bytes.IndexByte(rest[i+1:], '"')
		f.b = append(f.b, rest[:i]...)
		if quoted := rest[i:end]; slices.ContainsFunc(drawn, func(begin []byte) bool { return bytes.HasPrefix(quoted, begin) }) {
			name, ok := f.names[string(quoted)]
			if !ok {
				name = len(f.names)
				f.names[string(quoted)] = name
			}
			f.add(name)
		} else {
			f.b = append(f.b, quoted...)
		}
		rest = rest[end:]
	}
}
