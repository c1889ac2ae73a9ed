package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ailease/lease/backend"
)

// Open opens the file at path, and makes it if it is absent; its folder must exist. Several
// processes may open one file, also a new one, at the same time.
//
// A new file can be read and written by its owner alone. If others may read or write one that
// exists, Open logs a warning; see [WithLogger].
//
// These files are refused and left as they are:
//
//   - one that is not an SQLite database, or that holds something else;
//   - one with the schema of a newer version of this package;
//   - one with several hard links, and on Linux one that is itself a mount point.
//
// ctx bounds only the opening.
func Open(ctx context.Context, path string, opts ...Option) (*Store, error) {
	s, err := open(ctx, path, opts)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %q: %w", path, err)
	}
	return s, nil
}

func open(ctx context.Context, path string, opts []Option) (*Store, error) {
	o, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	if path, err = checkPath(path); err != nil {
		return nil, err
	}

	f, err := newFile(path)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := f.create(); err != nil {
		return nil, err
	}
	if err := f.examine(o.logger); err != nil {
		return nil, err
	}

	// The connection that prepares the file stays open for as long as the store. The last one to
	// close would remove the -wal and the -shm, and the next would make others.
	anchor, err := sql.Open("sqlite", dsn(f.real, o, nil))
	if err != nil {
		return nil, err
	}
	anchor.SetMaxOpenConns(1)
	err = prepare(ctx, anchor, o.busyTimeout)
	if err == nil {
		err = f.identify()
	}
	if err != nil {
		anchor.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, explained(err)
	}
	return newStore(ctx, anchor, f, o)
}

// checkPath finds the mistakes for which SQLite has only SQLITE_CANTOPEN. It makes path absolute,
// so a later change of the working folder does not matter.
func checkPath(path string) (string, error) {
	switch {
	case path == "":
		return "", fmt.Errorf("%w: the path is empty", backend.ErrInvalid)
	case strings.ContainsRune(path, 0):
		return "", fmt.Errorf("%w: the path contains a NUL byte", backend.ErrInvalid)
	case path == ":memory:" || strings.HasPrefix(path, "file:"):
		return "", fmt.Errorf("%w: want the path of a file, not a name that SQLite treats specially; for a store in memory use package memory", backend.ErrInvalid)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return "", errors.New("this is a folder: give the path of a file in it")
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("this is not a regular file (%v)", info.Mode())
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	switch info, err := os.Stat(filepath.Dir(path)); {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("the folder %q does not exist: make it first: %w", filepath.Dir(path), err)
	case err != nil:
		return "", err
	case !info.IsDir():
		return "", fmt.Errorf("%q is not a folder", filepath.Dir(path))
	}
	return path, nil
}

// dsn is the driver's URI for path. It must be a URI, because the driver cuts a plain path at its
// first '?'. In a URI every special character is escaped. Transactions are begun by hand. Should a
// library begin one, it shall be immediate: a deferred one that reads and then writes fails with
// SQLITE_BUSY at once, without waiting.
func dsn(path string, o settings, pragmas []string) string {
	q := url.Values{}
	q.Set("_txlock", "immediate")
	q.Set("mode", "rw") // the file exists: if it does not, it was removed, and no other is made
	ms := (o.busyTimeout + time.Millisecond - 1) / time.Millisecond
	q.Add("_pragma", "busy_timeout("+strconv.FormatInt(int64(ms), 10)+")")
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	query := q.Encode()
	if o.query != "" {
		query += "&" + o.query
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a Windows drive: file:///C:/...
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query}).String()
}

func (s Synchronous) pragma() string {
	if s == Normal {
		return "synchronous(NORMAL)"
	}
	return "synchronous(FULL)"
}
