-- Schema version 3.
--
-- Entries of timelines. The position is the counter as it stood after the
-- entry was added, so that positions grow as revisions do, and none is used
-- twice. It is also the rowid, so that the entries lie in the order in which
-- they were added.
CREATE TABLE journal (
    position   INTEGER NOT NULL PRIMARY KEY,
    stream     TEXT    NOT NULL,
    namespace  TEXT    NOT NULL, -- the stream up to its first slash, which is included; '' if it has none
    id         TEXT,             -- once in its stream; NULL: the entry has none
    data       BLOB    NOT NULL,
    keep_until INTEGER NOT NULL  -- unix milliseconds, after which the entry may be dropped
) STRICT;

-- Each of these ends with the position, as all indexes of a table with rowids do.
CREATE INDEX journal_stream ON journal (stream);
CREATE INDEX journal_namespace ON journal (namespace);
CREATE INDEX journal_keep_until ON journal (keep_until);
CREATE UNIQUE INDEX journal_id ON journal (stream, id) WHERE id IS NOT NULL;

-- What is known of each stream that has entries. Whoever adds or drops entries
-- keeps it, in the same transaction.
CREATE TABLE streams (
    stream    TEXT    NOT NULL PRIMARY KEY,
    namespace TEXT    NOT NULL,
    entries   INTEGER NOT NULL, -- how many there are
    newest    INTEGER NOT NULL  -- the position of the newest
) STRICT, WITHOUT ROWID;

CREATE INDEX streams_namespace ON streams (namespace, newest);
