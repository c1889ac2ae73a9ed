package sqlite

import (
	"slices"
	"strings"
	"testing"
)

// TestJournalPagesAreFoundByIndex: no page of the journal, and no sweep, looks at other entries or
// streams than those that it is about. Of a namespace, at most the page is sorted.
func TestJournalPagesAreFoundByIndex(t *testing.T) {
	s, _ := openInside(t)
	ns := []byte("ns/")
	for _, tt := range []struct {
		name, query string
		args        []any
		search      []string // every search of a table, in order
		sorts       int      // how many times rows are sorted
	}{
		{"a stream", streamSQL, []any{"ns/a", 0, 10}, []string{
			"journal USING INDEX journal_stream (stream=? AND rowid>?)",
		}, 0},
		{"the newest", newestSQL, []any{10, 10}, []string{
			"journal USING INTEGER PRIMARY KEY (rowid<?)",
		}, 0},
		{"the newest of a namespace", newestOfNamespaceSQL, []any{ns, 10, 10}, []string{
			"journal USING INDEX journal_namespace (namespace=? AND rowid<?)",
		}, 0},
		{"the newest of a range", newestOfRangeSQL, []any{ns, ns, 10, 10}, []string{
			"journal USING INTEGER PRIMARY KEY (rowid=?)",
			"journal USING COVERING INDEX journal_stream (stream>? AND stream<?)",
		}, 1}, // positions alone
		{"the streams of a namespace", streamsOfNamespaceSQL, []any{ns, 10, 0, ns}, []string{
			"streams USING INDEX streams_namespace (namespace=?)",
			"journal USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
			"streams USING COVERING INDEX streams_namespace (namespace=?)",
		}, 1}, // the page
		{"the streams of a range", streamsOfRangeSQL, []any{ns, ns, 10, 0, ns, ns}, []string{
			"streams USING PRIMARY KEY (stream>? AND stream<?)",
			"journal USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
			"streams USING PRIMARY KEY (stream>? AND stream<?)",
		}, 2}, // the range, and the page
		{"a sweep", forgetSQL, []any{1, 10}, []string{
			"journal USING INTEGER PRIMARY KEY (rowid=?)",
			"journal USING COVERING INDEX journal_keep_until (keep_until<?)",
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rows, err := s.readDB.Query("EXPLAIN QUERY PLAN "+tt.query, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			var search []string
			sorts := 0
			for rows.Next() {
				var id, parent, unused int
				var step string
				if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
					t.Fatal(err)
				}
				if table, ok := strings.CutPrefix(step, "SEARCH "); ok {
					search = append(search, table)
				}
				if table, ok := strings.CutPrefix(step, "SCAN "); ok && (strings.HasPrefix(table, "journal") || strings.HasPrefix(table, "streams")) {
					t.Errorf("all of %s is looked at", table)
				}
				if strings.Contains(step, "TEMP B-TREE") {
					sorts++
				}
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(search, tt.search) || sorts != tt.sorts {
				t.Errorf("it searches %q and sorts %d times, want %q and %d", search, sorts, tt.search, tt.sorts)
			}
		})
	}
}
