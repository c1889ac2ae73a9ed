// Package sqlite keeps leases in one SQLite file, for any number of processes on one host.
//
//	store, err := sqlite.Open(ctx, "/var/lib/app/leases.db")
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	manager, err := lease.NewManager(store)
//
// There is no server to run and nothing to install: SQLite is compiled in, without cgo. [Store] is
// a backend.Backend, and also a backend.Lister, a backend.Watcher, a backend.PrefixWatcher and a
// backend.Journal. Importing this package registers URLs such as "sqlite:leases.db" with package
// backends.
//
// # Guarantees
//
//   - A write that was acknowledged survives a crash of the program and a power failure, unless
//     [WithSynchronous] says otherwise, and as far as the disk keeps its own word.
//   - Every operation is one atomic step. All processes see the steps in the same order.
//   - Revisions count the changes of the whole file, and so do the positions of the journal. None
//     is used twice, also after a deletion or when the file is opened again.
//   - The entries of one Append to the journal are added together, or none of them is.
//   - After an error that wraps backend.ErrUnavailable nothing was written.
//
// Callers that write at the same time share a transaction, and so the wait for the disk: 64 callers
// write some ten times as much as one. A single caller pays nothing for that. A compare-and-set
// that is lost does not wait for the disk at all.
//
// # Limits
//
//   - All processes must run on one host, and the file must be on a local disk. SQLite's
//     write-ahead log needs memory that the processes share, which network file systems (NFS, SMB)
//     do not give. For several hosts there is package natskv.
//   - One process writes at a time. The others wait for it, for as long as [WithBusyTimeout] says.
//   - The files that end in -wal and -shm are part of the database. Keep them beside the file. Copy
//     a file that is in use with VACUUM INTO or the shell's .backup, not with cp.
//   - Mount the folder of the file into a container, not the file. Give the file one name: no hard
//     links. Else two programs have each a -wal of its own, and neither sees what the other writes.
//   - A program must not open the file by other means than SQLite, not even to read it: that drops
//     the locks that say that the file is in use. Look at it with sqlite3 -readonly.
//   - While a transaction reads, in a shell for instance, the -wal grows by some 8 KB with every
//     write. Once no transaction reads, the next writes shrink it to 8 MB. They succeed also on a
//     disk that the -wal has filled, unless the database itself has to grow.
//
// # A file that is not the one that was opened
//
// Each write, and a read if 50 milliseconds have passed, first makes sure that the file, its -wal
// and its -shm are still in place. If one was removed or replaced, other programs do not see what
// this one writes. The Store then closes itself: all calls fail with backend.ErrClosed, and the
// error names the file and says what to do. A write that was being committed at that moment has an
// unknown outcome. A file that is put back changes nothing: stop all programs that use the file,
// put the right one in its place, and start them again.
//
// # Permissions
//
// Lease ids and results stand in the file. [Open] makes it, its -wal and its -shm with mode 0600,
// whatever the umask. It leaves the mode of a file that exists, and logs a warning if others than
// its owner can read or write it.
//
// Later writes drop entries whose keep has ended, a few at a time. A file to which nobody writes
// keeps them. The file does not shrink, but its space is used again.
//
// # Reading the file
//
// View leases shows the leases with their fields as columns. View locks shows the one-shot locks.
// Table journal has the entries of timelines, and table streams what is known of each timeline.
// Anyone may read them at any time, and nobody waits for that:
//
//	$ sqlite3 -readonly leases.db
//	sqlite> SELECT key, state, attempt, deadline FROM leases WHERE state = 'in_progress' ORDER BY deadline;
//	sqlite> SELECT key, error_code, done_at FROM leases WHERE state = 'failed' AND done_at > '2026-01-31';
//	sqlite> SELECT key, first_seen_at, locked_until FROM locks ORDER BY first_seen_at DESC;
//	sqlite> SELECT hex(key) FROM entries; -- the shell shows a key only up to a NUL byte
//	sqlite> SELECT position, id, CAST(data AS TEXT) FROM journal WHERE stream = 'default/job_1';
//
// Times are RFC 3339 in UTC, all of one width: they compare as text. Change nothing by hand. A
// revision that was not counted is not safe to compare. The schema is in the folder migrations.
// PRAGMA user_version is its version. A version of this package that does not know it refuses the
// file.
package sqlite
