//go:build !unix

package sqlite

import "io/fs"

// look finds all files in the same place: Windows lets nobody remove or rename a file that SQLite
// has open.
func look(string) (place, error) { return place{}, nil }

// isMount is not known here.
func isMount(string) bool { return false }

// links is not known here. doc.go asks for one name.
func links(fs.FileInfo) uint64 { return 1 }
