package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ailease/lease/backend"
)

// file is the database with its -wal and its -shm, as they were opened.
//
// Every program finds the database by its path. If the path leads to another file than the one
// that is open here, or to another -wal or -shm, two programs write without knowing of each other.
// Then no write may be acknowledged any more, and the store is closed for good. A file that is put
// back may lack what others have written meanwhile.
type file struct {
	path string // as given, absolute: it leads through symbolic links
	real string // without symbolic links: SQLite puts the -wal and -shm beside it

	opened  [len(suffixes)]place
	since   time.Time             // the monotonic clock counts from here
	checked atomic.Int64          // when check last found everything in place, after since
	gone    atomic.Pointer[error] // why the store is closed for good
}

// place tells a file from all others that exist at the same time.
type place struct{ device, inode uint64 }

// suffixes of the files that belong to a database.
var suffixes = [...]string{"", "-wal", "-shm"}

// recheckEvery is how long reads rely on the last check. Writes are checked each.
const recheckEvery = 50 * time.Millisecond

// newFile finds the file at path, which may not exist yet.
func newFile(path string) (*file, error) {
	real, err := resolve(path)
	if err != nil {
		return nil, err
	}
	return &file{path: path, real: real, since: time.Now()}, nil
}

// resolve follows symbolic links, also to a file that does not exist yet.
func resolve(path string) (string, error) {
	const most = 40 // as Linux follows
	for range most {
		dir, name := filepath.Split(path) // not Dir, which removes each ".." before links are followed
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, name)
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return path, nil
		case err != nil:
			return "", err
		case info.Mode()&fs.ModeSymlink == 0:
			return path, nil
		}
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if path = target; !filepath.IsAbs(target) {
			path = dir + string(filepath.Separator) + target
		}
	}
	return "", errors.New("too many symbolic links")
}

// process is what the Stores of one program share.
var process struct {
	sync.Mutex

	// Databases that are open here, with a -wal or -shm that was removed or replaced. SQLite has
	// but one of each for a database in one process, so it would use them for a new connection.
	abandoned []place
}

// create makes the file, readable by its owner alone, unless it exists. SQLite gives the -wal and
// the -shm the same permissions.
//
// One Store at a time makes a file. To close a file drops all locks that the process has on it,
// those of another Store included. So no other may open the file until it is closed here.
func (f *file) create() error {
	process.Lock()
	defer process.Unlock()
	if _, err := os.Lstat(f.real); err == nil {
		return nil
	}
	made, err := os.OpenFile(f.real, os.O_RDWR|os.O_CREATE|os.O_EXCL, ownerOnly)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	if err != nil {
		return fmt.Errorf("the file cannot be made (this user needs write permission on its folder, and a file system that is not mounted read-only): %w", err)
	}
	return errors.Join(made.Chmod(ownerOnly), made.Close()) // the umask may take away even the owner's
}

const ownerOnly = 0o600

// examine refuses a file that other programs could find under another path. SQLite would give each
// path a -wal of its own. It must be called before the file is opened.
func (f *file) examine(logger *slog.Logger) error {
	process.Lock()
	defer process.Unlock()
	info, err := os.Stat(f.real)
	if err != nil {
		return err
	}
	if n := links(info); n > 1 {
		return fmt.Errorf("the file has %d hard links, must have 1: a program that opens it by another name would not see its -wal: remove the other names, or copy the file", n)
	}
	if isMount(f.real) {
		return errors.New("the file itself is a mount point: its -wal would lie outside of the mount, where other programs do not see it: mount the folder that holds it instead")
	}
	if f.opened[0], err = look(f.real); err != nil {
		return err
	}
	if slices.Contains(process.abandoned, f.opened[0]) {
		return errAbandoned
	}
	f.warn(logger)
	return nil
}

// warn tells of files that others than their owner may read or write.
func (f *file) warn(logger *slog.Logger) {
	if runtime.GOOS == "windows" {
		return // the bits say nothing there
	}
	for _, suffix := range suffixes {
		info, err := os.Stat(f.real + suffix)
		if err == nil && info.Mode().Perm()&^ownerOnly != 0 {
			logger.Warn("sqlite: other users can read or write the leases in this file: chmod 600 it, or keep it in a folder that they cannot enter",
				"file", f.real+suffix, "mode", fmt.Sprintf("%#o", info.Mode().Perm()))
		}
	}
}

// identify notes which files were opened. A connection must have read from them, which opens them
// all, and must stay open: while there is one, SQLite neither makes them anew nor removes them.
func (f *file) identify() error {
	for i, suffix := range suffixes {
		now, err := look(f.real + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			return errAbandoned
		}
		if err != nil {
			return err
		}
		if i == 0 && now != f.opened[0] {
			return errors.New("the file was replaced while it was being opened: try again")
		}
		f.opened[i] = now
	}
	return f.check()
}

// check returns an error that wraps backend.ErrClosed if the files are not those that were opened,
// and from then on.
func (f *file) check() error {
	if gone := f.gone.Load(); gone != nil {
		return *gone
	}
	for i, suffix := range suffixes {
		path := f.real + suffix
		if i == 0 {
			path = f.path
		}
		now, err := look(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			return f.lose(path, "was removed", i)
		case err != nil:
			return fmt.Errorf("whether the file is still the one that was opened cannot be told: %w", err)
		case now != f.opened[i]:
			return f.lose(path, "was replaced", i)
		}
	}
	f.checked.Store(int64(time.Since(f.since)))
	return nil
}

// recheck is check, unless the last was a short time ago.
func (f *file) recheck() error {
	if f.gone.Load() == nil && time.Since(f.since)-time.Duration(f.checked.Load()) < recheckEvery {
		return nil
	}
	return f.check()
}

var errAbandoned = errors.New("this program has the file open with a -wal or -shm that was removed or replaced: start the program again")

// lose closes the store for good, because the file with suffix i is not in its place.
func (f *file) lose(path, what string, i int) error {
	advice := "stop every program that uses it, put the right file in its place, and start them again"
	if i > 0 {
		advice = "stop every program that uses the database, and start them again; the sqlite3 shell removes it if this program has opened the database by other means, so look at it with sqlite3 -readonly"
	}
	err := fmt.Errorf("%w: the file %q %s while it was open: %s", backend.ErrClosed, path, what, advice)
	if f.gone.CompareAndSwap(nil, &err) && i > 0 {
		process.Lock()
		defer process.Unlock()
		process.abandoned = append(process.abandoned, f.opened[0])
	}
	return *f.gone.Load()
}
