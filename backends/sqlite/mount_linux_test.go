package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

// mount mounts for the time of the test.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	err := syscall.Mount(source, target, kind, flags, data)
	if errors.Is(err, syscall.EPERM) {
		t.Skip("this user may not mount: run the tests as root, in a container with CAP_SYS_ADMIN")
	}
	must(t, err)
	t.Cleanup(func() { must(t, syscall.Unmount(target, 0)) })
}

func TestAFileThatIsAMountPointIsRefused(t *testing.T) {
	host := newPath(t)
	open(t, host).Close()
	inside := filepath.Join(t.TempDir(), "leases.db")
	must(t, os.WriteFile(inside, nil, 0o600))
	mount(t, host, inside, "", syscall.MS_BIND, "")
	_, err := sqlite.Open(context.Background(), inside)
	if err == nil || !strings.Contains(err.Error(), "the file itself is a mount point") || !strings.Contains(err.Error(), "mount the folder") {
		t.Errorf("got %v", err)
	}

	dir := t.TempDir()
	mount(t, filepath.Dir(host), dir, "", syscall.MS_BIND, "")
	s := open(t, filepath.Join(dir, "leases.db"))
	revision := set(t, s, "k", 0, "v")
	wantEntry(t, open(t, host), "k", revision, "v")
	must(t, s.Close())
}

// While a transaction reads, the -wal grows until the disk is full. Then the reader leaves.
func TestAFullDiskIsNoTroubleAnyMoreOnceTheReaderHasLeft(t *testing.T) {
	dir := t.TempDir()
	mount(t, "tmpfs", dir, "tmpfs", 0, "size=8m")
	path := filepath.Join(dir, "leases.db")
	s := open(t, path)
	value := strings.Repeat("x", 10_000)
	revision := set(t, s, "k", set(t, s, "k", 0, value), value)
	must(t, s.Close()) // and the database has all the pages that it will need
	s = open(t, path)
	reader := reading(t, path)
	ctx, writes := context.Background(), 0
	write := func() (err error) {
		r, err := s.CompareAndSet(ctx, "k", revision, []byte(value), 0)
		if err == nil {
			revision = r
		}
		return err
	}
	var err error
	for err == nil && writes < 10_000 {
		err = write()
		writes++
	}
	if !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), "the disk is full") {
		t.Fatalf("write %d: %v", writes, err)
	}
	for range 3 {
		wantError(t, write(), backend.ErrUnavailable)
	}
	wantEntry(t, s, "k", revision, value)

	must(t, reader.Close())
	for range 2 * writes {
		must(t, write())
	}
	wantEntry(t, s, "k", revision, value)
}
