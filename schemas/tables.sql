-- The tables that csa keeps in the user's file, on the master and on every replica (format 1).
-- Embedded into the programs at build. Which of them travel, and how: "table classes" in
-- protocol.md. None uses AUTOINCREMENT, so that sqlite_sequence stays the application's own.

-- Derived: where this file stands. One row a key; see Meta in common/store_meta.h.
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

-- Derived: the log. part_id = seq << 20 | part; header and chain only on part 0.
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
  PRIMARY KEY (node, counter)
) STRICT, WITHOUT ROWID;

-- Derived: outcomes at or below it are forgotten; repeats of them are refused, never run.
CREATE TABLE csa_outcome_floor (
  node BLOB PRIMARY KEY,
  counter INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Derived: column names of every schema version that the log may speak of.
CREATE TABLE csa_layout (
  schema_version INTEGER PRIMARY KEY,
  json TEXT NOT NULL
) STRICT;
