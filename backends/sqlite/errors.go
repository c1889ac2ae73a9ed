package sqlite

import (
	"context"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ailease/lease/backend"
)

func failed(op, key string, err error) error {
	if err == nil {
		return nil
	}
	return &backend.Error{Store: "sqlite", Op: op, Key: key, Err: err}
}

// errNoVerdict is what a request holds from when it is taken until it is judged. It is
// seen only if the leader panics in between.
var errNoVerdict = errors.New("the writer stopped in the middle of the transaction; the outcome is unknown")

// withdrawn is the answer to a caller whose context ended before its write was begun. The write
// never will be.
func withdrawn(ctx context.Context) error {
	return fmt.Errorf("%w: nothing was written: %w", backend.ErrUnavailable, ctx.Err())
}

// unavailable wraps an error after which SQLite guarantees that nothing was written. A store that
// is closed stays so, and nobody asks again.
func unavailable(err error) error {
	if errors.Is(err, backend.ErrClosed) {
		return err
	}
	return fmt.Errorf("%w: nothing was written: %w", backend.ErrUnavailable, explained(err))
}

// commitFailed wraps the error of a COMMIT that was then rolled back. SQLite writes the frame that
// makes a transaction valid last: if the lock could not be had, or the disk is full, there is none.
// After any other error it may lie in the log although nobody sees it, and a crash right now would
// bring it to life.
func commitFailed(err error) error {
	switch code(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL:
		return unavailable(err)
	}
	return fmt.Errorf("commit failed, the outcome is unknown: %w", explained(err))
}

// committedElsewhere wraps the error of a file that was not in its place any more right after a
// COMMIT. It may have been replaced before, and then nobody else sees the write. It is not final:
// the next call says that the store is closed.
func committedElsewhere(err error) error {
	return fmt.Errorf("the outcome is unknown: right after the commit: %v", err)
}

// explained adds what to do about err, if that is known.
func explained(err error) error {
	if advice := advise(code(err)); advice != "" {
		return fmt.Errorf("%s: %w", advice, err)
	}
	return err
}

// readFailed wraps the error of a read. The store could not be asked, except where asking again
// will not help.
func readFailed(err error) error {
	if errors.Is(err, backend.ErrClosed) {
		return err
	}
	switch code(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR:
		return explained(err)
	}
	return fmt.Errorf("%w: %w", backend.ErrUnavailable, explained(err))
}

// code is SQLite's primary result code, 0 for an error that is not SQLite's.
func code(err error) int {
	if e, ok := errors.AsType[*driver.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

func advise(code int) string {
	switch code {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		return "another process holds the file's lock for longer than the busy timeout (look for an open transaction, or raise WithBusyTimeout)"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return "the file cannot be written (this user needs write permission on the file, on its -wal and -shm files, and on their folder, and a file system that is not mounted read-only)"
	case sqlite3.SQLITE_FULL:
		return "the disk is full (free some space, or end the program whose open transaction lets the -wal grow)"
	case sqlite3.SQLITE_CANTOPEN:
		return "the file cannot be opened (its folder must exist, and this user must be allowed to read and write both)"
	case sqlite3.SQLITE_NOTADB:
		return "the file is not an SQLite database (give another path, or move the file away)"
	case sqlite3.SQLITE_CORRUPT:
		return "the file is damaged (restore a backup, or save what can be read with the sqlite3 shell's .recover)"
	case sqlite3.SQLITE_IOERR:
		return "the disk failed (look at the system's log; network file systems are not supported)"
	case sqlite3.SQLITE_NOMEM:
		return "out of memory"
	}
	return ""
}

// spoilsOnlyItself reports whether SQLite, on such an error, undoes the one statement and leaves
// the transaction as it was. After the others it may have rolled back everything
// (https://sqlite.org/lang_transaction.html, section 3).
func spoilsOnlyItself(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
		return true
	}
	return false
}
