package usage

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ailease/lease"
)

// usageMark stands between a namespace, which has no colon, and the date: no entry shares a store
// key with a lease of whatever namespace.
const usageMark = ":usage/"

// keep is how long the store keeps the entry of a day after its last write.
const keep = 400 * 24 * time.Hour

// mostWriters is how many writers an entry remembers.
const mostWriters = 128

func entryKey(namespace string, d date) string { return namespace + usageMark + d.String() }

// entry is what the store has of one namespace and day. No clock is in it: the order of writes is
// that of their numbers.
type entry struct {
	Version int `json:"v"`
	Sums
	Writes  uint64          `json:"writes"`  // the number of the last write
	Writers map[string]last `json:"writers"` // those that wrote last
	Dropped uint64          `json:"dropped"` // the last write of all writers that are remembered no more
}

// last is the last batch of a writer in an entry, and the number of the write that added it.
type last struct {
	Batch uint64 `json:"batch"`
	Write uint64 `json:"write"`
}

// batch is what one writer has counted for one namespace and day. Once it was sent, its sums do not
// change.
type batch struct {
	number uint64 // grows with each batch of the writer
	first  uint64 // the least number of a write that was to add it; 0 if it was never sent
	sums   Sums
}

const entryVersion = 1

// decodeEntry decodes what the store has; nothing is an empty entry.
func decodeEntry(text []byte) (entry, error) {
	e := entry{Version: entryVersion}
	if text == nil {
		return e, nil
	}
	switch err := json.Unmarshal(text, &e); {
	case err != nil:
		return e, fmt.Errorf("%w: usage of a day, %d bytes that are not JSON of an entry", lease.ErrUnreadable, len(text))
	case e.Version != entryVersion:
		return e, fmt.Errorf("%w: usage of a day, version %d, this program knows %d", lease.ErrUnreadable, e.Version, entryVersion)
	}
	return e, nil
}

func (e *entry) encode() []byte {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // numbers and texts always marshal
	}
	return text
}

// verdict is what an entry tells of a batch.
type verdict int

const (
	notAdded  verdict = iota
	added             // its sums are in those of the entry
	undecided         // the entry does not remember its writer's last batch
)

// judge tells whether the batch of a writer is in e.
func (e *entry) judge(writer string, b *batch) verdict {
	l, there := e.Writers[writer]
	switch {
	case there && l.Batch >= b.number:
		return added
	case there || b.first == 0:
		return notAdded // the batches of a writer are added in their order
	case e.Dropped >= b.first:
		return undecided // the write may have come, and its writer been dropped
	}
	return notAdded
}

// add adds a batch to e, which judge says is not there, and forgets the writer that has not written
// for longest if there are more than most.
func (e *entry) add(writer string, b *batch, most int) {
	e.Sums.add(b.sums)
	e.Writes++
	if e.Writers == nil {
		e.Writers = make(map[string]last)
	}
	e.Writers[writer] = last{b.number, e.Writes}
	for len(e.Writers) > most {
		oldest := writer
		for w, l := range e.Writers {
			if l.Write < e.Writers[oldest].Write {
				oldest = w
			}
		}
		e.Dropped = max(e.Dropped, e.Writers[oldest].Write)
		delete(e.Writers, oldest)
	}
}

// seenBy is e without the other writers: many days of them would take much memory.
func (e entry) seenBy(writer string) entry {
	l, there := e.Writers[writer]
	e.Writers = nil
	if there {
		e.Writers = map[string]last{writer: l}
	}
	return e
}
