package sqlite

import (
	"context"
	"fmt"
)

// The log, the file that ends in -wal, grows with every write. SQLite writes what it holds into the
// database whenever it has 1000 pages, and begins again at its front. While a transaction reads,
// it cannot begin again, and grows.
//
// walMost is what remains of a log that had grown, after the second write that finds no transaction
// in its way. It is twice what a log takes by itself.
const walMost = 8 << 20

var walLimit = fmt.Sprintf("journal_size_limit(%d)", walMost)

// emptyLog empties the log after the disk was full. SQLite does that after a write that succeeds,
// and none does while the log takes all the space. It is of no use, and costs little, while a
// transaction still reads.
func (w *writer) emptyLog() {
	if !w.full || w.file.check() != nil {
		return
	}
	var busy, pages, written int
	row := w.conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
	err := row.Scan(&busy, &pages, &written)
	w.full = err != nil || busy != 0
}
