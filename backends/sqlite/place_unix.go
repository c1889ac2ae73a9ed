//go:build unix && !linux

package sqlite

import (
	"io/fs"
	"os"
	"syscall"
)

// look finds the place of the file at path.
func look(path string) (place, error) {
	info, err := os.Stat(path)
	if err != nil {
		return place{}, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return place{}, &fs.PathError{Op: "stat", Path: path, Err: syscall.ENOTSUP}
	}
	return place{device: uint64(s.Dev), inode: uint64(s.Ino)}, nil
}

// isMount is not known here. doc.go asks to mount folders.
func isMount(string) bool { return false }
