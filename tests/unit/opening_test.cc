#include "broker/opening.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/opening_place.h"

namespace csa::opening::opening_test {

TEST_CASE("inspect: nothing there, with three ways out to copy") {
  const Place place;
  const Report report = inspect(place.name, false);
  CHECK(report.finding == Finding::kMissing);
  CHECK(to_error(report).code == Errc::kNothing);
  REQUIRE(report.ways_out.size() == 3);
  CHECK(report.ways_out[0].command ==
        "csa-broker create --db " + place.path + " --group shop --schema FILE.sql");
  CHECK(report.ways_out[1].way == Way::kAdopt);
  CHECK(report.ways_out[2].command ==
        "csa-broker restore --db " + place.path + " --group shop --from FILE");
  CHECK(!fs::exists(place.path));
}

TEST_CASE("inspect: a folder, no folder, and no SQLite file are told apart") {
  const Place place;
  CHECK(inspect({place.folder.path(), "csa", "shop"}, false).finding == Finding::kUnreadable);
  const Report nowhere = inspect({place.folder.file("no/shop.db"), "csa", "shop"}, false);
  CHECK(nowhere.finding == Finding::kUnreadable);
  CHECK(nowhere.sentence.find("no folder") != std::string::npos);
  write_file(place.path, std::string(5000, 'x'));
  CHECK(place.found() == Finding::kNotSqlite);
  CHECK(to_error(inspect(place.name, false)).code == Errc::kDamaged);
  CHECK(bytes_of(place.path) == std::string(5000, 'x'));
}

TEST_CASE("inspect: an empty file and a plain database can be adopted") {
  const Place place;
  write_file(place.path, "");
  CHECK(place.found() == Finding::kNotAdopted);
  place.plain(kPartSchema);
  const std::string before = bytes_of(place.path);
  const Report report = inspect(place.name, true);
  CHECK(report.finding == Finding::kNotAdopted);
  REQUIRE(report.ways_out.size() == 1);
  CHECK(report.ways_out[0].file == place.path);
  CHECK(bytes_of(place.path) == before);
}

TEST_CASE("inspect: another application or group, with the call that fits") {
  const Place place;
  place.created();
  for (const DatabaseName& other :
       {DatabaseName{place.path, "csa", "default"}, DatabaseName{place.path, "till", "shop"}}) {
    const Report report = inspect(other, false);
    CHECK(report.finding == Finding::kOtherApp);
    CHECK(to_error(report).code == Errc::kRefused);
    REQUIRE(report.ways_out.size() == 1);
    CHECK(report.ways_out[0].command == "csa-broker serve --db " + place.path + " --group shop");
  }
  CHECK(place.found(true) == Finding::kSound);
}

TEST_CASE("inspect: csa tables of a newer version, or that contradict themselves") {
  const Place newer;
  newer.created();
  newer.change("UPDATE csa_meta SET value = 99 WHERE key = 'tables_version'");
  CHECK(newer.found() == Finding::kNewer);
  const Place floor;
  floor.created();
  floor.change("UPDATE csa_meta SET value = 7 WHERE key = 'floor'");
  CHECK(floor.found() == Finding::kDamaged);
  const Place epoch;
  epoch.created();
  epoch.change("DELETE FROM csa_epoch");
  CHECK(epoch.found() == Finding::kDamaged);
}

TEST_CASE("inspect: tables changed by another program, and the way to accept them") {
  const Place place;
  const Meta before = place.created();
  place.change("ALTER TABLE part ADD COLUMN qty");
  const Report report = inspect(place.name, false);
  CHECK(report.finding == Finding::kDamaged);
  REQUIRE(!report.ways_out.empty());
  CHECK(report.ways_out[0].way == Way::kRestore);
  CHECK(report.ways_out[0].file == place.path);
  const auto done = restore(place.name, report.ways_out[0].file, real());
  REQUIRE(done.has_value());
  CHECK(done->meta.position.epoch.generation == 2);
  CHECK(done->meta.schema_version == before.schema_version + 1);
  CHECK(done->meta.db == before.db);
  CHECK(place.found(true) == Finding::kSound);
  CHECK(place.kept().size() == 1);
}

TEST_CASE("inspect: damaged pages are found by the thorough look") {
  const Place place;
  place.plain(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT); CREATE INDEX i ON part (name);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)"
      " INSERT INTO part (name) SELECT hex(randomblob(20)) FROM n;");
  REQUIRE(adopt(place.name, real()).has_value());
  std::string bytes = bytes_of(place.path);
  for (std::size_t i = 8 * 4096; i < 12 * 4096; ++i) bytes[i] = 'x';
  write_file(place.path, bytes);
  const Report report = inspect(place.name, true);
  CHECK(report.finding == Finding::kDamaged);
  CHECK(!report.ways_out.empty());
  CHECK(to_error(report).code == Errc::kDamaged);
}

TEST_CASE("inspect: what SQLite's check is wrong about is no damage, a true NULL is") {
  const Place place;
  place.plain(
      "CREATE TABLE booking (room TEXT NOT NULL, \"the.day\" TEXT NOT NULL, note TEXT,"
      " code TEXT PRIMARY KEY) WITHOUT ROWID; CREATE TABLE part (id INTEGER PRIMARY KEY, name "
      "TEXT);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200)"
      " INSERT INTO booking SELECT 'r', 'd', NULL, i FROM n; INSERT INTO part VALUES (1, NULL)");
  REQUIRE(adopt(place.name, real()).has_value());
  CHECK(place.found(true) == Finding::kSound);
  const std::string replica = place.folder.file("replica.db");
  fs::copy_file(place.path, replica);
  const auto done = restore(place.name, replica, real());
  REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
  // Neither a line among its many, nor one of its own kind, is lost with them.
  const auto claim = [&place](const std::string& table, const std::string& from) {
    const Database db(place.path, Database::Mode::kReadWrite);
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
    db.exec("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '" + from +
            "', '" + from + " NOT NULL') WHERE name = '" + table + "'");
  };
  claim("part", "name TEXT");
  Report report = inspect(place.name, true);
  CHECK(report.details == std::vector<std::string>{"NULL value in part.name"});
  claim("booking", "note TEXT");
  report = inspect(place.name, true);
  CHECK(report.details.size() == 100);
  CHECK(report.details[0] == "NULL value in booking.note");
}

TEST_CASE("inspect: broken foreign keys are reported and no reason to refuse") {
  const Place place;
  place.plain(
      "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a REFERENCES a);"
      "INSERT INTO b VALUES (5)");
  const auto adoption = adopt(place.name, real());
  REQUIRE(adoption.has_value());
  REQUIRE(adoption->remarks.size() == 1);
  CHECK(adoption->remarks[0].find("b") != std::string::npos);
  const Report report = inspect(place.name, true);
  CHECK(report.finding == Finding::kSound);
  CHECK(report.details.size() == 1);
}

TEST_CASE("inspect: a node's replica and a backup are copies, not masters") {
  const Place place;
  place.created();
  place.change("DELETE FROM csa_private");
  CHECK(place.found() == Finding::kCopy);
  CHECK(to_error(inspect(place.name, false)).code == Errc::kRefused);
  CHECK(!adopt(place.name, real()).has_value());
  place.change("INSERT INTO csa_private VALUES ('role', CAST('node' AS BLOB))");
  const Report replica = inspect(place.name, false);
  CHECK(replica.finding == Finding::kCopy);
  CHECK(replica.sentence.find("replica") != std::string::npos);
}

TEST_CASE("inspect: in use by another broker; the lock is free again after it") {
  const Place place;
  place.created();
  {
    const auto lock = BrokerLock::take(place.path);
    REQUIRE(lock.has_value());
    CHECK(place.found() == Finding::kInUse);
    const auto second = BrokerLock::take(place.path);
    REQUIRE(!second.has_value());
    CHECK(second.error().code == Errc::kRefused);
    CHECK(!adopt(place.name, real()).has_value());
    CHECK(restore(place.name, place.path, real()).error().code == Errc::kRefused);
  }
  CHECK(place.found() == Finding::kSound);
}

TEST_CASE("inspect: two spellings of a path meet in one lock") {
  const Place place;
  place.created();
  const std::string link = place.folder.file("link.db");
  fs::create_symlink(place.path, link);
  const auto lock = BrokerLock::take(place.path);
  REQUIRE(lock.has_value());
  CHECK(!BrokerLock::take(link).has_value());
}

TEST_CASE("create: a sound master with the rows of the schema, WAL, nothing beside it") {
  const Place place;
  const Meta meta = place.created();
  CHECK(meta.position.epoch.generation == 1);
  CHECK(meta.position.seq == Seq{0});
  CHECK(meta.floor == Seq{1});
  const Report report = inspect(place.name, true);
  CHECK(report.finding == Finding::kSound);
  CHECK(report.meta.position == meta.position);
  CHECK(report.meta.fingerprint == meta.fingerprint);
  CHECK(place.count("SELECT count(*) FROM part") == 2);
  CHECK(bytes_of(place.path)[18] == 2);
  CHECK(place.count("SELECT count(*) FROM csa_layout WHERE json LIKE '%\"part\"%'") == 1);
  CHECK(!fs::exists(place.path + ".csa-new"));
}

TEST_CASE("create: several files in order, with transactions of their own as dumps have") {
  const Place place;
  const auto meta =
      create(place.name,
             {"PRAGMA foreign_keys=OFF; BEGIN TRANSACTION; CREATE TABLE a (x); COMMIT;",
              "INSERT INTO a VALUES (1);"},
             real());
  REQUIRE(meta.has_value());
  CHECK(place.count("SELECT count(*) FROM a") == 1);
}

TEST_CASE("create: what fails leaves no file behind") {
  const Place place;
  struct Line {
    std::string schema;
    std::string says;
  };
  for (const Line& line : {Line{"CREATE TABLE a (x); CREATE TABEL b (y);", "schema file 1"},
                           Line{"BEGIN; CREATE TABLE a (x);", "COMMIT"},
                           Line{"CREATE TABLE csa_own (x);", "csa_own"}}) {
    const auto meta = create(place.name, {line.schema}, real());
    REQUIRE(!meta.has_value());
    CHECK_MESSAGE(meta.error().what.find(line.says) != std::string::npos, meta.error().what);
    CHECK(!fs::exists(place.path));
    CHECK(!fs::exists(place.path + ".csa-new"));
  }
}

TEST_CASE("create: over an existing file, or beside a foreign log, fails and changes nothing") {
  const Place place;
  write_file(place.path, "mine");
  REQUIRE(!create(place.name, {kPartSchema}, real()).has_value());
  CHECK(bytes_of(place.path) == "mine");
  fs::remove(place.path);
  write_file(place.path + "-wal", "what another database had committed");
  const auto meta = create(place.name, {kPartSchema}, real());
  REQUIRE(!meta.has_value());
  CHECK(meta.error().what.find("-wal") != std::string::npos);
  CHECK(!fs::exists(place.path));
}

TEST_CASE("create: the leftovers of a crash are in nobody's way") {
  const Place place;
  write_file(place.path + ".csa-new", "half a database");
  write_file(place.path + ".csa-new-wal", "half a log");
  write_file(place.path + "-wal", "");
  place.created();
  CHECK(place.found(true) == Finding::kSound);
}

TEST_CASE("adopt: rows stay, a second time changes nothing and says so") {
  const Place place;
  place.plain(std::string("PRAGMA encoding='UTF-16'; PRAGMA page_size=1024;") + kPartSchema);
  const auto first = adopt(place.name, real());
  REQUIRE(first.has_value());
  CHECK(!first->already);
  CHECK(first->unshareable.empty());
  CHECK(place.found(true) == Finding::kSound);
  CHECK(place.count("SELECT count(*) FROM part") == 2);
  const std::string before = bytes_of(place.path);
  CHECK(before[18] == 2);
  const auto second = adopt(place.name, real());
  REQUIRE(second.has_value());
  CHECK(second->already);
  CHECK(second->meta.position == first->meta.position);
  CHECK(bytes_of(place.path) == before);
}

TEST_CASE("adopt: what cannot be shared is listed, and the file stays as it is to the byte") {
  const Place place;
  place.plain("CREATE TABLE csa_mine (x); CREATE TABLE ok (y); INSERT INTO ok VALUES (1)");
  const std::string before = bytes_of(place.path);
  const auto adoption = adopt(place.name, real());
  REQUIRE(adoption.has_value());
  REQUIRE(!adoption->unshareable.empty());
  CHECK(!adoption->unshareable[0].way_out.empty());
  CHECK(bytes_of(place.path) == before);
}

TEST_CASE("adopt: a database that another program has locked is named so") {
  const Place place;
  place.plain(kPartSchema);
  const Database other(place.path, Database::Mode::kReadWrite);
  other.exec("BEGIN EXCLUSIVE");
  const auto adoption = adopt(place.name, real());
  REQUIRE(!adoption.has_value());
  CHECK(adoption.error().what.find("locked by another program") != std::string::npos);
  other.exec("ROLLBACK");
  CHECK(adopt(place.name, real()).has_value());
}

}  // namespace csa::opening::opening_test
