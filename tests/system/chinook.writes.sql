INSERT INTO Artist (Name) VALUES ('Artist $N')
INSERT INTO Album (Title, ArtistId) SELECT 'Album $N', max(ArtistId) FROM Artist RETURNING AlbumId
UPDATE Track SET UnitPrice = UnitPrice + 0.01, Milliseconds = Milliseconds + $N WHERE TrackId % 97 = $N % 97
INSERT INTO Track (Name, MediaTypeId, GenreId, Composer, Milliseconds, UnitPrice) VALUES ('Größe $N', 1 + $N % 5, 1 + $N % 25, NULL, $N, 0.99)
!INSERT INTO Album (Title, ArtistId) VALUES ('nobody', 900000000 + $N)
UPDATE Customer SET Company = CASE WHEN $N % 3 = 0 THEN NULL ELSE 'Company ' || random() END, Phone = $N WHERE CustomerId = 1 + $N % 59
INSERT INTO Invoice (CustomerId, InvoiceDate, Total) VALUES (1 + $N % 59, datetime('now'), $N / 3.0); INSERT INTO InvoiceLine (InvoiceId, TrackId, UnitPrice, Quantity) SELECT last_insert_rowid(), 1 + $N % 3000, 0.99, 1
DELETE FROM InvoiceLine WHERE InvoiceLineId IN (SELECT InvoiceLineId FROM InvoiceLine WHERE InvoiceLineId % 41 = $N % 41 LIMIT 3)
!INSERT INTO Genre (GenreId, Name) VALUES (1, 'twice')
INSERT OR IGNORE INTO PlaylistTrack (PlaylistId, TrackId) VALUES (1 + $N % 18, 1 + ($N * 31) % 3500)
DELETE FROM PlaylistTrack WHERE PlaylistId = 1 + $N % 18 AND TrackId IN (SELECT TrackId FROM PlaylistTrack WHERE PlaylistId = 1 + $N % 18 LIMIT 2)
!UPDATE Artist SET ArtistId = 2 WHERE ArtistId = 1
UPDATE Employee SET Title = upper(Title), BirthDate = julianday('now') WHERE EmployeeId = 1 + $N % 8
INSERT OR REPLACE INTO Genre (GenreId, Name) VALUES (1000 + $N % 20, 'Genre $N')
!INSERT INTO Artist (Name) VALUES ('half'); INSERT INTO Artist (ArtistId, Name) VALUES (1, 'a whole call fails')
UPDATE Genre SET GenreId = GenreId + 10000 WHERE GenreId = 1000 + $N % 20
