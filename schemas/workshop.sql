-- An example to share: the stock of a small workshop. Parts lie in places, people move them, and a
-- trigger keeps the stock in step with the movements, whoever types them on whichever computer.

CREATE TABLE person (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  active INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1))
);

CREATE TABLE place (
  code TEXT PRIMARY KEY,            -- "B-03": what is written on the shelf
  description TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE part (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  number TEXT NOT NULL UNIQUE COLLATE NOCASE,
  name TEXT NOT NULL,
  price_cents INTEGER NOT NULL DEFAULT 0 CHECK (price_cents >= 0),
  reorder_at INTEGER NOT NULL DEFAULT 0,
  label TEXT GENERATED ALWAYS AS (number || ' ' || name) VIRTUAL
);
CREATE INDEX part_by_name ON part (name COLLATE NOCASE);

CREATE TABLE stock (
  part INTEGER NOT NULL REFERENCES part (id) ON DELETE CASCADE,
  place TEXT NOT NULL REFERENCES place (code) ON UPDATE CASCADE,
  qty INTEGER NOT NULL CHECK (qty >= 0),
  PRIMARY KEY (part, place)
) WITHOUT ROWID;

CREATE TABLE movement (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  part INTEGER NOT NULL REFERENCES part (id) ON DELETE CASCADE,
  place TEXT NOT NULL REFERENCES place (code) ON UPDATE CASCADE,
  person INTEGER REFERENCES person (id) ON DELETE SET NULL,
  qty INTEGER NOT NULL CHECK (qty <> 0),   -- into the place; taken out: negative
  note TEXT,
  at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
CREATE INDEX movement_by_part ON movement (part, at);

-- Taking more than there is fails by stock's CHECK, and with it the whole movement.
CREATE TRIGGER movement_changes_stock AFTER INSERT ON movement
BEGIN
  INSERT INTO stock (part, place, qty) VALUES (NEW.part, NEW.place, 0)
    ON CONFLICT DO NOTHING;
  UPDATE stock SET qty = qty + NEW.qty WHERE part = NEW.part AND place = NEW.place;
END;

CREATE VIEW part_total AS
  SELECT part.id, part.number, part.name, coalesce(sum(stock.qty), 0) AS qty
  FROM part LEFT JOIN stock ON stock.part = part.id
  GROUP BY part.id;

CREATE VIRTUAL TABLE part_search USING fts5 (name, number, content = 'part', content_rowid = 'id');
CREATE TRIGGER part_search_insert AFTER INSERT ON part
BEGIN
  INSERT INTO part_search (rowid, name, number) VALUES (NEW.id, NEW.name, NEW.number);
END;
CREATE TRIGGER part_search_delete AFTER DELETE ON part
BEGIN
  INSERT INTO part_search (part_search, rowid, name, number)
    VALUES ('delete', OLD.id, OLD.name, OLD.number);
END;
CREATE TRIGGER part_search_update AFTER UPDATE OF name, number ON part
BEGIN
  INSERT INTO part_search (part_search, rowid, name, number)
    VALUES ('delete', OLD.id, OLD.name, OLD.number);
  INSERT INTO part_search (rowid, name, number) VALUES (NEW.id, NEW.name, NEW.number);
END;
