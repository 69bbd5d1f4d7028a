// The triggers that keep an FTS5 index `search` over part (id, name), as SQLite's manual has them.
#pragma once

namespace csa::test {

inline constexpr const char* kIndexFeed = R"(
  CREATE TRIGGER part_in AFTER INSERT ON part BEGIN
    INSERT INTO search (rowid, name) VALUES (new.id, new.name);
  END;
  CREATE TRIGGER part_out AFTER DELETE ON part BEGIN
    INSERT INTO search (search, rowid, name) VALUES ('delete', old.id, old.name);
  END;
  CREATE TRIGGER part_new AFTER UPDATE OF name ON part BEGIN
    INSERT INTO search (search, rowid, name) VALUES ('delete', old.id, old.name);
    INSERT INTO search (rowid, name) VALUES (new.id, new.name);
  END;
)";

}  // namespace csa::test
