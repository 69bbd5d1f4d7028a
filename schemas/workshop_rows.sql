-- Rows for workshop.sql: 12 people, 60 places, 1,500 parts and 4,000 movements, the same every time.
INSERT INTO person (name)
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12)
  SELECT 'Person ' || i FROM n;

INSERT INTO place (code, description)
  WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 59)
  SELECT printf('%s-%02d', char(65 + i / 10), i % 10), printf('Rack %s, shelf %d', char(65 + i / 10), i % 10) FROM n;

INSERT INTO part (number, name, price_cents, reorder_at)
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500),
    kind (k, name) AS (VALUES (0, 'screw'), (1, 'nut'), (2, 'washer'), (3, 'bearing'), (4, 'belt'),
                              (5, 'seal'), (6, 'spring'), (7, 'fuse'), (8, 'relay'), (9, 'hose'))
  SELECT printf('P%05d', i), name || ' M' || (3 + i % 20) || ' type ' || (i / 10), (i * 37) % 20000, i % 15
  FROM n JOIN kind ON k = i % 10;

INSERT INTO movement (part, place, person, qty, note, at)
  WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 3999)
  SELECT 1 + (i * 7) % 1500, printf('%s-%02d', char(65 + (i % 60) / 10), i % 10), 1 + i % 12, 5 + i % 40,
    CASE WHEN i % 50 = 0 THEN 'counted' END,
    strftime('%Y-%m-%dT%H:%M:%fZ', 1767225600 + i * 1800, 'unixepoch')
  FROM n;
