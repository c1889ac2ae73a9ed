-- Schema version 2.
--
-- One-shot locks lie in the same table. What comes before the first slash of a
-- key is the namespace alone for a lease, and the namespace and ":lock" for a
-- lock; no namespace has a colon.
DROP VIEW leases;

-- As in version 1, but of leases alone, and with the text of the error.
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
    json ->> '$.error_text'                  AS error_text,
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
    WHERE instr(substr(key, 1, instr(key, '/')), ':') = 0
);

-- Those that are over are here too, until they are dropped or locked anew.
CREATE VIEW locks AS
SELECT
    key,
    revision,
    json ->> '$.first_seen_at'               AS first_seen_at, -- when the key was locked
    json ->> '$.ttl_ns'                      AS ttl_ns,
    json ->> '$.keep_until'                  AS locked_until,
    json ->  '$.metadata'                    AS metadata, -- JSON
    json ->> '$.op'                          AS op,
    json ->> '$.prev_op'                     AS prev_op,
    json ->> '$.format'                      AS format
FROM (
    SELECT
        key,
        revision,
        CASE WHEN json_valid(CAST(value AS TEXT)) THEN CAST(value AS TEXT) END AS json
    FROM entries
    WHERE substr(key, 1, instr(key, '/')) GLOB '*:lock/'
);
