#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "node/read_only.h"
#include "node/replica.h"
#include "node/replica_file.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::replica_open_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);"
    "INSERT INTO t VALUES (1, 'one')";

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Error open_error(const std::string& path, const std::string& group = "shop") {
  const Result<std::unique_ptr<Replica>> opened = Replica::open(path, "csa", group, Log());
  REQUIRE(!opened);
  return opened.error();
}

bool speaks_of(const Error& error, const std::string& word) {
  return error.what.find(word) != std::string::npos;
}

}  // namespace

TEST_CASE("open replica: somebody's own database, refused and not a byte changed") {
  const ScratchFolder folder;
  const std::string path = folder.file("own.db");
  run_sql(path, "CREATE TABLE mine (x); INSERT INTO mine VALUES (1)");
  const std::string before = bytes_of(path);
  const Error error = open_error(path);
  CHECK(error.code == Errc::kRefused);
  CHECK(speaks_of(error, path));
  CHECK(speaks_of(error, "--replica"));
  CHECK(bytes_of(path) == before);
}

TEST_CASE("open replica: a broker's database, refused") {
  const ScratchFolder folder;
  const HandMaster master(folder.path(), kSchema);
  const Error of_backup = open_error(master.path());
  CHECK(of_backup.code == Errc::kRefused);
  CHECK(speaks_of(of_backup, "a backup"));
  write_private(master.db(), "role", "broker");
  const Error error = open_error(master.path());
  CHECK(error.code == Errc::kRefused);
  CHECK(speaks_of(error, "broker"));
}

TEST_CASE("open replica: of another group, refused naming both, with and without a copy") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  HandMaster master(folder.path(), kSchema);
  for (const bool with_copy : {false, true}) {
    if (with_copy) REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
    if (!with_copy) (void)open_replica(path);
    const Error error = open_error(path, "clinic");
    CHECK(error.code == Errc::kRefused);
    CHECK(speaks_of(error, "\"shop\""));
    CHECK(speaks_of(error, "\"clinic\""));
  }
}

TEST_CASE("open replica: not SQLite, damaged, kept, and the command to move it is named") {
  const ScratchFolder folder;
  const std::string path = folder.file("it's.db");
  const std::string text(5000, 'x');
  write_file(path, text);
  const Error error = open_error(path);
  CHECK(error.code == Errc::kDamaged);
  CHECK(bytes_of(path) == text);
  const std::size_t command = error.what.find("mv ");
  REQUIRE(command != std::string::npos);
  REQUIRE(std::system(error.what.substr(command).c_str()) == 0);
  CHECK(!std::filesystem::exists(path));
  CHECK(std::filesystem::exists(path + ".damaged"));
  CHECK(try_open(path).has_value());
}

TEST_CASE("open replica: what stands beside a damaged file is moved too, if it is there still") {
  for (const bool gone : {false, true}) {
    CAPTURE(gone);
    const ScratchFolder folder;
    const std::string path = folder.file("it's.db");
    write_file(path, std::string(5000, 'x'));
    write_file(path + "-wal", "y");
    const std::string command = move_away_command(path);
    if (gone) std::filesystem::remove(path + "-wal");
    CHECK(std::system(command.c_str()) == 0);
    CHECK(!std::filesystem::exists(path));
    CHECK(!std::filesystem::exists(path + "-wal"));
    CHECK(std::filesystem::exists(path + ".damaged"));
    CHECK(std::filesystem::exists(path + ".damaged-wal") == !gone);
  }
}

TEST_CASE("open replica: the file was cut short, damaged and kept") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  HandMaster master(folder.path(), kSchema);
  REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  const std::string before = bytes_of(path);
  const Error error = open_error(path);
  CHECK(error.code == Errc::kDamaged);
  CHECK(speaks_of(error, path));
  CHECK(bytes_of(path) == before);
}

TEST_CASE("open replica: its first page ends it too early, by one bit, damaged and kept") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  HandMaster master(folder.path(), kSchema);
  REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
  run_sql(path,
          "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n LIMIT 2000)"
          " INSERT INTO t SELECT i, hex(zeroblob(20)) FROM n");
  REQUIRE(!std::filesystem::exists(path + "-wal"));
  std::string bytes = bytes_of(path);
  const auto low = static_cast<unsigned char>(bytes[31]);
  REQUIRE(low != 0);
  bytes[31] = static_cast<char>(low & (low - 1));
  write_file(path, bytes);
  const Error error = open_error(path);
  CHECK(error.code == Errc::kDamaged);
  CHECK(speaks_of(error, "first page"));
  CHECK(bytes_of(path) == bytes);
}

TEST_CASE("open replica: an older copy of its file under its -wal, refused and left as it is") {
  namespace fs = std::filesystem;
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  HandMaster master(folder.path(), kSchema);
  // With this -wal beside that file.
  const auto opened = [&](const std::string& file, const std::string& wal) {
    const std::string mixed = folder.file("mixed.db");
    fs::remove(mixed + "-shm");
    fs::copy_file(file, mixed, fs::copy_options::overwrite_existing);
    fs::copy_file(wal, mixed + "-wal", fs::copy_options::overwrite_existing);
    const bool sound = try_open(mixed).has_value();
    if (!sound) {
      CHECK(bytes_of(mixed) == bytes_of(file));
      CHECK(bytes_of(mixed + "-wal") == bytes_of(wal));
      CHECK(speaks_of(open_error(mixed), "do not belong together"));
    }
    return sound;
  };
  const auto keep = [&](const std::string& what, const std::string& as) {
    fs::copy_file(path + what, folder.file(as), fs::copy_options::overwrite_existing);
    return folder.file(as);
  };
  const auto follow_some = [&](Replica& replica) {
    for (int i = 0; i < 5; ++i) {
      master.exec("INSERT INTO t (v) VALUES ('more')");
      REQUIRE(follow(replica, master).has_value());
    }
  };
  REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
  const std::string old = keep("", "old.db");
  follow_some(*open_replica(path));
  const std::string file = keep("", "true.db");
  {
    const auto replica = open_replica(path);
    follow_some(*replica);
    const std::string wal = keep("-wal", "true.wal");
    CHECK(opened(file, wal));
    CHECK_FALSE(opened(old, wal));
  }
  const std::string before_journal = keep("", "before.db");
  {
    const auto replica = open_replica(path);
    OfflineWrite write;
    write.write.tx = {replica->state().node, 1};
    write.write.sql = "INSERT INTO t (v) VALUES ('mine')";
    REQUIRE(replica->write_offline(write).has_value());
    const std::string wal = keep("-wal", "journal.wal");
    CHECK(opened(before_journal, wal));
    CHECK_FALSE(opened(file, wal));
  }
}

TEST_CASE("open replica: killed after a full copy of another history, file and -wal are sound") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  HandMaster master(folder.path(), kSchema);
  auto replica = open_replica(path);
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  for (int i = 0; i < 20; ++i) {
    master.exec("INSERT INTO t (v) VALUES ('more')");
    REQUIRE(follow(*replica, master).has_value());
  }
  replica.reset();
  replica = open_replica(path);
  // A reader keeps the copy in the -wal.
  const Database reader(path, Database::Mode::kReadOnly);
  reader.exec("BEGIN");
  (void)reader.query_int("SELECT count(*) FROM t");
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  const std::string killed = folder.file("killed.db");
  for (const char* const suffix : {"", "-wal"}) {
    std::filesystem::copy_file(path + suffix, killed + suffix);
  }
  REQUIRE(std::filesystem::file_size(killed + "-wal") > 0);
  const auto again = try_open(killed);
  REQUIRE_MESSAGE(again.has_value(), again.error().what);
  CHECK(again.value()->state().position == replica->state().position);
}

TEST_CASE("open replica: another program changed its tables, damaged and says so") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  HandMaster master(folder.path(), kSchema);
  REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
  run_sql(path, "ALTER TABLE t ADD COLUMN extra");
  const Error error = open_error(path);
  CHECK(error.code == Errc::kDamaged);
  CHECK(speaks_of(error, "changed by another program"));
}

TEST_CASE("open replica: csa's own rows are incomplete or contradict each other, damaged") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  for (const char* const sql : {"DELETE FROM csa_meta WHERE key = (SELECT min(key) FROM csa_meta)",
                                "DELETE FROM csa_private WHERE key = 'counter'",
                                "UPDATE csa_private SET value = 'x1' WHERE key = 'node'",
                                "UPDATE csa_meta SET value = value + 1 WHERE key ="
                                " 'schema_version'"}) {
    const std::string path = folder.file("r.db");
    std::filesystem::remove(path);
    REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
    run_sql(path, sql);
    CAPTURE(sql);
    CHECK(open_error(path).code == Errc::kDamaged);
  }
}

TEST_CASE("open replica: it is damaged and offline changes wait in it, they are told and kept") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  HandMaster master(folder.path(), kSchema);
  TxId tx;
  {
    const auto replica = open_replica(path);
    REQUIRE(take_copy(*replica, master.copy()).has_value());
    OfflineWrite write;
    tx = write.write.tx = {replica->state().node, 1};
    write.write.sql = "INSERT INTO t VALUES (2, 'two')";
    write.edited = WallTime{1000};
    REQUIRE(replica->write_offline(write).has_value());
  }
  const std::string sound = bytes_of(path);
  run_sql(path, "DELETE FROM csa_meta WHERE key = 'seq'");
  const Error error = open_error(path);
  CHECK(error.code == Errc::kDamaged);
  CHECK(speaks_of(error, "1 offline change waits"));
  CHECK(speaks_of(error, "csa-node journal --replica '" + path + "'"));
  CHECK(!glance_at_replica(path).has_value());
  CHECK(node_of_replica(path).value() == tx.node);

  std::filesystem::remove(path + "-wal");
  write_file(path, sound);
  run_sql(path, "UPDATE csa_meta SET value = zeroblob(16) WHERE key = 'fingerprint'");
  CHECK(!glance_at_replica(path).has_value());
  const auto opened = try_open(path);
  REQUIRE_MESSAGE(opened.has_value(), (opened ? "" : opened.error().what));
  Replica& replica = **opened;
  CHECK(glance_at_replica(path).has_value());
  REQUIRE(replica.state().journal.waiting == 1);
  const auto waiting = replica.read_journal(0, 0, 1 << 20);
  REQUIRE(waiting.has_value());
  CHECK(waiting->at(0).header.tx == tx);
  master.exec("INSERT INTO t VALUES (3, 'three')");
  replica.mark_answered({{tx, ReplayResult::kApplied, 0, Seq{1}, {}, {}}});
  CHECK(replica.take_over().error().code == Errc::kDamaged);
  REQUIRE(take_copy(replica, master.copy()).has_value());
  CHECK(content_of(path) == content_of(master.path()));
  CHECK(replica.state().journal.entries == 0);
  REQUIRE(follow(replica, master).has_value());
}

TEST_CASE("open replica: what it fetched and has not applied cannot be read, fetched again") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  HandMaster master(folder.path(), kSchema);
  {
    const auto replica = open_replica(path);
    REQUIRE(take_copy(*replica, master.copy()).has_value());
    master.exec("INSERT INTO t VALUES (2, 'two')");
    master.exec("INSERT INTO t VALUES (3, 'three')");
    REQUIRE(replica->spool(master.after(replica->state().position->seq)).has_value());
  }
  run_sql(path, "UPDATE csa_log SET header = x'00'");
  const auto opened = try_open(path);
  REQUIRE_MESSAGE(opened.has_value(), (opened ? "" : opened.error().what));
  REQUIRE(follow(**opened, master).has_value());
  CHECK(content_of(path) == content_of(master.path()));
}

TEST_CASE("open replica: no such folder, or a folder itself, fails with a sentence") {
  const ScratchFolder folder;
  const Error missing = open_error(folder.file("none/r.db"));
  CHECK(missing.code == Errc::kFailed);
  CHECK(speaks_of(missing, "folder"));
  CHECK(open_error(folder.path()).code == Errc::kFailed);
}

TEST_CASE("open replica: an empty file, is begun like a missing one") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  write_file(path, "");
  CHECK(try_open(path).has_value());
}

TEST_CASE("open replica: an empty file where a replica was, is damaged, and what is left is kept") {
  for (const std::string left : {"-wal", "-shm", "-aside-20260131-090000", ""}) {
    CAPTURE(left);
    const ScratchFolder folder;
    const std::string path = folder.file("r.db");
    write_file(path, "");
    if (!left.empty()) write_file(path + left, "something");
    const auto open = [&](Earlier earlier) {
      return Replica::open(path, "csa", "shop", Log(), earlier);
    };
    const auto opened = open(left.empty() ? Earlier::kThere : Earlier::kUnknown);
    REQUIRE(!opened.has_value());
    CHECK(opened.error().code == Errc::kDamaged);
    CHECK(speaks_of(opened.error(), "it is empty"));
    CHECK(bytes_of(path).empty());
    if (!left.empty()) CHECK(bytes_of(path + left) == "something");
    const std::string& what = opened.error().what;
    REQUIRE(std::system(what.substr(what.find("mv ")).c_str()) == 0);
    CHECK(open(Earlier::kThere).has_value());
  }
}

}  // namespace csa::replica_open_test
