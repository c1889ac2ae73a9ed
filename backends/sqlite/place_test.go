//go:build unix

package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

func init() { roles["find one"] = findOne }

// misplaced is what can happen to a file that is open. move returns where the database is then; ""
// if it is nowhere.
var misplaced = []struct {
	name string
	move func(t *testing.T, path string) (now string)
	want string
}{
	{"the file is removed", func(t *testing.T, path string) string {
		must(t, os.Remove(path))
		return ""
	}, `leases.db" was removed while it was open: stop every program`},
	{"the file is renamed", func(t *testing.T, path string) string {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			must(t, os.Rename(path+suffix, path+".old"+suffix))
		}
		return path + ".old"
	}, `leases.db" was removed`},
	{"another is renamed over the file", func(t *testing.T, path string) string {
		other := newPath(t)
		open(t, other).Close()
		must(t, os.Rename(other, path))
		return ""
	}, `leases.db" was replaced`},
	{"the folder is renamed, and there is a new one", func(t *testing.T, path string) string {
		dir := filepath.Dir(path)
		must(t, os.Rename(dir, dir+".old"))
		t.Cleanup(func() { os.RemoveAll(dir + ".old") })
		must(t, os.Mkdir(dir, 0o700))
		child := start(t, "write one", path)
		child.begin.Close()
		child.wantSuccess(t)
		return filepath.Join(dir+".old", filepath.Base(path))
	}, `leases.db" was `}, // removed, if the watch has noticed before there was another
	{"there is a file where the folder was", func(t *testing.T, path string) string {
		dir := filepath.Dir(path)
		must(t, os.Rename(dir, dir+".old"))
		t.Cleanup(func() { os.RemoveAll(dir + ".old") })
		must(t, os.WriteFile(dir, nil, 0o600))
		return filepath.Join(dir+".old", filepath.Base(path))
	}, `leases.db" was removed`},
	{"the -wal is removed", func(t *testing.T, path string) string {
		must(t, os.Remove(path+"-wal"))
		return ""
	}, `leases.db-wal" was removed`},
	{"the -wal is replaced", func(t *testing.T, path string) string {
		must(t, os.WriteFile(path+"-other", nil, 0o600))
		must(t, os.Rename(path+"-other", path+"-wal"))
		return ""
	}, `leases.db-wal" was replaced`},
	{"the -shm is removed", func(t *testing.T, path string) string {
		must(t, os.Remove(path+"-shm"))
		return ""
	}, `leases.db-shm" was removed`},
}

func TestAFileThatIsNotInItsPlaceAnyMoreIsRefusedForGood(t *testing.T) {
	ctx := context.Background()
	for _, c := range misplaced {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t)
			s := open(t, path)
			revision := set(t, s, "k", 0, "before")
			watched := watch(t, t.Context(), s, "k")
			wantNext(t, watched, revision, "before")
			now := c.move(t, path)

			_, setErr := s.CompareAndSet(ctx, "k", revision, []byte("after"), 0)
			_, getErr := s.Get(ctx, "k")
			_, watchErr := s.Watch(ctx, "k")
			var listErr error
			for _, err := range s.List(ctx, "") {
				listErr = err
			}
			for _, err := range []error{setErr, s.CompareAndDelete(ctx, "k", revision), getErr, watchErr, listErr} {
				if !errors.Is(err, backend.ErrClosed) || errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want ErrClosed with %q", err, c.want)
				}
			}
			if e, ok := next(t, watched); ok {
				t.Errorf("the watch sent %+v", e)
			}
			if now != "" {
				wantEntry(t, open(t, now), "k", revision, "before")
			}
		})
	}
}

func TestAFileThatIsPutBackStaysRefused(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	must(t, os.Rename(path, path+".old"))
	_, err := s.CompareAndSet(context.Background(), "k", 0, nil, 0)
	wantError(t, err, backend.ErrClosed)
	must(t, os.Rename(path+".old", path))
	_, err = s.CompareAndSet(context.Background(), "k", 0, nil, 0)
	wantError(t, err, backend.ErrClosed)
}

func TestReadsNoticeByThemselvesThatTheFileIsGone(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	set(t, s, "k", 0, "v")
	must(t, os.Remove(path))
	eventually(t, "a read is refused", func() bool {
		_, err := s.Get(context.Background(), "k")
		return errors.Is(err, backend.ErrClosed)
	})
}

func TestWorkUnderALeaseEndsWhenTheFileIsGone(t *testing.T) {
	path := newPath(t)
	m, err := lease.NewManager(open(t, path))
	must(t, err)
	err = lease.Exec(t.Context(), m, "k", nil, func(ctx context.Context) error {
		must(t, os.Remove(path))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Minute):
			return errors.New("it went on for a minute")
		}
	})
	wantError(t, err, backend.ErrClosed)
}

// The last connection to close writes its -wal into the database. That of a store whose -wal was
// removed is of the past.
func TestClosingAStoreWhoseWALWasRemovedDoesNotTouchWhatOthersWrote(t *testing.T) {
	path := newPath(t)
	open(t, path).Close() // the schema is in the database itself
	s := open(t, path)
	for _, key := range []string{"a", "b", "c"} {
		set(t, s, key, 0, "in the -wal")
	}
	must(t, os.Remove(path+"-wal"))
	must(t, os.Remove(path+"-shm"))
	for _, role := range []string{"write one", "find one"} {
		c := start(t, role, path)
		c.begin.Close()
		c.wantSuccess(t)
		must(t, s.Close())
	}
	_, err := sqlite.Open(context.Background(), path)
	if err == nil || !strings.Contains(err.Error(), "start the program again") {
		t.Errorf("opened by the program that still has the -wal that was removed: %v", err)
	}
}

// findOne looks for what writeOne has left.
func findOne(path string) error {
	s, err := sqlite.Open(context.Background(), path)
	if err != nil {
		return err
	}
	var found []string
	for e, err := range s.List(context.Background(), "") {
		if err != nil {
			return err
		}
		found = append(found, fmt.Sprintf("%s %d %s", e.Key, e.Revision, e.Value))
	}
	if len(found) != 1 || found[0] != "k 1 from the child" {
		return fmt.Errorf("the file holds %q", found)
	}
	return s.Close()
}

// To read the file drops the locks that say that it is in use. If SQLite is older than 3.51, the
// next to close it removes the -wal.
func TestAProgramThatHasReadItsOwnFileNoticesIfTheNextToCloseItRemovesTheWAL(t *testing.T) {
	for _, c := range []struct {
		name  string
		look  func(t *testing.T, path string)
		keeps bool // the -wal, whatever the version of SQLite
	}{
		{"another program of this package", func(t *testing.T, path string) {
			c := start(t, "write one", path)
			c.begin.Close()
			c.wantSuccess(t)
		}, true},
		{"the sqlite3 shell", func(t *testing.T, path string) { shell(t, path) }, false},
		{"the sqlite3 shell as the documentation has it", func(t *testing.T, path string) { shell(t, "-readonly", path) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t)
			s := open(t, path)
			set(t, s, "mine", 0, "v")
			_, err := os.ReadFile(path)
			must(t, err)
			c.look(t, path)
			_, err = os.Stat(path + "-wal")
			removed := errors.Is(err, os.ErrNotExist)
			if removed && c.keeps {
				t.Error("the -wal was removed")
			}
			_, err = s.CompareAndSet(context.Background(), "mine", 1, nil, 0)
			if refused := errors.Is(err, backend.ErrClosed); refused != removed || !refused && err != nil {
				t.Errorf("got %v, and the -wal was removed: %v", err, removed)
			}
			must(t, s.Close())
			t.Logf("the -wal was removed: %v", removed)
		})
	}
}

// shell looks at the file with SQLite's own tool.
func shell(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("the sqlite3 shell (Debian: sqlite3) is not installed; another program is tested above")
	}
	out, err := exec.Command(path, append(args, "SELECT key FROM entries")...).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "mine" {
		t.Fatalf("sqlite3: %v\n%s", err, out)
	}
}

func TestAFileOfTwoNamesIsRefused(t *testing.T) {
	path := newPath(t)
	open(t, path).Close()
	must(t, os.Link(path, path+"2"))
	for _, name := range []string{path, path + "2"} {
		_, err := sqlite.Open(context.Background(), name)
		if err == nil || !strings.Contains(err.Error(), "the file has 2 hard links, must have 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, os.Remove(path+"2"))
	set(t, open(t, path), "k", 0, "v")
}

func TestASymbolicLinkIsFollowed(t *testing.T) {
	for _, c := range []struct{ name, target, real string }{
		{"to a full path", "%s/real/leases.db", "real"},
		{"to a path beside it", "real/leases.db", "real"},
		{"to a path above a folder that is a symbolic link", "folder/../real/leases.db", "else/real"},
	} {
		for _, exists := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, there already: %v", c.name, exists), func(t *testing.T) {
				dir := t.TempDir()
				for _, folder := range []string{"else/where", c.real} {
					must(t, os.MkdirAll(filepath.Join(dir, folder), 0o700))
				}
				must(t, os.Symlink("else/where", filepath.Join(dir, "folder")))
				real, link := filepath.Join(dir, c.real, "leases.db"), filepath.Join(dir, "link.db")
				if exists {
					open(t, real).Close()
				}
				must(t, os.Symlink(strings.Replace(c.target, "%s", dir, 1), link))
				s := open(t, link)
				revision := set(t, s, "k", 0, "v")
				wantEntry(t, open(t, real), "k", revision, "v")

				other := newPath(t)
				open(t, other).Close()
				must(t, os.Remove(link))
				must(t, os.Symlink(other, link))
				_, err := s.CompareAndSet(context.Background(), "k", revision, nil, 0)
				wantError(t, err, backend.ErrClosed)
			})
		}
	}
}
