package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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
