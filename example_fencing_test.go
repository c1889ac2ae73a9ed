package lease_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"time"

	_ "modernc.org/sqlite"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// reports writes to a table whose rows keep the greatest fencing token that they have seen.
type reports struct{ db *sql.DB }

var errStale = errors.New("a later holder of the lease has written")

// save stands deep in a program. It finds the token of the lease in its context, and writes nothing
// outside of one.
func (r reports) save(ctx context.Context, id, text string) error {
	token, err := lease.Token(ctx, "report_"+id)
	if err != nil {
		return err
	}
	// One statement compares and sets the token.
	res, err := r.db.ExecContext(ctx, `UPDATE reports SET text = ?, token = ? WHERE id = ? AND token <= ?`, text, token, id, token)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return errStale
}

// No lease can stop a host that was suspended in the middle of its work and wakes up past the
// deadline. The database can, by the fencing token.
func ExampleToken() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection would have a memory of its own
	if _, err := db.ExecContext(ctx, `CREATE TABLE reports (id TEXT PRIMARY KEY, text TEXT, token INTEGER NOT NULL DEFAULT 0);
		INSERT INTO reports (id) VALUES ('q3')`); err != nil {
		log.Fatal(err)
	}
	r := reports{db}
	store := memory.New()
	asleep := leasetest.NewClock(time.Now()) // host A's: it does not notice that time passes
	hostA, errA := lease.NewManager(store, lease.WithClock(asleep))
	hostB, errB := lease.NewManager(store, lease.WithClock(leasetest.NewClock(time.Now().Add(time.Hour))))
	if err := errors.Join(errA, errB); err != nil {
		log.Fatal(err)
	}

	err = lease.Exec(ctx, hostA, "report_q3", nil, func(ctx context.Context) error {
		err := lease.Exec(context.Background(), hostB, "report_q3", nil, func(ctx context.Context) error {
			return r.save(ctx, "q3", "by host B")
		})
		fmt.Println("host B:", err)
		fmt.Println("host A:", r.save(ctx, "q3", "by host A"))
		return nil
	})
	fmt.Println("host A, as it ends:", errors.Is(err, lease.ErrLost))
	fmt.Println("outside of a lease:", r.save(ctx, "q3", "by anybody"))
	var text string
	if err := db.QueryRowContext(ctx, `SELECT text FROM reports WHERE id = 'q3'`).Scan(&text); err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	// Output:
	// host B: <nil>
	// host A: a later holder of the lease has written
	// host A, as it ends: true
	// outside of a lease: lease: token "report_q3": no lease is held here
	// by host B
}
