package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// importRows imports rows and returns how many there were. After each part it saves how far it is,
// and the next attempt goes on there. It is called under a lease.
func importRows(ctx context.Context, rows []string, write func(row string) error) (int, error) {
	done := 0
	if _, err := lease.Load(ctx, &done); err != nil {
		return 0, err
	}
	for done < len(rows) {
		if err := write(rows[done]); err != nil {
			return 0, err
		}
		done++
		if err := lease.Save(ctx, done); err != nil {
			return 0, err // the lease is lost, or the store is away
		}
	}
	return done, nil
}

// An attempt that fails, or whose process dies, leaves its checkpoint to the next.
func ExampleSave() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	full := true
	for range 2 {
		n, err := lease.Do(ctx, m, "import_1", nil, func(ctx context.Context) (int, error) {
			return importRows(ctx, []string{"Ada", "Bob", "Eve"}, func(row string) error {
				if row == "Bob" && full {
					full = false
					return errors.New("the disk is full")
				}
				fmt.Println("writes", row)
				return nil
			})
		})
		fmt.Println(n, err)
	}
	// Output:
	// writes Ada
	// 0 lease: do "import_1": failed with code "error" (attempt 1): the disk is full
	// writes Bob
	// writes Eve
	// 3 <nil>
}

// A function that works under a lease is tested without a Manager and a store.
func TestImportRowsGoesOnWhereItStopped(t *testing.T) {
	ctx := leasetest.Context(t, lease.Lease{Attempt: 2, Checkpoint: []byte("1")})
	var written []string
	n, err := importRows(ctx, []string{"Ada", "Bob"}, func(row string) error {
		written = append(written, row)
		return nil
	})
	if err != nil || n != 2 {
		t.Fatalf("importRows = %d, %v, want 2 rows", n, err)
	}
	if len(written) != 1 || written[0] != "Bob" {
		t.Errorf("the rows %q were written, want Bob alone", written)
	}
	if l, _ := lease.FromContext(ctx); string(l.Checkpoint) != "2" {
		t.Errorf("the checkpoint is %s, want 2", l.Checkpoint)
	}
}
