-- Keys and columns that row replication gets wrong easily.
CREATE TABLE nokey (a, b TEXT, c BLOB);
CREATE TABLE "no key, one index" (x, y);
CREATE UNIQUE INDEX nokey_y ON "no key, one index" (y) WHERE y IS NOT NULL;
CREATE TABLE composite (a INTEGER, b TEXT COLLATE NOCASE, c REAL, note, PRIMARY KEY (b, a));
CREATE TABLE flat (k TEXT, n INTEGER, v, PRIMARY KEY (n DESC, k COLLATE NOCASE)) WITHOUT ROWID;
CREATE TABLE blobkey (k BLOB PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE generated (
  twice INTEGER GENERATED ALWAYS AS (id * 2) VIRTUAL,
  id INTEGER PRIMARY KEY,
  label TEXT,
  long TEXT GENERATED ALWAYS AS (label || '-' || id) STORED,
  size INTEGER AS (length(label)) VIRTUAL CHECK (size < 60),
  tail);
CREATE INDEX generated_size ON generated (size, upper(label)) WHERE twice > 4;
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v);
CREATE TABLE backwards (id INTEGER PRIMARY KEY DESC, v);
CREATE TABLE strict_one (id INT PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB, a ANY) STRICT;
CREATE TABLE "select" ("from" INTEGER PRIMARY KEY, "where" TEXT, "group by" NUMERIC, [order] INT);
CREATE TABLE "Größe ""µ"" 表" ("schlüssel ' ;" TEXT PRIMARY KEY, "wert--" BLOB);
CREATE TABLE hides (rowid TEXT, oid TEXT, v, PRIMARY KEY (v));
CREATE TABLE hides_two (rowid, _rowid_, c, v UNIQUE);
CREATE TABLE one (only_column INTEGER PRIMARY KEY);
CREATE TABLE wide_integer (id INTEGER PRIMARY KEY, v NUMERIC UNIQUE ON CONFLICT REPLACE);
INSERT INTO nokey VALUES (1, 'a', x'00'), (1, 'a', x'00'), (NULL, NULL, NULL), (9e999, '', x'');
INSERT INTO "no key, one index" VALUES (1, 1), (1, NULL), (1, NULL);
INSERT INTO composite VALUES (NULL, 'x', 1.5, 1), (NULL, 'x', 1.5, 1), (NULL, NULL, -0.0, 2);
INSERT INTO flat VALUES ('a', 1, NULL), ('b', -9223372036854775808, 'least');
INSERT INTO blobkey VALUES (x'', 1), (x'00', 2), (x'ff00', 3);
INSERT INTO generated (id, label) VALUES (1, 'one'), (-5, 'minus'), (9223372036854775807, 'most');
INSERT INTO counted (v) VALUES (1), (2), (3);
DELETE FROM counted WHERE id = 3;
INSERT INTO backwards VALUES (1, 'x');
INSERT INTO hides VALUES ('r', 'o', 1);
INSERT INTO hides_two VALUES (1, 2, 3, 4), (1, 2, 3, NULL), (1, 2, 3, NULL);
