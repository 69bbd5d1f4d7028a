INSERT INTO parent (name) VALUES ('parent $N')
INSERT INTO child (parent, other, qty) SELECT max(id), min(id), $N % 900 FROM parent
UPDATE parent SET id = id + 5000 WHERE id = (SELECT id FROM parent WHERE id < 5000 AND id % 5 = $N % 5 LIMIT 1)
DELETE FROM parent WHERE id = (SELECT id FROM parent ORDER BY id % 17, id LIMIT 1 OFFSET 3)
!INSERT INTO child (parent) VALUES (88888888)
!INSERT INTO child (other) VALUES (88888888)
!UPDATE child SET qty = 1000 + qty + 1 WHERE id = (SELECT max(id) FROM child)
INSERT INTO tree (up) SELECT max(id) FROM tree; INSERT INTO tree VALUES (NULL, NULL)
DELETE FROM tree WHERE id = (SELECT id FROM tree WHERE up IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET 5)
UPDATE depot SET left_over = left_over - 1 WHERE part = 'screw'
UPDATE depot SET left_over = left_over - 1 WHERE part = 'nut'
!UPDATE depot SET left_over = left_over - 100000000 WHERE part = 'nut'
INSERT OR IGNORE INTO depot VALUES ('ignored', 1), ('part $N', $N)
INSERT INTO family (name, qty) VALUES ('family ' || ($N % 9), $N % 50)
UPDATE family SET qty = qty + 1 WHERE name = 'family ' || ($N % 9)
DELETE FROM family WHERE id = (SELECT max(id) FROM family WHERE name = 'family ' || ($N % 9))
INSERT INTO page (title, body) VALUES ('title $N', 'words and more words ' || hex(randomblob($N % 60)))
UPDATE page SET body = body || ' again', title = upper(title) WHERE id % 6 = $N % 6
DELETE FROM page WHERE id % 19 = $N % 19
INSERT INTO words (rowid, word) VALUES ($N + 1, 'contentless ' || $N)
INSERT INTO own_words (word) VALUES ('running runners ran $N'), ('größte')
UPDATE own_words SET word = word || ' walked' WHERE rowid % 4 = $N % 4
DELETE FROM own_words WHERE rowid % 9 = $N % 9
INSERT INTO own_words (own_words) VALUES ('optimize')
INSERT INTO page_search (page_search) VALUES ('rebuild')
INSERT INTO area VALUES (NULL, $N, $N + 1.5, -$N, 0, 'area $N')
UPDATE area SET x1 = x1 + 10, label = $N WHERE id % 8 = $N % 8
DELETE FROM area WHERE id % 11 = $N % 11
