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

var errStale = errors.New("a later holder of the lease has written")

// saveReport writes unless somebody has written who acquired the lease later. The row keeps the greatest token that it has seen; one statement
// compares and sets it.
func saveReport(ctx context.Context, db *sql.DB, id, text string, token uint64) error {
	res, err := db.ExecContext(ctx, `UPDATE reports SET text = ?, token = ? WHERE id = ? AND token <= ?`, text, token, id, token)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return errStale
}

// No lease can stop a host that was suspended in the middle of its work and wakes up past the deadline. The database can, by the fencing token.
func ExampleDo_fencing() {
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
	clock, store := leasetest.NewClock(time.Now()), memory.New()
	hostA, errA := lease.NewManager(store, lease.WithClock(clock))
	hostB, errB := lease.NewManager(store, lease.WithClock(clock))
	if err := errors.Join(errA, errB); err != nil {
		log.Fatal(err)
	}

	a, _, err := hostA.Acquire(ctx, "report_q3", lease.AcquireOptions{TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	clock.Advance(time.Hour) // host A is suspended
	_, err = lease.Do(ctx, hostB, "report_q3", func(ctx context.Context, h *lease.Held) (any, error) {
		return nil, saveReport(ctx, db, "q3", "by host B", h.Token())
	})
	fmt.Println("host B:", err)
	fmt.Println("host A:", saveReport(ctx, db, "q3", "by host A", a.Token)) // it has not looked at the time

	_, err = hostA.Extend(ctx, "report_q3", a.LeaseID, time.Minute)
	fmt.Println("host A, if it asks:", err)
	var text string
	if err := db.QueryRowContext(ctx, `SELECT text FROM reports WHERE id = 'q3'`).Scan(&text); err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	// Output:
	// host B: <nil>
	// host A: a later holder of the lease has written
	// host A, if it asks: lease: extend "report_q3": already finished: completed at version 3
	// by host B
}
