package sqlite_test

import (
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/ailease/lease/backends/sqlite"
)

// reading is a program in the middle of a transaction that reads.
func reading(t *testing.T, path string) *sql.DB {
	t.Helper()
	db := raw(t, path)
	execute(t, db, "BEGIN")
	var n int
	must(t, db.QueryRow("SELECT count(*) FROM entries").Scan(&n))
	return db
}

func TestTheLogShrinksOnceItsReaderHasLeft(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sqlite.WithSynchronous(sqlite.Normal))
	size := func() int64 {
		t.Helper()
		info, err := os.Stat(path + "-wal")
		must(t, err)
		return info.Size()
	}
	value := strings.Repeat("x", 100_000)
	revision := set(t, s, "k", 0, value)
	reader := reading(t, path)
	for size() < 2*sqlite.WALMost {
		revision = set(t, s, "k", revision, value)
	}
	execute(t, reader, "ROLLBACK")
	for range 2 {
		revision = set(t, s, "k", revision, "small")
	}
	if got := size(); got > sqlite.WALMost {
		t.Errorf("after two writes the log has %d bytes, want at most %d", got, sqlite.WALMost)
	}
	wantEntry(t, s, "k", revision, "small")
}
