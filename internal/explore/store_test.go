package explore

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/ailease/lease/backend"
)

// store is one key with revisions, obviously right: the history of all that was ever applied, of
// which the last stands.
type store struct {
	history []written
	late    []write // their callers were told of an error; they may still land
}

// write is a compare-and-set on its way to the store.
type write struct {
	op       opID
	expected uint64
	value    []byte
	decoded  *record // by rec; shared by all copies
}

// rec is the value as the rules read it, decoded when it is first asked for.
func (w *write) rec() *record {
	if w.decoded.Op == "" {
		if err := json.Unmarshal(w.value, w.decoded); err != nil {
			panic(err)
		}
	}
	return w.decoded
}

// written is a write that was applied.
type written struct {
	write
	revision uint64
}

// opID names an operation: the worker's number, and the place in its program.
type opID struct{ worker, at int }

// record is what the rules read of a stored value.
type record struct {
	State         string          `json:"state"`
	LeaseID       string          `json:"lease_id"`
	Version       uint64          `json:"version"`
	Token         uint64          `json:"token"`
	Failures      int             `json:"failures"`
	AcquiredAt    time.Time       `json:"acquired_at"`
	Deadline      time.Time       `json:"deadline"`
	KeepUntil     time.Time       `json:"keep_until"`
	Checkpoint    json.RawMessage `json:"checkpoint"`
	CheckpointSeq uint64          `json:"checkpoint_seq"`
	Result        json.RawMessage `json:"result"`
	ErrorCode     string          `json:"error_code"`
	Retryable     bool            `json:"retryable"`
	Nonce         string          `json:"nonce"`
	InputHash     string          `json:"input_hash"`
	AtMostOnce    bool            `json:"at_most_once"`
	Op            string          `json:"op"`
}

// whatever is an expected revision that every revision meets. Broken stores ask for it, no Manager
// does.
const whatever = ^uint64(0)

func (s *store) revision() uint64 { return uint64(len(s.history)) }

// standing is the write that stands, nil if the key is absent.
func (s *store) standing() *written {
	if len(s.history) == 0 {
		return nil
	}
	return &s.history[len(s.history)-1]
}

func (s *store) get() (backend.Entry, error) {
	w := s.standing()
	if w == nil {
		return backend.Entry{}, backend.ErrNotFound
	}
	return backend.Entry{Value: bytes.Clone(w.value), Revision: w.revision}, nil
}

func (s *store) fits(w write) bool { return w.expected == s.revision() || w.expected == whatever }

func (s *store) apply(w write) (uint64, error) {
	if !s.fits(w) {
		return 0, backend.ErrConflict
	}
	s.history = append(s.history, written{w, s.revision() + 1})
	return s.revision(), nil
}

// postpone keeps w to land later.
func (s *store) postpone(w write) {
	s.late = append(s.late, w)
	slices.SortStableFunc(s.late, func(a, b write) int { return 16*(a.op.worker-b.op.worker) + a.op.at - b.op.at })
}

// land applies the late write of op.
func (s *store) land(op opID) {
	i := slices.IndexFunc(s.late, func(w write) bool { return w.op == op })
	w := s.late[i]
	s.late = slices.Delete(s.late, i, i+1)
	_, _ = s.apply(w)
}

// forgetHopeless drops late writes that cannot land any more: no revision comes back.
func (s *store) forgetHopeless() {
	s.late = slices.DeleteFunc(s.late, func(w write) bool { return !s.fits(w) })
}

// by counts how often the write of op was applied, and returns the last.
func (s *store) by(op opID) (n int, last written) {
	for _, w := range s.history {
		if w.op == op {
			n, last = n+1, w
		}
	}
	return n, last
}

// token is the fencing token of a lease: the revision of the write that acquired it, 0 if there was
// none.
func (s *store) token(leaseID string) uint64 {
	for _, w := range s.history {
		if w.rec().LeaseID == leaseID {
			return w.revision
		}
	}
	return 0
}

// leasesAfter counts the leases that were acquired after the given revision, but for one.
func (s *store) leasesAfter(revision uint64, but string) (n int) {
	for i, w := range s.history {
		if w.revision > revision && w.rec().LeaseID != but && (i == 0 || s.history[i-1].rec().LeaseID != w.rec().LeaseID) {
			n++
		}
	}
	return n
}
