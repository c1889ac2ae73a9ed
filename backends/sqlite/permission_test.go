//go:build unix

package sqlite_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/ailease/lease/backends/sqlite"
)

func TestANewFileIsItsOwnersAlone(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077, 0o777} {
		t.Run(fmt.Sprintf("umask %#o", umask), func(t *testing.T) {
			path := newPath(t)
			var log bytes.Buffer
			old := syscall.Umask(umask)
			s, err := sqlite.Open(t.Context(), path, sqlite.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			if err == nil {
				_, err = s.CompareAndSet(t.Context(), "k", 0, nil, 0)
			}
			syscall.Umask(old)
			must(t, err)
			defer s.Close()
			for _, suffix := range []string{"", "-wal", "-shm"} {
				info, err := os.Stat(path + suffix)
				must(t, err)
				if got := info.Mode().Perm(); got != 0o600 {
					t.Errorf("leases.db%s has mode %#o, want 0600", suffix, got)
				}
			}
			if log.Len() != 0 {
				t.Errorf("logged: %s", &log)
			}
		})
	}
}

func TestAnExistingFileThatOthersCanReadIsWarnedOfAndLeftAsItIs(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o400, 0o644, 0o660, 0o604} {
		t.Run(fmt.Sprintf("%#o", mode), func(t *testing.T) {
			path := newPath(t)
			open(t, path).Close()
			must(t, os.Chmod(path, mode))
			var log bytes.Buffer
			s, err := sqlite.Open(t.Context(), path, sqlite.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			if err == nil {
				defer s.Close()
			} else if mode&0o200 != 0 {
				t.Fatal(err)
			}
			want := 0
			if mode&0o077 != 0 {
				want = 1
			}
			if got := strings.Count(log.String(), fmt.Sprintf("file=%s mode=%#o", path, mode)); got != want || strings.Count(log.String(), "\n") != want {
				t.Errorf("%d warnings, want %d: %s", got, want, &log)
			}
			info, err := os.Stat(path)
			must(t, err)
			if info.Mode().Perm() != mode {
				t.Errorf("the mode is now %v", info.Mode())
			}
		})
	}
}
