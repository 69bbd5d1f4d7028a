// Bits of a master's files that a disk keeps wrongly, before its broker opens them.
#include <doctest/doctest.h>

#include <filesystem>

#include "broker/opening.h"
#include "tests/support/opening_place.h"

namespace csa::opening::opening_bits_test {

TEST_CASE("inspect: a first page that ends the file too early, by one bit, is found at once") {
  const Place place;
  place.created();
  place.change(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)"
      " INSERT INTO part (name) SELECT hex(randomblob(20)) FROM n;");
  const std::string sound = bytes_of(place.path);
  REQUIRE(!fs::exists(place.path + "-wal"));
  const auto low = static_cast<unsigned char>(sound[31]);
  REQUIRE(low != 0);
  for (unsigned bit = 1; bit < 256; bit <<= 1U) {
    CAPTURE(bit);
    std::string bytes = sound;
    bytes[31] = static_cast<char>(low ^ bit);
    write_file(place.path, bytes);
    CHECK(place.found() == Finding::kDamaged);
    CHECK(bytes_of(place.path) == bytes);
  }
  write_file(place.path, sound);
  {
    // Page 1 lies in the file alone, and SQLite takes its word.
    const Database db(place.path, Database::Mode::kReadWrite);
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    db.exec("UPDATE part SET name = 'x' WHERE id = 1");
  }
  REQUIRE(fs::file_size(place.path + "-wal") > 0);
  CHECK(place.found() == Finding::kSound);
  std::string bytes = sound;
  bytes[31] = static_cast<char>(low & (low - 1));
  write_file(place.path, bytes);
  CHECK(place.found() == Finding::kDamaged);
}

TEST_CASE("inspect: a file that grew in advance, as some programs' do, is sound") {
  const Place place;
  place.created();
  write_file(place.path, bytes_of(place.path) + std::string(5 * 4096, '\0'));
  CHECK(place.found() == Finding::kSound);
  CHECK(place.found(true) == Finding::kSound);
}

TEST_CASE("inspect: a bit of csa_meta is wrong, and the file is not served") {
  const Place place;
  place.created();
  place.change(
      "WITH RECURSIVE n(i) AS (SELECT 990 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
      " INSERT INTO csa_log SELECT i << 20, 0, x'00', zeroblob(16), x'00' FROM n;"
      "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 5)"
      " INSERT INTO csa_layout SELECT i, '{}', NULL FROM n;"
      "UPDATE csa_meta SET value = 1000 WHERE key = 'seq';"
      "UPDATE csa_meta SET value = 990 WHERE key = 'floor';"
      "UPDATE csa_meta SET value = 5 WHERE key = 'schema_version'");
  REQUIRE(place.found() == Finding::kSound);
  const std::string sound = bytes_of(place.path);
  for (const std::string key : {"tables_version", "generation", "seq", "schema_version", "floor"}) {
    for (int bit = 0; bit < 64; ++bit) {
      CAPTURE(key);
      CAPTURE(bit);
      write_file(place.path, sound);
      const std::string one = std::to_string(std::uint64_t{1} << static_cast<unsigned>(bit));
      const std::string value = bit == 63 ? "-9223372036854775808" : one;
      place.change("UPDATE csa_meta SET value = (value | " + value + ") - (value & " + value +
                   ") WHERE key = '" + key + "'");
      const Finding found = place.found();
      // What it says of the log is only how far others may ask back.
      if (key != "floor" || bit >= 10) CHECK(found != Finding::kSound);
    }
  }
  for (const std::string key : {"epoch", "fingerprint", "app", "group"}) {
    CAPTURE(key);
    write_file(place.path, sound);
    place.change(
        "UPDATE csa_meta SET value = CASE typeof(value) WHEN 'text' THEN 'z' || substr("
        "value, 2) ELSE CAST(x'00' || substr(value, 2) AS BLOB) END WHERE key = '" +
        key + "'");
    CHECK(place.found() != Finding::kSound);
  }
}

TEST_CASE("restore: from a file with a wrong schema version, it is the one of its layouts again") {
  for (const std::string wrong : {"7", "4"}) {
    CAPTURE(wrong);
    const Place place;
    place.created();
    place.change(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 5)"
        " INSERT INTO csa_layout SELECT i, '{}', NULL FROM n;"
        "UPDATE csa_meta SET value = " +
        wrong + " WHERE key = 'schema_version'");
    CHECK(place.found() == Finding::kDamaged);
    const auto done = restore(place.name, place.path, real());
    REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
    CHECK(done->meta.schema_version == 5);
    CHECK(place.found(true) == Finding::kSound);
  }
}

TEST_CASE("restore: over a master whose generation or csa_epoch is wrong, the next generation") {
  for (const char* const wrong : {"UPDATE csa_meta SET value = -126 WHERE key = 'generation'",
                                  "UPDATE csa_epoch SET id = zeroblob(16) WHERE generation = 1",
                                  "DELETE FROM csa_epoch", "DROP TABLE csa_meta"}) {
    CAPTURE(wrong);
    const Place place;
    place.created();
    const std::string backup = place.folder.file("backup.db");
    fs::copy_file(place.path, backup);
    REQUIRE(restore(place.name, backup, real())->meta.position.epoch.generation == 2);
    place.change(wrong);
    const auto done = restore(place.name, backup, real());
    REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
    CHECK(done->meta.position.epoch.generation == 3);
    CHECK(place.found(true) == Finding::kSound);
  }
}

TEST_CASE(
    "restore: from a replica that names two databases, refused with the way to put it right") {
  const Place place;
  place.created();
  place.change(
      "DELETE FROM csa_private; INSERT INTO csa_private VALUES ('role', CAST('node' AS BLOB)),"
      " ('db', CAST('00000000000000000000000000000001' AS BLOB))");
  const std::string replica = place.folder.file("replica.db");
  fs::rename(place.path, replica);
  const auto done = restore(place.name, replica, real());
  REQUIRE(!done.has_value());
  CHECK(done.error().code == Errc::kDamaged);
  CHECK(done.error().what.find("csa-node run") != std::string::npos);
}

TEST_CASE("put_wal_right: a header with two wrong bits, its commits are not left out in silence") {
  const Place place;
  place.created();
  const std::string sound = bytes_of(place.path);
  std::string wal;
  {
    const Database db(place.path, Database::Mode::kReadWrite);
    for (int i = 0; i < 5; ++i) db.exec("INSERT INTO part (name) VALUES ('screw')");
    wal = bytes_of(place.path + "-wal");
  }
  REQUIRE(wal.size() > 32);
  write_file(place.path, sound);
  for (const std::size_t at : {9U, 21U}) wal[at] = static_cast<char>(wal[at] ^ 4);
  write_file(place.path + "-wal", wal);
  std::unique_ptr<Database> held = keep_open(place.name);
  const auto mended = put_wal_right(place.name, held);
  REQUIRE(!mended.has_value());
  CHECK(mended.error().code == Errc::kDamaged);
  CHECK(mended.error().what.find("5 commits") != std::string::npos);
  held.reset();
  CHECK(bytes_of(place.path + "-wal") == wal);
}

}  // namespace csa::opening::opening_bits_test
