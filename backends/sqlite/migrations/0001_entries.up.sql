-- Schema version 1.
--
-- The key is TEXT with the BINARY collation: compared byte by byte, legible in
-- the shell, and a NUL inside is kept. No rowid, so that a key's entry is found
-- in one tree, not two.
CREATE TABLE entries (
    key        TEXT    NOT NULL PRIMARY KEY,
    value      BLOB    NOT NULL,
    revision   INTEGER NOT NULL, -- the counter as it stood after the write
    keep_until INTEGER           -- unix milliseconds, after which the entry may be dropped; NULL: never
) STRICT, WITHOUT ROWID;

-- What the sweep looks for.
CREATE INDEX entries_keep_until ON entries (keep_until) WHERE keep_until IS NOT NULL;

-- One row. It counts every write, deletion and sweep of the whole file, and only grows:
-- that is why no key ever sees a revision twice, deleted, swept or reopened.
CREATE TABLE counter (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
) STRICT;

INSERT INTO counter (id, revision) VALUES (1, 0);

-- For people. A value that is not JSON gives NULL columns, not an error. The
-- CAST is needed because SQLite's JSON functions take a BLOB for its own binary JSON.
CREATE VIEW leases AS
SELECT
    key,
    revision,
    json ->> '$.state'                       AS state,
    json ->> '$.lease_id'                    AS lease_id,
    json ->> '$.version'                     AS version,
    iif(json IS NULL, NULL, coalesce(json ->> '$.token', revision)) AS token, -- absent in the acquiring write, whose revision it is
    json ->> '$.attempt'                     AS attempt,
    json ->> '$.ttl_ns'                      AS ttl_ns,
    json ->> '$.deadline'                    AS deadline, -- RFC 3339 in UTC, of one width: sorts and compares as text
    json ->> '$.first_seen_at'               AS first_seen_at,
    json ->> '$.acquired_at'                 AS acquired_at,
    json ->> '$.done_at'                     AS done_at,
    json ->> '$.keep_until'                  AS keep_until,
    json ->  '$.metadata'                    AS metadata, -- JSON
    json ->  '$.result'                      AS result,   -- JSON
    json ->> '$.result_hash'                 AS result_hash,
    json ->> '$.error_code'                  AS error_code,
    json ->> '$.error_hash'                  AS error_hash,
    json ->> '$.request_id'                  AS request_id,
    json ->> '$.input_hash'                  AS input_hash,
    iif(json IS NULL, NULL, coalesce(json ->> '$.at_most_once', 0)) AS at_most_once,
    json ->> '$.op'                          AS op,
    json ->> '$.prev_op'                     AS prev_op,
    json ->> '$.format'                      AS format
FROM (
    SELECT
        key,
        revision,
        CASE WHEN json_valid(CAST(value AS TEXT)) THEN CAST(value AS TEXT) END AS json
    FROM entries
);
