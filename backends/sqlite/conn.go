package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"math/rand/v2"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// conn is a connection that stays out of its pool, with the statements prepared on it. After an
// error it is dropped, and made anew when next needed.
type conn struct {
	*sql.Conn // nil if there is none
	prepared  []*sql.Stmt
}

type statement struct {
	into  **sql.Stmt
	query string
}

// connect makes the connection, where there is none.
func (c *conn) connect(ctx context.Context, db *sql.DB, statements []statement) (err error) {
	if c.Conn, err = db.Conn(ctx); err != nil {
		c.Conn = nil
		return err
	}
	for _, s := range statements {
		stmt, err := c.PrepareContext(ctx, s.query)
		if err != nil {
			c.drop()
			return err
		}
		*s.into = stmt
		c.prepared = append(c.prepared, stmt)
	}
	return nil
}

// drop closes the connection for good, not back into the pool. That rolls back what it had not
// committed. The statements go first: database/sql does not close those of a single connection, and
// SQLite would keep the connection, its locks and its transaction for as long as there is one.
func (c *conn) drop() {
	if c.Conn == nil {
		return
	}
	for _, s := range c.prepared {
		s.Close()
	}
	c.Raw(func(any) error { return driver.ErrBadConn })
	c.Conn, c.prepared = nil, nil
}

// lockEvery is how often, on average, a lock that another process holds is asked for. It is spread
// at random, to keep out of step with that process. SQLite by itself soon asks but ten times a
// second. A process that writes without pause leaves the lock free for some hundred microseconds
// between two transactions, which SQLite hardly ever hits.
const lockEvery = time.Millisecond

// waitNot has a connection leave the waiting for locks to patiently.
const waitNot = "PRAGMA busy_timeout = 0"

// patiently repeats try for as long as it fails because of another process's lock, until patience
// or ctx ends.
func patiently(ctx context.Context, patience time.Duration, try func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := try()
		if code(err) != sqlite3.SQLITE_BUSY || !time.Now().Before(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(2 * lockEvery)):
		}
	}
}
