package sqlite

import (
	"context"
	"time"
)

// WithQuery adds parameters to the URI of every connection. mode=ro makes even root unable to
// write.
func WithQuery(query string) Option { return func(o *settings) { o.query = query } }

const (
	SchemaVersion = schemaVersion
	SweepLimit    = sweepLimit
	PageEntries   = pageEntries
	WALMost       = walMost
)

var MigrationFiles = migrationFiles

// Pragmas tells what holds on the connection that writes. The Store must be idle.
func (s *Store) Pragmas(ctx context.Context) (synchronous int, journal string) {
	for query, into := range map[string]any{"PRAGMA synchronous": &synchronous, "PRAGMA journal_mode": &journal} {
		if err := s.writer.conn.QueryRowContext(ctx, query).Scan(into); err != nil {
			panic(err)
		}
	}
	return synchronous, journal
}

// SweepWithNextWrite makes the next write sweep, however short ago the last did. The Store must be
// idle.
func (s *Store) SweepWithNextWrite() { s.writer.nextSweep = time.Time{} }
