INSERT OR REPLACE INTO note VALUES ('Näme ' || ($N % 60), 'body 表 $N 😀', randomblob(5))
UPDATE note SET name = upper(name) || '-', body = NULL WHERE name LIKE 'näme 1%' AND length(name) < 20
!INSERT INTO note VALUES ('ASCII', 'the same without case', NULL)
INSERT OR REPLACE INTO flat VALUES (char(128512 + $N % 40), $N / 4.0), (char(65 + $N % 26), 'text' || char(0) || $N)
UPDATE OR REPLACE flat SET k = k || 'é' WHERE k < char(70)
DELETE FROM flat WHERE length(k) > 3
INSERT INTO "Ünïcode" ("wört") VALUES (char(228, 246, $N % 500 + 32)), (NULL)
UPDATE "Ünïcode" SET "wört" = "wört" || 'ß', id = id + 1000 WHERE id % 14 = $N % 14 AND id < 100000
DELETE FROM "Ünïcode" WHERE id % 17 = $N % 17
INSERT INTO search (text) VALUES ('größer 表 $N')
DELETE FROM search WHERE rowid % 5 = $N % 5
DELETE FROM note WHERE rowid = (SELECT max(rowid) FROM note WHERE body IS NULL)
