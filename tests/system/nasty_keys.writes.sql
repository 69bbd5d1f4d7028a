INSERT INTO nokey VALUES ($N, 'text $N', randomblob($N % 40)), ($N, 'text $N', NULL)
DELETE FROM nokey WHERE rowid IN (SELECT rowid FROM nokey WHERE a % 5 = $N % 5 LIMIT 1)
UPDATE nokey SET a = -a, c = CAST(b AS BLOB) WHERE a % 7 = $N % 7
UPDATE nokey SET rowid = rowid + 100000 WHERE rowid = (SELECT min(rowid) FROM nokey)
INSERT INTO "no key, one index" VALUES ($N, NULL), ($N, $N)
INSERT OR REPLACE INTO "no key, one index" VALUES (-$N, $N % 50)
INSERT INTO composite VALUES (NULL, 'Key $N', $N / 7.0, 'note'), ($N, NULL, 1e300 * $N, NULL)
INSERT INTO composite VALUES ($N % 20, 'Same', 1, 1) ON CONFLICT (b, a) DO UPDATE SET c = c + 1, b = upper(b)
UPDATE composite SET a = $N WHERE rowid = (SELECT max(rowid) FROM composite WHERE a IS NULL)
!INSERT INTO composite VALUES (1, 'dup', 1, 1), (1, 'DUP', 1, 1)
INSERT OR REPLACE INTO flat VALUES ('k$N', $N % 30, CASE $N % 3 WHEN 0 THEN 0.1 * $N WHEN 1 THEN NULL ELSE 'v' END)
UPDATE flat SET n = n + 1000, k = k || 'x' WHERE n = $N % 30
UPDATE OR IGNORE blobkey SET k = k || x'01' WHERE v % 3 = $N % 3
INSERT OR IGNORE INTO blobkey VALUES (randomblob(4), $N)
INSERT INTO generated (label, tail) VALUES ('label $N', $N), (upper('ä$N'), NULL)
UPDATE generated SET id = id + 500000, tail = size WHERE id % 11 = $N % 11 AND id BETWEEN 1 AND 400000
!INSERT INTO generated (label) VALUES (printf('%080d', $N))
DELETE FROM generated WHERE id % 13 = $N % 13
INSERT INTO counted (v) VALUES ($N), (NULL), (x'$N$N')
DELETE FROM counted WHERE id = (SELECT max(id) FROM counted)
UPDATE counted SET id = id + 7 WHERE id = (SELECT max(id) FROM counted)
INSERT INTO backwards (v) VALUES ('auto $N')
UPDATE backwards SET id = -$N WHERE v = 'auto $N'
INSERT OR REPLACE INTO strict_one VALUES ($N % 40, $N, $N, 'é$N', x'abcd', CASE $N % 4 WHEN 0 THEN 1 WHEN 1 THEN 1.0 WHEN 2 THEN '1' ELSE x'31' END)
!INSERT INTO strict_one VALUES ('text', 1, 1, 1, 1, 1)
INSERT OR REPLACE INTO "select" VALUES ($N % 25, 'w $N', '$N.50', $N); UPDATE "select" SET "group by" = "group by" + [order] WHERE "from" = $N % 25
INSERT INTO "Größe ""µ"" 表" VALUES ('ключ $N', randomblob(3)) ON CONFLICT DO UPDATE SET "wert--" = NULL
UPDATE "Größe ""µ"" 表" SET "schlüssel ' ;" = "schlüssel ' ;" || '''' WHERE length("wert--") = 3
INSERT INTO hides VALUES ('r$N', NULL, $N + 10)
UPDATE hides SET rowid = oid, oid = rowid, v = v + 1000000 WHERE v = $N + 9
INSERT INTO hides_two VALUES ($N, $N, $N, $N + 10), (1, 1, 1, NULL)
DELETE FROM hides_two WHERE v = $N + 8
INSERT INTO one VALUES (NULL); INSERT OR IGNORE INTO one VALUES ($N * 10)
INSERT INTO wide_integer (v) VALUES ($N % 15), (9007199254740993 + $N), ($N + 0.5)
DELETE FROM one WHERE only_column % 3 = $N % 3
