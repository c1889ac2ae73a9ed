package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

// note is an entry to append.
func note(stream, id, data string, keep time.Duration) backend.JournalEntry {
	return backend.JournalEntry{Stream: stream, ID: id, Data: []byte(data), Keep: keep}
}

func add(t testing.TB, s *sqlite.Store, entries ...backend.JournalEntry) {
	t.Helper()
	if err := s.Append(context.Background(), entries); err != nil {
		t.Fatal(err)
	}
}

// datas returns the data of the first entries of a stream.
func datas(t testing.TB, s *sqlite.Store, stream string) (all []string) {
	t.Helper()
	page, err := s.ReadStream(context.Background(), stream, 0, backend.MaxJournalBatch)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page {
		all = append(all, string(e.Data))
	}
	return all
}

// TestABatchOfEntriesIsOneTransaction: if SQLite refuses one entry, none is added.
func TestABatchOfEntriesIsOneTransaction(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	execute(t, raw(t, path), `CREATE TRIGGER refuse BEFORE INSERT ON journal WHEN new.data = CAST('bad' AS BLOB) BEGIN SELECT RAISE(ABORT, 'refused'); END`)
	add(t, s, note("s", "", "before", time.Hour))
	err := s.Append(t.Context(), []backend.JournalEntry{note("s", "", "good", time.Hour), note("other", "", "good", time.Hour), note("s", "", "bad", time.Hour)})
	if !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
	add(t, s, note("s", "", "after", time.Hour))
	if all := datas(t, s, "s"); !slices.Equal(all, []string{"before", "after"}) {
		t.Errorf("the stream holds %q", all)
	}
	if _, total, err := s.Streams(t.Context(), "", 0, 1); err != nil || total != 1 {
		t.Errorf("there are %d streams, %v", total, err)
	}
}

// TestPositionsAndRevisionsShareACounter: neither goes back behind the other, and what an id drops
// takes none.
func TestPositionsAndRevisionsShareACounter(t *testing.T) {
	s := open(t, newPath(t))
	first := set(t, s, "k", 0, "")
	add(t, s, note("s", "1", "", time.Hour), note("s", "1", "", time.Hour), note("s", "2", "", time.Hour))
	second := set(t, s, "k", first, "")
	page, err := s.ReadStream(t.Context(), "s", 0, 10)
	if err != nil || len(page) != 2 || page[0].Position != first+1 || page[1].Position != first+2 || second != first+3 {
		t.Errorf("after revision %d came %v, and revision %d; %v", first, page, second, err)
	}
	add(t, s, note("s", "1", "", time.Hour)) // changes nothing
	if third := set(t, s, "k", second, ""); third != second+1 {
		t.Errorf("revision %d came after %d", third, second)
	}
}

// TestTheSweepKeepsUpWithLargeBatches: entries that are past their keep do not pile up, however
// many are added at a time, and streams of which nothing is left are gone.
func TestTheSweepKeepsUpWithLargeBatches(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sqlite.WithSynchronous(sqlite.Normal))
	const batches, each = 20, 500 // of which a sweep of a fixed few would leave most
	for i := range batches {
		var batch []backend.JournalEntry
		for k := range each {
			batch = append(batch, note(fmt.Sprint("ns/", i, "/", k%50), "", "", time.Millisecond))
		}
		time.Sleep(3 * time.Millisecond) // until the entries before are past their keep
		s.SweepWithNextWrite()
		add(t, s, batch...)
	}
	var entries, streams int
	row := raw(t, path).QueryRow("SELECT (SELECT count(*) FROM journal), (SELECT count(*) FROM streams)")
	if err := row.Scan(&entries, &streams); err != nil {
		t.Fatal(err)
	}
	if entries > each || streams > 50 {
		t.Errorf("%d entries in %d streams are left, of %d at a time in 50", entries, streams, each)
	}
	_, total, err := s.Streams(t.Context(), "ns/", 0, 1)
	if err != nil || total != streams {
		t.Errorf("there are %d streams, want %d; %v", total, streams, err)
	}
}

// TestStreamsAreWhatTheJournalHolds compares the table of streams with the entries, after many were
// added and dropped in an order of its own.
func TestStreamsAreWhatTheJournalHolds(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sqlite.WithSynchronous(sqlite.Normal))
	for i := range 200 {
		keep := time.Hour
		if i*7%3 > 0 {
			keep = time.Duration(1+i*13%5) * time.Millisecond
		}
		add(t, s, note(fmt.Sprint("ns/", i%11), fmt.Sprint(i%60), "", keep), note(fmt.Sprint("no namespace ", i%5), "", "", keep))
		if i%20 == 0 {
			s.SweepWithNextWrite()
		}
	}
	for query, what := range map[string]string{
		"SELECT count(*) FROM journal WHERE keep_until > 0": "no entries",
		"SELECT count(*) = 0 FROM (SELECT stream, namespace, count(*), max(position) FROM journal GROUP BY stream EXCEPT SELECT * FROM streams)": "streams that are missing",
		"SELECT count(*) = 0 FROM (SELECT * FROM streams EXCEPT SELECT stream, namespace, count(*), max(position) FROM journal GROUP BY stream)": "streams that do not exist",
	} {
		var ok int
		if err := raw(t, path).QueryRow(query).Scan(&ok); err != nil || ok == 0 {
			t.Errorf("%s; %v", what, err)
		}
	}
}

// TestAnOldFileGetsAJournal: positions go on where revisions are.
func TestAnOldFileGetsAJournal(t *testing.T) {
	s := open(t, oldFile(t))
	add(t, s, note("ns/s", "", "first", time.Hour))
	page, err := s.ReadNewest(t.Context(), "ns/", 0, 10)
	if err != nil || len(page) != 1 || page[0].Position != 42 {
		t.Errorf("the journal holds %v, %v, want position 42", page, err)
	}
}
