-- The tables that csa keeps in the user's file, on the master and on every replica (format 2: 1 had no
-- `sum`).
-- Embedded into the programs at build. Which of them travel, and how: TableClass in
-- common/schema.h. None uses AUTOINCREMENT, so that sqlite_sequence stays the application's own.

-- Derived: where this file stands. One row a key; see Meta in common/store_meta.h, and
-- common/past_log.h, broker/wal_base.h.
CREATE TABLE csa_meta (
  key TEXT PRIMARY KEY,
  value ANY
) STRICT, WITHOUT ROWID;

-- Private: values of this file alone (a node's identity, the broker's settings). A node's are proved
-- by one of them, `sum`: node/private_rows.h.
CREATE TABLE csa_private (
  key TEXT PRIMARY KEY,
  value ANY
) STRICT, WITHOUT ROWID;

-- Derived: the histories that this database has been through.
CREATE TABLE csa_epoch (
  generation INTEGER PRIMARY KEY,
  id BLOB NOT NULL,
  parent_generation INTEGER NOT NULL,
  parent_id BLOB NOT NULL,
  parent_seq INTEGER NOT NULL,
  parent_chain BLOB NOT NULL,
  started_ms INTEGER NOT NULL,
  sum INTEGER                   -- of the columns before: common/row_sum.h
) STRICT;

-- Derived: the log. part_id = seq << 20 | part; header and chain only on part 0. Below the floor of
-- csa_meta are entries of the histories that a restored master comes from, for merges alone.
CREATE TABLE csa_log (
  part_id INTEGER PRIMARY KEY,
  offset INTEGER NOT NULL,
  header BLOB,
  chain BLOB,
  body BLOB NOT NULL
) STRICT;

-- Derived: what became of each write. seq is 0 for a rejected one.
CREATE TABLE csa_outcome (
  node BLOB NOT NULL,
  counter INTEGER NOT NULL,
  request_hash BLOB NOT NULL,
  seq INTEGER NOT NULL,
  changes INTEGER NOT NULL,
  last_insert_rowid INTEGER,
  schema_version INTEGER NOT NULL,
  code INTEGER NOT NULL,        -- 0 committed, else NackCode
  statement INTEGER NOT NULL,
  message TEXT,
  rows BLOB,                    -- NULL: none; empty: too many to keep
  replay INTEGER NOT NULL,      -- 0, or ReplayResult of a journaled transaction; rows: its keys
  sum INTEGER,
  PRIMARY KEY (node, counter)
) STRICT, WITHOUT ROWID;

-- Derived: whoever has written; outcomes at or below its counter are forgotten, repeats of them are
-- refused, never run. For a node that is not here csa_meta has the counter (forgotten_counter).
CREATE TABLE csa_outcome_floor (
  node BLOB PRIMARY KEY,
  counter INTEGER NOT NULL,
  sum INTEGER
) STRICT, WITHOUT ROWID;

-- Derived: column names of every schema version that the log may speak of, and what the migration
-- that made it has renamed.
CREATE TABLE csa_layout (
  schema_version INTEGER PRIMARY KEY,
  json TEXT NOT NULL,
  sum INTEGER
) STRICT;

-- Shared: the rules by which replays are merged. column_name '' speaks of the whole table.
CREATE TABLE csa_rule (
  table_name TEXT NOT NULL,
  column_name TEXT NOT NULL,
  rule TEXT NOT NULL,           -- newest merge broker node manual; columns: sum max min append newest
                                -- broker node; 'atomic' beside a table's rule
  PRIMARY KEY (table_name, column_name, rule)
) STRICT, WITHOUT ROWID;

-- Shared: the inbox as it is stored. One row for up to 16 KiB of rows of one journaled transaction
-- that lost, were parked or got another key; they have the ids from `first` to `last`. What the view
-- csa_conflicts tells of each, common/inbox_format.h writes and reads.
CREATE TABLE csa_inbox (
  first INTEGER PRIMARY KEY,
  last INTEGER NOT NULL,
  seq INTEGER NOT NULL,         -- log entry that decided it
  time TEXT NOT NULL,           -- of the decision, UTC
  node BLOB NOT NULL,           -- whose journal, with counter its TxId
  counter INTEGER NOT NULL,
  journal INTEGER NOT NULL,     -- counter of the journal's first entry
  hostname TEXT NOT NULL,
  node_time TEXT NOT NULL,
  bundle INTEGER NOT NULL,      -- of a transaction kept whole, and later ones of its journal that
                                -- touch its rows: the first one's counter; they are restored together
  hashes BLOB NOT NULL,         -- 16 bytes each of the rows' identities, for lookups
  decided TEXT NOT NULL,        -- JSON array of different [table_name, op, rule, decision, reason,
                                -- broker_time, close, numbered]
  rows TEXT NOT NULL,           -- JSON array of [place in decided, key, base, broker, node_row]; the
                                -- last two: a row, null, or an array of one object: what differs
                                -- from base, a merge patch (RFC 7396)
  exact BLOB NOT NULL           -- what JSON does not tell exactly: place in rows (varint), size
                                -- (varint), the three versions (encode_rows of codec.h; a missing
                                -- one has no values). Exact in JSON: no blob, no infinity, all text
                                -- valid UTF-8, no two columns named alike
) STRICT;
CREATE INDEX csa_inbox_journal ON csa_inbox (node, journal);

-- Shared: what became of single rows of the inbox. Where the same journal lost the row once more:
-- its version of then, else NULLs.
CREATE TABLE csa_inbox_later (
  id INTEGER PRIMARY KEY,
  state TEXT NOT NULL,          -- open restored dismissed
  seq INTEGER,
  time TEXT,
  counter INTEGER,
  node_time TEXT,
  decided TEXT,                 -- JSON, as one of csa_inbox.decided
  row TEXT,                     -- JSON, as one of csa_inbox.rows; its place in decided means nothing
  exact BLOB                    -- encode_rows, or empty
) STRICT;

-- Private to the broker: finds rows of the inbox by the first 8 bytes of their hash, but for those
-- decided "node". Row (0, 0) says that none is missing.
CREATE TABLE csa_inbox_row (
  hash INTEGER NOT NULL,
  id INTEGER NOT NULL,
  PRIMARY KEY (hash, id)
) STRICT, WITHOUT ROWID;

-- The inbox for people and programs: one row for each row that lost, was parked or got another key.
-- key, base, broker and node_row are JSON objects by column name.
CREATE VIEW csa_conflicts AS
SELECT id, seq, time, node, counter, journal, hostname,
       json_extract(d, '$[0]') AS table_name,
       json_extract(r, '$[1]') AS key,
       json_extract(d, '$[1]') AS op,         -- insert update delete: what the node did
       json_extract(d, '$[2]') AS rule,
       json_extract(d, '$[3]') AS decision,   -- node broker merged split parked remapped
       json_extract(d, '$[4]') AS reason,
       json_extract(r, '$[2]') AS base,
       CASE json_type(r, '$[3]') WHEN 'array'
         THEN json_patch(json_extract(r, '$[2]'), json_extract(r, '$[3][0]'))
         ELSE json_extract(r, '$[3]') END AS broker,
       CASE json_type(r, '$[4]') WHEN 'array'
         THEN json_patch(json_extract(r, '$[2]'), json_extract(r, '$[4][0]'))
         ELSE json_extract(r, '$[4]') END AS node_row,
       json_extract(d, '$[5]') AS broker_time,  -- last edit of the master's row, as far as known
       node_time,
       json_extract(d, '$[6]') AS close,      -- 1: decided by less than the clocks' error, or
                                              -- nothing was known
       bundle,
       json_extract(d, '$[7]') AS numbered,   -- 1: SQLite chose the row's number, which is free to
                                              -- be another
       state
FROM (SELECT b.first + e.key AS id, ifnull(l.seq, b.seq) AS seq, ifnull(l.time, b.time) AS time,
             b.node AS node, ifnull(l.counter, b.counter) AS counter, b.journal AS journal,
             b.hostname AS hostname, ifnull(l.node_time, b.node_time) AS node_time,
             b.bundle AS bundle, ifnull(l.state, 'open') AS state,
             ifnull(l.decided, json_extract(b.decided,
               '$[' || json_extract(e.value, '$[0]') || ']')) AS d,
             ifnull(l.row, e.value) AS r
      FROM csa_inbox AS b JOIN json_each(b.rows) AS e
      LEFT JOIN csa_inbox_later AS l ON l.id = b.first + e.key);

-- Shared: keys that replays had to change, kept while later entries of the journal may name them.
CREATE TABLE csa_remap (
  node BLOB NOT NULL,
  journal INTEGER NOT NULL,
  table_name TEXT NOT NULL,
  before INTEGER NOT NULL,
  after INTEGER NOT NULL,
  counter INTEGER NOT NULL,     -- of the entry that inserted the row
  lost INTEGER NOT NULL,        -- 1: the row waits in the inbox, where it is called `after`
  PRIMARY KEY (node, journal, table_name, before)
) STRICT, WITHOUT ROWID;
CREATE INDEX csa_remap_lost ON csa_remap (node, journal, table_name, after) WHERE lost <> 0;

-- Shared, and always empty: a merge or a migration writes and deletes a row, so that the log tells
-- of an edit that changed no value, that a row came back, or what became of the rows of a table that
-- was made anew (broker/touch_marks.h).
CREATE TABLE csa_touch (
  key_hash BLOB PRIMARY KEY,    -- of the row's identity
  op INTEGER NOT NULL,          -- 1 another row, 2 edited, 3 deleted, 4 came back; of a table: 5 left,
                                -- 6 others
  mask BLOB NOT NULL            -- one bit a carried column, least significant first; of op 4 there are
                                -- two, the second of those columns that the edit gave a value
) STRICT, WITHOUT ROWID;

-- Shared: transactions of a history that the master has lost (restored from an older backup), which
-- replicas still held and have offered back; a person decides. One that is settled has no parts.
CREATE TABLE csa_lost (
  id INTEGER PRIMARY KEY,
  node BLOB NOT NULL,           -- with counter the TxId that it was committed under
  counter INTEGER NOT NULL,
  epoch BLOB NOT NULL,          -- where it stood in the lost history
  seq INTEGER NOT NULL,
  time TEXT NOT NULL,           -- of the edit, UTC
  hostname TEXT NOT NULL,       -- of whoever wrote it
  offered_by TEXT NOT NULL,     -- hostname
  tables TEXT NOT NULL,         -- JSON object: changed rows a table
  state TEXT NOT NULL,          -- lost doubtful recovered forgotten brought
  outcome TEXT NOT NULL,        -- what became of a recovered one; why; or ''
  header BLOB NOT NULL,         -- as in csa_journal
  UNIQUE (node, counter)
) STRICT;

-- Shared: their changesets. part_id = id << 20 | part; -id: the checksum over header and changeset,
-- as in csa_journal (none where an older version has kept it).
CREATE TABLE csa_lost_part (
  part_id INTEGER PRIMARY KEY,
  body BLOB NOT NULL
) STRICT;

-- Private: offline transactions, in their order; see common/journal.h.
CREATE TABLE csa_journal (
  entry INTEGER PRIMARY KEY,
  header BLOB NOT NULL,
  checksum BLOB NOT NULL,
  answered INTEGER NOT NULL     -- Seq of its outcome + 1; 0: not yet
) STRICT;

-- Private: their changesets. part_id = entry << 20 | part.
CREATE TABLE csa_journal_part (
  part_id INTEGER PRIMARY KEY,
  body BLOB NOT NULL
) STRICT;

-- Private: what became of journaled transactions, the latest of them.
CREATE TABLE csa_journal_outcome (
  counter INTEGER PRIMARY KEY,
  edited_ms INTEGER NOT NULL,
  result TEXT NOT NULL,         -- applied merged superseded split parked stood offered
  seq INTEGER NOT NULL,
  text TEXT NOT NULL,
  keys TEXT NOT NULL            -- JSON array of {"table","before","after"}
) STRICT;
