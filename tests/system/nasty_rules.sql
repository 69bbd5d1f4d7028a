-- Triggers, foreign keys, views and virtual tables: effects that no statement names.
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE child (
  id INTEGER PRIMARY KEY,
  parent INTEGER REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE,
  other INTEGER REFERENCES parent (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
  qty INTEGER NOT NULL DEFAULT 1 CHECK (qty >= 0));
CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree (id) ON DELETE CASCADE);
CREATE TABLE audit (n INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT, what TEXT, old, new);
CREATE TABLE depot (part TEXT PRIMARY KEY, left_over INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER child_in AFTER INSERT ON child BEGIN
  INSERT INTO audit (at, what, new) VALUES (datetime('now'), 'insert', new.id);
END;
CREATE TRIGGER child_out AFTER DELETE ON child BEGIN
  INSERT INTO audit (at, what, old) VALUES (random(), 'delete', old.id);
END;
CREATE TRIGGER child_change BEFORE UPDATE OF qty ON child WHEN new.qty > 1000 BEGIN
  SELECT RAISE(ABORT, 'too many');
END;
CREATE TRIGGER depot_guard BEFORE UPDATE ON depot WHEN new.left_over < 0 BEGIN
  SELECT RAISE(ABORT, 'depot is empty');
END;
CREATE TRIGGER depot_skip BEFORE INSERT ON depot WHEN new.part = 'ignored' BEGIN
  SELECT RAISE(IGNORE);
END;
CREATE VIEW family AS
  SELECT child.id AS id, parent.name AS name, child.qty AS qty
  FROM child JOIN parent ON parent.id = child.parent;
CREATE TRIGGER family_in INSTEAD OF INSERT ON family BEGIN
  INSERT OR IGNORE INTO parent (name) VALUES (new.name);
  INSERT INTO child (parent, qty) SELECT id, new.qty FROM parent WHERE name = new.name;
END;
CREATE TRIGGER family_change INSTEAD OF UPDATE ON family BEGIN
  UPDATE child SET qty = new.qty WHERE id = old.id;
END;
CREATE TRIGGER family_out INSTEAD OF DELETE ON family BEGIN
  DELETE FROM child WHERE id = old.id;
END;
CREATE TABLE page (id INTEGER PRIMARY KEY, title TEXT, body TEXT);
CREATE VIRTUAL TABLE page_search USING fts5(title, body, content='page', content_rowid='id');
CREATE TRIGGER page_in AFTER INSERT ON page BEGIN
  INSERT INTO page_search (rowid, title, body) VALUES (new.id, new.title, new.body);
END;
CREATE TRIGGER page_out AFTER DELETE ON page BEGIN
  INSERT INTO page_search (page_search, rowid, title, body)
  VALUES ('delete', old.id, old.title, old.body);
END;
CREATE TRIGGER page_change AFTER UPDATE ON page BEGIN
  INSERT INTO page_search (page_search, rowid, title, body)
  VALUES ('delete', old.id, old.title, old.body);
  INSERT INTO page_search (rowid, title, body) VALUES (new.id, new.title, new.body);
END;
CREATE VIRTUAL TABLE words USING fts5(word, content='');
CREATE VIRTUAL TABLE own_words USING fts5(word, prefix='2 3', tokenize='porter unicode61');
CREATE VIRTUAL TABLE area USING rtree(id, x0, x1, y0, y1, +label);
INSERT INTO parent (name) VALUES ('root'), ('second'), ('third');
INSERT INTO child (parent, other) SELECT a.id, b.id FROM parent AS a, parent AS b;
INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 3);
INSERT INTO depot VALUES ('screw', 40), ('nut', 1000000);
INSERT INTO page (title, body) VALUES ('first', 'the quick brown fox'), (NULL, '');
INSERT INTO area VALUES (1, 0, 1, 0, 1, 'unit'), (2, -5, 5, -5, 5, NULL);
