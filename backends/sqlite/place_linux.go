package sqlite

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// look finds the place of the file at path.
//
// It does not ask for times. Since Linux 6.13, the next write to a file whose times were asked for
// gives it new ones, and the sync after that write has to store them too. That made a write and its
// sync on ext4 take half as long again.
func look(path string) (place, error) {
	s, err := statx(path, unix.STATX_INO)
	if err != nil {
		return place{}, &fs.PathError{Op: "statx", Path: path, Err: err}
	}
	return place{device: unix.Mkdev(s.Dev_major, s.Dev_minor), inode: s.Ino}, nil
}

// isMount reports whether something is mounted at the path itself. Linux tells so since version
// 5.8.
func isMount(path string) bool {
	s, err := statx(path, 0)
	return err == nil && s.Attributes_mask&s.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// statx is there since Linux 4.11.
func statx(path string, mask int) (s unix.Statx_t, err error) {
	for {
		err = unix.Statx(unix.AT_FDCWD, path, 0, mask, &s)
		if !errors.Is(err, unix.EINTR) {
			return s, err
		}
	}
}
