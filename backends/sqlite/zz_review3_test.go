package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

func TestXXFullImage(t *testing.T) {
	path := "/tmp/zzfull/leases.db"
	filler := "/tmp/zzfull/filler"
	un, other := 0, 0
	for round := range 40 {
		for _, x := range []string{"", "-wal", "-shm"} {
			os.Remove(path + x)
		}
		os.Remove(filler)
		s, err := sqlite.Open(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		set(t, s, "first", 0, "x")
		var st syscall.Statfs_t
		syscall.Statfs("/tmp/zzfull", &st)
		left := int64(st.Bavail) * st.Bsize
		f, _ := os.Create(filler)
		if err := syscall.Fallocate(int(f.Fd()), 0, 0, left-int64(round%10)*4096); err != nil {
			t.Fatal(err)
		}
		f.Close()
		rev := uint64(1)
		for n := range 30 {
			var key string
			if round < 20 {
				key = fmt.Sprint("k", n)
				_, err = s.CompareAndSet(context.Background(), key, 0, make([]byte, 300*(round%4+1)), 0)
			} else {
				key = "first"
				var r uint64
				r, err = s.CompareAndSet(context.Background(), key, rev, []byte(fmt.Sprint(n)), 0)
				if err == nil {
					rev = r
				}
			}
			if err == nil {
				continue
			}
			if !errors.Is(err, backend.ErrUnavailable) {
				other++
				t.Log(err)
			} else {
				un++
			}
			i := open(t, crashImage(t, path))
			if round < 20 {
				if e, err := i.Get(context.Background(), key); !errors.Is(err, backend.ErrNotFound) && errors.Is(err, backend.ErrUnavailable) {
					t.Fatal("there", e, err)
				}
			} else if e, err := i.Get(context.Background(), key); err != nil || e.Revision != rev {
				t.Fatal("changed", e, err, rev)
			}
			i.Close()
			break
		}
		os.Remove(filler)
		set(t, s, "after", 0, "")
		s.Close()
	}
	t.Log("unavailable", un, "other", other)
}
