package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/migrate"
	sqlite3 "modernc.org/sqlite/lib"
)

// How a file is known. Both numbers stand in the database's header. They change in the transaction
// that changes the schema, so nobody sees one without the other. Table bun_migrations says in
// addition what was applied when.
const (
	// applicationID marks a file as ours: "AiLs".
	applicationID = 0x41694c73

	// schemaVersion is PRAGMA user_version, the number of the last migration. A file with a
	// greater one was written by a newer version of this package.
	schemaVersion = 3
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// prepare makes db's file ours, at the current schema, or says why not. db has one connection.
func prepare(ctx context.Context, db *sql.DB, patience time.Duration) error {
	// Look before touching: a foreign file is not even switched to a write-ahead log.
	if _, err := db.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	_, err := inspect(ctx, db)
	if err == nil {
		err = end(db, "ROLLBACK")
	}
	if err != nil {
		return err // db is closed now, and with it the transaction
	}
	if err := useWAL(ctx, db, patience); err != nil {
		return err
	}

	// One immediate transaction around everything is the lock between processes. Bun's own lock is
	// a row that a crash leaves behind.
	if _, err := db.ExecContext(ctx, waitNot); err != nil {
		return err
	}
	err = patiently(ctx, patience, func() error {
		_, err := db.ExecContext(ctx, "BEGIN IMMEDIATE")
		return err
	})
	if err != nil {
		return err
	}
	version, err := inspect(ctx, db)
	if err != nil {
		return err
	}
	if version == schemaVersion {
		// Find out now, and not at the first lease, whether the file can be written: BEGIN alone
		// does not say.
		if _, err := db.ExecContext(ctx, "UPDATE counter SET revision = revision"); err != nil {
			return err
		}
		return end(db, "ROLLBACK")
	}
	if err := migrateSchema(ctx, db); err != nil {
		return err
	}
	return end(db, "COMMIT")
}

// end ends a transaction also when the context has ended.
func end(db *sql.DB, statement string) error {
	_, err := db.ExecContext(context.Background(), statement)
	return err
}

// inspect returns the schema version of the file, 0 for a new one, or why it is not for us. It must
// run in a transaction: another process may be making the file.
func inspect(ctx context.Context, db *sql.DB) (version int, err error) {
	var id, objects int
	var encoding string
	for _, q := range []struct {
		query string
		into  any
	}{
		{"SELECT count(*) FROM sqlite_schema", &objects}, // first: it begins the snapshot
		{"PRAGMA application_id", &id},
		{"PRAGMA user_version", &version},
		{"PRAGMA encoding", &encoding},
	} {
		if err := db.QueryRowContext(ctx, q.query).Scan(q.into); err != nil {
			return 0, err
		}
	}
	switch {
	case id == 0 && version == 0 && objects == 0:
		version = 0
	case id != applicationID:
		return 0, fmt.Errorf("the database holds something else (application id %#x, %d tables and other objects): give leases a file of their own", id, objects)
	case version > schemaVersion:
		return 0, fmt.Errorf("the database has schema version %d, written by a newer version of this package; this one knows up to version %d: upgrade the program", version, schemaVersion)
	}
	if encoding != "UTF-8" {
		return 0, fmt.Errorf("the database has text encoding %s, must be UTF-8: give leases a new file", encoding)
	}
	return version, nil
}

// useWAL switches the file to a write-ahead log, for ever. The switch needs the file alone for a
// moment, and SQLite does not always wait for that as it waits for other locks, so we do.
func useWAL(ctx context.Context, db *sql.DB, patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; {
		var mode string
		err := db.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		switch {
		case err == nil && mode != "wal":
			return fmt.Errorf("the journal mode stays %q: the file system does not support SQLite's write-ahead log (is it a network file system?)", mode)
		case err == nil:
			return nil
		case code(err) != sqlite3.SQLITE_BUSY || !time.Now().Before(deadline):
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// migrateSchema runs what is missing, in the caller's transaction: db has one connection, and bun
// uses the one in which it was begun.
func migrateSchema(ctx context.Context, db *sql.DB) error {
	migrations := migrate.NewMigrations()
	if err := migrations.Discover(migrationFiles); err != nil {
		return err
	}
	m := migrate.NewMigrator(bun.NewDB(db, sqlitedialect.New()), migrations, migrate.WithMarkAppliedOnSuccess(true))
	if err := m.Init(ctx); err != nil {
		return err
	}
	if _, err := m.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate to schema version %d: %w", schemaVersion, err)
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, schemaVersion))
	return err
}
