PRAGMA encoding = 'UTF-16le';
CREATE TABLE note (name TEXT PRIMARY KEY COLLATE NOCASE, body TEXT, raw BLOB);
CREATE TABLE flat (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE "Ünïcode" (id INTEGER PRIMARY KEY AUTOINCREMENT, "wört" TEXT, klein AS (lower("wört")));
CREATE INDEX unicode_klein ON "Ünïcode" (klein) WHERE "wört" > 'ä';
CREATE VIRTUAL TABLE search USING fts5(text);
CREATE TRIGGER note_in AFTER INSERT ON note BEGIN
  INSERT INTO search (text) VALUES (new.body);
  INSERT INTO "Ünïcode" ("wört") VALUES (new.name);
END;
INSERT INTO note VALUES ('ascii', 'plain', x'00'), ('Ärger', '😀 emoji', NULL);
INSERT INTO flat VALUES ('😀', 1), ('', 2), ('a' || char(0) || 'b', 3);
