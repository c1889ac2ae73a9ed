package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/migrate"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

func TestPathsOfAnyCharactersAreOpened(t *testing.T) {
	for _, name := range []string{"plain.db", "with space.db", "what?.db", "a#b.db", "100%.db", "%41.db", "a&b=c;d.db", "ключ.db", "a+b.db", "'quoted\".db"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			s := open(t, path)
			set(t, s, "k", 0, "v")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
			if err != nil || len(files) != 1 || files[0] != path {
				t.Errorf("the folder holds %q, want only %q (%v)", files, path, err)
			}
			wantEntry(t, open(t, path), "k", 1, "v")
		})
	}
}

func TestRelativePathsStayWhereTheyPointedAtOpening(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s := open(t, "leases.db")
	t.Chdir(t.TempDir())
	set(t, s, "k", 0, "v")
	if _, err := os.Stat(filepath.Join(dir, "leases.db")); err != nil {
		t.Error(err)
	}
}

// raw opens the file as any program would, behind the Store's back.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

func TestOpenSaysWhatIsWrongAndLeavesTheFileAlone(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string) // what lies at the path
		want string
	}{
		{"a file that is not a database", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("dear diary ", 1000)), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "not an SQLite database"},
		{"a database of something else", func(t *testing.T, path string) {
			db := raw(t, path)
			execute(t, db, "CREATE TABLE customers (name)")
			db.Close()
		}, "give leases a file of their own"},
		{"a database of another application, still empty", func(t *testing.T, path string) {
			db := raw(t, path)
			execute(t, db, "PRAGMA application_id = 7")
			db.Close()
		}, "application id 0x7"},
		{"a database of UTF-16", func(t *testing.T, path string) {
			db := raw(t, path)
			execute(t, db, "PRAGMA encoding = 'UTF-16le'")
			execute(t, db, "CREATE TABLE t (a)")
			execute(t, db, "DROP TABLE t")
			db.Close()
		}, "UTF-16le, must be UTF-8"},
		{"a schema of a newer version of this package", func(t *testing.T, path string) {
			open(t, path).Close()
			db := raw(t, path)
			execute(t, db, fmt.Sprintf("PRAGMA user_version = %d", sqlite.SchemaVersion+6))
			db.Close()
		}, "schema version 9, written by a newer version of this package; this one knows up to version 3: upgrade"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t)
			c.make(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := sqlite.Open(context.Background(), path)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), `sqlite: open "`+path+`": `) {
				t.Errorf("got %q, want the path and %q", err, c.want)
			}
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}

func TestOpenSaysWhatIsWrongWithThePath(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, want string
		is               error
	}{
		{"empty", "", "the path is empty", backend.ErrInvalid},
		{"a NUL byte", "a\x00b", "NUL", backend.ErrInvalid},
		{"SQLite's name for memory", ":memory:", "use package memory", backend.ErrInvalid},
		{"a URI", "file:leases.db", "want the path of a file", backend.ErrInvalid},
		{"a folder", dir, "this is a folder", nil},
		{"in a folder that does not exist", filepath.Join(dir, "missing", "leases.db"), "make it first", fs.ErrNotExist},
		{"in a file", filepath.Join(file, "leases.db"), "not a directory", nil},
		{"a device", os.DevNull, "not a regular file", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := sqlite.Open(context.Background(), c.path)
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestOpenRefusesOptionsOutOfRange(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  sqlite.Option
	}{
		{"an unknown synchronous", sqlite.WithSynchronous(7)},
		{"a negative busy timeout", sqlite.WithBusyTimeout(-1)},
		{"an endless busy timeout", sqlite.WithBusyTimeout(24 * time.Hour)},
		{"no logger", sqlite.WithLogger(nil)},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := sqlite.Open(context.Background(), newPath(t), c.opt)
			wantError(t, err, backend.ErrInvalid)
		})
	}
}

func TestOpenOfAFileThatCannotBeWrittenSaysSo(t *testing.T) {
	path := newPath(t)
	open(t, path).Close()
	_, err := sqlite.Open(context.Background(), path, sqlite.WithQuery("mode=ro"))
	if err == nil || !strings.Contains(err.Error(), "the file cannot be written") {
		t.Errorf("got %v", err)
	}
}

func TestOpenWithAnEndedContextMakesNoFile(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	path := newPath(t)
	_, err := sqlite.Open(ctx, path)
	wantError(t, err, context.Canceled)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat: %v", err)
	}
}

func TestOpenWaitsForTheLockNoLongerThanItsContext(t *testing.T) {
	path := newPath(t)
	open(t, path).Close()
	db := raw(t, path)
	execute(t, db, "BEGIN IMMEDIATE")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := sqlite.Open(ctx, path, sqlite.WithBusyTimeout(time.Minute))
	wantError(t, err, context.DeadlineExceeded)
	_, err = sqlite.Open(context.Background(), path, sqlite.WithBusyTimeout(time.Millisecond))
	if err == nil || !strings.Contains(err.Error(), "another process holds the file's lock") {
		t.Errorf("got %v", err)
	}
}

func TestTheSchemaVersionIsTheNumberOfTheLastMigration(t *testing.T) {
	files, err := fs.Glob(sqlite.MigrationFiles, "migrations/*.up.sql")
	if err != nil || len(files) != sqlite.SchemaVersion {
		t.Fatalf("migrations %q, schema version %d (%v)", files, sqlite.SchemaVersion, err)
	}
	if last := files[len(files)-1]; !strings.HasPrefix(last, fmt.Sprintf("migrations/%04d_", sqlite.SchemaVersion)) {
		t.Errorf("the last migration is %q", last)
	}
	path := newPath(t)
	open(t, path)
	var applied int
	if err := raw(t, path).QueryRow("SELECT count(*) FROM bun_migrations").Scan(&applied); err != nil || applied != sqlite.SchemaVersion {
		t.Errorf("%d migrations are noted in the file (%v)", applied, err)
	}
}

// oldFile makes a file of schema version 1, with the entries of keys "a" and "b", as the version of
// this package that knew no other left it.
func oldFile(t *testing.T) (path string) {
	t.Helper()
	first, err := fs.ReadFile(sqlite.MigrationFiles, "migrations/0001_entries.up.sql")
	if err != nil {
		t.Fatal(err)
	}
	path = newPath(t)
	db := raw(t, path)
	db.SetMaxOpenConns(1)
	execute(t, db, "PRAGMA journal_mode = WAL")
	migrations := migrate.NewMigrations()
	if err := migrations.Discover(fstest.MapFS{"0001_entries.up.sql": {Data: first}}); err != nil {
		t.Fatal(err)
	}
	m := migrate.NewMigrator(bun.NewDB(db, sqlitedialect.New()), migrations, migrate.WithMarkAppliedOnSuccess(true))
	if err := m.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	execute(t, db, "PRAGMA application_id = 0x41694c73")
	execute(t, db, "PRAGMA user_version = 1")
	execute(t, db, "UPDATE counter SET revision = 41")
	execute(t, db, "INSERT INTO entries (key, value, revision) VALUES ('a', ?, 40), ('b', ?, 41)", []byte(acquired), []byte(completed))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAFileOfAnOlderVersionIsMigrated(t *testing.T) {
	path := oldFile(t)
	s := open(t, path)
	wantEntry(t, s, "a", 40, acquired)
	wantEntry(t, s, "b", 41, completed)
	if revision := set(t, s, "c", 0, acquired); revision != 42 {
		t.Errorf("the next revision is %d, want 42", revision)
	}
	var version, applied, leases, locks int
	db := raw(t, path)
	for query, into := range map[string]*int{
		"PRAGMA user_version": &version, "SELECT count(*) FROM bun_migrations": &applied, "SELECT count(*) FROM leases": &leases, "SELECT count(*) FROM locks": &locks,
	} {
		if err := db.QueryRow(query).Scan(into); err != nil {
			t.Fatal(err)
		}
	}
	if version != sqlite.SchemaVersion || applied != sqlite.SchemaVersion || leases != 3 || locks != 0 {
		t.Errorf("schema version %d, %d migrations noted, %d leases, %d locks", version, applied, leases, locks)
	}
}

// TestManyMigrateAFileAtOnce, as after a deployment to several processes.
func TestManyMigrateAFileAtOnce(t *testing.T) {
	path := oldFile(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := sqlite.Open(context.Background(), path, sqlite.WithBusyTimeout(time.Minute)) // on a slow disk the last waits for the syncs of seven
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantEntry(t, open(t, path), "a", 40, acquired)
}

func TestConnectionsAreAsDurableAsAskedFor(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []sqlite.Option
		want int
	}{
		{"full unless asked otherwise", nil, 2},
		{"normal", []sqlite.Option{sqlite.WithSynchronous(sqlite.Normal)}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, newPath(t), c.opts...)
			synchronous, journal := s.Pragmas(t.Context())
			if synchronous != c.want || journal != "wal" {
				t.Errorf("synchronous is %d, journal mode %q", synchronous, journal)
			}
		})
	}
}
