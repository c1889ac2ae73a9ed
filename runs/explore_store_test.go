package runs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/ailease/lease/backend"
)

// errBroken is none of the backend's sentinels: the outcome is unknown.
var errBroken = errors.New("connection reset")

// world is a store of two entries, the record and the marker of one key, obviously right.
type world struct {
	entries  map[string]entry
	revision uint64
	late     []call // their callers were told of an error, or died; they may still land
}

type entry struct {
	value    []byte
	revision uint64
	by       callID
	decoded  *stored // of a record
}

// callID names a store call: the actor, and how many it had made before.
type callID struct{ actor, at int }

type callKind int

const (
	toGet callKind = iota
	toWrite
	toDelete
	toList
	toGoOn // no call: the actor lets others go first
)

// call is a store call on its way.
type call struct {
	id       callID
	kind     callKind
	key      string
	expected uint64
	value    []byte
}

type answer struct {
	entry    backend.Entry
	revision uint64
	err      error
}

func (w *world) fits(c call) bool { return w.entries[c.key].revision == c.expected }

// apply does what c asks for.
func (w *world) apply(c call) (a answer) {
	e, there := w.entries[c.key]
	switch c.kind {
	case toGet:
		if !there {
			return answer{err: backend.ErrNotFound}
		}
		return answer{entry: backend.Entry{Key: c.key, Value: bytes.Clone(e.value), Revision: e.revision}}
	case toList:
		for k, e := range w.entries {
			if strings.HasPrefix(k, c.key) {
				a.entry = backend.Entry{Key: k, Value: bytes.Clone(e.value), Revision: e.revision}
			}
		}
		return a
	case toWrite:
		if !w.fits(c) {
			return answer{err: backend.ErrConflict}
		}
		w.revision++
		e := entry{value: c.value, revision: w.revision, by: c.id}
		if c.key == recordKey {
			e.decoded = decode(c.value)
		}
		w.entries[c.key] = e
		return answer{revision: w.revision}
	case toDelete:
		switch {
		case !there:
			return answer{err: backend.ErrNotFound}
		case !w.fits(c):
			return answer{err: backend.ErrConflict}
		}
		delete(w.entries, c.key)
	}
	return a
}

// forgetHopeless drops late calls that cannot land any more: no revision comes back, but absence.
func (w *world) forgetHopeless() {
	var still []call
	for _, c := range w.late {
		if c.expected == 0 || w.fits(c) {
			still = append(still, c)
		}
	}
	w.late = still
}

// stored is what the rules read of the record.
type stored struct {
	State      string    `json:"state"`
	LeaseID    string    `json:"lease_id"`
	Op         string    `json:"op"`
	Deadline   time.Time `json:"deadline"`
	Retryable  bool      `json:"retryable"`
	AtMostOnce bool      `json:"at_most_once"`
	ErrorCode  string    `json:"error_code"`
	Failures   int       `json:"failures"`
	Run        *struct {
		Ticket   string    `json:"ticket"`
		Due      time.Time `json:"due"`
		Attempts int       `json:"attempts"`
	} `json:"run"`
}

// record is the record that stands, nil for none.
func (w *world) record() *stored {
	return w.entries[recordKey].decoded
}

func decode(value []byte) *stored {
	s := new(stored)
	if err := json.Unmarshal(value, s); err != nil {
		panic(err)
	}
	return s
}

func (s *stored) waits() bool {
	return s != nil && s.Run != nil && (s.State == "queued" || s.State == "released" || s.State == "failed" && s.Retryable)
}

func (s *stored) unfinished() bool {
	return s != nil && s.Run != nil && (s.State == "in_progress" || s.waits())
}

// view is the store as an actor sees it: every call waits for the scheduler.
type view struct{ *actor }

func (v view) Get(_ context.Context, key string) (backend.Entry, error) {
	a := v.ask(call{kind: toGet, key: key})
	return a.entry, a.err
}

func (v view) CompareAndSet(_ context.Context, key string, expected uint64, value []byte, _ time.Duration) (uint64, error) {
	a := v.ask(call{kind: toWrite, key: key, expected: expected, value: bytes.Clone(value)})
	return a.revision, a.err
}

func (v view) CompareAndDelete(_ context.Context, key string, expected uint64) error {
	return v.ask(call{kind: toDelete, key: key, expected: expected}).err
}

func (v view) List(_ context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		a := v.ask(call{kind: toList, key: prefix})
		if a.err != nil || a.entry.Revision != 0 {
			yield(a.entry, a.err)
		}
	}
}
