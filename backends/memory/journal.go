package memory

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
)

// journalOverhead is what an entry of the journal takes besides its names and its data.
const journalOverhead = 256

// journal holds the streams. mu guards all of it.
type journal struct {
	mu       sync.RWMutex
	limit    int // in bytes
	bytes    int
	position uint64        // of the newest entry there ever was
	swept    time.Duration // when, since Store.birth
	closed   bool          // then there are no entries

	all        timeline
	streams    map[string]*stream
	namespaces map[string]*namespace // see namespaceOf
}

// namespace is never empty. It is known by its name, so that a page costs what it finds, and not
// what the store holds.
type namespace struct {
	timeline
	streams map[string]*stream
}

// stream is never empty.
type stream struct {
	name string
	timeline
	namespace *namespace          // nil if it has none
	ids       map[string]struct{} // those that are taken
}

type journalEntry struct {
	backend.JournalEntry               // Data never changes once it is here
	until                time.Duration // since Store.birth
	dropped              bool
}

// size is what the entry counts against the limit.
func (e *journalEntry) size() int {
	return len(e.Stream) + len(e.ID) + len(e.Data) + journalOverhead
}

func (e *journalEntry) public() backend.JournalEntry {
	out := e.JournalEntry
	out.Data = bytes.Clone(e.Data)
	return out
}

func newJournal(limit int) journal {
	return journal{limit: limit, streams: make(map[string]*stream), namespaces: make(map[string]*namespace)}
}

func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed, j.all, j.streams, j.namespaces = true, timeline{}, nil, nil
}

// Append implements [backend.Journal]. What it adds beyond [WithJournalSize] drops the oldest
// entries of the store.
func (s *Store) Append(ctx context.Context, entries []backend.JournalEntry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := backend.CheckAppend(entries); err != nil {
		return err
	}
	now := time.Since(s.birth)
	j := &s.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return backend.ErrClosed
	}
	j.sweep(now)
	for _, e := range entries {
		j.add(e, now)
	}
	for j.bytes > max(0, j.limit) {
		j.drop(j.all.oldest())
	}
	return nil
}

// add adds an entry unless its id is taken.
func (j *journal) add(given backend.JournalEntry, now time.Duration) {
	st := j.streams[given.Stream]
	if st == nil {
		st = &stream{name: given.Stream}
		j.know(st)
	} else if _, taken := st.ids[given.ID]; taken {
		return
	}
	if given.ID != "" {
		if st.ids == nil {
			st.ids = make(map[string]struct{})
		}
		st.ids[given.ID] = struct{}{}
	}
	j.position++
	e := &journalEntry{JournalEntry: given, until: now + given.Keep}
	if e.until < now {
		e.until = 1<<63 - 1 // the sum overflows
	}
	e.Data, e.Keep, e.Position = bytes.Clone(given.Data), 0, j.position
	j.bytes += e.size()
	j.all.add(e)
	st.add(e)
	if st.namespace != nil {
		st.namespace.add(e)
	}
}

// know notes a stream that is about to have an entry.
func (j *journal) know(st *stream) {
	j.streams[st.name] = st
	if name, ok := namespaceOf(st.name); ok {
		ns := j.namespaces[name]
		if ns == nil {
			ns = &namespace{streams: make(map[string]*stream)}
			j.namespaces[name] = ns
		}
		st.namespace, ns.streams[st.name] = ns, st
	}
}

// namespaceOf is the namespace of a stream or of a prefix, nil if there is none.
func (j *journal) namespaceOf(name string) *namespace {
	if name, ok := namespaceOf(name); ok {
		return j.namespaces[name]
	}
	return nil
}

// drop removes an entry, and the stream that has no other.
func (j *journal) drop(e *journalEntry) {
	st := j.streams[e.Stream]
	e.dropped = true
	j.bytes -= e.size()
	e.Data = nil // the entry itself may stay for a while
	j.all.dropOne()
	st.dropOne()
	delete(st.ids, e.ID)
	if st.count() == 0 {
		delete(j.streams, e.Stream)
	}
	ns := st.namespace
	if ns == nil {
		return
	}
	ns.dropOne()
	if st.count() == 0 {
		delete(ns.streams, e.Stream)
	}
	if ns.count() == 0 {
		name, _ := namespaceOf(e.Stream)
		delete(j.namespaces, name)
	}
}

// sweepEvery is how often an Append looks for entries whose keep has ended, among all.
const sweepEvery = time.Second

func (j *journal) sweep(now time.Duration) {
	if now-j.swept < sweepEvery {
		return
	}
	j.swept = now
	var over []*journalEntry
	for e := range j.all.from(0) {
		if e.until <= now {
			over = append(over, e)
		}
	}
	for _, e := range over {
		j.drop(e)
	}
}

// ReadStream implements [backend.Journal].
func (s *Store) ReadStream(ctx context.Context, name string, after uint64, limit int) ([]backend.JournalEntry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := backend.CheckStream(name); err != nil {
		return nil, err
	}
	if err := backend.CheckPage(0, limit); err != nil {
		return nil, err
	}
	j := &s.journal
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.closed {
		return nil, backend.ErrClosed
	}
	var page []backend.JournalEntry
	if st := j.streams[name]; st != nil {
		for e := range st.from(after) {
			if page = append(page, e.public()); len(page) == limit {
				break
			}
		}
	}
	return page, nil
}

// ReadNewest implements [backend.Journal]. With a prefix that names a namespace, up to a slash, it
// looks at that namespace alone.
func (s *Store) ReadNewest(ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := backend.CheckPage(0, limit); err != nil {
		return nil, err
	}
	j := &s.journal
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.closed {
		return nil, backend.ErrClosed
	}
	line := &j.all
	if strings.Contains(prefix, "/") {
		ns := j.namespaceOf(prefix)
		if ns == nil {
			return nil, nil
		}
		line = &ns.timeline
	}
	var page []backend.JournalEntry
	for e := range line.downFrom(before) {
		if !strings.HasPrefix(e.Stream, prefix) {
			continue
		}
		if page = append(page, e.public()); len(page) == limit {
			break
		}
	}
	return page, nil
}

// Streams implements [backend.Journal]. It sorts all streams with the prefix. With one that names a
// namespace, up to a slash, it looks at that namespace alone.
func (s *Store) Streams(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	if err := backend.CheckPage(offset, limit); err != nil {
		return nil, 0, err
	}
	j := &s.journal
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.closed {
		return nil, 0, backend.ErrClosed
	}
	streams := j.streams
	if strings.Contains(prefix, "/") {
		if streams = nil; j.namespaceOf(prefix) != nil {
			streams = j.namespaceOf(prefix).streams
		}
	}
	var found []*journalEntry // the newest of each stream
	for name, st := range streams {
		if strings.HasPrefix(name, prefix) {
			found = append(found, st.newest())
		}
	}
	slices.SortFunc(found, newestFirst)
	total := len(found)
	found = found[min(offset, total):]
	var page []backend.StreamInfo
	for _, e := range found[:min(limit, len(found))] {
		page = append(page, backend.StreamInfo{Stream: e.Stream, Count: j.streams[e.Stream].count(), Last: e.public()})
	}
	return page, total, nil
}
