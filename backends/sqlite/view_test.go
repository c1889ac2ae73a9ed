package sqlite_test

import (
	"database/sql"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/ailease/lease/backends/sqlite"
)

const (
	acquired = `{"format":1,"state":"in_progress","lease_id":"ls_1","version":1,"attempt":1,"ttl_ns":60000000000,` +
		`"deadline":"2026-01-02T03:05:05.000000000Z","first_seen_at":"2026-01-02T03:04:05.000000000Z","acquired_at":"2026-01-02T03:04:05.000000000Z",` +
		`"keep_until":"2026-01-09T03:05:05.000000000Z","metadata":{"who":"worker é"},"request_id":"rq","input_hash":"ih","at_most_once":true,"op":"op_1"}`
	completed = `{"format":1,"state":"completed","lease_id":"ls_2","version":2,"token":41,"attempt":3,"ttl_ns":1,` +
		`"deadline":"2026-01-02T03:05:05.000000000Z","first_seen_at":"2026-01-02T03:04:05.000000000Z","acquired_at":"2026-01-02T03:04:05.000000000Z",` +
		`"done_at":"2026-01-02T03:04:06.500000000Z","keep_until":"2026-01-09T03:05:05.000000000Z","result":"a string","result_hash":"rh","op":"op_3","prev_op":"op_2"}`
	locked = `{"format":1,"state":"locked","version":1,"attempt":1,"ttl_ns":60000000000,` +
		`"deadline":"2026-01-02T03:05:05.000000000Z","first_seen_at":"2026-01-02T03:04:05.000000000Z","acquired_at":"2026-01-02T03:04:05.000000000Z",` +
		`"keep_until":"2026-01-02T03:05:05.000000000Z","metadata":{"order":7},"op":"op_4","prev_op":"op_0"}`
)

func TestTheViewsShowTheRecordsFieldsAsColumns(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	set(t, s, "unrelated", 0, "{}")
	set(t, s, "a", 0, acquired)
	set(t, s, "b", 0, completed)
	set(t, s, "ns:lock/c", 0, locked)
	set(t, s, "ns:lock/d/e:f", 0, "rubbish")
	db := raw(t, path)

	for _, c := range []struct {
		view, key string
		want      map[string]string // every column; NULL is "-"
	}{
		{"leases", "a", map[string]string{
			"key": "a", "revision": "2", "state": "in_progress", "lease_id": "ls_1", "version": "1", "token": "2", "attempt": "1", "ttl_ns": "60000000000",
			"deadline": "2026-01-02T03:05:05.000000000Z", "first_seen_at": "2026-01-02T03:04:05.000000000Z", "acquired_at": "2026-01-02T03:04:05.000000000Z",
			"done_at": "-", "keep_until": "2026-01-09T03:05:05.000000000Z", "metadata": `{"who":"worker é"}`, "result": "-", "result_hash": "-",
			"error_code": "-", "error_hash": "-", "error_text": "-", "request_id": "rq", "input_hash": "ih", "at_most_once": "1", "op": "op_1", "prev_op": "-", "format": "1",
		}},
		{"leases", "b", map[string]string{
			"key": "b", "revision": "3", "state": "completed", "lease_id": "ls_2", "version": "2", "token": "41", "attempt": "3", "ttl_ns": "1",
			"deadline": "2026-01-02T03:05:05.000000000Z", "first_seen_at": "2026-01-02T03:04:05.000000000Z", "acquired_at": "2026-01-02T03:04:05.000000000Z",
			"done_at": "2026-01-02T03:04:06.500000000Z", "keep_until": "2026-01-09T03:05:05.000000000Z", "metadata": "-", "result": `"a string"`, "result_hash": "rh",
			"error_code": "-", "error_hash": "-", "error_text": "-", "request_id": "-", "input_hash": "-", "at_most_once": "0", "op": "op_3", "prev_op": "op_2", "format": "1",
		}},
		{"locks", "ns:lock/c", map[string]string{
			"key": "ns:lock/c", "revision": "4", "first_seen_at": "2026-01-02T03:04:05.000000000Z", "ttl_ns": "60000000000",
			"locked_until": "2026-01-02T03:05:05.000000000Z", "metadata": `{"order":7}`, "op": "op_4", "prev_op": "op_0", "format": "1",
		}},
		{"locks", "ns:lock/d/e:f", map[string]string{
			"key": "ns:lock/d/e:f", "revision": "5", "first_seen_at": "-", "ttl_ns": "-", "locked_until": "-", "metadata": "-", "op": "-", "prev_op": "-", "format": "-",
		}},
	} {
		t.Run(c.key, func(t *testing.T) {
			rows, err := db.Query("SELECT * FROM "+c.view+" WHERE key = ?", c.key)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			columns, err := rows.Columns()
			if err != nil || len(columns) != len(c.want) || !rows.Next() {
				t.Fatalf("columns %q, %v", columns, err)
			}
			values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			for i, column := range columns {
				got := values[i].String
				if !values[i].Valid {
					got = "-"
				}
				if want, ok := c.want[column]; !ok || got != want {
					t.Errorf("%s is %s, want %s", column, got, want)
				}
			}
		})
	}
}

func TestAViewShowsLeasesAloneTheOtherLocks(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	// What the Manager makes of namespaces and keys, with all that looks like the other kind.
	// "test" has as many letters as make "test/" as long as ":lock".
	leases := []string{"default/k", "default/x:lock/k", "test/k", "test/:lock/k", "lock/k", "a/:", "a/b/c"}
	locks := []string{"default:lock/k", "test:lock/a/b", "lock:lock/k", "a:lock/:lock/k", "a:lock//"}
	for _, key := range leases {
		set(t, s, key, 0, acquired)
	}
	for _, key := range locks {
		set(t, s, key, 0, locked)
	}
	db := raw(t, path)
	for view, want := range map[string][]string{"leases": leases, "locks": locks} {
		rows, err := db.Query("SELECT key FROM " + view)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for rows.Next() {
			var key string
			if err := rows.Scan(&key); err != nil {
				t.Fatal(err)
			}
			got = append(got, key)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("view %s shows %q, want %q", view, got, want)
		}
	}
}

func TestTheViewShowsNothingButKeyAndRevisionForOtherValues(t *testing.T) {
	for _, c := range []struct{ name, value string }{
		{"empty", ""},
		{"text", "hello"},
		{"bytes", "\x00\xff\xfe"},
		{"a number", "12"},
		{"an array", "[1,2]"},
		{"cut off", acquired[:50]},
		{"SQLite's own binary JSON", "\x8c\x47abcd\x13\x31"},
		{"nested beyond reason", strings.Repeat("[", 5000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t)
			s := open(t, path, sqlite.WithSynchronous(sqlite.Normal))
			set(t, s, "odd", 0, c.value)
			set(t, s, "good", 0, acquired)
			var odd, good int
			err := raw(t, path).QueryRow(`SELECT count(*) FILTER (WHERE key = 'odd' AND revision = 1 AND state IS NULL AND lease_id IS NULL AND metadata IS NULL),
count(*) FILTER (WHERE key = 'good' AND state = 'in_progress') FROM leases`).Scan(&odd, &good)
			if err != nil || odd != 1 || good != 1 {
				t.Errorf("odd %d, good %d, %v", odd, good, err)
			}
		})
	}
}

func TestTheShellCanReadTheFileWhileItIsInUse(t *testing.T) {
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("the sqlite3 shell (Debian: sqlite3) is not installed; what the view shows is tested above, through the driver")
	}
	path := newPath(t)
	s := open(t, path)
	set(t, s, "chat_1 é", 0, acquired)
	set(t, s, "chat_2", 0, completed)
	out, err := exec.Command(shell, "-readonly", path, "SELECT key, state, attempt, deadline FROM leases ORDER BY key; PRAGMA integrity_check").CombinedOutput()
	want := "chat_1 é|in_progress|1|2026-01-02T03:05:05.000000000Z\nchat_2|completed|3|2026-01-02T03:05:05.000000000Z\nok\n"
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}
