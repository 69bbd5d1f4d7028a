-- The tables that csa keeps in the user's file, on the master and on every replica (format 1).
-- Embedded into the programs at build. Which of them travel, and how: "table classes" in
-- protocol.md. None uses AUTOINCREMENT, so that sqlite_sequence stays the application's own.

-- Derived: where this file stands. One row a key; see Meta in common/store_meta.h, and
-- common/past_log.h, broker/wal_base.h.
CREATE TABLE csa_meta (
  key TEXT PRIMARY KEY,
  value ANY
) STRICT, WITHOUT ROWID;

-- Private: values of this file alone (a node's identity, the broker's settings).
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
  started_ms INTEGER NOT NULL
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
  PRIMARY KEY (node, counter)
) STRICT, WITHOUT ROWID;

-- Derived: outcomes at or below it are forgotten; repeats of them are refused, never run.
CREATE TABLE csa_outcome_floor (
  node BLOB PRIMARY KEY,
  counter INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Derived: column names of every schema version that the log may speak of, and what the migration
-- that made it has renamed.
CREATE TABLE csa_layout (
  schema_version INTEGER PRIMARY KEY,
  json TEXT NOT NULL
) STRICT;

-- Shared: the rules by which replays are merged. column_name '' speaks of the whole table.
CREATE TABLE csa_rule (
  table_name TEXT NOT NULL,
  column_name TEXT NOT NULL,
  rule TEXT NOT NULL,           -- newest merge broker node manual; columns: sum max min append newest
                                -- broker node; 'atomic' beside a table's rule
  PRIMARY KEY (table_name, column_name, rule)
) STRICT, WITHOUT ROWID;

-- Shared: the inbox. One row for each row of a journaled transaction that lost, was parked or got
-- another key. base, broker and node_row are JSON objects by column name; rows holds the same three
-- exactly (encode_rows of codec.h; a missing row has no values), and is empty where the JSON tells
-- them exactly: no blob, no infinity, all text valid UTF-8, no two columns named alike.
CREATE TABLE csa_conflicts (
  id INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL,         -- log entry that decided it
  time TEXT NOT NULL,           -- of the decision, UTC
  node BLOB NOT NULL,           -- whose journal, with counter its TxId
  counter INTEGER NOT NULL,
  journal INTEGER NOT NULL,     -- counter of the journal's first entry
  hostname TEXT NOT NULL,
  table_name TEXT NOT NULL,
  key TEXT NOT NULL,            -- JSON object
  key_hash BLOB NOT NULL,       -- of the row's identity, for lookups
  op TEXT NOT NULL,             -- insert update delete: what the node did
  rule TEXT NOT NULL,
  decision TEXT NOT NULL,       -- node broker merged split parked remapped
  reason TEXT NOT NULL,
  base TEXT,
  broker TEXT,
  node_row TEXT,
  rows BLOB NOT NULL,
  broker_time TEXT,             -- last edit of the master's row, as far as the log knows
  node_time TEXT NOT NULL,
  close INTEGER NOT NULL,       -- 1: decided by less than the clocks' error, or nothing was known
  bundle INTEGER NOT NULL,      -- of a transaction kept whole, and later ones of its journal that
                                -- touch its rows: the first one's counter; they are restored together
  numbered INTEGER NOT NULL,    -- 1: SQLite chose the row's number, which is free to be another
  state TEXT NOT NULL,          -- open restored dismissed
  UNIQUE (node, journal, key_hash, id)
) STRICT;

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
  mask BLOB NOT NULL            -- one bit a carried column, least significant first
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

-- Shared: their changesets. part_id = id << 20 | part.
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
